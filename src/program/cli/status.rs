//! `onlooker status`: how the running daemon is doing.

use serde_json::Value;

use super::arguments::StatusArgs;
use super::daemon::Daemon;
use super::failure::Failure;
use super::runtime::block_on;
use super::streams::print;
use crate::hub::not_kept_since;
use crate::program::terminal::{neutral, status};

pub fn status(args: &StatusArgs) -> Result<(), Failure> {
    let daemon = Daemon::to_write(&args.daemon)?;
    block_on(async {
        if args.health {
            daemon.get("/healthz").await?;
            return Ok(());
        }
        let facts = daemon.status().await?;
        let text = match args.json {
            true => format!("{facts}\n"),
            false => table(&facts),
        };
        print(&text).map(drop)
    })
}

/// The status for a person.
fn table(facts: &Value) -> String {
    let text = |value: &Value| {
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned)
    };
    let devices = facts["clientCount"]
        .as_u64()
        .and_then(|count| usize::try_from(count).ok());
    let mut out = format!(
        "onlooker {} on port {} · {} connected\n",
        neutral(&text(&facts["version"])),
        facts["port"],
        status::devices(devices.unwrap_or(0))
    );
    if let Some(since) = facts["store"]["failingSinceMs"].as_u64() {
        let error = text(&facts["store"]["error"]);
        let since = not_kept_since(since);
        out.push_str(&format!("  {since} ({})\n", neutral(&error)));
    }
    for url in facts["urls"].as_array().into_iter().flatten() {
        out.push_str(&format!("  {}\n", neutral(&text(url))));
    }
    let rows = facts["topics"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|topic| {
            ["topic", "name", "viewers", "revision"]
                .map(|key| neutral(&text(&topic[key])).into_owned())
        });
    let heading = ["TOPIC", "NAME", "VIEWERS", "REVISION"].map(str::to_owned);
    let rows: Vec<[String; 4]> = std::iter::once(heading).chain(rows).collect();
    match rows.len() {
        1 => out.push_str("no session yet\n"),
        _ => out.push_str(&columns(&rows)),
    }
    out
}

fn columns(rows: &[[String; 4]]) -> String {
    let width = |column: usize| {
        rows.iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths = [width(0), width(1), width(2)];
    let line = |[topic, name, viewers, revision]: &[String; 4]| {
        let [a, b, c] = widths;
        format!("{topic:a$}  {name:b$}  {viewers:>c$}  {revision}\n")
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_table_of_a_running_daemon() {
        let facts = json!({
            "version": "0.1.0", "port": 9876, "clientCount": 2, "urls": ["http://192.168.1.5:9876/"],
            "topics": [{"topic": "main", "name": "De\u{1b}mo", "viewers": 2, "revision": "17"}],
        });
        let expected = "onlooker 0.1.0 on port 9876 · 2 devices connected
  http://192.168.1.5:9876/
TOPIC  NAME   VIEWERS  REVISION
main   De␛mo        2  17
";
        assert_eq!(table(&facts), expected);
        assert!(table(&json!({"topics": []})).ends_with("no session yet\n"));
    }
}
