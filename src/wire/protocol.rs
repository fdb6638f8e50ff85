//! What viewers and readers of `/sync` receive, a variant for each message; and the close codes.

use serde::{Serialize, Serializer};

use crate::state::json::{Json, Members, text};
use crate::state::name::TopicName;
use crate::state::session::{FieldName, Session};
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
    /// More frames or bytes than a viewer may send; sent away by the host; access revoked.
    pub const POLICY: u16 = 1008;
    /// A message over the limit.
    pub const TOO_LARGE: u16 = 1009;
    /// Too much waits for the viewer, or for too long.
    pub const TRY_LATER: u16 = 1013;
    /// The topic was deleted.
    pub const TOPIC_GONE: u16 = 4404;
    /// A newer connection of the same viewer took its place.
    pub const REPLACED: u16 = 4409;
}

/// What a viewer receives. The first two are all that any viewer has to understand; the others
/// go only to those that offered [`SUBPROTOCOL`].
#[derive(Clone, Debug, Serialize)]
#[serde(
    tag = "type",
    rename_all = "snake_case",
    rename_all_fields = "camelCase"
)]
pub enum ToViewer<'a> {
    /// Everything: replaces what the viewer has.
    SessionUpdate {
        /// The topic whose session this is.
        topic: &'a str,
        /// The revision that the viewer has after this.
        revision: String,
        /// The session, as the host wrote it.
        payload: &'a Session,
        /// Who wrote which field, if the writer gave a name.
        #[serde(skip_serializing_if = "Origins::is_empty")]
        origins: Origins<'a>,
    },
    /// The fields that changed, to be merged into the config.
    ConfigUpdate {
        /// The topic whose fields these are.
        topic: &'a str,
        /// The revision that the viewer has after this.
        revision: String,
        /// The fields at their present values.
        payload: Members<'a, FieldName, Json>,
        /// Who wrote which field, if the writer gave a name.
        #[serde(skip_serializing_if = "Origins::is_empty")]
        origins: Origins<'a>,
    },
    /// The first message: what is spoken, and what comes next.
    Hello {
        /// The version of this vocabulary.
        protocol: u8,
        /// Program and version.
        server: &'static str,
        /// The topic that is watched.
        topic: String,
        /// The topic's revision.
        revision: String,
        /// What comes next.
        resumed: Resumed,
        /// How often a heartbeat comes, in milliseconds.
        heartbeat_ms: u64,
        /// What the heartbeats say too.
        #[serde(flatten)]
        shown: ShownState,
    },
    /// The connection is alive.
    Heartbeat {
        /// The topic's revision that viewers were last sent.
        revision: String,
        /// How long the host has been silent, in milliseconds.
        host_seen_ms: u64,
        /// What the host does.
        source: SourceState,
        /// What is known of what viewers see.
        #[serde(flatten)]
        shown: ShownState,
    },
    /// The daemon is about to close.
    Bye {
        /// Why.
        reason: &'static str,
        /// When to come back, in milliseconds, spread over the viewers.
        retry_after_ms: u64,
    },
}

/// A message that only our own viewers receive, which borrows nothing.
pub type Own = ToViewer<'static>;

impl ToViewer<'_> {
    /// As text.
    pub fn text(&self) -> String {
        text(self)
    }
}

/// One `session_update` or `config_update`, as text.
pub fn update(topic: &TopicName, update: &Update) -> String {
    let topic = topic.as_str();
    let message = match update {
        Update::Snapshot(version) => ToViewer::SessionUpdate {
            topic,
            revision: version.revision.to_string(),
            payload: &version.session,
            origins: Origins::of(version.named_origins()),
        },
        Update::Delta {
            revision,
            fields,
            origins,
        } => ToViewer::ConfigUpdate {
            topic,
            revision: revision.to_string(),
            payload: Members(fields),
            origins: Origins::of(origins.iter().map(|(field, origin)| (&**field, origin))),
        },
    };
    message.text()
}

/// The member that names writers, with the comma before it; empty if none gave a name.
pub fn origins<'a>(named: impl Iterator<Item = (&'a str, &'a Origin)>) -> String {
    match Origins::of(named) {
        none if none.is_empty() => String::new(),
        some => format!(",\"origins\":{}", text(&some)),
    }
}

/// Who wrote which field.
#[derive(Clone, Debug)]
pub struct Origins<'a>(Vec<(&'a str, OriginText<'a>)>);

#[derive(Clone, Debug, Serialize)]
struct OriginText<'a> {
    /// A number here, as clients compare it; a string everywhere else.
    revision: u64,
    #[serde(flatten)]
    writer: &'a Writer,
}

impl<'a> Origins<'a> {
    fn of(named: impl Iterator<Item = (&'a str, &'a Origin)>) -> Origins<'a> {
        let text = |origin: &'a Origin| OriginText {
            revision: origin.revision.get(),
            writer: &origin.writer,
        };
        Origins(named.map(|(field, origin)| (field, text(origin))).collect())
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Origins<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Members(&self.0).serialize(serializer)
    }
}

/// What a viewer that connects is sent first.
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

impl Resumed {
    /// As on the wire.
    pub fn label(self) -> &'static str {
        match self {
            Resumed::Snapshot => "snapshot",
            Resumed::Delta => "delta",
            Resumed::Current => "current",
        }
    }
}

/// What is known of what a topic's viewers see.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ShownState {
    /// How long ago it changed, in milliseconds; none while nothing is shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changed_ms: Option<u64>,
    /// A host has frozen it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub frozen: bool,
    /// What this daemon shows is not its own, and it does not hear of changes at the moment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lost: Option<Lost>,
    /// By which topics of which daemons the state comes here, from its origin: `ID/topic` each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub way: Vec<String>,
}

/// What a daemon has no connection to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Lost {
    /// The daemon that it relays, or that one to its own.
    Upstream,
    /// NATS, through which it shares the topic with other daemons.
    Nats,
}

/// What a topic's hosts do at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SourceState {
    /// Something can still change the topic, or did lately.
    Alive,
    /// The host has not been heard of for a while; it may have written once and left.
    Silent,
    /// The source that was attached last broke off, or came to its end.
    Ended,
}

/// What a reader of `/sync` receives: that there is something to fetch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Invalidation {
    /// What changed.
    pub topic: String,
    /// The revision that can be fetched now.
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
        text(self)
    }
}
