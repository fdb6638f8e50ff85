//! Rooms in the papers.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use super::super::harness::{Daemon, Socket, masked, opcode::*};
use super::{Examiner, check, document, schema};

/// What the tests declare.
pub const CHANNELS: &str = r#"
[rooms.channels.todos]
columns = { id = "string", text = "string", completed = "number" }
writers = "viewers"
show = true

[rooms.channels.votes]
columns = { id = "string", text = "string" }
actions = "host"
"#;

const ROWS: &str = "/api/rooms/{party:main}/{room:lobby}/{channel:todos}";
const ACTIONS: &str = "/api/rooms/{party:main}/{room:lobby}/{channel:todos}/actions";
const SHOWN: &str = "/api/topics/{topic:main.lobby}";

/// The name of the schema that a message of a room has, if it is one.
pub fn name(frame: &Value) -> Option<&'static str> {
    let has = |key: &str| frame.get(key).is_some();
    match frame["type"].as_str() {
        None if has("sync") && has("payload") => Some("RoomSync"),
        None if has("sync") => Some("PersonSync"),
        None if has("rpc") => Some("PersonAction"),
        Some("success") => Some("RoomSuccess"),
        Some("error") if has("rpc") => Some("RoomError"),
        Some("exception") => Some("RoomException"),
        Some("update") => Some("RoomUpdate"),
        Some("action") => Some("RoomQuestion"),
        Some("rows") => Some("HostRows"),
        Some("refuse") => Some("HostRefuse"),
        _ => None,
    }
}

/// A socket whose every message is held against the document.
struct Side<'a> {
    socket: Socket,
    schemas: &'a Value,
    seen: BTreeSet<&'static str>,
}

impl Side<'_> {
    fn tell(&mut self, message: &str) {
        let frame = serde_json::from_str(message).expect("JSON");
        let name = name(&frame).expect("a message of a room");
        check(&schema(self.schemas, name), &frame, name);
        self.socket.send(&masked(FIN | TEXT, message.as_bytes()));
    }

    fn hear(&mut self) -> Value {
        let frame = self.socket.json();
        let name = name(&frame).unwrap_or(match frame["type"].as_str() {
            Some("ack") => "Ack",
            _ => "Error",
        });
        check(&schema(self.schemas, name), &frame, name);
        self.seen.insert(name);
        frame
    }
}

#[test]
fn every_message_of_a_room_is_as_documented() {
    let schemas = document("asyncapi");
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("onlooker.toml");
    fs::write(&path, CHANNELS).unwrap();
    let daemon = Daemon::with(&["--config", path.to_str().unwrap()]);
    let side = |path: &str| Side {
        socket: daemon.socket(path, &[]),
        schemas: &schemas,
        seen: BTreeSet::new(),
    };
    let mut host = side(&format!("/host?room=main/lobby&token={}", daemon.token));
    let mut one = side(&format!("/parties/main/lobby?_pk=1&token={}", daemon.token));
    let mut other = side("/parties/main/lobby?_pk=2");
    for side in [&mut one, &mut other] {
        side.tell(r#"{"channel":"todos","sync":true,"from":null}"#);
        side.hear();
    }
    for action in [
        r#"{"type":"create","payload":{"id":"x","text":"milk","completed":0}}"#,
        r#"{"type":"create","payload":{"id":"x"}}"#,
        r#"{"type":"delete","payload":{"id":"x"}}"#,
    ] {
        one.tell(&format!(
            r#"{{"id":"a","channel":"todos","rpc":true,"action":{action}}}"#
        ));
        one.hear();
    }
    one.tell(r#"{"channel":"todo","sync":true,"from":"1"}"#);
    one.hear();
    one.socket.send(&masked(FIN | TEXT, b"nothing"));
    one.hear();
    for answer in [
        r#""rows":[["v","yes"],{"id":"w","text":"no"}]"#,
        r#""rows":[["v"]]"#,
    ] {
        one.tell(r#"{"id":1,"channel":"votes","rpc":true,"action":{"type":"vote"}}"#);
        let id = &host.hear()["id"];
        host.tell(&format!(r#"{{"type":"rows","id":{id},{answer}}}"#));
        one.hear();
    }
    host.hear();
    one.tell(r#"{"id":2,"channel":"votes","rpc":true,"action":{}}"#);
    let id = &host.hear()["id"];
    host.tell(&format!(
        r#"{{"type":"refuse","id":{id},"error":["too late"]}}"#
    ));
    one.hear();
    host.tell(r#"{"type":"rows","channel":"votes","rows":[{"id":"w","deleted_at":1}]}"#);
    host.hear();
    while !other.hear()["payload"].to_string().contains(r#"["w","no""#) {}
    let all = |side: &Side<'_>| side.seen.iter().copied().collect::<Vec<_>>();
    assert_eq!(all(&host), ["Ack", "Error", "RoomQuestion"]);
    assert_eq!(all(&other), ["RoomSync", "RoomUpdate"]);
    for name in ["RoomError", "RoomException", "RoomSuccess", "RoomSync"] {
        assert!(one.seen.contains(name), "{name} was not seen");
    }
}

pub fn good_answers(examiner: &mut Examiner) {
    let created = r#"{"type":"create","payload":{"text":"milk","completed":0}}"#;
    examiner.host("POST", ACTIONS, &[], created);
    let rows = examiner.host("GET", ROWS, &[], "");
    let tag = rows.header("etag").unwrap().to_owned();
    examiner.host("GET", ROWS, &[("If-None-Match", &tag)], "");
    examiner.host("GET", &format!("{ROWS}?from=0"), &[], "");
    examiner.host("GET", SHOWN, &[], "");
    let path = "/parties/main/lobby?token=0123456789abcdef0123456789";
    let _person = examiner.daemon.socket(path, &[]);
    let people = examiner.host("GET", "/api/viewers", &[], "").json();
    assert!(people.to_string().contains(r#""room":"main/lobby""#));
}

pub fn refusals(examiner: &mut Examiner) {
    let large = "1".repeat(5000);
    examiner.host("GET", "/parties/{party:main}/{room:lobby}", &[], "");
    let missing = "/api/rooms/{party:main}/{room:lobby}/{channel:absent}";
    examiner.host("GET", missing, &[], "");
    examiner.host("POST", &format!("{missing}/actions"), &[], "{}");
    examiner.host("POST", ACTIONS, &[], r#"{"type":"create","payload":{}}"#);
    examiner.host("POST", ACTIONS, &[], &large);
    let pdf = [("Content-Type", "application/pdf")];
    examiner.host("POST", ACTIONS, &pdf, "{}");
    let field = format!("{SHOWN}/config/{{field:speed}}");
    for (method, path) in [
        ("PUT", SHOWN),
        ("PATCH", SHOWN),
        ("PATCH", &format!("{SHOWN}/config")),
        ("PUT", &field),
    ] {
        let answer = examiner.host(method, path, &[], r#"{"value":1}"#);
        assert_eq!(answer.status, 409, "{answer:?}");
    }
    let answer = examiner.host("DELETE", SHOWN, &[], "");
    assert_eq!(answer.status, 409, "{answer:?}");
}
