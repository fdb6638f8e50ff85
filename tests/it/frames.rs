//! The golden frames that the JavaScript viewers decode are, byte for byte, what this daemon makes
//! and understands.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use onlooker::internals::fields::FieldError;
use onlooker::internals::json::Json;
use onlooker::internals::revision::Revision;
use onlooker::internals::session::{FieldName, Session};
use onlooker::internals::topic::{Change, Origin, Update, Version, Writer};
use onlooker::internals::wire::{
    self, Ack, HostMessage, Lost, Own, Problem, Resumed, SERVER, ShownState, SourceState,
};

mod rooms;

/// A golden frame.
struct Golden {
    file: String,
    direction: String,
    text: String,
}

impl Golden {
    fn all() -> Vec<Golden> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/frames");
        let files = fs::read_dir(folder).expect("the golden frames");
        files
            .map(|file| Golden::read(&file.expect("a file").path()))
            .collect()
    }

    fn read(path: &Path) -> Golden {
        let case = Json::parse(&fs::read(path).expect("a file")).expect("JSON");
        let text = |key: &str| {
            member(&case, key)
                .and_then(|value| value.as_string())
                .unwrap_or_default()
        };
        Golden {
            file: path.display().to_string(),
            direction: text("direction"),
            text: text("text"),
        }
    }

    fn frame(&self) -> Json {
        Json::parse(self.text.as_bytes()).expect("a frame of ours is JSON")
    }

    fn text(&self, key: &str) -> String {
        member(&self.frame(), key)
            .and_then(|value| value.as_string())
            .unwrap_or_default()
    }

    fn number(&self, key: &str) -> u64 {
        member(&self.frame(), key)
            .expect(key)
            .as_str()
            .parse()
            .expect(key)
    }

    fn shown(&self) -> ShownState {
        let frame = self.frame();
        ShownState {
            changed_ms: member(&frame, "changedMs").map(|_| self.number("changedMs")),
            frozen: member(&frame, "frozen").is_some(),
            lost: member(&frame, "lost").map(|_| Lost::Upstream),
            way: member(&frame, "way").map_or_else(Vec::new, |way| {
                serde_json::from_str(way.as_str()).expect("texts")
            }),
        }
    }

    fn revision(&self) -> Revision {
        self.text("revision").parse().expect("a revision")
    }

    fn origins(&self) -> Vec<(FieldName, Origin)> {
        let origins = member(&self.frame(), "origins").and_then(|origins| origins.members());
        let named = origins.unwrap_or_default().into_iter();
        named
            .map(|(field, value)| (field.into(), origin(&value)))
            .collect()
    }

    /// The same frame, made by the daemon's own code from its parts.
    fn made(&self) -> String {
        let topic = || self.text("topic").parse().expect("a topic");
        let frame = self.frame();
        match self.text("type").as_str() {
            "session_update" => {
                let payload = member(&frame, "payload").expect("payload");
                let session = Session::from_json(&payload, "unnamed").expect("a session");
                let version = Version {
                    revision: self.revision(),
                    session,
                    origins: self.origins().into_iter().collect(),
                };
                wire::update(&topic(), &Update::Snapshot(version))
            }
            "config_update" => {
                let fields = member(&frame, "payload")
                    .and_then(|payload| payload.members())
                    .expect("payload");
                let fields = fields
                    .into_iter()
                    .map(|(field, value)| (field.into(), value));
                wire::update(
                    &topic(),
                    &Update::Delta {
                        revision: self.revision(),
                        fields: fields.collect(),
                        origins: self.origins(),
                    },
                )
            }
            "hello" => Own::Hello {
                protocol: 1,
                server: SERVER,
                topic: self.text("topic"),
                revision: self.text("revision"),
                resumed: [Resumed::Snapshot, Resumed::Delta, Resumed::Current]
                    .into_iter()
                    .find(|resumed| format!("{resumed:?}").to_lowercase() == self.text("resumed"))
                    .expect("resumed"),
                heartbeat_ms: self.number("heartbeatMs"),
                shown: self.shown(),
            }
            .text(),
            "heartbeat" => Own::Heartbeat {
                revision: self.text("revision"),
                host_seen_ms: self.number("hostSeenMs"),
                source: [SourceState::Alive, SourceState::Silent, SourceState::Ended]
                    .into_iter()
                    .find(|source| format!("{source:?}").to_lowercase() == self.text("source"))
                    .expect("source"),
                shown: self.shown(),
            }
            .text(),
            "bye" => Own::Bye {
                reason: self.text("reason").leak(),
                retry_after_ms: self.number("retryAfterMs"),
            }
            .text(),
            "ack" => Ack::Written(self.revision(), member(&frame, "kept").is_none())
                .text(member(&frame, "id").as_ref()),
            "error" => wire::error(member(&frame, "id").as_ref(), &self.problem()),
            other => panic!("{}: no such frame {other:?}", self.file),
        }
    }

    fn problem(&self) -> Problem {
        let errors = member(&self.frame(), "errors").map(|errors| errors.value());
        let text = |fault: &serde_json::Value, key: &str| {
            fault[key].as_str().unwrap_or_default().to_owned()
        };
        let fault = |fault| FieldError {
            field: text(fault, "field"),
            expected: text(fault, "expected"),
            got: text(fault, "got"),
        };
        let errors = errors
            .iter()
            .flat_map(|errors| errors.as_array().expect("a list"))
            .map(fault)
            .collect();
        let status = u16::try_from(self.number("status")).expect("a status");
        Problem {
            errors,
            ..Problem::new(status, self.text("detail"))
        }
    }
}

fn member(object: &Json, key: &str) -> Option<Json> {
    object
        .members()?
        .into_iter()
        .find(|(known, _)| known == key)
        .map(|(_, value)| value)
}

fn origin(value: &Json) -> Origin {
    let number = |key: &str| member(value, key).map(|number| number.as_str().parse().expect(key));
    let writer = Writer {
        source_id: member(value, "sourceId").and_then(|id| id.as_string()),
        device_id: number("deviceId"),
        local_revision: number("localRevision"),
    };
    Origin {
        revision: number("revision")
            .and_then(Revision::new)
            .expect("a revision"),
        writer: Arc::new(writer),
    }
}

#[test]
fn the_daemon_makes_the_golden_frames() {
    // The frames of a plain server have no revision; ours always have one.
    let ours = |golden: &Golden| {
        ["to-viewer", "to-host"].contains(&golden.direction.as_str())
            && !golden.file.ends_with("_plain.json")
    };
    let all: Vec<_> = Golden::all().into_iter().filter(ours).collect();
    assert!(all.len() >= 16, "only {} golden frames", all.len());
    for golden in all {
        assert_eq!(golden.made(), golden.text, "{}", golden.file);
    }
}

#[test]
fn the_daemon_understands_the_golden_messages_of_hosts() {
    let all: Vec<_> = Golden::all()
        .into_iter()
        .filter(|golden| golden.direction == "from-host")
        .collect();
    assert_eq!(all.len(), 3);
    for golden in all {
        let (id, message) = HostMessage::parse(golden.text.as_bytes(), "main");
        assert_eq!(id, member(&golden.frame(), "id"), "{}", golden.file);
        match (
            golden.text("type").as_str(),
            message.expect("it is understood"),
        ) {
            ("session_update", HostMessage::Write(Change::Replace(session), _)) => {
                assert_eq!(
                    Some(session.to_json()),
                    member(&golden.frame(), "payload").map(|payload| payload.to_string())
                );
            }
            ("config_update", HostMessage::Write(Change::Fields(fields), writer)) => {
                assert_eq!(
                    fields,
                    [("speed".to_owned(), Json::parse(b"2").expect("JSON"))]
                );
                assert_eq!(
                    writer,
                    Writer {
                        source_id: Some("panel".into()),
                        device_id: Some(7),
                        local_revision: Some(3)
                    }
                );
            }
            ("broadcast", HostMessage::Broadcast(text)) => assert_eq!(text, golden.text("text")),
            (kind, message) => panic!("{kind} became {message:?}"),
        }
    }
}
