//! Why a change has arrived, or has not: what the terminal says of each at `-v`, and what a host
//! is told that asks.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::harness::{Daemon, Response};

const MAIN: &str = "/api/topics/main";
const CONFIG: &str = "/api/topics/main/config";
const CHANGES: &str = "/api/topics/main/changes";

/// With declared fields and an ignored part.
fn strict(args: &[&str]) -> (Daemon, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a directory");
    let file = folder.path().join("onlooker.toml");
    let config = r#"
        ignore = ["/metadata/ui"]
        [fields]
        speed = { type = "number", min = 0, max = 5 }
        mode = { type = "string", options = ["calm", "vivid"] }
    "#;
    fs::write(&file, config).expect("written");
    let config = ["--config", file.to_str().expect("text")];
    (Daemon::with(&[&config, args].concat()), folder)
}

fn changes(daemon: &Daemon) -> Vec<Value> {
    let answer = daemon.ask("GET", CHANGES, "");
    assert_eq!(answer.status, 200, "{answer:?}");
    let mut told = answer.json().as_array().expect("a list").clone();
    for entry in &mut told {
        assert!(entry["agoMs"].is_u64(), "{entry}");
        entry.as_object_mut().expect("an entry").remove("agoMs");
    }
    told
}

fn refused(fields: &[&str], detail: &str) -> Value {
    json!({"source": "this machine", "fields": fields, "changes": 1, "verdict": "refused", "detail": detail})
}

#[test]
fn a_refused_change_says_by_which_rule_and_no_value() {
    let (daemon, _folder) = strict(&["-v", "--debounce", "60s", "--max-session", "1KiB"]);
    let session = r#"{"data":"s3cret","config":{"speed":1,"mode":"calm"}}"#;
    daemon.put(session);
    for (method, path, body, fields, detail) in [
        (
            "PATCH",
            CONFIG,
            r#"{"speed":1234,"mode":"s3cret"}"#,
            &["speed", "mode"][..],
            "speed: expected number from 0 to 5; mode: expected one of \"calm\", \"vivid\"",
        ),
        (
            "PATCH",
            MAIN,
            r#"["s3cret"]"#,
            &[],
            "a merge patch of a session is an object, got array: a JSON Patch is application/json-patch+json",
        ),
        ("PUT", MAIN, "{\"s3cret", &[], "not JSON"),
        ("PUT", MAIN, r#"{"config":"s3cret"}"#, &[], "not a session"),
        (
            "PUT",
            MAIN,
            &format!("[\"{}\"]", "s3cret".repeat(1000)),
            &[],
            "the body is over the limit of 1024 bytes (--max-session)",
        ),
        (
            "PATCH",
            MAIN,
            &format!(r#"{{"metadata":"{}"}}"#, "s3cret".repeat(165)),
            &["metadata"],
            "the session would be over the limit of 1024 bytes (--max-session)",
        ),
    ] {
        let answer = daemon.ask(method, path, body);
        assert!((400..500).contains(&answer.status), "{answer:?}");
        assert_eq!(changes(&daemon)[0], refused(fields, detail));
    }
    let log = daemon.logged("debug main: speed, mode from this machine · refused: ");
    assert!(log.contains("speed: expected number from 0 to 5; mode: expected one of"));
    assert_eq!(daemon.log_count("s3cret"), 0);
    assert_eq!(daemon.log_count("1234"), 0);
    let answer = daemon.ask("GET", CHANGES, "").body;
    assert!(!answer.contains("s3cret") && !answer.contains("1234"));
}

#[test]
fn a_lost_race_and_what_changes_nothing_are_told_too() {
    let (daemon, _folder) = strict(&["-v", "--debounce", "60s"]);
    let revision = daemon.put(r#"{"config":{"speed":1}}"#);
    let waiting = daemon.logged("main: session from this machine · ");
    assert!(waiting.ends_with("waiting for a pause of 60s, 120s at most"));
    daemon.ask("PATCH", CONFIG, r#"{"speed":1}"#);
    daemon.logged("main: speed from this machine · unchanged");
    daemon.ask("PATCH", MAIN, r#"{"metadata":{"ui":{"zoom":2}}}"#);
    daemon.logged(
        "main: metadata from this machine · ignored: nothing else differs: /metadata/ui (--ignore)",
    );
    let token = format!("Bearer {}", daemon.token);
    let headers = [("Authorization", token.as_str()), ("If-Match", "\"1\"")];
    let body = r#"{"speed":2}"#;
    let stale = Response::to(daemon.connect(), "PATCH", CONFIG, &headers, body);
    assert_eq!(stale.status, 412);
    daemon.logged(&format!(
        "main: speed from this machine · refused: If-Match is stale: the topic is at revision {revision} by now"
    ));
    let told = changes(&daemon);
    let verdicts: Vec<&str> = told
        .iter()
        .filter_map(|entry| entry["verdict"].as_str())
        .collect();
    assert_eq!(verdicts, ["refused", "ignored", "unchanged", "waiting"]);
}

#[test]
fn what_waits_becomes_what_was_sent_and_to_whom() {
    let (daemon, _folder) = strict(&["-v", "--debounce", "0"]);
    daemon.put(r#"{"config":{"speed":1}}"#);
    daemon.logged("main: session from this machine · sent as revision ");
    let mut viewer = daemon.viewer();
    viewer.json();
    let token = format!("Bearer {}", daemon.token);
    let headers = [
        ("Authorization", token.as_str()),
        ("Onlooker-Source-Id", "desk"),
    ];
    let body = r#"{"speed":2}"#;
    Response::to(daemon.connect(), "PATCH", CONFIG, &headers, body);
    let revision = viewer.json()["revision"].clone();
    let revision = revision.as_str().expect("a revision");
    daemon.logged(&format!(
        "main: speed from desk (this machine) · sent as revision {revision} to 1 viewer"
    ));
    let told = changes(&daemon);
    let sent = json!({
        "source": "desk (this machine)", "sourceId": "desk", "fields": ["speed"], "changes": 1,
        "verdict": "sent", "revision": revision, "viewers": 1, "behind": 0,
    });
    assert_eq!(told[0], sent);
    assert_eq!(told[1]["viewers"], json!(0), "nobody watched the first one");
    assert_eq!(told[1]["fields"], json!(["session"]));
}

#[test]
fn a_departure_has_its_members() {
    let (daemon, _folder) = strict(&["-v", "--log-format", "json", "--debounce", "0"]);
    let revision = daemon.put(r#"{"config":{"speed":1}}"#).to_string();
    let line: Value = serde_json::from_str(&daemon.logged("\"message\":\"sent\"")).expect("JSON");
    let told = format!(
        "main: session from this machine · sent as revision {revision}, but nobody watches"
    );
    let expected = json!({
        "message": "sent", "topic": "main", "source": "this machine", "fields": "session",
        "changes": 1, "verdict": "sent", "revision": revision, "viewers": 0, "behind": 0,
        "told": told,
    });
    assert_eq!(line["fields"], expected);
}

/// A file of a topic, and where it is.
fn watched(content: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a directory");
    let path = folder.path().join("state.json");
    fs::write(&path, content).expect("written");
    (folder, path)
}

#[test]
fn a_file_is_named_and_what_is_wrong_with_it() {
    let (_folder, path) = watched(r#"{"config":{"speed":1,"gain":1}}"#);
    let daemon = Daemon::watching(&path, &["-v", "--debounce", "0"]);
    daemon.logged("main: session from state.json · sent");
    fs::write(&path, r#"{"config":{"speed":2,"gain":1}}"#).expect("written");
    daemon.logged("main: speed from state.json · sent");
    fs::write(&path, "{\n  \"config\": {,}}").expect("written");
    daemon.logged("viewers keep the last good state");
    let told = &changes(&daemon)[0];
    assert_eq!(
        (&told["source"], &told["verdict"]),
        (&json!("state.json"), &json!("refused"))
    );
    let detail = told["detail"].as_str().unwrap_or_default();
    assert!(detail.ends_with("(line 2, column 14)"), "{detail}");
    assert!(!detail.contains("state.json"), "{detail}");
    fs::write(&path, r#"{"config":{"speed":2,"gain":1}}"#).expect("written");
    daemon.logged("main: session from state.json · unchanged");
}

#[test]
fn a_line_of_stdin_is_named_and_what_is_wrong_with_it() {
    let mut daemon = Daemon::with(&["-", "-v", "--debounce", "0"]);
    daemon.type_in("{\"config\":{\"speed\":1}}\n{\"data\":\n");
    daemon.logged("stdin, line 2: ");
    let told = &changes(&daemon)[0];
    assert_eq!(told["source"], json!("stdin"));
    let detail = told["detail"].as_str().unwrap_or_default();
    assert!(detail.starts_with("line 2: "), "{detail}");
    daemon
        .type_in("{\"type\":\"config_update\",\"payload\":{\"speed\":2},\"sourceId\":\"mixer\"}\n");
    daemon.logged("main: speed from mixer (stdin) · sent");
}

#[test]
fn strangers_neither_see_changes_nor_leave_any() {
    let daemon = Daemon::with(&["--debounce", "0"]);
    daemon.put("1");
    let body = "2";
    let put = Response::to(daemon.connect(), "PUT", MAIN, &[], body);
    assert_eq!(put.status, 401);
    let seen = Response::to(daemon.connect(), "GET", CHANGES, &[], "");
    assert_eq!(seen.status, 401);
    assert_eq!(changes(&daemon).len(), 1);
    let deleted = daemon.ask("DELETE", MAIN, "");
    assert_eq!(deleted.status, 204);
    assert_eq!(changes(&daemon), [] as [Value; 0], "gone with the topic");
}
