//! What a daemon hears from another one that it relays: what that one tells its viewers.

use serde_json::Value;

use super::host::{fields, member};
use super::protocol::{Lost, Resumed, ShownState, SourceState};
use crate::state::json::Json;
use crate::state::revision::Revision;
use crate::state::session::Session;
use crate::state::topic::{Origin, Writer};

/// The most daemons that a state may come by, from its origin to the last one that shows it.
pub const LONGEST_WAY: usize = 16;

/// Longer than any name of a daemon's topic, in bytes.
const LONGEST_PLACE: usize = 256;

/// Who wrote which field, if the writer gave a name.
pub type NamedOrigins = Vec<(String, Origin)>;

/// One message from upstream.
#[derive(Clone, Debug, PartialEq)]
pub enum FromUpstream {
    /// All of it.
    Session {
        /// What it is at.
        revision: Revision,
        /// The state.
        session: Session,
        /// Who wrote which field.
        origins: NamedOrigins,
    },
    /// The fields that changed.
    Fields {
        /// What it is at with them.
        revision: Revision,
        /// At their present values.
        fields: Vec<(String, Json)>,
        /// Who wrote which of them.
        origins: NamedOrigins,
    },
    /// The first message.
    Hello {
        /// What comes next.
        resumed: Resumed,
        /// How often a heartbeat comes, in milliseconds, if it says so.
        heartbeat_ms: Option<u64>,
        /// What heartbeats say too.
        state: UpstreamState,
    },
    /// It is alive.
    Heartbeat(UpstreamState),
    /// It is about to close.
    Bye {
        /// Why.
        reason: String,
        /// When to come back, in milliseconds.
        retry_after_ms: Option<u64>,
    },
    /// A text of its host, for all viewers.
    Text,
}

/// What is known upstream of the topic's host, and of what viewers see there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpstreamState {
    /// What the host does; none where that is not said.
    pub source: Option<SourceState>,
    /// How long ago it was heard of, in milliseconds.
    pub host_seen_ms: Option<u64>,
    /// What its own viewers are told.
    pub shown: ShownState,
}

impl FromUpstream {
    /// Reads one message.
    ///
    /// # Errors
    /// Says what is wrong with one that is of a known type.
    pub fn parse(text: &[u8]) -> Result<FromUpstream, String> {
        let Ok(document) = Json::parse_kept(text) else {
            return Ok(FromUpstream::Text);
        };
        let members = document.members().unwrap_or_default();
        let kind = member(&members, "type").and_then(Json::as_string);
        let kind = kind.unwrap_or_default();
        let read = match kind.as_str() {
            "session_update" => session(&members),
            "config_update" => changed(&members),
            "hello" => hello(&members),
            "heartbeat" => state(&members).map(FromUpstream::Heartbeat),
            "bye" => Ok(bye(&members)),
            _ => Ok(FromUpstream::Text),
        };
        read.map_err(|reason| format!("{kind}: {reason}"))
    }
}

type Members = [(String, Json)];

fn session(members: &Members) -> Result<FromUpstream, String> {
    let (revision, payload) = (revision(members)?, payload(members)?);
    let session = Session::from_json(payload, "").map_err(|error| format!("payload.{error}"))?;
    Ok(FromUpstream::Session {
        revision,
        session,
        origins: origins(members, revision)?,
    })
}

fn changed(members: &Members) -> Result<FromUpstream, String> {
    let revision = revision(members)?;
    let fields = fields(payload(members)?, "payload").map_err(|error| error.to_string())?;
    Ok(FromUpstream::Fields {
        revision,
        fields,
        origins: origins(members, revision)?,
    })
}

fn hello(members: &Members) -> Result<FromUpstream, String> {
    let resumed = member(members, "resumed").and_then(Json::as_string);
    Ok(FromUpstream::Hello {
        resumed: match resumed.as_deref() {
            Some("delta") => Resumed::Delta,
            Some("current") => Resumed::Current,
            _ => Resumed::Snapshot,
        },
        heartbeat_ms: number(members, "heartbeatMs"),
        state: state(members)?,
    })
}

fn bye(members: &Members) -> FromUpstream {
    let reason = member(members, "reason").and_then(Json::as_string);
    FromUpstream::Bye {
        reason: reason.unwrap_or_default(),
        retry_after_ms: number(members, "retryAfterMs"),
    }
}

fn state(members: &Members) -> Result<UpstreamState, String> {
    let word = |key: &str| member(members, key).and_then(Json::as_string);
    let source = match word("source").as_deref() {
        Some("alive") => Some(SourceState::Alive),
        Some("silent") => Some(SourceState::Silent),
        Some("ended") => Some(SourceState::Ended),
        _ => None,
    };
    let frozen = member(members, "frozen").is_some_and(|frozen| frozen.as_str() == "true");
    Ok(UpstreamState {
        source,
        host_seen_ms: number(members, "hostSeenMs"),
        shown: ShownState {
            changed_ms: number(members, "changedMs"),
            frozen,
            lost: word("lost").map(|_| Lost::Upstream),
            way: way(members)?,
        },
    })
}

/// Empty where it is not said.
fn way(members: &Members) -> Result<Vec<String>, String> {
    let Some(way) = member(members, "way") else {
        return Ok(Vec::new());
    };
    let places: Vec<String> = serde_json::from_str(way.as_str())
        .map_err(|_| "way: expected an array of strings".to_owned())?;
    let longest = places.iter().map(String::len).max().unwrap_or_default();
    match places.len() > 4 * LONGEST_WAY || longest > LONGEST_PLACE {
        true => Err("way: it is too long".to_owned()),
        false => Ok(places),
    }
}

fn revision(members: &Members) -> Result<Revision, String> {
    let text = member(members, "revision").and_then(Json::as_string);
    let text = text.ok_or("revision: expected a string")?;
    text.parse().map_err(|error| format!("revision: {error}"))
}

fn payload(members: &Members) -> Result<&Json, String> {
    member(members, "payload").ok_or_else(|| "payload: it is missing".to_owned())
}

fn number(members: &Members, key: &str) -> Option<u64> {
    member(members, key)?.as_str().parse().ok()
}

/// Those of writers that gave a name. None is from after the message.
fn origins(members: &Members, newest: Revision) -> Result<NamedOrigins, String> {
    let Some(origins) = member(members, "origins") else {
        return Ok(Vec::new());
    };
    let wrong = || "origins: expected an object of objects".to_owned();
    let origins = origins.members().ok_or_else(wrong)?;
    let origin = |(field, origin): &(String, Json)| {
        let value = origin.value();
        let number = |key: &str| value.get(key).and_then(Value::as_u64);
        let at = number("revision").and_then(Revision::new);
        let text = value.get("sourceId").and_then(Value::as_str);
        let writer = Writer {
            source_id: text.map(str::to_owned),
            device_id: number("deviceId"),
            local_revision: number("localRevision"),
        };
        let revision = at.ok_or_else(wrong)?.min(newest);
        let writer = writer.into();
        Ok((field.clone(), Origin { revision, writer }))
    };
    origins.iter().map(origin).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::name::TopicName;
    use crate::state::topic::{Update, Version};
    use crate::wire::{Own, update};

    fn read(text: &str) -> Result<FromUpstream, String> {
        FromUpstream::parse(text.as_bytes())
    }

    #[test]
    fn what_a_daemon_sends_is_read_to_the_digit() {
        let document = br#"{"name":"n","data":[18446744073709551616,-0,1E+2],"config":{"b":1.50,"a":2},"metadata":{}}"#;
        let session = Session::from_json(&Json::parse(document).unwrap(), "").unwrap();
        let revision = Revision::new(17).unwrap();
        let writer = Writer {
            source_id: Some("panel".to_owned()),
            device_id: Some(7),
            local_revision: Some(3),
        };
        let origin = Origin {
            revision: Revision::new(16).unwrap(),
            writer: writer.into(),
        };
        let version = Version {
            revision,
            session: session.clone(),
            origins: [("b".into(), origin.clone())].into_iter().collect(),
        };
        let topic: TopicName = "main".parse().unwrap();
        let text = update(&topic, &Update::Snapshot(version));
        let origins = vec![("b".to_owned(), origin.clone())];
        let expected = FromUpstream::Session {
            revision,
            session,
            origins: origins.clone(),
        };
        assert_eq!(read(&text), Ok(expected));
        let value = Json::parse(b"1.50").unwrap();
        let delta = Update::Delta {
            revision,
            fields: vec![("b".into(), value.clone())],
            origins: vec![("b".into(), origin)],
        };
        let expected = FromUpstream::Fields {
            revision,
            fields: vec![("b".to_owned(), value)],
            origins,
        };
        assert_eq!(read(&update(&topic, &delta)), Ok(expected));
    }

    #[test]
    fn what_is_said_around_the_state_is_read() {
        let shown = ShownState {
            changed_ms: Some(5),
            frozen: true,
            lost: Some(Lost::Upstream),
            way: vec!["a/main".to_owned(), "b/main".to_owned()],
        };
        let heartbeat = Own::Heartbeat {
            revision: "17".to_owned(),
            host_seen_ms: 1200,
            source: SourceState::Ended,
            shown: shown.clone(),
        };
        let state = UpstreamState {
            source: Some(SourceState::Ended),
            host_seen_ms: Some(1200),
            shown,
        };
        let expected = FromUpstream::Heartbeat(state);
        assert_eq!(read(&heartbeat.text()), Ok(expected));
        let bye = read(r#"{"type":"bye","reason":"stopping","retryAfterMs":1500}"#);
        let expected = FromUpstream::Bye {
            reason: "stopping".to_owned(),
            retry_after_ms: Some(1500),
        };
        assert_eq!(bye, Ok(expected));
    }

    #[test]
    fn anything_else_is_a_text_of_the_host() {
        for text in ["", "hello", "[1]", r#"{"type":"cheer"}"#, "{\"type\":"] {
            assert_eq!(read(text), Ok(FromUpstream::Text), "{text}");
        }
    }

    #[test]
    fn what_is_malformed_is_refused_by_name() {
        for (text, told) in [
            (r#"{"type":"session_update"}"#, "session_update: revision"),
            (
                r#"{"type":"session_update","revision":"007","payload":{}}"#,
                "is not a revision",
            ),
            (
                r#"{"type":"config_update","revision":"7","payload":[]}"#,
                "config_update: payload",
            ),
            (
                r#"{"type":"config_update","revision":"7","payload":{},"origins":{"a":1}}"#,
                "origins",
            ),
            (r#"{"type":"heartbeat","way":"a/main"}"#, "heartbeat: way"),
        ] {
            let refused = read(text).unwrap_err();
            assert!(refused.contains(told), "{text}: {refused}");
        }
    }
}
