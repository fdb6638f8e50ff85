//! The only place where the wire's JSON is named: what viewers receive, what hosts send,
//! how errors look, and the close codes.

use serde::Serialize;

use super::problem::Problem;
use crate::state::json::{Json, write_object};
use crate::state::name::TopicName;
use crate::state::revision::Revision;
use crate::state::topic::{Origin, Update, Writer};

/// The subprotocol of our own viewers: adds `hello`, `heartbeat` and `bye`.
pub const SUBPROTOCOL: &str = "onlooker.v1";
/// The same, as MessagePack in binary messages.
pub const SUBPROTOCOL_MSGPACK: &str = "onlooker.v1.msgpack";
/// What a token's subprotocol starts with; base64url of the token follows.
pub const TOKEN_SUBPROTOCOL: &str = "onlooker.token.";
/// How this program names itself.
pub const SERVER: &str = concat!("onlooker/", env!("CARGO_PKG_VERSION"));

/// Close codes (RFC 6455 §7.4) that onlooker sends.
pub mod close {
    /// The daemon stops.
    pub const GOING_AWAY: u16 = 1001;
    /// The peer broke the framing rules.
    pub const PROTOCOL: u16 = 1002;
    /// A text or close reason that is not UTF-8.
    pub const INVALID: u16 = 1007;
    /// More frames or bytes than a viewer may send; disconnected by the host.
    pub const POLICY: u16 = 1008;
    /// A message over the limit.
    pub const TOO_LARGE: u16 = 1009;
    /// Too much waits for the viewer, or for too long.
    pub const TRY_LATER: u16 = 1013;
    /// The topic was deleted.
    pub const TOPIC_GONE: u16 = 4404;
}

/// One `session_update` or `config_update`, as text.
pub fn update(topic: &TopicName, update: &Update) -> String {
    match update {
        Update::Snapshot(version) => {
            let mut out = String::with_capacity(version.session.text_len() + 256);
            open(&mut out, "session_update", topic, version.revision);
            version.session.write_to(&mut out);
            out.push_str(&origins(version.named_origins()));
            out.push('}');
            out
        }
        Update::Delta {
            revision,
            fields,
            origins: named,
        } => {
            let mut out = String::new();
            open(&mut out, "config_update", topic, *revision);
            write_object(
                &mut out,
                fields.iter().map(|(field, value)| (&**field, value)),
            );
            let named = named.iter().map(|(field, origin)| (&**field, origin));
            out.push_str(&origins(named));
            out.push('}');
            out
        }
    }
}

fn open(out: &mut String, kind: &str, topic: &TopicName, revision: Revision) {
    out.push_str(&format!(
        r#"{{"type":"{kind}","topic":"{topic}","revision":"{revision}","payload":"#
    ));
}

/// The member that names writers, with the comma before it; nothing when none gave a name.
pub fn origins<'a>(named: impl Iterator<Item = (&'a str, &'a Origin)>) -> String {
    let values: Vec<(&str, Json)> = named
        .map(|(field, origin)| (field, origin_json(origin)))
        .collect();
    let mut out = String::new();
    if !values.is_empty() {
        out.push_str(",\"origins\":");
        write_object(
            &mut out,
            values.iter().map(|(field, value)| (*field, value)),
        );
    }
    out
}

#[derive(Serialize)]
struct OriginText<'a> {
    revision: u64,
    #[serde(flatten)]
    writer: &'a Writer,
}

fn origin_json(origin: &Origin) -> Json {
    json(&OriginText {
        revision: origin.revision.get(),
        writer: &origin.writer,
    })
}

/// How a resuming viewer was served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Resumed {
    /// A snapshot follows, or will when there is a session.
    Snapshot,
    /// The changed fields follow.
    Delta,
    /// Nothing changed since.
    Current,
}

/// What `hosts` do at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SourceState {
    /// Something can still change the topic and did lately.
    Alive,
    /// Nothing was heard of the host for a while.
    Silent,
    /// The only source came to its end.
    Ended,
}

/// Frames that only our own viewers receive.
#[derive(Clone, Debug, Serialize)]
#[serde(
    tag = "type",
    rename_all = "lowercase",
    rename_all_fields = "camelCase"
)]
pub enum Own {
    /// The first frame.
    Hello {
        /// The version of this vocabulary.
        protocol: u8,
        /// Program and version.
        server: &'static str,
        /// Which topic follows.
        topic: String,
        /// The topic's revision.
        revision: String,
        /// What comes next.
        resumed: Resumed,
        /// How often a heartbeat comes, in milliseconds.
        heartbeat_ms: u64,
    },
    /// The link is alive.
    Heartbeat {
        /// The topic's revision as far as the viewers know it.
        revision: String,
        /// How long the host has been silent, in milliseconds.
        host_seen_ms: u64,
        /// What the host does.
        source: SourceState,
    },
    /// The daemon is about to close.
    Bye {
        /// Why.
        reason: &'static str,
        /// When to come back, in milliseconds, spread over the viewers.
        retry_after_ms: u64,
    },
}

impl Own {
    /// As text.
    pub fn text(&self) -> String {
        json(self).as_str().to_owned()
    }
}

/// Our own serializable values never fail to serialize.
pub(super) fn json(value: &impl Serialize) -> Json {
    serde_json::to_value(value)
        .map_or_else(|_| Json::empty_object(), |value| Json::from_value(&value))
}

/// The answer to a host's message that was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ack {
    /// A change stands, under this revision; whether it is kept.
    Written(Revision, bool),
    /// A text was sent, and so many viewers were passed over.
    Broadcast(usize),
}

impl Ack {
    /// As text, with the message's id.
    pub fn text(self, id: Option<&Json>) -> String {
        let mut passed_over = None;
        let (mut revision, mut kept) = (None, None);
        match self {
            Ack::Written(at, is_kept) => {
                revision = Some(Json::string(&at.to_string()));
                kept = (!is_kept).then(|| Json::from_value(&false.into()));
            }
            Ack::Broadcast(0) => {}
            Ack::Broadcast(viewers) => passed_over = Some(Json::from_value(&viewers.into())),
        }
        let members = [
            ("id", id),
            ("revision", revision.as_ref()),
            ("kept", kept.as_ref()),
            ("passedOver", passed_over.as_ref()),
        ];
        message("ack", members)
    }
}

/// The answer to a host's message that was refused.
pub fn error(id: Option<&Json>, problem: &Problem) -> String {
    let status = Json::from_value(&problem.status.into());
    let detail = Json::string(&problem.detail);
    let errors = (!problem.errors.is_empty()).then(|| json(&problem.errors));
    message(
        "error",
        [
            ("id", id),
            ("status", Some(&status)),
            ("detail", Some(&detail)),
            ("errors", errors.as_ref()),
        ],
    )
}

fn message<'a, const N: usize>(kind: &str, members: [(&'a str, Option<&'a Json>); N]) -> String {
    let kind = Json::string(kind);
    let present = members
        .into_iter()
        .filter_map(|(key, value)| Some((key, value?)));
    Json::object(std::iter::once(("type", &kind)).chain(present))
        .as_str()
        .to_owned()
}

/// An invalidation event for clients that fetch what changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Invalidation {
    /// What changed.
    pub topic: String,
    /// The revision that can be fetched by now.
    pub revision: String,
    /// Who wrote last, if it named itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_id: Option<String>,
    /// When the event was made: milliseconds since 1970.
    pub timestamp_ms: u64,
}

impl Invalidation {
    /// As text.
    pub fn text(&self) -> String {
        json(self).as_str().to_owned()
    }
}
