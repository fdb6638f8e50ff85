//! Input that is almost JSON, by every way in: each fault is refused by its name, and what is
//! merely odd arrives to the last digit.

use std::fs;

use serde_json::json;

use super::harness::{Daemon, Response, Socket, masked, opcode::*};

/// Documents that are refused, each with a word of the reason.
fn bad() -> Vec<(Vec<u8>, &'static str)> {
    let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels)).into_bytes();
    let texts = [
        (r#"{"data":1,"data":2}"#, "duplicate key \"/data\""),
        (
            r#"{"data":{"a":[{"b":1,"\u0062":2}]}}"#,
            "duplicate key \"/data/a/0/b\"",
        ),
        (r#"{"data":"\ud800"}"#, "lone surrogate"),
        (r#"{"data":"\ud800x"}"#, "lone surrogate"),
        (r#"{"data":"\udc00\ud800"}"#, "lone surrogate"),
        (r#"{"data":{"\udfff":1}}"#, "lone surrogate"),
        ("\u{feff}{\"data\":1}", "byte order mark"),
        ("{\"data\":1}\u{0}", "trailing characters"),
        ("\u{0}{\"data\":1}", "expected value"),
        ("{\"data\":\"a\u{0}b\"}", "control character"),
        (r#"{"data":NaN}"#, "NaN is not JSON"),
        (r#"{"data":-Infinity}"#, "-Infinity is not JSON"),
        (r#"{"data":01}"#, "invalid number"),
        (r#"{"data":.5}"#, "expected value"),
        (r#"{"data":1.}"#, "invalid number"),
        (r#"{"data":1e}"#, "invalid number"),
        (r#"{"data":[1,]}"#, "trailing comma"),
        (r#"{"data":1}}"#, "trailing characters"),
        (r#"{"data":1"#, "EOF"),
        (r#"{'data':1}"#, "key must be a string"),
        (
            r#"{"data":{"$serde_json::private::Number":"1"}}"#,
            "reserved",
        ),
    ];
    let mut all: Vec<_> = texts
        .map(|(text, word)| (text.as_bytes().to_vec(), word))
        .into();
    all.push((deep(129), "nesting deeper than 128"));
    all.push((deep(1_000_000), "nesting deeper than 128"));
    all
}

/// Data that is passed on exactly as it came.
const ODD: &str = r#"{"z":[1e400,-1E-400,-0,-0.0,18446744073709551616,9007199254740993,123456789012345678901234567890.10,0.1e-7],"":"\u0000\ud83d\ude80\u2028","__proto__":{"a":null},"\ufeff":" é\/","a":1}"#;

/// Whether it is a single line: for the ways in that read lines.
fn one_line(text: &[u8]) -> bool {
    !text.contains(&b'\n')
}

fn raw_put(daemon: &Daemon, body: &[u8]) -> Response {
    let head = format!(
        "PUT /api/topics/main HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nAuthorization: Bearer {}\r\nContent-Length: {}\r\n\r\n",
        daemon.token,
        body.len()
    );
    Response::to_raw(daemon.connect(), &[head.as_bytes(), body].concat())
}

fn host(daemon: &Daemon) -> Socket {
    let token = format!("Bearer {}", daemon.token);
    daemon.socket("/host", &[("Authorization", &token)])
}

/// How `text` is shown when a test fails: shortened.
fn called(text: &[u8]) -> String {
    String::from_utf8_lossy(&text[..text.len().min(60)]).into_owned()
}

#[test]
fn over_http() {
    let daemon = Daemon::start();
    daemon.put(r#"{"data":"good"}"#);
    let mut cases = bad();
    cases.push((b"{\"data\":\"\xff\"}".to_vec(), "UTF-8"));
    for (text, word) in cases {
        let answer = raw_put(&daemon, &text);
        let detail = answer.json()["detail"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        assert_eq!(answer.status, 400, "{}: {detail}", called(&text));
        assert!(
            detail.contains(word) && detail.contains("line 1, column"),
            "{}: {detail}",
            called(&text)
        );
    }
    let state = daemon.ask("GET", "/api/topics/main", "").json();
    assert_eq!(state["data"]["data"], json!("good"));
    daemon.put(&format!("{{\"data\":{ODD}}}"));
    assert!(
        daemon
            .viewer()
            .text()
            .unwrap()
            .contains(&format!("\"data\":{ODD}"))
    );
    let body = daemon.ask("GET", "/api/topics/main", "").body;
    assert!(body.contains(&format!("\"data\":{ODD}")), "{body}");
}

#[test]
fn over_the_host_socket() {
    let daemon = Daemon::with(&["--debounce", "0ms"]);
    let mut host = host(&daemon);
    for (text, word) in bad() {
        let message = [
            b"{\"type\":\"session_update\",\"payload\":".as_slice(),
            &text,
            b"}",
        ]
        .concat();
        host.send(&masked(FIN | TEXT, &message));
        let answer = host.json();
        let detail = answer["detail"].as_str().unwrap_or_default();
        assert_eq!(answer["status"], json!(400), "{}: {answer}", called(&text));
        // Inside a message some faults show up as others.
        let elsewhere = ["byte order", "trailing", "EOF", "key must"]
            .iter()
            .any(|other| word.starts_with(other));
        let inside = word.replace("\"/data", "\"/payload/data");
        assert!(
            elsewhere || detail.contains(&inside),
            "{}: {detail}",
            called(&text)
        );
    }
    let message = format!("{{\"type\":\"session_update\",\"payload\":{{\"data\":{ODD}}}}}");
    host.send(&masked(FIN | TEXT, message.as_bytes()));
    assert_eq!(host.json()["type"], json!("ack"));
    assert!(
        daemon
            .viewer()
            .text()
            .unwrap()
            .contains(&format!("\"data\":{ODD}"))
    );
    host.send(&masked(FIN | TEXT, b"{\"type\":\"\xff\"}"));
    assert_eq!(
        host.close_code(),
        Some(1007),
        "what is not text is not a message"
    );
}

#[test]
fn over_stdin() {
    let mut daemon = Daemon::with(&["-", "--debounce", "0ms"]);
    let cases: Vec<_> = bad()
        .into_iter()
        .filter(|(text, _)| one_line(text))
        .collect();
    for (number, (text, word)) in cases.iter().enumerate() {
        daemon.type_in(&format!("{}\n", String::from_utf8_lossy(text)));
        let line = daemon.logged(&format!("stdin, line {}: ", number + 1));
        assert!(line.contains(word), "{}: {line}", called(text));
    }
    daemon.type_in(&format!("{{\"data\":{ODD}}}\n"));
    assert!(
        daemon
            .viewer()
            .text()
            .unwrap()
            .contains(&format!("\"data\":{ODD}"))
    );
}

#[test]
fn from_a_file() {
    let house = tempfile::tempdir().unwrap();
    let path = house.path().join("state.json");
    fs::write(&path, r#"{"data":0}"#).unwrap();
    let daemon = Daemon::watching(&path, &["--debounce", "0ms"]);
    let mut viewer = daemon.viewer();
    viewer.json();
    for (round, (text, word)) in bad().into_iter().enumerate() {
        // A document that breaks off may still be being written: only other faults are refused at once.
        if word == "EOF" {
            continue;
        }
        // A good state in between makes each fault a new one.
        fs::write(&path, format!("{{\"data\":[{round}]}}")).unwrap();
        while viewer.json()["payload"]["data"] != json!([round]) {}
        let before = daemon.log_count("the last good state");
        fs::write(&path, &text).unwrap();
        let deadline = std::time::Instant::now() + super::harness::LIMIT;
        while daemon.log_count("the last good state") == before {
            assert!(
                std::time::Instant::now() < deadline,
                "{} is not refused",
                called(&text)
            );
            std::thread::yield_now();
        }
        daemon.logged(word);
    }
    fs::write(&path, format!("{{\"data\":{ODD}}}")).unwrap();
    while !viewer.text().unwrap().contains(&format!("\"data\":{ODD}")) {}
}

#[test]
fn every_way_in_has_the_same_limit() {
    let house = tempfile::tempdir().unwrap();
    let path = house.path().join("state.json");
    let limit = 16 * 1024 * 1024;
    let of = |length: usize| format!("\"{}\"", "x".repeat(length - 2));
    fs::write(&path, "{}").unwrap();
    let mut daemon = Daemon::with(&[path.to_str().unwrap(), "-", "--debounce", "0ms"]);
    let answer = daemon.ask("PUT", "/api/topics/http", &of(limit + 1));
    assert_eq!(answer.status, 413);
    let words = format!("{limit} bytes (--max-session)");
    assert!(answer.body.contains(&words), "{}", answer.body);
    let mut host = host(&daemon);
    let message =
        |length: usize| format!(r#"{{"type":"session_update","payload":{}}}"#, of(length));
    host.send(&masked(FIN | TEXT, message(limit + 1000).as_bytes()));
    let answer = host.json();
    assert_eq!(answer["status"], json!(413));
    assert!(
        answer["detail"].as_str().unwrap().contains(&words),
        "{answer}"
    );
    daemon.type_in(&format!("{}\n", of(limit + 1000)));
    assert!(
        daemon
            .logged("stdin, line 1: ")
            .contains(&format!("{limit} bytes (--max-session)"))
    );
    fs::write(&path, of(limit + 1)).unwrap();
    daemon.logged(&format!("over the limit of {limit} (--max-session)"));
    assert!(
        daemon
            .ask("PUT", "/api/topics/http", &of(limit - 100))
            .status
            < 300
    );
    host.send(&masked(FIN | TEXT, message(limit - 100).as_bytes()));
    assert_eq!(host.json()["type"], json!("ack"));
}

#[test]
fn what_was_acknowledged_deep_down_is_kept() {
    let house = tempfile::tempdir().unwrap();
    let store = house.path().join("kept.redb");
    let args = ["--store", store.to_str().unwrap()];
    let deepest = format!("{}7{}", "[".repeat(128), "]".repeat(128));
    let field = format!("{}7{}", "[".repeat(126), "]".repeat(126));
    {
        let mut daemon = Daemon::with(&args);
        assert_eq!(daemon.ask("PUT", "/api/topics/main", &deepest).status, 201);
        let body = format!("{{\"deep\":{field}}}");
        let answer = daemon.ask("PATCH", "/api/topics/main/config", &body);
        assert_eq!(answer.status, 200, "{answer:?}");
        daemon.signal("TERM");
        daemon.exited();
    }
    let daemon = Daemon::with(&args);
    let text = daemon.viewer().text().unwrap();
    assert!(
        text.contains(&format!(
            "\"data\":{deepest},\"config\":{{\"deep\":{field}}}"
        )),
        "{text}"
    );
}
