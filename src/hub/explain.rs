//! Why a change has arrived, or has not: for the log at `-v`, and for a host that asks.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use super::change::Write;
use super::entry::{State, TopicEntry};
use super::events::Flushed;
use super::latest::{Author, Departure, Line, Verdict};
use super::notices::cut;
use super::options::Flow;
use super::receipt::{Found, Receipt, WriteError, WriteOptions};
use super::{Hub, log, millis};
use crate::state::name::TopicName;
use crate::state::revision::Revision;
use crate::state::topic::Parts;

/// What became of a change, or of several of a stream.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Told {
    /// How long ago, in milliseconds.
    pub ago_ms: u64,
    /// Where it came from, for people.
    pub source: String,
    /// The name that its writer gave itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_id: Option<String>,
    /// The names of what it changed, or asked to change; no more than a few.
    pub fields: Vec<String>,
    /// How many more there are.
    #[serde(skip_serializing_if = "is_zero")]
    pub more: usize,
    /// How many changes this stands for.
    pub changes: u64,
    /// In a word.
    pub verdict: &'static str,
    /// What the word leaves open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// What viewers are at since it was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// How many viewers there were when it was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub viewers: Option<usize>,
    /// How many of them had not taken what came before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub behind: Option<usize>,
}

fn is_zero(more: &usize) -> bool {
    *more == 0
}

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
        let is_read = log::is_verbose();
        if is_noted && !is_read {
            return None;
        }
        let (parts, verdict) = match written {
            Ok(receipt) => match &receipt.found {
                Found::Changed(parts) => (parts.clone(), became(entry, receipt.revision)),
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
        let left = entry.state().latest.leave(&departure, now);
        if log::is_verbose() && !left.is_empty() {
            let told: Vec<Told> = left.iter().map(|line| self.tell(line, now)).collect();
            log::sent(entry.name(), &told, &departure);
        }
    }

    fn tell(&self, line: &Line, now: Instant) -> Told {
        let Line { by, parts, .. } = line;
        let left = match &line.verdict {
            Verdict::Sent(left) => Some(left),
            _ => None,
        };
        Told {
            ago_ms: millis(now.saturating_duration_since(line.at)),
            source: by.text(),
            source_id: by.writer.source_id.clone(),
            fields: parts.names.iter().map(|name| name.to_string()).collect(),
            more: parts.more,
            changes: line.changes,
            verdict: line.verdict.label(),
            detail: line.verdict.detail(self.flow()),
            revision: left.map(|left| left.to.to_string()),
            viewers: left.map(|left| left.viewers),
            behind: left.map(|left| left.behind),
        }
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
fn became(entry: Option<&Arc<TopicEntry>>, revision: Revision) -> Verdict {
    let known = entry.and_then(|entry| entry.state().latest.verdict(revision).cloned());
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

impl Author {
    /// For people: `state.json`, `192.168.1.31`, `panel (192.168.1.31)`.
    pub fn text(&self) -> String {
        let local = |address: &IpAddr| address.to_canonical().is_loopback();
        let place = match (&self.source, &self.address) {
            (Some(source), _) => cut(source).into_owned(),
            (None, Some(address)) if local(address) => "this machine".to_owned(),
            (None, Some(address)) => address.to_canonical().to_string(),
            (None, None) => "library".to_owned(),
        };
        match (&self.writer.source_id, self.writer.device_id) {
            (Some(name), _) => format!("{name} ({place})"),
            (None, Some(device)) => format!("device {device} ({place})"),
            (None, None) => place,
        }
    }
}

impl Verdict {
    fn nothing(ignored: &[String]) -> Verdict {
        match ignored.is_empty() {
            true => Verdict::Unchanged,
            false => Verdict::Ignored(cut(&ignored.join(", ")).into_owned()),
        }
    }

    fn refused(rule: &str) -> Verdict {
        Verdict::Refused(cut(rule).into_owned())
    }

    fn label(&self) -> &'static str {
        match self {
            Verdict::Unchanged => "unchanged",
            Verdict::Ignored(_) => "ignored",
            Verdict::Refused(_) => "refused",
            Verdict::Waiting => "waiting",
            Verdict::Held => "held",
            Verdict::Sent(_) => "sent",
        }
    }

    fn detail(&self, flow: &Flow) -> Option<String> {
        match self {
            Verdict::Unchanged => None,
            Verdict::Ignored(pointers) => {
                Some(format!("nothing else differs: {pointers} (--ignore)"))
            }
            Verdict::Refused(rule) => Some(rule.clone()),
            Verdict::Waiting => Some(flow.wait()),
            Verdict::Held => Some("the viewers are frozen".to_owned()),
            Verdict::Sent(left) => {
                let replaced = "it changed again before it left";
                left.replaced.then(|| replaced.to_owned())
            }
        }
    }
}

impl Flow {
    /// What a change waits for, and for how long at most.
    fn wait(&self) -> String {
        let pause = self.debounce;
        match self.max_wait {
            _ if self.after_durable => "until it is durable (--show-after-durable)".to_owned(),
            _ if pause == Duration::ZERO => "to leave at once".to_owned(),
            Some(most) if most <= pause => format!("{most:?}"),
            Some(most) => format!("for a pause of {pause:?}, {most:?} at most"),
            None => format!("for a pause of {pause:?}, however long (--max-wait off)"),
        }
    }
}

impl Told {
    /// The change in words: `speed, gain and 3 more from state.json (5 changes)`.
    pub fn change(&self) -> String {
        let fields = match (self.fields.join(", "), self.more) {
            (fields, _) if fields.is_empty() => "a change".to_owned(),
            (fields, 0) => fields,
            (fields, more) => format!("{fields} and {more} more"),
        };
        let changes = match self.changes {
            1 => String::new(),
            changes => format!(" ({changes} changes)"),
        };
        format!("{fields} from {}{changes}", self.source)
    }

    /// The verdict in words.
    pub fn outcome(&self) -> String {
        let sent = self.viewers.zip(self.revision.as_deref());
        match (sent, &self.detail) {
            (Some((viewers, revision)), detail) => {
                let again = detail.as_deref().map(|detail| format!(" · {detail}"));
                let behind = self.behind.unwrap_or_default();
                sent_to(viewers, behind, revision) + &again.unwrap_or_default()
            }
            (None, Some(detail)) if self.verdict == "waiting" => format!("waiting {detail}"),
            (None, Some(detail)) => format!("{}: {detail}", self.verdict),
            (None, None) => self.verdict.to_owned(),
        }
    }
}

/// `sent as revision 17 to 2 viewers, 1 behind`.
pub fn sent_to(viewers: usize, behind: usize, revision: &str) -> String {
    let behind = match behind {
        0 => String::new(),
        behind => format!(", {behind} behind"),
    };
    match viewers {
        0 => format!("sent as revision {revision}, but nobody watches"),
        1 => format!("sent as revision {revision} to 1 viewer{behind}"),
        viewers => format!("sent as revision {revision} to {viewers} viewers{behind}"),
    }
}
