//! The commands that ask once and print: `status`, `token`, `qr`, `config`, `completions`, `man`.

use clap::ArgMatches;
use serde_json::Value;

use super::daemon::{Daemon, kept_token, told};
use super::{Failure, arguments, block_on, load, print, runtime_dir};
use crate::hub::not_kept_since;
use crate::program::config::{Loaded, show};
use crate::program::terminal::{self, banner, neutral, status};

/// `onlooker status`.
pub fn status(loaded: &Loaded, matches: &ArgMatches) -> Result<(), Failure> {
    let daemon = Daemon::to_write(loaded, matches)?;
    block_on(async {
        if arguments::is_set(matches, "health") {
            return health(&daemon).await;
        }
        let facts = facts(&daemon).await?;
        let text = match arguments::is_set(matches, "json") {
            true => format!("{facts}\n"),
            false => table(&facts),
        };
        print(&text).map(|_| ())
    })
}

async fn health(daemon: &Daemon) -> Result<(), Failure> {
    let (status, body) = daemon.get("/healthz").await?;
    match status.is_success() {
        true => Ok(()),
        false => Err(Failure::new(told(status.as_u16(), &body))),
    }
}

async fn facts(daemon: &Daemon) -> Result<Value, Failure> {
    let (status, body) = daemon.get("/api/status").await?;
    if !status.is_success() {
        return Err(Failure::new(told(status.as_u16(), &body)));
    }
    let other = |error| {
        let authority = daemon.authority();
        Failure::new(format!(
            "what answers at {authority} is no onlooker: {error}"
        ))
    };
    serde_json::from_slice(&body).map_err(other)
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
        "onlooker {} on port {} · {}\n",
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

/// `onlooker token`.
pub fn token(loaded: &Loaded) -> Result<(), Failure> {
    let port = loaded.settings.options.port;
    match kept_token(port)? {
        Some(token) => print(&format!("{}\n", token.reveal())).map(|_| ()),
        None => Err(Failure::new(format!(
            "no token for port {port} in {}: is onlooker running here as this user? name its port with --port",
            runtime_dir::directory().display()
        ))),
    }
}

/// `onlooker qr`.
pub fn qr(loaded: &Loaded, matches: &ArgMatches) -> Result<(), Failure> {
    let text = match arguments::text(matches, "text") {
        Some(text) => text.to_owned(),
        None => link(loaded, matches)?,
    };
    print(&banner::code(&text, terminal::width())).map(|_| ())
}

fn link(loaded: &Loaded, matches: &ArgMatches) -> Result<String, Failure> {
    let daemon = Daemon::to_write(loaded, matches)?;
    let mut link = None;
    block_on(async {
        link = facts(&daemon).await?["urls"][0].as_str().map(str::to_owned);
        Ok(())
    })?;
    link.ok_or_else(|| Failure::new("the daemon names no link"))
}

/// `onlooker config`.
pub fn config(matches: &ArgMatches) -> Result<(), Failure> {
    let text = match arguments::is_set(matches, "default") {
        true => show::template(),
        false => show::effective(&load(matches)?),
    };
    print(&text).map(|_| ())
}

/// `onlooker completions SHELL`.
pub fn completions(matches: &ArgMatches) -> Result<(), Failure> {
    let Some(shell) = matches.get_one::<clap_complete::Shell>("shell") else {
        return Ok(());
    };
    let mut text = Vec::new();
    clap_complete::generate(*shell, &mut arguments::command(), "onlooker", &mut text);
    print(&String::from_utf8_lossy(&text)).map(|_| ())
}

/// `onlooker man`.
pub fn man() -> Result<(), Failure> {
    let mut text = Vec::new();
    let wrong = |error| Failure::new(format!("the manual: {error}"));
    clap_mangen::Man::new(arguments::command())
        .render(&mut text)
        .map_err(wrong)?;
    print(&String::from_utf8_lossy(&text)).map(|_| ())
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
