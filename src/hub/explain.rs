//! Why a change has arrived, or has not: for the log at `-v`, and for a host that asks.

use std::sync::Arc;

use tokio::time::Instant;

use super::change::Write;
use super::entry::{State, TopicEntry};
use super::events::Flushed;
use super::latest::{Author, Departure, Line, Verdict};
use super::receipt::{Found, Receipt, WriteError, WriteOptions};
use super::told::Told;
use super::verbose::is_verbose;
use super::{Hub, log};
use crate::state::name::TopicName;
use crate::state::revision::Revision;
use crate::state::topic::Parts;

impl Hub {
    /// What became of the latest changes of a topic, newest first. Of the last one that was sent,
    /// it is told how many viewers are behind by now.
    pub fn latest(&self, entry: &TopicEntry) -> Vec<Told> {
        let (now, behind) = (Instant::now(), entry.behind());
        let lines: Vec<Line> = entry.state().latest.lines().cloned().collect();
        let tell = |line: &Line| self.tell(line, now);
        let mut told: Vec<Told> = lines.iter().map(tell).collect();
        let last = told.iter_mut().find(|told| told.behind.is_some());
        if let Some(last) = last {
            last.behind = Some(behind);
        }
        told
    }

    /// Notes that something was refused before it became a change.
    pub fn refused(&self, name: &TopicName, options: &WriteOptions, rule: &str) {
        if let Some(entry) = self.topic(name) {
            let refused = line(options, Parts::default(), Verdict::refused(rule));
            entry.state().latest.push(refused);
        }
    }

    /// Notes what became of a write, unless that was done where it was known. Returns it if
    /// somebody reads the log.
    pub(super) fn explain(
        &self,
        entry: Option<&Arc<TopicEntry>>,
        write: &Write,
        written: &Result<Receipt, WriteError>,
    ) -> Option<Told> {
        let Write { change, options } = write;
        let is_noted = match written {
            Ok(receipt) => matches!(receipt.found, Found::Changed(_)),
            Err(error) => matches!(error, WriteError::Store(_) | WriteError::Stopping),
        };
        let is_read = is_verbose();
        if is_noted && !is_read {
            return None;
        }
        let (parts, verdict) = match written {
            Ok(receipt) => match &receipt.found {
                Found::Changed(parts) => (
                    parts.clone(),
                    became(entry, &Author::of(options), receipt.revision),
                ),
                Found::Nothing(ignored) => (change.parts(), Verdict::nothing(ignored)),
            },
            Err(error) => {
                let parts = error.parts().unwrap_or_else(|| change.parts());
                (parts, Verdict::refused(&error.rule()))
            }
        };
        let line = line(options, parts, verdict);
        let told = is_read.then(|| self.tell(&line, line.at));
        if let Some(entry) = entry.filter(|_| !is_noted) {
            entry.state().latest.push(line);
        }
        told
    }

    /// Notes that changes are leaving for the viewers.
    pub(super) fn tell_sent(&self, flushed: &Flushed) {
        let entry = &flushed.entry;
        let departure = Departure {
            to: flushed.to,
            viewers: entry.viewers(),
            behind: entry.behind(),
            replaced: false,
        };
        let now = Instant::now();
        let (mut left, is_read) = (Vec::new(), is_verbose());
        let keep = |line: &Line| left.extend(is_read.then(|| line.clone()));
        entry.state().latest.leave(&departure, now, keep);
        if !left.is_empty() {
            let told: Vec<Told> = left.iter().map(|line| self.tell(line, now)).collect();
            log::sent(entry.name(), &told, &departure);
        }
    }

    fn tell(&self, line: &Line, now: Instant) -> Told {
        Told::of(line, self.flow(), now)
    }
}

impl State {
    /// Notes that a change was accepted.
    pub(super) fn tell_accepted(&mut self, options: &WriteOptions, found: &Found, at: Revision) {
        if let Found::Changed(parts) = found {
            let verdict = match self.topic.is_frozen() {
                true => Verdict::Held,
                false => Verdict::Waiting,
            };
            let accepted = line(options, parts.clone(), verdict);
            let revision = Some(at);
            self.latest.push(Line {
                revision,
                ..accepted
            });
        }
    }

    /// Notes that changes after a revision were taken back.
    pub(super) fn tell_lost(&mut self, kept: Revision) {
        let rule = "it could not be kept, so it was taken back (--store)";
        self.latest.lose(kept, rule, Instant::now());
    }
}

/// What became of the change that made a revision.
fn became(entry: Option<&Arc<TopicEntry>>, by: &Author, revision: Revision) -> Verdict {
    let known = entry.and_then(|entry| entry.state().latest.verdict(by, revision).cloned());
    known.unwrap_or(Verdict::Waiting)
}

fn line(options: &WriteOptions, parts: Parts, verdict: Verdict) -> Line {
    Line {
        by: Author::of(options),
        parts,
        verdict,
        revision: None,
        changes: 1,
        at: Instant::now(),
    }
}
