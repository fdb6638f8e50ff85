//! The last live line: who watches, how long ago something was sent, and which keys there are.

use std::time::Duration;

use super::{Paint, fit, keys, neutral};
use crate::hub::cluster::ClusterState;
use crate::hub::{not_kept_since, time_of_day};
use crate::server::{RelayStatus, Status, TopicStatus};

/// What the line tells of.
pub struct Facts<'a> {
    pub status: &'a Status,
    /// What the only device is called.
    pub device: Option<String>,
    /// Whether the revision is told.
    pub revision: bool,
    /// Whether the keys are named.
    pub keys: bool,
}

/// The line, for a terminal of so many columns.
pub fn line(facts: &Facts, columns: usize, paint: Paint) -> String {
    // A line as wide as the terminal would wrap, and could not be taken back.
    let columns = columns.saturating_sub(1);
    let mut line = fit::cut(&format!("  {}", parts(facts).join(" · ")), columns);
    let hints = match facts.keys {
        true => keys::hints(columns.saturating_sub(fit::width(&line) + 3)),
        false => String::new(),
    };
    if !hints.is_empty() {
        fit::pad(&mut line, columns - fit::width(&hints));
        line += &paint.dim(&hints);
    }
    line
}

fn parts(facts: &Facts) -> Vec<String> {
    let status = facts.status;
    let mut parts = Vec::new();
    if let Some(since) = status.frozen_for {
        parts.push(format!("frozen: viewers see the state of {}", ago(since)));
        parts.extend(facts.keys.then(|| "space lets go".to_owned()));
    }
    let people = people(status.people());
    let has_people = people.is_some();
    let cluster = status.cluster.as_ref();
    parts.extend(cluster.and_then(nats_lost));
    if let Some(shared) = cluster.and_then(|cluster| shared(status.client_count, cluster)) {
        parts.push(shared);
    } else if let Some(name) = &facts.device {
        parts.push(neutral(name).into_owned());
    } else if status.client_count > 0 || !has_people {
        parts.push(devices(status.client_count));
    }
    parts.extend(people);
    let store = status.store.as_ref();
    let failing = store.and_then(|store| store.failing_since_ms);
    parts.extend(failing.map(not_kept_since));
    parts.extend(away(&status.relays));
    let topics = &status.topics;
    if topics.len() > 1 {
        parts.push(format!("{} topics", topics.len()));
    }
    let is_default = |topic: &&TopicStatus| topic.topic == status.default_topic;
    match topics.iter().find(is_default).or(topics.first()) {
        Some(topic) if facts.revision => parts.push(format!("revision {}", topic.revision)),
        None if !has_people => parts.push("no session yet".to_owned()),
        _ => {}
    }
    parts.extend(
        status
            .last_push
            .map(|since| format!("changed {}", ago(since))),
    );
    parts
}

/// `1 device`.
pub fn devices(count: usize) -> String {
    match count {
        0 => "no devices".to_owned(),
        1 => "1 device".to_owned(),
        count => format!("{count} devices"),
    }
}

/// `5 devices here, 12 in all on 3 daemons`; nothing for a daemon that is alone.
pub fn shared(here: usize, cluster: &ClusterState) -> Option<String> {
    let (all, daemons) = (cluster.viewers(), cluster.daemons.len());
    (daemons > 1).then(|| format!("{} here, {all} in all on {daemons} daemons", devices(here)))
}

/// `NATS lost since 18:00:05 UTC`; nothing while it is there.
pub fn nats_lost(cluster: &ClusterState) -> Option<String> {
    let since = || format!("NATS lost since {}", time_of_day(cluster.since_ms));
    cluster.is_lost().then(since)
}

/// `3 people in 2 rooms`; nothing where there are none.
pub fn people((people, rooms): (usize, usize)) -> Option<String> {
    let rooms = match rooms {
        1 => "1 room".to_owned(),
        rooms => format!("{rooms} rooms"),
    };
    match people {
        0 => None,
        1 => Some(format!("1 person in {rooms}")),
        people => Some(format!("{people} people in {rooms}")),
    }
}

/// The upstreams that are lost; nothing where there are none.
fn away(relays: &[RelayStatus]) -> Option<String> {
    let mut lost = relays.iter().filter(|relay| relay.reason.is_some());
    let first = lost.next()?;
    match lost.count() {
        0 => Some(format!("{} is lost", neutral(&first.url))),
        others => Some(format!("{} upstreams are lost", others + 1)),
    }
}

/// `3 s ago`.
pub fn ago(since: Duration) -> String {
    match since.as_secs() {
        0 => "just now".to_owned(),
        seconds @ 1..60 => format!("{seconds} s ago"),
        seconds @ 60..3_600 => format!("{} min ago", seconds / 60),
        seconds @ 3_600..172_800 => format!("{} h ago", seconds / 3_600),
        seconds => format!("{} days ago", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{RoomStatus, StoreStatus};
    use crate::hub::cluster::Daemon;

    fn topic(name: &str, revision: &str) -> TopicStatus {
        TopicStatus {
            topic: name.to_owned(),
            revision: revision.to_owned(),
            viewers: 0,
            name: String::new(),
        }
    }

    fn status() -> Status {
        Status {
            running: true,
            port: 9876,
            local_ip: String::new(),
            client_count: 0,
            urls: Vec::new(),
            default_topic: "main".to_owned(),
            topics: Vec::new(),
            rooms: None,
            channels: Default::default(),
            relays: Vec::new(),
            cluster: None,
            frozen: false,
            frozen_for: None,
            store: None,
            version: "",
            last_push: None,
        }
    }

    fn facts(status: &Status) -> Facts<'_> {
        Facts {
            status,
            device: None,
            revision: false,
            keys: false,
        }
    }

    fn line(facts: &Facts, columns: usize) -> String {
        let line = super::line(facts, columns + 2, Paint { on: false });
        line.strip_prefix("  ").unwrap_or_default().to_owned()
    }

    #[test]
    fn an_upstream_that_is_lost_is_named() {
        let relay = |reason: Option<&str>| RelayStatus {
            topic: "main".to_owned(),
            url: "ws://10.0.0.5:9876".to_owned(),
            state: "",
            since_ms: 0,
            reason: reason.map(str::to_owned),
        };
        let told = |relays: &[RelayStatus]| away(relays);
        assert_eq!(told(&[relay(None)]), None);
        let one = told(&[relay(None), relay(Some("away"))]);
        assert_eq!(one.as_deref(), Some("ws://10.0.0.5:9876 is lost"));
        let two = told(&[relay(Some("a")), relay(Some("b"))]);
        assert_eq!(two.as_deref(), Some("2 upstreams are lost"));
    }

    #[test]
    fn the_line_of_a_running_daemon() {
        let mut status = Status {
            client_count: 2,
            topics: vec![topic("main", "17")],
            last_push: Some(Duration::from_secs(3)),
            ..status()
        };
        assert_eq!(line(&facts(&status), 80), "2 devices · changed 3 s ago");
        assert_eq!(line(&facts(&status), 20), "2 devices · change…");
        let mut verbose = facts(&status);
        verbose.revision = true;
        assert_eq!(
            line(&verbose, 80),
            "2 devices · revision 17 · changed 3 s ago"
        );
        status.store = Some(StoreStatus {
            failing_since_ms: Some(64_805_000),
            error: None,
        });
        status.topics.insert(0, topic("a", "3"));
        let expected = "2 devices · not kept since 18:00:05 UTC · 2 topics · changed 3 s ago";
        assert_eq!(line(&facts(&status), 80), expected);
    }

    #[test]
    fn the_line_of_a_daemon_that_waits() {
        assert_eq!(line(&facts(&status()), 80), "no devices · no session yet");
    }

    fn daemon(id: &str, viewers: usize) -> Daemon {
        Daemon {
            id: id.to_owned(),
            url: String::new(),
            viewers,
            version: String::new(),
        }
    }

    #[test]
    fn a_cluster_is_counted_and_nats_that_is_lost_is_said_first() {
        let cluster = |state, daemons| ClusterState {
            state,
            server: None,
            since_ms: 64_805_000,
            error: None,
            daemons,
        };
        let mut status = Status {
            client_count: 1,
            topics: vec![topic("main", "17")],
            cluster: Some(cluster("connected", vec![daemon("a", 1)])),
            ..status()
        };
        assert_eq!(line(&facts(&status), 80), "1 device");
        let two = vec![daemon("a", 1), daemon("b", 11)];
        status.cluster = Some(cluster("connected", two));
        let named = Facts {
            device: Some("iPhone".to_owned()),
            ..facts(&status)
        };
        assert_eq!(line(&named, 80), "1 device here, 12 in all on 2 daemons");
        status.cluster = Some(cluster("lost", vec![daemon("a", 1)]));
        let lost = "NATS lost since 18:00:05 UTC · 1 device";
        assert_eq!(line(&facts(&status), 80), lost);
    }

    fn room(name: &str, people: usize) -> RoomStatus {
        RoomStatus {
            room: name.to_owned(),
            people,
            hosts: 0,
            rows: Default::default(),
            topic: String::new(),
        }
    }

    #[test]
    fn people_are_counted_with_their_rooms() {
        let mut status = status();
        status.rooms = Some(vec![
            room("main/a", 2),
            room("main/b", 0),
            room("main/c", 1),
        ]);
        assert_eq!(line(&facts(&status), 80), "3 people in 2 rooms");
        status.client_count = 2;
        status.topics = vec![topic("main", "17")];
        let expected = "2 devices · 3 people in 2 rooms";
        assert_eq!(line(&facts(&status), 80), expected);
        status.rooms = Some(vec![room("main/a", 1)]);
        assert_eq!(line(&facts(&status), 80), "2 devices · 1 person in 1 room");
        status.rooms = Some(Vec::new());
        assert_eq!(line(&facts(&status), 80), "2 devices");
    }

    #[test]
    fn one_device_has_a_name_and_a_frozen_one_a_way_out() {
        let mut status = status();
        status.client_count = 1;
        status.topics = vec![topic("main", "17")];
        fn named(status: &Status, keys: bool) -> Facts<'_> {
            Facts {
                device: Some("iPhone · Safari".to_owned()),
                keys,
                ..facts(status)
            }
        }
        assert_eq!(line(&named(&status, false), 80), "iPhone · Safari");
        status.frozen_for = Some(Duration::from_secs(130));
        assert_eq!(
            line(&named(&status, false), 80),
            "frozen: viewers see the state of 2 min ago · iPhone · Safari"
        );
        let expected =
            "frozen: viewers see the state of 2 min ago · space lets go · iPhone · Safari";
        assert!(line(&named(&status, true), 120).starts_with(expected));
    }

    #[test]
    fn keys_are_named_as_far_as_there_is_room() {
        let status = status();
        let mut facts = facts(&status);
        facts.keys = true;
        assert_eq!(line(&facts, 24), "no devices · no sessio…");
        assert_eq!(line(&facts, 38), "no devices · no session yet    h help");
        for columns in [37, 60, 80, 200] {
            assert!(fit::width(&super::line(&facts, columns, Paint { on: false })) < columns);
        }
        assert!(line(&facts, 200).ends_with("r resend"));
    }

    #[test]
    fn times_are_rounded_down() {
        let ago = |seconds| super::ago(Duration::from_secs(seconds));
        assert_eq!(
            [ago(0), ago(59), ago(60)],
            ["just now", "59 s ago", "1 min ago"]
        );
        assert_eq!(
            [ago(3_599), ago(7_200), ago(200_000)],
            ["59 min ago", "2 h ago", "2 days ago"]
        );
    }
}
