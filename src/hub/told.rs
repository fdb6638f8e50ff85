//! What is told of a change, in members and in words.

use std::net::IpAddr;
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use super::latest::{Author, Line, Verdict};
use super::millis;
use super::notices::cut;
use super::options::Flow;

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

impl Told {
    /// What a line tells by now.
    pub(super) fn of(line: &Line, flow: &Flow, now: Instant) -> Told {
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
            detail: line.verdict.detail(flow),
            revision: left.map(|left| left.to.to_string()),
            viewers: left.map(|left| left.viewers),
            behind: left.map(|left| left.behind),
        }
    }

    /// The change in words: `speed, gain and 3 more 5 times from state.json`.
    pub fn change(&self) -> String {
        let fields = match (self.fields.join(", "), self.more) {
            (fields, _) if fields.is_empty() => "a change".to_owned(),
            (fields, 0) => fields,
            (fields, more) => format!("{fields} and {more} more"),
        };
        let times = match self.changes {
            1 => String::new(),
            times => format!(" {times} times"),
        };
        format!("{fields}{times} from {}", self.source)
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
    /// For a change that has changed nothing, apart from what these pointers have dropped.
    pub fn nothing(ignored: &[String]) -> Verdict {
        match ignored.is_empty() {
            true => Verdict::Unchanged,
            false => Verdict::Ignored(cut(&ignored.join(", ")).into_owned()),
        }
    }

    /// For one that broke this rule.
    pub fn refused(rule: &str) -> Verdict {
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
