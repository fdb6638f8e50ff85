//! What became of the latest changes of a topic, and of those that were refused: few lines, each
//! of few bytes, beside the topic's state and under the same lock. Pure: the time is passed in.

use std::collections::VecDeque;
use std::mem::discriminant;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::receipt::WriteOptions;
use crate::state::revision::Revision;
use crate::state::topic::{Parts, Writer};

/// How many lines a topic keeps.
const KEPT: usize = 20;

/// What goes on in the same way within this time is one line, or a stream would push out the
/// others.
const STREAM: Duration = Duration::from_secs(2);

/// What became of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing differs.
    Unchanged,
    /// Nothing differs but what these pointers have dropped.
    Ignored(String),
    /// It broke this rule.
    Refused(String),
    /// It was accepted, and has not left yet.
    Waiting,
    /// It was accepted, and does not leave while the viewers are frozen.
    Held,
    /// It has left for the viewers.
    Sent(Departure),
}

/// How a change left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Departure {
    /// The revision that viewers are at after it.
    pub to: Revision,
    /// How many viewers there were.
    pub viewers: usize,
    /// How many of them had not taken what came before.
    pub behind: usize,
    /// Whether a later change took its place before it left.
    pub replaced: bool,
}

/// Where a change came from.
#[derive(Clone, Debug)]
pub(super) struct Author {
    /// What it is called if it has no address.
    pub source: Option<Arc<str>>,
    pub address: Option<IpAddr>,
    pub writer: Arc<Writer>,
}

/// One change, or several of a stream.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub by: Author,
    pub parts: Parts,
    pub verdict: Verdict,
    /// Its own revision, if it was accepted.
    pub revision: Option<Revision>,
    pub changes: u64,
    /// When this became of it.
    pub at: Instant,
}

/// The lines, oldest first.
#[derive(Debug, Default)]
pub(super) struct Latest(VecDeque<Line>);

impl Author {
    pub fn of(options: &WriteOptions) -> Author {
        Author {
            source: options.source.clone(),
            address: options.address,
            writer: options.writer.clone(),
        }
    }

    fn is(&self, other: &Author) -> bool {
        self.source == other.source
            && self.address == other.address
            && self.writer.source_id == other.writer.source_id
            && self.writer.device_id == other.writer.device_id
    }
}

impl Line {
    /// Whether this goes on what an earlier line tells.
    fn continues(&self, before: &Line) -> bool {
        let same_verdict = match (&self.verdict, &before.verdict) {
            (Verdict::Refused(rule), Verdict::Refused(other)) => rule == other,
            (verdict, other) => discriminant(verdict) == discriminant(other),
        };
        same_verdict
            && self.by.is(&before.by)
            && self.parts == before.parts
            && self.at.saturating_duration_since(before.at) < STREAM
    }

    fn waits(&self) -> bool {
        matches!(self.verdict, Verdict::Waiting | Verdict::Held)
    }
}

impl Latest {
    pub fn push(&mut self, mut line: Line) {
        let before = self.0.iter().rposition(|before| line.continues(before));
        if let Some(before) = before.and_then(|at| self.0.remove(at)) {
            line.changes += before.changes;
        }
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back(line);
    }

    /// Changes up to a revision have left. Each of their lines is told.
    pub fn leave(&mut self, departure: &Departure, now: Instant, mut tell: impl FnMut(&Line)) {
        let leaves = |line: &Line| line.waits() && line.revision <= Some(departure.to);
        let mut left = VecDeque::new();
        while let Some(at) = self.0.iter().position(leaves) {
            left.extend(self.0.remove(at));
        }
        while let Some(mut line) = left.pop_front() {
            let replaced = left.iter().any(|later| line.parts.are_among(&later.parts));
            line.at = now;
            line.verdict = Verdict::Sent(Departure {
                replaced,
                ..departure.clone()
            });
            tell(&line);
            self.push(line);
        }
    }

    /// Changes after a revision could not be kept: they were taken back.
    pub fn lose(&mut self, kept: Revision, rule: &str, now: Instant) {
        for line in &mut self.0 {
            let stood = line.waits() || matches!(line.verdict, Verdict::Sent(_));
            if stood && line.revision > Some(kept) {
                (line.at, line.verdict) = (now, Verdict::Refused(rule.to_owned()));
            }
        }
    }

    /// The viewers are not frozen any more.
    pub fn let_go(&mut self) {
        let held = self
            .0
            .iter_mut()
            .filter(|line| line.verdict == Verdict::Held);
        held.for_each(|line| line.verdict = Verdict::Waiting);
    }

    /// What became of the change that made a revision, or of a later one of the same stream, as far
    /// as is known.
    pub fn verdict(&self, by: &Author, revision: Revision) -> Option<&Verdict> {
        let from = |line: &&Line| line.revision >= Some(revision) && line.by.is(by);
        let line = self
            .0
            .iter()
            .filter(from)
            .min_by_key(|line| line.revision)?;
        Some(&line.verdict)
    }

    /// The lines, newest first.
    pub fn lines(&self) -> impl Iterator<Item = &Line> {
        self.0.iter().rev()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Room {
        latest: Latest,
        now: Instant,
        revision: u64,
    }

    fn room() -> Room {
        Room {
            latest: Latest::default(),
            now: Instant::now(),
            revision: 0,
        }
    }

    fn revision(number: u64) -> Revision {
        Revision::new(number).expect("a revision")
    }

    impl Room {
        fn told(&mut self, source: &str, field: &str, verdict: Verdict) {
            let by = WriteOptions {
                source: Some(source.into()),
                ..WriteOptions::default()
            };
            self.revision += 1;
            self.latest.push(Line {
                by: Author::of(&by),
                parts: Parts::of([field]),
                revision: matches!(verdict, Verdict::Waiting | Verdict::Held)
                    .then(|| revision(self.revision)),
                verdict,
                changes: 1,
                at: self.now,
            });
        }

        fn accepted(&mut self, source: &str, field: &str) {
            self.told(source, field, Verdict::Waiting);
        }

        fn leave(&mut self, to: u64) -> usize {
            let departure = Departure {
                to: revision(to),
                viewers: 2,
                behind: 1,
                replaced: false,
            };
            let mut told = 0;
            self.latest.leave(&departure, self.now, |_| told += 1);
            told
        }

        /// Newest first: the source, how many changes, and what became of them.
        fn lines(&self) -> Vec<(&str, u64, &str)> {
            let told = |line: &'_ Line| match &line.verdict {
                Verdict::Sent(left) if left.replaced => "replaced",
                Verdict::Sent(_) => "sent",
                Verdict::Waiting => "waiting",
                Verdict::Held => "held",
                Verdict::Refused(_) => "refused",
                _ => "same",
            };
            let source = |line: &'_ Line| line.by.source.as_deref().unwrap_or_default().len();
            let names = ["", "a", "bb"];
            let lines = self.latest.lines();
            lines
                .map(|line| (names[source(line)], line.changes, told(line)))
                .collect()
        }
    }

    #[test]
    fn what_waits_becomes_what_was_sent() {
        let mut room = room();
        room.accepted("a", "speed");
        room.accepted("bb", "gain");
        assert_eq!(room.leave(1), 1, "the other may not be shown yet");
        assert_eq!(room.lines(), [("a", 1, "sent"), ("bb", 1, "waiting")]);
        assert_eq!(room.leave(2), 1);
        assert_eq!(room.leave(2), 0);
        assert_eq!(room.lines(), [("bb", 1, "sent"), ("a", 1, "sent")]);
    }

    #[test]
    fn what_is_held_waits_when_it_is_let_go() {
        let mut room = room();
        room.accepted("a", "speed");
        room.told("bb", "gain", Verdict::Held);
        assert_eq!(room.lines(), [("bb", 1, "held"), ("a", 1, "waiting")]);
        assert_eq!(room.leave(1), 1, "what was written before leaves");
        room.latest.let_go();
        assert_eq!(room.lines(), [("a", 1, "sent"), ("bb", 1, "waiting")]);
        assert_eq!(room.leave(2), 1);
    }

    #[test]
    fn what_changed_again_before_it_left_was_replaced() {
        let mut room = room();
        room.accepted("a", "speed");
        room.accepted("bb", "speed");
        room.leave(2);
        assert_eq!(room.lines(), [("bb", 1, "sent"), ("a", 1, "replaced")]);
    }

    #[test]
    fn a_stream_is_one_line_and_two_saves_are_two() {
        let mut room = room();
        for round in 0..100 {
            room.accepted("a", "speed");
            room.accepted("a", "speed");
            room.accepted("bb", "gain");
            room.leave(3 * round + 3);
            room.now += STREAM / 2;
        }
        assert_eq!(room.lines(), [("bb", 100, "sent"), ("a", 200, "sent")]);
        room.now += STREAM;
        room.accepted("a", "speed");
        room.leave(1000);
        assert_eq!(room.lines().len(), 3);
    }

    #[test]
    fn another_rule_is_another_line() {
        let mut room = room();
        for rule in ["one", "one", "two"] {
            room.told("a", "speed", Verdict::Refused(rule.to_owned()));
        }
        assert_eq!(room.lines(), [("a", 1, "refused"), ("a", 2, "refused")]);
    }

    #[test]
    fn few_lines_are_kept() {
        let mut room = room();
        for field in 0..100 {
            room.told("a", &field.to_string(), Verdict::Unchanged);
        }
        assert_eq!(room.lines().len(), KEPT);
        let newest = room.latest.lines().next().expect("a line");
        assert_eq!(newest.parts, Parts::of(["99"]));
    }

    #[test]
    fn what_the_store_lost_was_refused() {
        let mut room = room();
        room.accepted("a", "speed");
        room.leave(1);
        room.accepted("bb", "gain");
        room.latest.lose(revision(1), "lost", room.now);
        assert_eq!(room.lines(), [("bb", 1, "refused"), ("a", 1, "sent")]);
        assert_eq!(room.leave(2), 0);
        let refused = Verdict::Refused("lost".to_owned());
        let by = |source: &str| {
            Author::of(&WriteOptions {
                source: Some(source.into()),
                ..WriteOptions::default()
            })
        };
        let verdict = |source: &str| room.latest.verdict(&by(source), revision(2));
        assert_eq!(verdict("bb"), Some(&refused));
        assert_eq!(verdict("a"), None, "that of another is no answer");
    }
}
