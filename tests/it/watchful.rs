//! What a host finds in the log and the metrics: who was refused or sent away and why, what came
//! and went, who wrote; never a secret, and never more than can be read. Each stranger has an
//! address of its own, because one address has few lines.

#![cfg(target_os = "linux")]

use std::collections::BTreeSet;
use std::io::{Read, Write};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::attack::connect_from;
use super::harness::{Daemon, Response, Socket, masked, opcode::*};

const MAIN: &str = "/api/topics/main";

fn told(args: &[&str]) -> Daemon {
    Daemon::with(&[&["--log-format", "json", "--debounce", "0"], args].concat())
}

fn bearer(token: &str) -> (&'static str, String) {
    ("Authorization", format!("Bearer {token}"))
}

/// The first line that holds this, and its fields.
fn line(daemon: &Daemon, text: &str) -> Value {
    let line: Value = serde_json::from_str(&daemon.logged(text)).expect("a JSON line");
    line["fields"].clone()
}

fn of_address(daemon: &Daemon, last: u8) -> Value {
    line(daemon, &format!("\"address\":\"127.0.0.{last}\""))
}

fn metric(daemon: &Daemon, name: &str) -> u64 {
    value_of(&daemon.ask("GET", "/metrics", "").body, name)
}

fn value_of(metrics: &str, name: &str) -> u64 {
    let lines = metrics.lines();
    let mut values = lines.filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let value = values
        .next()
        .unwrap_or_else(|| panic!("no {name} in {metrics}"));
    value.parse().expect("a number")
}

fn refused(daemon: &Daemon, reason: &str) -> u64 {
    metric(
        daemon,
        &format!("onlooker_refused_total{{reason={reason:?}}}"),
    )
}

fn sent_away(daemon: &Daemon, reason: &str) -> u64 {
    let name = format!("onlooker_viewers_sent_away_total{{reason={reason:?}}}");
    metric(daemon, &name)
}

/// A refused request: who asks for what with which headers and body, and the status, reason and
/// a part of the detail that are told of it.
type Refused<'a> = (
    u8,
    (&'a str, &'a str, &'a [(&'a str, &'a str)], &'a str),
    (u16, &'a str, &'a str),
);

#[test]
fn a_refused_request_is_told_with_its_reason() {
    let daemon = told(&["--max-session", "1KiB"]);
    daemon.put(r#"{"config":{"speed":1}}"#);
    let (name, token) = bearer(&daemon.token);
    let host = (name, token.as_str());
    let long = "x".repeat(2000);
    let page = [("Origin", "http://evil.example")];
    let cases: [Refused; 10] = [
        (
            11,
            ("GET", "/", &page, ""),
            (403, "forbidden", "--allow-origin"),
        ),
        (12, ("PUT", MAIN, &[], "1"), (401, "token", "writing needs")),
        (
            13,
            ("PUT", MAIN, &[(name, "Bearer s3cret")], "1"),
            (401, "token", "wrong token"),
        ),
        (
            14,
            ("GET", "/api/topics/none", &[], ""),
            (404, "request", "no session"),
        ),
        (
            15,
            ("DELETE", "/api/status", &[host], ""),
            (405, "request", "does not fit"),
        ),
        (
            16,
            ("PUT", MAIN, &[host], &long),
            (413, "request", "--max-session"),
        ),
        (
            17,
            ("PUT", MAIN, &[host, ("Content-Type", "text/plain")], "1"),
            (415, "request", "text/plain"),
        ),
        (
            18,
            ("PUT", MAIN, &[host], r#"{"pin":1234,"pin":1}"#),
            (400, "request", "not JSON"),
        ),
        (
            19,
            (
                "PATCH",
                MAIN,
                &[host, ("Content-Type", "application/json-patch+json")],
                r#"[{"op":"test","path":"/data","value":"s3cret"}]"#,
            ),
            (422, "request", "cannot be applied"),
        ),
        (
            20,
            ("PUT", MAIN, &[host], r#"{"config":"s3cret"}"#),
            (422, "request", "not a session"),
        ),
    ];
    for (from, (method, path, headers, body), (status, reason, detail)) in cases {
        let tcp = connect_from([127, 0, 0, from], daemon.port);
        let answer = Response::to(tcp, method, path, headers, body);
        assert_eq!(answer.status, status, "{answer:?}");
        let line = of_address(&daemon, from);
        let message = json!("request refused");
        assert_eq!(line["message"], message, "{line}");
        assert_eq!(
            (&line["method"], &line["path"]),
            (&json!(method), &json!(path))
        );
        assert_eq!(
            (&line["status"], &line["reason"]),
            (&json!(status), &json!(reason))
        );
        let told = line["detail"].as_str().unwrap_or_default();
        assert!(told.contains(detail), "{line}");
    }
    assert_eq!(
        (refused(&daemon, "token"), refused(&daemon, "forbidden")),
        (2, 1)
    );
    assert_eq!(refused(&daemon, "request"), 7);
    assert_eq!(daemon.log_count("s3cret"), 0);
    assert_eq!(daemon.log_count("1234"), 0);
}

#[test]
fn a_refused_upgrade_or_message_is_told_too() {
    let daemon = told(&["--max-viewers", "1"]);
    daemon.put("1");
    let from = |last: u8| connect_from([127, 0, 0, last], daemon.port);
    let _first = Socket::open(from(11), "/", &[]);
    let full = Socket::try_open(from(12), "/", &[]).err();
    assert_eq!(full.map(|answer| answer.status), Some(503));
    assert_eq!(of_address(&daemon, 12)["reason"], json!("full"));
    for (last, path, status, detail) in [
        (13, "/?topic=s3cret", 404, "there is no such topic yet"),
        (14, "/none", 404, "there is no socket at /none"),
        (18, "/?topic=s3cret!", 400, "not a topic name"),
        (19, "/sync?topic=s3cret!", 400, "not a topic name"),
    ] {
        assert!(Socket::try_open(from(last), path, &[]).is_err());
        let line = of_address(&daemon, last);
        assert_eq!(
            (&line["status"], &line["reason"]),
            (&json!(status), &json!("request"))
        );
        let told = line["detail"].as_str().unwrap_or_default();
        assert!(told.starts_with(detail), "{line}");
    }
    let code = Response::to(from(20), "GET", "/qr.svg?topic=s3cret!", &[], "");
    assert_eq!(code.status, 400);
    let line = of_address(&daemon, 20);
    assert_eq!(line["detail"], json!("not a topic name"));
    let request = "GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n";
    assert_eq!(Response::to_raw(from(15), request.as_bytes()).status, 421);
    assert_eq!(of_address(&daemon, 15)["reason"], json!("host"));
    assert_eq!(
        Response::to_raw(from(16), b"\x16\x03\x01\r\n\r\n").status,
        400
    );
    assert_eq!(of_address(&daemon, 16)["reason"], json!("malformed"));
    let (name, token) = bearer(&daemon.token);
    let mut host = Socket::open(from(17), "/host", &[(name, &token)]);
    host.send(&masked(FIN | TEXT, br#"{"type":"s3cret"}"#));
    assert_eq!(host.json()["status"], json!(422));
    let line = of_address(&daemon, 17);
    assert_eq!(line["message"], json!("message refused"));
    assert_eq!(line["detail"], json!("JSON of the wrong shape"));
    assert_eq!(
        (&line["topic"], &line["status"]),
        (&json!("main"), &json!(422))
    );
    assert_eq!(daemon.log_count("s3cret"), 0);
}

#[test]
fn a_connection_without_an_answer_is_told() {
    let daemon = told(&["--max-per-address", "1"]);
    let from = |last: u8| connect_from([127, 0, 0, last], daemon.port);
    let _viewer = Socket::open(from(11), "/", &[]);
    assert_eq!(Response::to_raw(from(11), b"").status, 0);
    assert_eq!(of_address(&daemon, 11)["reason"], json!("address"));
    let mut oldest = from(12);
    let _newer = from(12);
    assert_eq!(oldest.read(&mut [0]).unwrap_or(0), 0, "it made room");
    assert_eq!(of_address(&daemon, 12)["reason"], json!("pending"));
    // Asked once: a second time, this address would have too many itself.
    let metrics = daemon.ask("GET", "/metrics", "").body;
    for reason in ["address", "pending"] {
        let name = format!("onlooker_refused_total{{reason={reason:?}}}");
        assert_eq!(value_of(&metrics, &name), 1, "{reason}");
    }
}

#[test]
fn what_nobody_has_to_know_is_not_told() {
    let daemon = told(&[]);
    let none = Response::to(daemon.connect(), "GET", "/readyz", &[], "");
    assert_eq!(none.status, 503);
    daemon.put("1");
    let (name, token) = bearer(&daemon.token);
    let stale = [(name, token.as_str()), ("If-Match", "\"1\"")];
    let put = Response::to(daemon.connect(), "PUT", MAIN, &stale, "2");
    assert_eq!(put.status, 412);
    let icon = Response::to(daemon.connect(), "GET", "/favicon.ico", &[], "");
    assert_eq!(icon.status, 404);
    drop(daemon.viewer());
    let last = Response::to(daemon.connect(), "GET", "/api/none", &[], "");
    assert_eq!(last.status, 404);
    assert_eq!(line(&daemon, "refused")["path"], json!("/api/none"));
    // That of who made the topic is the other one.
    assert_eq!(daemon.log_count("\"address\""), 2, "the viewer's either");
}

#[test]
fn a_flood_of_refusals_is_a_few_lines_and_one_that_counts_the_rest() {
    let mut daemon = told(&[]);
    let mut tcp = connect_from([127, 0, 0, 11], daemon.port);
    let request = "GET /api/none HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".repeat(999);
    tcp.write_all(request.as_bytes()).expect("it reads");
    let last = "GET /api/none HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n";
    assert_eq!(Response::to_raw(tcp, last.as_bytes()).status, 404);
    assert_eq!(refused(&daemon, "request"), 1000);
    let wrong = [("Authorization", "Bearer wrong")];
    for _ in 0..15 {
        let tcp = connect_from([127, 0, 0, 12], daemon.port);
        Response::to(tcp, "DELETE", MAIN, &wrong, "");
    }
    assert_eq!(line(&daemon, "locked_out")["status"], json!(429));
    assert_eq!(
        (refused(&daemon, "token"), refused(&daemon, "locked_out")),
        (10, 5)
    );
    assert_eq!(metric(&daemon, "onlooker_lock_outs_total"), 1);
    daemon.signal("TERM");
    assert!(daemon.exited().success());
    assert_eq!(
        line(&daemon, "\"more\":995")["address"],
        json!("127.0.0.11")
    );
    assert_eq!(line(&daemon, "\"more\":9}")["address"], json!("127.0.0.12"));
    assert_eq!(daemon.log_count("127.0.0.11"), 5 + 1);
    assert_eq!(
        daemon.log_count("127.0.0.12"),
        5 + 1 + 1,
        "and the lock-out"
    );
}

#[test]
fn who_is_sent_away_is_told_with_the_reason() {
    let daemon = told(&["--ping", "100ms"]);
    daemon.put("1");
    let from = |last: u8| connect_from([127, 0, 0, last], daemon.port);
    let mut flood = Socket::open(from(11), "/", &[]);
    flood.send(&masked(FIN | TEXT, b"x").repeat(200));
    let mut broken = Socket::open(from(12), "/", &[]);
    broken.send(&[FIN | TEXT, 0]);
    let _silent = Socket::open(from(13), "/", &[]);
    let _silent = Socket::open(from(14), "/sync", &[]);
    let mut reader = Socket::open(from(15), "/sync", &[]);
    reader.send(&masked(FIN | TEXT, b"x").repeat(200));
    for (last, reason) in [
        (11, "flood"),
        (12, "protocol"),
        (13, "silent"),
        (14, "silent"),
        (15, "flood"),
    ] {
        assert_eq!(of_address(&daemon, last)["reason"], json!(reason), "{last}");
    }
    let line = of_address(&daemon, 11);
    assert_eq!(
        (&line["topic"], &line["device"]),
        (&json!("main"), &json!("program"))
    );
    for (reason, count) in [("flood", 2), ("protocol", 1), ("silent", 2)] {
        assert_eq!(sent_away(&daemon, reason), count, "{reason}");
    }
}

#[test]
fn what_hosts_do_to_viewers_and_topics_is_told() {
    let daemon = told(&[]);
    daemon.put("1");
    let mut kicked = Socket::open(connect_from([127, 0, 0, 11], daemon.port), "/", &[]);
    kicked.json();
    let id = daemon.ask("GET", "/api/viewers", "").json()[0]["id"].to_string();
    assert_eq!(
        daemon
            .ask("DELETE", &format!("/api/viewers/{id}"), "")
            .status,
        204
    );
    assert_eq!(of_address(&daemon, 11)["reason"], json!("kicked"));
    assert_eq!(daemon.ask("PUT", "/api/topics/side", "1").status, 201);
    assert_eq!(daemon.ask("PUT", "/api/topics/side", "2").status, 200);
    let mut watching = daemon.socket("/?topic=side", &[]);
    watching.json();
    assert_eq!(daemon.ask("DELETE", "/api/topics/side", "").status, 204);
    assert_eq!(watching.close_code(), Some(4404));
    let made = |topic: &str| {
        let message = "topic created";
        assert_eq!(
            line(&daemon, &format!("{message}\",\"topic\":{topic:?}")),
            json!({"message": message, "topic": topic, "address": "127.0.0.1"})
        );
    };
    made("main");
    made("side");
    let gone = line(&daemon, "topic deleted");
    assert_eq!(
        (&gone["topic"], &gone["viewers"]),
        (&json!("side"), &json!(1))
    );
    assert_eq!(daemon.log_count("topic created"), 2);
    assert_eq!(
        (sent_away(&daemon, "kicked"), sent_away(&daemon, "deleted")),
        (1, 1)
    );
}

#[test]
fn a_host_and_a_reader_of_events_are_told_too_when_they_may_no_more() {
    let folder = tempfile::tempdir().expect("a directory");
    let file = folder.path().join("house.toml");
    let write = |name: &str| {
        let text = format!("host_token = \"host-{name}\"\nviewer_token = \"viewer-{name}\"");
        std::fs::write(&file, text).expect("written");
    };
    write("token-one");
    let daemon = told(&["--config", file.to_str().expect("text")]);
    let from = |last: u8| connect_from([127, 0, 0, last], daemon.port);
    let mut host = Socket::open(from(11), "/host?token=host-token-one", &[]);
    let mut reader = from(12);
    let request = "GET /sync?token=viewer-token-one HTTP/1.1\r\nHost: localhost\r\n\r\n";
    reader.write_all(request.as_bytes()).expect("it reads");
    reader.read_exact(&mut [0; 12]).expect("an answer");
    write("token-two");
    daemon.signal("HUP");
    assert_eq!(host.close_code(), Some(1008));
    for (last, message) in [
        (11, "host sent away: what let it in holds no more"),
        (
            12,
            "reader of /sync sent away: what let it in holds no more",
        ),
    ] {
        let line = of_address(&daemon, last);
        assert_eq!(line["message"], json!(message));
        assert_eq!(line["reason"], json!("revoked"));
    }
}

/// The names in a document's or an answer's lines.
fn names(text: &str) -> BTreeSet<&str> {
    let named = text.split(|c: char| !c.is_ascii_lowercase() && c != '_');
    named.filter(|word| word.starts_with("onlooker_")).collect()
}

#[test]
fn the_table_of_metrics_names_what_there_is() {
    let paper = include_str!("../../docs/protocol.md");
    let rows = paper.lines().filter_map(|line| {
        let (first, _) = line.strip_prefix("| `onlooker_")?.split_once(" | ")?;
        Some(names(&line[2..][..first.len() + 10]))
    });
    let documented: BTreeSet<&str> = rows.flatten().collect();
    let folder = tempfile::tempdir().expect("a directory");
    let store = folder.path().join("store.redb");
    let rooms = folder.path().join("rooms.toml");
    let channel = "[rooms.channels.todos]\ncolumns = { id = \"string\" }\n";
    std::fs::write(&rooms, format!("[rooms]\nparties = [\"main\"]\n{channel}")).expect("written");
    let [store, rooms] = [&store, &rooms].map(|path| path.to_str().expect("text"));
    // Nobody is there.
    let relay = "ws://127.0.0.1:9/?topic=away";
    let daemon = told(&["-", relay, "--store", store, "--config", rooms]);
    let clustered = told(&["--nats", "nats://127.0.0.1:9"]);
    let both = [&daemon, &clustered].map(|daemon| daemon.ask("GET", "/metrics", "").body);
    let metrics = both.concat();
    let named = metrics.lines().filter(|line| line.starts_with("# TYPE"));
    assert_eq!(documented, named.flat_map(names).collect());
}

#[test]
fn each_write_is_told_to_who_asks_and_no_value() {
    let daemon = Daemon::with(&["--log-format", "json", "--debounce", "60s", "-v"]);
    let (name, token) = bearer(&daemon.token);
    let mut host = daemon.socket("/host", &[(name, &token)]);
    let mut said = |text: &str| {
        host.send(&masked(FIN | TEXT, text.as_bytes()));
        host.json()
    };
    said(r#"{"type":"session_update","payload":{"data":"s3cret","config":{"speed":1,"on":true}}}"#);
    let ack = said(
        r#"{"type":"config_update","payload":{"speed":2.75,"on":false},"sourceId":"panel","deviceId":7}"#,
    );
    let line = line(&daemon, "\"panel\"");
    let expected = json!({
        "message": "write", "topic": "main", "address": "127.0.0.1", "source_id": "panel",
        "device_id": 7, "change": "fields", "size": 16, "fields": "speed,on", "status": 200,
        "revision": ack["revision"], "source": "panel (this machine)", "verdict": "waiting",
        "detail": "for a pause of 60s, 120s at most",
        "told": "main: speed, on from panel (this machine) · waiting for a pause of 60s, 120s at most",
    });
    assert_eq!(line, expected);
    let headers = |kind: &'static str, id: &'static str| {
        [
            (name, token.clone()),
            ("Content-Type", kind.into()),
            ("Onlooker-Source-Id", id.into()),
        ]
    };
    let patch = |kind, id, body: &str| {
        let headers = headers(kind, id);
        let headers: Vec<_> = headers
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        Response::to(daemon.connect(), "PATCH", MAIN, &headers, body);
        let line = self::line(&daemon, &format!("{id:?}"));
        (line["change"].clone(), line["status"].clone())
    };
    let merge = r#"{"metadata":{"pin":"s3cret"}}"#;
    assert_eq!(
        patch("application/json", "a", merge),
        (json!("merge patch"), json!(200))
    );
    let operations = r#"[{"op":"remove","path":"/data/s3cret"}]"#;
    assert_eq!(
        patch("application/json-patch+json", "b", operations),
        (json!("JSON Patch"), json!(422))
    );
    assert_eq!(daemon.log_count("s3cret"), 0);
    assert_eq!(daemon.log_count("\"message\":\"write\""), 4);
}

/// Shows a token in each way at one door, as somebody at 127.0.0.N for each way: each has lines.
fn knock(daemon: &Daemon, path: &str, token: &str, first: u8) {
    let query = format!("{path}?token={token}");
    let (name, value) = bearer(token);
    let encoded = URL_SAFE_NO_PAD.encode(token);
    let protocol = format!("onlooker.v1, onlooker.token.{encoded}");
    let offered = [("Sec-WebSocket-Protocol", protocol.as_str())];
    let shown = [(name, value.as_str())];
    let from = |way: u8| connect_from([127, 0, 0, first + way], daemon.port);
    for (path, headers) in [(path, &offered), (path, &shown), (&query, &shown)] {
        let _ = Socket::try_open(from(0), path, headers);
    }
    for (way, method) in (1..).zip(["PUT", "DELETE", "GET"]) {
        if (method, path) == ("GET", "/sync") {
            // Would be read to its end, which does not come.
            continue;
        }
        Response::to(from(way), method, path, &shown, "{");
        Response::to(from(way), method, &query, &[], token);
    }
}

#[test]
fn no_token_is_in_any_line_whatever_the_door() {
    let watch = "watch-0123456789abcdef";
    let doors = [
        "/",
        "/host",
        "/sync",
        "/none",
        "/api/topics",
        MAIN,
        "/api/none",
        "/metrics",
    ];
    for (door, format) in doors
        .iter()
        .flat_map(|door| [(door, "text"), (door, "json")])
    {
        let args = ["-vv", "--log-format", format, "--viewer-token", watch];
        let mut daemon = Daemon::with(&args);
        let host = daemon.token.clone();
        let tokens = [host.as_str(), watch, "wrong-0123456789abcdef"];
        let (name, value) = bearer(&host);
        let mut socket = daemon.socket("/host", &[(name, &value)]);
        for message in [
            format!("{{\"type\":{host:?}}}"),
            format!("{{\"type\":\"config_update\",\"payload\":{{\"a\":{host:?}}}}}"),
            format!("{{\"type\":\"broadcast\",\"text\":{host:?}}}"),
            host.clone(),
        ] {
            socket.send(&masked(FIN | TEXT, message.as_bytes()));
            socket.json();
        }
        drop(socket);
        for (token, first) in tokens.iter().zip([20, 30, 40]) {
            knock(&daemon, door, token, first);
        }
        daemon.signal("TERM");
        assert!(daemon.exited().success());
        assert_eq!(
            daemon.log_count("from other addresses"),
            0,
            "each had its line"
        );
        for told in [
            "request refused",
            "message refused",
            "from this machine",
            "stopping",
        ] {
            daemon.logged(told);
        }
        for token in tokens {
            assert_eq!(daemon.log_count(token), 0, "{door}: {token}");
            let encoded = URL_SAFE_NO_PAD.encode(token);
            assert_eq!(daemon.log_count(&encoded), 0, "{door}: {token}");
        }
    }
}
