//! The host socket: what a host writes is answered in order, and a mistake of its own does not
//! end the connection.

use std::io::{ErrorKind, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use super::harness::{Daemon, Socket, masked, opcode::*};

/// A host of the default topic.
fn host(daemon: &Daemon) -> Socket {
    host_of(daemon, "main")
}

fn host_of(daemon: &Daemon, topic: &str) -> Socket {
    let token = format!("Bearer {}", daemon.token);
    daemon.socket(
        &format!("/host?topic={topic}"),
        &[("Authorization", &token)],
    )
}

/// Sends one message and returns its answer.
fn tell(host: &mut Socket, message: &str) -> Value {
    host.send(&masked(FIN | TEXT, message.as_bytes()));
    host.json()
}

#[track_caller]
fn acknowledged(answer: &Value) -> u64 {
    assert_eq!(answer["type"], json!("ack"), "{answer}");
    answer["revision"]
        .as_str()
        .and_then(|text| text.parse().ok())
        .expect("a revision in a string")
}

const SESSION: &str =
    r#"{"type":"session_update","payload":{"name":"Demo","data":[1],"config":{"speed":1}},"id":1}"#;

#[test]
fn it_speaks_the_viewers_vocabulary() {
    let daemon = Daemon::with(&["--debounce", "0ms"]);
    let mut viewer = daemon.viewer();
    let mut host = host(&daemon);
    let answer = tell(&mut host, SESSION);
    assert_eq!(answer["id"], json!(1));
    let first = acknowledged(&answer);
    let frame = viewer.json();
    assert_eq!(
        (&frame["revision"], &frame["payload"]["name"]),
        (&json!(first.to_string()), &json!("Demo"))
    );
    let update = r#"{"type":"config_update","payload":{"speed":1.50},"id":"two","sourceId":"panel","deviceId":7,"localRevision":3}"#;
    let answer = tell(&mut host, update);
    assert_eq!(answer["id"], json!("two"), "an id is any JSON");
    let second = acknowledged(&answer);
    assert!(second > first);
    let expected = format!(
        r#"{{"type":"config_update","topic":"main","revision":"{second}","payload":{{"speed":1.50}},"origins":{{"speed":{{"revision":{second},"sourceId":"panel","deviceId":7,"localRevision":3}}}}}}"#
    );
    assert_eq!(viewer.text(), Some(expected));
    let answer = tell(
        &mut host,
        r#"{"type":"broadcast","text":"any {text","id":3}"#,
    );
    assert_eq!(answer, json!({"type": "ack", "id": 3}));
    assert_eq!(viewer.text().as_deref(), Some("any {text"));
    let answer = tell(
        &mut host,
        r#"{"type":"config_update","payload":{"speed":null}}"#,
    );
    assert_eq!(
        answer["id"],
        json!(null),
        "without an id the answer has none"
    );
    assert_eq!(
        viewer.json()["payload"]["config"],
        json!({}),
        "null removes"
    );
}

#[test]
fn a_topic_is_there_as_soon_as_its_host_is() {
    let daemon = Daemon::with(&["--debounce", "0ms"]);
    let mut host = host_of(&daemon, "stage");
    let mut viewer = daemon.socket("/?topic=stage", &[]);
    acknowledged(&tell(
        &mut host,
        r#"{"type":"session_update","payload":[7]}"#,
    ));
    let frame = viewer.json();
    assert_eq!(
        (&frame["topic"], &frame["payload"]["name"]),
        (&json!("stage"), &json!("stage"))
    );
    assert_eq!(frame["payload"]["data"], json!([7]));
}

#[test]
fn no_error_ends_the_connection() {
    let daemon = Daemon::start();
    let mut host = host(&daemon);
    let first = acknowledged(&tell(&mut host, SESSION));
    let bad = [
        ("{\n\"type\": nul }", 400, "line 2"),
        ("", 400, "line 1"),
        ("[]", 422, "\"type\" is missing"),
        ("7", 422, "\"type\" is missing"),
        (r#"{"payload":{}}"#, 422, "\"type\" is missing"),
        (
            r#"{"type":"dance"}"#,
            422,
            "unknown type \"dance\": expected session_update, config_update or broadcast",
        ),
        (r#"{"type":["ack"]}"#, 422, "unknown type"),
        (
            r#"{"type":"session_update"}"#,
            422,
            "\"payload\" is missing",
        ),
        (
            r#"{"type":"session_update","payload":{"data":1,"config":7}}"#,
            422,
            "payload.config: expected an object, got number",
        ),
        (
            r#"{"type":"config_update","payload":[1]}"#,
            422,
            "payload: expected an object of fields, got array",
        ),
        (
            r#"{"type":"broadcast","text":{}}"#,
            422,
            "text: expected a string, got object",
        ),
        (
            r#"{"type":"config_update","payload":{},"sourceId":7}"#,
            422,
            "sourceId: expected a string",
        ),
        (
            r#"{"type":"config_update","payload":{},"deviceId":"7"}"#,
            422,
            "deviceId: expected an integer",
        ),
        (
            r#"{"type":"config_update","payload":{},"localRevision":1.5}"#,
            422,
            "localRevision: expected an integer",
        ),
    ];
    for (message, status, detail) in bad {
        let answer = tell(&mut host, message);
        assert_eq!(
            (&answer["type"], &answer["status"]),
            (&json!("error"), &json!(status)),
            "{message}: {answer}"
        );
        let got = answer["detail"].as_str().unwrap();
        assert!(got.contains(detail), "{detail:?} is not in {got:?}");
    }
    let answer = tell(&mut host, r#"{"type":"dance","id":{"any":[1.50]}}"#);
    assert_eq!(answer["id"].to_string(), r#"{"any":[1.50]}"#);
    host.send(&masked(FIN | BINARY, SESSION.as_bytes()));
    assert_eq!(host.json()["status"], json!(415));
    host.send(&masked(FIN | PING, b"still here"));
    assert_eq!(host.frame().unwrap().payload, b"still here");
    let same = tell(&mut host, SESSION);
    assert_eq!(acknowledged(&same), first, "and nothing has changed");
}

#[test]
fn refused_fields_are_named() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("onlooker.toml");
    std::fs::write(
        &path,
        "[fields]\nspeed = { type = \"number\", max = 5 }\non = \"boolean\"\n",
    )
    .unwrap();
    let daemon = Daemon::with(&["--config", path.to_str().unwrap()]);
    let mut host = host(&daemon);
    acknowledged(&tell(&mut host, SESSION));
    let answer = tell(
        &mut host,
        r#"{"type":"config_update","payload":{"speed":9,"on":1,"free":2},"id":4}"#,
    );
    assert_eq!(
        answer,
        json!({"type": "error", "id": 4, "status": 422, "detail": answer["detail"], "errors": [
            {"field": "speed", "expected": "number of at most 5", "got": "9"},
            {"field": "on", "expected": "boolean", "got": "1"},
        ]})
    );
    acknowledged(&tell(
        &mut host,
        r#"{"type":"config_update","payload":{"speed":5,"free":2},"id":5}"#,
    ));
}

#[test]
fn answers_come_in_the_order_of_the_messages() {
    let daemon = Daemon::start();
    let mut host = host(&daemon);
    acknowledged(&tell(&mut host, SESSION));
    let message = |id: usize| match id % 3 {
        0 => format!(r#"{{"type":"config_update","payload":{{"speed":{id}}},"id":{id}}}"#),
        1 => format!(r#"{{"type":"broadcast","text":"{id}","id":{id}}}"#),
        _ => format!(r#"{{"type":"dance","id":{id}}}"#),
    };
    let all: Vec<u8> = (0..3000)
        .flat_map(|id| masked(FIN | TEXT, message(id).as_bytes()))
        .collect();
    host.send(&all);
    for id in 0..3000 {
        let answer = host.json();
        let kind = if id % 3 == 2 { "error" } else { "ack" };
        assert_eq!((&answer["id"], &answer["type"]), (&json!(id), &json!(kind)));
    }
}

#[test]
fn messages_may_come_in_pieces() {
    let daemon = Daemon::start();
    let mut host = host(&daemon);
    let (first, rest) = SESSION.as_bytes().split_at(20);
    let (second, third) = rest.split_at(1);
    host.send(&masked(TEXT, first));
    host.send(&masked(CONTINUE, second));
    host.send(&masked(FIN | PING, b"between"));
    host.send(&masked(FIN | CONTINUE, third));
    assert_eq!(host.frame().unwrap().payload, b"between");
    acknowledged(&host.json());
}

#[test]
fn what_is_too_large_is_refused_by_name() {
    let daemon = Daemon::with(&["--max-session", "100KiB"]);
    let mut host = host(&daemon);
    let of = |length: usize| {
        let filler = "x".repeat(length);
        format!(r#"{{"type":"session_update","payload":{{"data":"{filler}"}},"id":1}}"#)
    };
    let refused = |answer: &Value| {
        assert_eq!(answer["status"], json!(413), "{answer}");
        let detail = answer["detail"].as_str().unwrap();
        assert!(detail.contains("102400 bytes (--max-session)"), "{detail}");
    };
    refused(&tell(&mut host, &of(110_000)));
    acknowledged(&tell(&mut host, &of(90_000)));
    // The rest of a message that is longer than any session is not even read: this is the one
    // error that closes.
    refused(&tell(&mut host, &of(400_000)));
    assert_eq!(host.close_code(), Some(1009));
}

#[test]
fn what_is_no_frame_is_closed_with_its_code() {
    let daemon = Daemon::start();
    let mut unmasked = host(&daemon);
    unmasked.send(b"\x81\x02{}");
    assert_eq!(unmasked.close_code(), Some(1002));
    let mut not_text = host(&daemon);
    not_text.send(&masked(FIN | TEXT, b"\xff"));
    assert_eq!(not_text.close_code(), Some(1007));
}

#[test]
fn two_hosts_may_write() {
    let daemon = Daemon::with(&["--debounce", "0ms"]);
    let (mut first, mut second) = (host(&daemon), host(&daemon));
    let mut last = acknowledged(&tell(&mut first, SESSION));
    for value in 0..100 {
        let update = format!(r#"{{"type":"config_update","payload":{{"speed":{value}}}}}"#);
        let writer = if value % 2 == 0 {
            &mut first
        } else {
            &mut second
        };
        let revision = acknowledged(&tell(writer, &update));
        assert!(revision >= last);
        last = revision;
    }
    let state = daemon.ask("GET", "/api/topics/main", "").json();
    assert_eq!(state["data"]["config"]["speed"], json!(99));
    assert_eq!(state["revision"], json!(last.to_string()));
}

#[test]
fn stopping_says_goodbye() {
    let mut daemon = Daemon::start();
    let mut host = host(&daemon);
    acknowledged(&tell(&mut host, SESSION));
    daemon.signal("TERM");
    assert_eq!(host.close_code(), Some(1001));
    assert!(daemon.exited().success());
}

/// A daemon that does not ping: a pong would get between the bytes of the writing thread.
fn quiet() -> Daemon {
    Daemon::with(&["--debounce", "20ms", "--ping", "1h"])
}

/// A host's connection for a thread that writes, and a socket that reads its answers.
fn split(daemon: &Daemon) -> (TcpStream, Socket) {
    let tcp = daemon.connect();
    let writer = tcp.try_clone().unwrap();
    let token = format!("Bearer {}", daemon.token);
    (
        writer,
        Socket::open(tcp, "/host", &[("Authorization", &token)]),
    )
}

/// Room for what an allocator holds on to.
const SLACK: u64 = 24 << 20;

#[test]
fn a_flood_is_answered_whole_and_costs_no_memory() {
    const UPDATES: usize = 100_000;
    let daemon = quiet();
    let (mut writer, mut host) = split(&daemon);
    acknowledged(&tell(&mut host, SESSION));
    let before = daemon.memory();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for chunk in (1..=UPDATES).collect::<Vec<_>>().chunks(500) {
                let update = |id: &usize| {
                    let text = format!(
                        r#"{{"type":"config_update","payload":{{"speed":{id}}},"id":{id}}}"#
                    );
                    masked(FIN | TEXT, text.as_bytes())
                };
                let bytes: Vec<u8> = chunk.iter().flat_map(update).collect();
                writer.write_all(&bytes).expect("it reads");
            }
        });
        let mut last = 0;
        for id in 1..=UPDATES {
            let answer = host.json();
            assert_eq!(answer["id"], json!(id));
            let revision = acknowledged(&answer);
            assert!(revision > last, "{revision} after {last}");
            last = revision;
            if id % 10_000 == 0 {
                let grown = daemon.memory().saturating_sub(before);
                assert!(grown < SLACK, "{grown} bytes more after {id} updates");
            }
        }
    });
    assert_eq!(
        daemon.viewer().json()["payload"]["config"]["speed"],
        json!(UPDATES)
    );
}

/// Writes until the daemon takes no more, or all is written; tells how much was written.
fn write_until_stuck(tcp: &mut TcpStream, bytes: &[u8]) -> usize {
    tcp.set_write_timeout(Some(Duration::from_millis(500)))
        .unwrap();
    let mut written = 0;
    while written < bytes.len() {
        match tcp.write(&bytes[written..]) {
            Ok(count) => written += count,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                break;
            }
            Err(error) => panic!("{error}"),
        }
    }
    written
}

/// Messages whose answers are as large as they are.
fn heavy(count: usize) -> Vec<u8> {
    let filler = "i".repeat(60_000);
    let message = |id: usize| {
        let text =
            format!(r#"{{"type":"config_update","payload":{{"speed":{id}}},"id":"{id}{filler}"}}"#);
        masked(FIN | TEXT, text.as_bytes())
    };
    (1..=count).flat_map(message).collect()
}

#[test]
fn a_host_that_does_not_read_waits() {
    const UPDATES: usize = 800;
    let daemon = quiet();
    let (mut writer, mut host) = split(&daemon);
    acknowledged(&tell(&mut host, SESSION));
    let before = daemon.memory();
    let flood = heavy(UPDATES);
    let written = write_until_stuck(&mut writer, &flood);
    assert!(
        written < flood.len(),
        "48 MB were taken and none of the answers read"
    );
    let grown = daemon.memory().saturating_sub(before);
    assert!(grown < SLACK, "{grown} bytes were kept for it");
    writer.set_write_timeout(None).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| writer.write_all(&flood[written..]).expect("it reads again"));
        for id in 1..=UPDATES {
            let answer = host.text().expect("an answer");
            let expected = format!("{{\"type\":\"ack\",\"id\":\"{id}i");
            assert!(answer.starts_with(&expected), "{}", &answer[..80]);
        }
    });
}

#[test]
fn a_host_that_does_not_read_delays_no_stop() {
    let mut daemon = quiet();
    let (mut writer, mut host) = split(&daemon);
    acknowledged(&tell(&mut host, SESSION));
    let flood = heavy(800);
    assert!(write_until_stuck(&mut writer, &flood) < flood.len());
    daemon.signal("TERM");
    assert!(daemon.exited().success());
    assert_eq!(daemon.log_count("did not end in time"), 0);
}
