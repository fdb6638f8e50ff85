//! The one live line: how many watch, which revision, how long ago something was sent.

use std::time::Duration;

use crate::hub::not_kept_since;
use crate::server::{Status, TopicStatus};

/// The line's text, cut to a terminal's width.
pub fn line(status: &Status, width: usize) -> String {
    let mut parts = vec![devices(status.client_count)];
    let failing = status
        .store
        .as_ref()
        .and_then(|store| store.failing_since_ms);
    parts.extend(failing.map(not_kept_since));
    let topics = &status.topics;
    if topics.len() > 1 {
        parts.push(format!("{} topics", topics.len()));
    }
    let is_default = |topic: &&TopicStatus| topic.topic == status.default_topic;
    match topics.iter().find(is_default).or(topics.first()) {
        Some(topic) => parts.push(format!("revision {}", topic.revision)),
        None => parts.push("no session yet".to_owned()),
    }
    if let Some(since) = status.last_push {
        parts.push(format!("last push {}", ago(since)));
    }
    // A line as wide as the terminal would wrap, and could not be taken back.
    let line = parts.join(" · ");
    line.chars().take(width.saturating_sub(1)).collect()
}

/// `1 device connected`.
pub fn devices(count: usize) -> String {
    match count {
        1 => "1 device connected".to_owned(),
        count => format!("{count} devices connected"),
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
    use crate::http::StoreStatus;

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
            frozen: false,
            frozen_for: None,
            store: None,
            version: "",
            last_push: None,
        }
    }

    #[test]
    fn the_line_of_a_running_daemon() {
        let mut status = Status {
            client_count: 2,
            topics: vec![topic("main", "17")],
            last_push: Some(Duration::from_secs(3)),
            ..status()
        };
        let expected = "2 devices connected · revision 17 · last push 3 s ago";
        assert_eq!(line(&status, 80), expected);
        assert_eq!(line(&status, 20), "2 devices connected");
        status.store = Some(StoreStatus {
            failing_since_ms: Some(64_805_000),
            error: None,
        });
        let expected = "2 devices connected · not kept since 18:00:05 UTC · revision 17";
        assert!(
            line(&status, 80).starts_with(expected),
            "{}",
            line(&status, 80)
        );
        status.store = None;
        status.topics.insert(0, topic("a", "3"));
        status.client_count = 1;
        let expected = "1 device connected · 2 topics · revision 17 · ";
        assert!(line(&status, 80).starts_with(expected));
    }

    #[test]
    fn the_line_of_a_daemon_that_waits() {
        assert_eq!(line(&status(), 80), "0 devices connected · no session yet");
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
