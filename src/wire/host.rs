//! What hosts send, over their socket or as lines on stdin.

use serde::de::IgnoredAny;

use crate::state::json::{Json, JsonError, Kind};
use crate::state::session::{Session, ShapeError};
use crate::state::topic::{Change, Writer};

/// What a host sends, over its socket or as a line on stdin.
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
    /// Reads one message. A session that has no name is called `name`.
    pub fn parse(bytes: &[u8], name: &str) -> Identified {
        let document = match Json::parse(bytes) {
            Ok(document) => document,
            Err(error) => return (None, Err(error.into())),
        };
        let members = document.members().unwrap_or_default();
        let id = member(&members, "id").cloned();
        (id, HostMessage::from_members(&members, name))
    }

    /// Reads one line of NDJSON: a message, or a whole session if it has no `type`.
    pub fn parse_line(bytes: &[u8], name: &str) -> Result<HostMessage, MessageError> {
        if let Some(text) = plain_broadcast(bytes) {
            return Ok(HostMessage::Broadcast(text));
        }
        let document = Json::parse(bytes)?;
        let members = document.members();
        match members {
            Some(members) if member(&members, "type").is_some() => {
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
        let get = |key: &str| member(members, key);
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

/// The first member of an object that has this key.
pub fn member<'a>(members: &'a [(String, Json)], key: &str) -> Option<&'a Json> {
    let found = members.iter().find(|(known, _)| known == key);
    found.map(|(_, value)| value)
}

/// The text of a line that is a broadcast and nothing else, read in one pass. Any other line,
/// and one with a fault, is read the ordinary way.
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

/// The longest name that a writer may give itself, in bytes.
pub const MAX_SOURCE_ID: usize = 128;

/// Reads a device number, which goes up to 10^14, or a local revision, up to 2^53 - 1.
///
/// # Errors
/// Names the key and the value.
pub fn device_number(key: &str, value: &Json) -> Result<u64, MessageError> {
    let most = if key == "deviceId" {
        100_000_000_000_000
    } else {
        crate::state::json::MAX_SAFE_INTEGER
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
/// Names the place if it is not an object.
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
