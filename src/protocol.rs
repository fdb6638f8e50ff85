//! The only place where the wire's JSON is named: what viewers receive, what hosts send,
//! how errors look, and the close codes.

use json_patch::jsonptr::PointerBuf;
use json_patch::{
    AddOperation, CopyOperation, MoveOperation, Patch, PatchOperation, RemoveOperation,
    ReplaceOperation, TestOperation,
};
use serde::Serialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use crate::fields::FieldError;
use crate::json::{Json, JsonError, Kind, write_object};
use crate::name::TopicName;
use crate::revision::Revision;
use crate::session::{Session, ShapeError};
use crate::topic::{Change, Origin, Update, Writer};

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
    /// The topic was deleted.
    pub const TOPIC_GONE: u16 = 4404;
}

/// One `session_update` or `config_update`, as text.
pub fn update(topic: &TopicName, update: &Update) -> String {
    match update {
        Update::Snapshot { revision, session } => {
            let mut out = String::with_capacity(session.text_len() + 256);
            open(&mut out, "session_update", topic, *revision);
            session.write_to(&mut out);
            out.push('}');
            out
        }
        Update::Delta {
            revision,
            fields,
            origins,
        } => {
            let mut out = String::new();
            open(&mut out, "config_update", topic, *revision);
            write_object(
                &mut out,
                fields.iter().map(|(field, value)| (field.as_str(), value)),
            );
            write_origins(&mut out, origins);
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

fn write_origins(out: &mut String, origins: &[(String, Origin)]) {
    if origins.is_empty() {
        return;
    }
    let values: Vec<(&str, Json)> = origins
        .iter()
        .map(|(field, origin)| (field.as_str(), origin_json(origin)))
        .collect();
    out.push_str(",\"origins\":");
    write_object(out, values.iter().map(|(field, value)| (*field, value)));
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
fn json(value: &impl Serialize) -> Json {
    serde_json::to_value(value)
        .map_or_else(|_| Json::empty_object(), |value| Json::from_value(&value))
}

/// What a host sends: over its socket, or as a line on stdin.
#[derive(Clone, Debug)]
pub enum HostMessage {
    /// Change the session.
    Write(Change, Writer),
    /// Send this text to every viewer, verbatim.
    Broadcast(String),
}

/// Why a host's message was not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// Not JSON.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// JSON, but not a message.
    #[error("{0}")]
    Shape(String),
}

impl From<ShapeError> for MessageError {
    fn from(error: ShapeError) -> MessageError {
        MessageError::Shape(format!("payload.{error}"))
    }
}

/// A host's message and its id, which comes back in the answer.
pub type Identified = (Option<Json>, Result<HostMessage, MessageError>);

impl HostMessage {
    /// Reads one message. A session without a name is called `name`.
    pub fn parse(bytes: &[u8], name: &str) -> Identified {
        let document = match Json::parse(bytes) {
            Ok(document) => document,
            Err(error) => return (None, Err(error.into())),
        };
        let members = document.members().unwrap_or_default();
        let id = members
            .iter()
            .find(|(key, _)| key == "id")
            .map(|(_, value)| value.clone());
        (id, HostMessage::from_members(&members, name))
    }

    /// Reads one line of NDJSON: a message, or without `type` a whole session.
    pub fn parse_line(bytes: &[u8], name: &str) -> Result<HostMessage, MessageError> {
        if let Some(text) = plain_broadcast(bytes) {
            return Ok(HostMessage::Broadcast(text));
        }
        let document = Json::parse(bytes)?;
        let members = document.members();
        match members {
            Some(members) if members.iter().any(|(key, _)| key == "type") => {
                HostMessage::from_members(&members, name)
            }
            members => {
                let session = Session::from_split(&document, members, name)?;
                Ok(HostMessage::Write(
                    Change::Replace(session),
                    Writer::default(),
                ))
            }
        }
    }

    fn from_members(members: &[(String, Json)], name: &str) -> Result<HostMessage, MessageError> {
        let get = |key: &str| {
            members
                .iter()
                .find(|(known, _)| known == key)
                .map(|(_, value)| value)
        };
        let need =
            |key: &str| get(key).ok_or_else(|| MessageError::Shape(format!("{key:?} is missing")));
        let kind = need("type")?.as_string();
        let change = match kind.as_deref() {
            Some("session_update") => Change::Replace(Session::from_json(need("payload")?, name)?),
            Some("config_update") => Change::Fields(fields(need("payload")?, "payload")?),
            Some("broadcast") => return Ok(HostMessage::Broadcast(string("text", need("text")?)?)),
            _ => return Err(unknown_type(need("type")?)),
        };
        let number = |key: &str| get(key).map(|value| device_number(key, value)).transpose();
        let source_id = get("sourceId")
            .map(|value| string("sourceId", value).and_then(short))
            .transpose()?;
        let writer = Writer {
            source_id,
            device_id: number("deviceId")?,
            local_revision: number("localRevision")?,
        };
        Ok(HostMessage::Write(change, writer))
    }
}

/// The text of a line that is a broadcast and nothing else, read in one pass. Any other line,
/// and one with a fault, is read with care instead.
fn plain_broadcast(bytes: &[u8]) -> Option<String> {
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Plain {
        #[serde(rename = "type")]
        _kind: IgnoredAny,
        text: String,
    }
    let likely = bytes.starts_with(br#"{"type":"broadcast","#);
    let plain: Option<Plain> = likely.then(|| serde_json::from_slice(bytes).ok()).flatten();
    plain.map(|plain| plain.text)
}

fn unknown_type(got: &Json) -> MessageError {
    MessageError::Shape(format!(
        "unknown type {got}: expected session_update, config_update or broadcast"
    ))
}

fn string(key: &str, value: &Json) -> Result<String, MessageError> {
    value.as_string().ok_or_else(|| {
        MessageError::Shape(format!("{key}: expected a string, got {}", value.kind()))
    })
}

fn short(source_id: String) -> Result<String, MessageError> {
    match source_id.len() {
        0..=MAX_SOURCE_ID => Ok(source_id),
        got => Err(MessageError::Shape(format!(
            "sourceId: expected at most {MAX_SOURCE_ID} bytes, got {got}"
        ))),
    }
}

/// The longest name a writer may give itself, in bytes.
pub const MAX_SOURCE_ID: usize = 128;

/// Device numbers go up to 10^14, local revisions up to 2^53 - 1.
///
/// # Errors
/// Names the key and the value.
pub fn device_number(key: &str, value: &Json) -> Result<u64, MessageError> {
    let most = if key == "deviceId" {
        100_000_000_000_000
    } else {
        crate::json::MAX_SAFE_INTEGER
    };
    let number = value.as_str().parse().ok().filter(|number| *number <= most);
    number.ok_or_else(|| {
        MessageError::Shape(format!(
            "{key}: expected an integer from 0 to {most}, got {value}"
        ))
    })
}

/// The fields of a config object.
///
/// # Errors
/// Names the place when it is no object.
pub fn fields(config: &Json, place: &str) -> Result<Vec<(String, Json)>, MessageError> {
    let wrong = || {
        MessageError::Shape(format!(
            "{place}: expected an object of fields, got {}",
            config.kind()
        ))
    };
    (config.kind() == Kind::Object)
        .then(|| config.members())
        .flatten()
        .ok_or_else(wrong)
}

/// A JSON Patch (RFC 6902). Read member by member, because a tagged enum would take its
/// numbers for floats on the way, and refuse those above 2^64.
///
/// # Errors
/// Names the operation that is none.
pub fn patch(document: &Json) -> Result<Patch, MessageError> {
    let wrong =
        |detail: String| MessageError::Shape(format!("not a JSON Patch (RFC 6902): {detail}"));
    let Value::Array(operations) = document.value() else {
        return Err(wrong(format!(
            "expected an array of operations, got {}",
            document.kind()
        )));
    };
    let numbered = operations.into_iter().enumerate();
    let read = |(index, written): (usize, Value)| {
        operation(written).map_err(|detail| wrong(format!("operation {index}: {detail}")))
    };
    numbered.map(read).collect::<Result<_, _>>().map(Patch)
}

fn operation(written: Value) -> Result<PatchOperation, String> {
    let Value::Object(mut members) = written else {
        return Err("expected an object".to_owned());
    };
    let path = pointer(&members, "path")?;
    let from = |members| pointer(members, "from");
    let value = |members: &mut Map<String, Value>| {
        members
            .remove("value")
            .ok_or_else(|| "\"value\" is missing".to_owned())
    };
    Ok(match text(&members, "op")? {
        "add" => PatchOperation::Add(AddOperation {
            path,
            value: value(&mut members)?,
        }),
        "remove" => PatchOperation::Remove(RemoveOperation { path }),
        "replace" => PatchOperation::Replace(ReplaceOperation {
            path,
            value: value(&mut members)?,
        }),
        "move" => PatchOperation::Move(MoveOperation {
            from: from(&members)?,
            path,
        }),
        "copy" => PatchOperation::Copy(CopyOperation {
            from: from(&members)?,
            path,
        }),
        "test" => PatchOperation::Test(TestOperation {
            path,
            value: value(&mut members)?,
        }),
        other => return Err(format!("unknown op {other:?}")),
    })
}

fn text<'a>(members: &'a Map<String, Value>, key: &str) -> Result<&'a str, String> {
    match members.get(key) {
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(format!("{key}: expected a string")),
        None => Err(format!("{key:?} is missing")),
    }
}

fn pointer(members: &Map<String, Value>, key: &str) -> Result<PointerBuf, String> {
    let parsed = PointerBuf::parse(text(members, key)?);
    parsed.map_err(|error| format!("{key}: {error}"))
}

/// The answer to a host's message that was accepted. A broadcast has no revision.
pub fn ack(id: Option<&Json>, revision: Option<Revision>) -> String {
    let revision = revision.map(|revision| Json::string(&revision.to_string()));
    message("ack", [("id", id), ("revision", revision.as_ref())])
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

/// An error as RFC 9457 has it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Problem {
    /// Always `about:blank`: the status says it.
    pub r#type: &'static str,
    /// The status in words.
    pub title: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong here, and the way out.
    pub detail: String,
    /// The fields at fault.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// The present revision, where the one given was stale.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
}

impl Problem {
    /// A problem without fields at fault. `title` is the status in words.
    pub fn new(status: u16, title: &'static str, detail: impl Into<String>) -> Problem {
        Problem {
            r#type: "about:blank",
            title,
            status,
            detail: detail.into(),
            errors: Vec::new(),
            revision: None,
        }
    }

    /// As `application/problem+json`.
    pub fn text(&self) -> String {
        json(self).as_str().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broadcast_is_read_alike_in_one_pass_and_with_care() {
        let text = |line: &str| match HostMessage::parse_line(line.as_bytes(), "main") {
            Ok(HostMessage::Broadcast(text)) => Ok(text),
            other => Err(format!("{other:?}")),
        };
        let quick = r#"{"type":"broadcast","text":"{\"n\":1,\"é\":\"\u00e9\"}"}"#;
        let careful = quick.replacen("{\"type", "{ \"type", 1);
        assert_eq!(text(quick).as_deref(), Ok(r#"{"n":1,"é":"é"}"#));
        assert_eq!(text(quick), text(&careful));
        for fault in [
            r#"{"type":"broadcast","text":"a","text":"b"}"#,
            r#"{"type":"broadcast","text":1}"#,
            r#"{"type":"broadcast","text":"\ud800"}"#,
            r#"{"type":"broadcast"}"#,
        ] {
            assert!(text(fault).is_err(), "{fault}");
        }
    }
}
