//! `onlooker status`: how the running daemon is doing.

use serde_json::Value;

use super::arguments::StatusArgs;
use super::daemon::Daemon;
use super::failure::Failure;
use super::runtime::block_on;
use super::streams::print;
use crate::hub::{not_kept_since, time_of_day};
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
    let rooms = list(&facts["rooms"]);
    let mut out = summary(facts, rooms);
    if let Some(since) = facts["store"]["failingSinceMs"].as_u64() {
        let error = text(&facts["store"]["error"]);
        let since = not_kept_since(since);
        out.push_str(&format!("  {since} ({error})\n"));
    }
    out.push_str(&cluster(&facts["cluster"]));
    for url in list(&facts["urls"]) {
        out.push_str(&format!("  {}\n", text(url)));
    }
    let topic =
        |topic: &Value| ["topic", "name", "viewers", "revision"].map(|key| text(&topic[key]));
    let room = |room: &Value| {
        let rows = room["rows"].as_object().into_iter().flatten();
        let rows: Vec<String> = rows
            .map(|(name, rows)| format!("{} {rows}", neutral(name)))
            .collect();
        let [name, people, hosts] = ["room", "people", "hosts"].map(|key| text(&room[key]));
        [name, rows.join(", "), people, hosts]
    };
    let topics: Vec<_> = list(&facts["topics"]).iter().map(topic).collect();
    if topics.is_empty() && rooms.is_empty() {
        out.push_str("no session yet\n");
    }
    out.push_str(&columns(["TOPIC", "NAME", "VIEWERS", "REVISION"], topics));
    let daemon = |daemon: &Value| ["url", "version", "viewers", "id"].map(|key| text(&daemon[key]));
    let daemons = list(&facts["cluster"]["daemons"]).iter().map(daemon);
    out.push_str(&columns(
        ["DAEMON", "VERSION", "VIEWERS", "ID"],
        daemons.collect(),
    ));
    out.push_str(&columns(
        ["ROOM", "ROWS", "PEOPLE", "HOSTS"],
        rooms.iter().map(room).collect(),
    ));
    out
}

/// The daemon and who is connected, in a line.
fn summary(facts: &Value, rooms: &[Value]) -> String {
    let number = |value: &Value| value.as_u64().and_then(|count| usize::try_from(count).ok());
    let people = rooms.iter().filter_map(|room| number(&room["people"]));
    let people = people.filter(|people| *people > 0);
    let people = people.fold((0, 0), |(all, rooms), people| (all + people, rooms + 1));
    let people = status::people(people).map(|people| format!(" · {people}"));
    format!(
        "onlooker {} on port {} · {} connected{}\n",
        text(&facts["version"]),
        facts["port"],
        status::devices(number(&facts["clientCount"]).unwrap_or(0)),
        people.unwrap_or_default()
    )
}

/// How the cluster is, in a line; nothing without one.
fn cluster(cluster: &Value) -> String {
    let daemons = list(&cluster["daemons"]);
    let viewers = daemons
        .iter()
        .filter_map(|daemon| daemon["viewers"].as_u64());
    let (viewers, since) = (viewers.sum::<u64>(), cluster["sinceMs"].as_u64());
    let since = time_of_day(since.unwrap_or_default());
    let devices = status::devices(usize::try_from(viewers).unwrap_or_default());
    match cluster["state"].as_str() {
        None => String::new(),
        Some("connected") => format!(
            "  cluster at {}: {devices} on {}\n",
            text(&cluster["server"]),
            match daemons.len() {
                1 => "1 daemon".to_owned(),
                daemons => format!("{daemons} daemons"),
            }
        ),
        Some("lost") => format!("  NATS lost since {since} ({})\n", text(&cluster["error"])),
        Some(_) => "  connecting to NATS\n".to_owned(),
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> String {
    let text = value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned);
    neutral(&text).into_owned()
}

/// A table, unless there is nothing in it.
fn columns(heading: [&str; 4], mut rows: Vec<[String; 4]>) -> String {
    if rows.is_empty() {
        return String::new();
    }
    rows.insert(0, heading.map(str::to_owned));
    let width = |column: usize| {
        rows.iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths = [width(0), width(1), width(2)];
    let line = |[first, second, third, last]: &[String; 4]| {
        let [a, b, c] = widths;
        format!("{first:a$}  {second:b$}  {third:>c$}  {last}\n")
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

    #[test]
    fn a_cluster_has_a_line_and_a_table_of_its_daemons() {
        let daemon = |id: &str, viewers: u64| json!({"id": id, "url": format!("http://10.0.0.{viewers}:9876/"), "viewers": viewers, "version": "0.1.0"});
        let mut facts = json!({
            "version": "0.1.0", "port": 9876, "clientCount": 2,
            "topics": [{"topic": "main", "name": "Demo", "viewers": 2, "revision": "17"}],
            "cluster": {"state": "connected", "server": "n1 (nats-server 2.15.1)", "sinceMs": 0, "daemons": [daemon("2f0c", 2), daemon("9d41", 3)]},
        });
        let expected = "onlooker 0.1.0 on port 9876 · 2 devices connected
  cluster at n1 (nats-server 2.15.1): 5 devices on 2 daemons
TOPIC  NAME  VIEWERS  REVISION
main   Demo        2  17
DAEMON                 VERSION  VIEWERS  ID
http://10.0.0.2:9876/  0.1.0          2  2f0c
http://10.0.0.3:9876/  0.1.0          3  9d41
";
        assert_eq!(table(&facts), expected);
        facts["cluster"] =
            json!({"state": "lost", "sinceMs": 64_805_000, "error": "away", "daemons": []});
        let lost = "connected\n  NATS lost since 18:00:05 UTC (away)\n";
        assert!(table(&facts).contains(lost), "{}", table(&facts));
    }

    #[test]
    fn rooms_have_a_table_of_their_own() {
        let facts = json!({
            "version": "0.1.0", "port": 9876, "clientCount": 0, "topics": [],
            "rooms": [
                {"room": "main/lobby", "people": 2, "hosts": 1, "rows": {"todos": 12, "notes": 0}},
                {"room": "main/a", "people": 0, "hosts": 0, "rows": {"todos": 1, "notes": 0}},
            ],
        });
        let expected = "onlooker 0.1.0 on port 9876 · no devices connected · 2 people in 1 room
ROOM        ROWS               PEOPLE  HOSTS
main/lobby  todos 12, notes 0       2  1
main/a      todos 1, notes 0        0  0
";
        assert_eq!(table(&facts), expected);
    }
}
