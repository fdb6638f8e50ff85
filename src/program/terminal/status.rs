//! The one live line: how many watch, which revision, how long ago something left.

use std::time::Duration;

/// What the line tells.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Viewers connected.
    pub devices: usize,
    /// Topics that exist.
    pub topics: usize,
    /// The default topic's revision, when it has one.
    pub revision: Option<String>,
    /// Since something was sent.
    pub last_push: Option<Duration>,
    /// That changes are not kept, while it is so.
    pub failure: Option<String>,
}

/// The line's text, cut to a terminal's width.
pub fn line(facts: &Facts, width: usize) -> String {
    let mut parts = vec![devices(facts.devices)];
    parts.extend(facts.failure.clone());
    if facts.topics > 1 {
        parts.push(format!("{} topics", facts.topics));
    }
    match &facts.revision {
        Some(revision) => parts.push(format!("revision {revision}")),
        None => parts.push("no session yet".to_owned()),
    }
    if let Some(since) = facts.last_push {
        parts.push(format!("last push {}", ago(since)));
    }
    // A line as wide as the terminal would wrap, and could not be taken back.
    parts
        .join(" · ")
        .chars()
        .take(width.saturating_sub(1))
        .collect()
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

    #[test]
    fn the_line_of_a_running_daemon() {
        let mut facts = Facts {
            devices: 2,
            topics: 1,
            revision: Some("17".into()),
            last_push: Some(Duration::from_secs(3)),
            failure: None,
        };
        let expected = "2 devices connected · revision 17 · last push 3 s ago";
        assert_eq!(line(&facts, 80), expected);
        assert_eq!(line(&facts, 20), "2 devices connected");
        facts.failure = Some("not kept since 18:04:05 UTC".into());
        let expected = "2 devices connected · not kept since 18:04:05 UTC · revision 17";
        assert!(line(&facts, 80).starts_with(expected));
        facts.failure = None;
        facts.topics = 3;
        facts.devices = 1;
        assert!(line(&facts, 80).starts_with("1 device connected · 3 topics · "));
    }

    #[test]
    fn the_line_of_a_daemon_that_waits() {
        assert_eq!(
            line(&Facts::default(), 80),
            "0 devices connected · no session yet"
        );
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
