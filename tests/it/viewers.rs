//! What viewers are promised: the state at once, then only what changed, and in the end exactly
//! what the host has.

use std::collections::BTreeSet;
use std::sync::Mutex;

use serde_json::{Value, json};

use super::harness::{Daemon, Response, Socket, masked, opcode::*};

fn demo(daemon: &Daemon, speed: i64) -> u64 {
    daemon.put(&format!(
        "{{\"name\":\"Demo\",\"data\":[1],\"config\":{{\"speed\":{speed},\"color\":\"red\"}}}}"
    ))
}

fn set(daemon: &Daemon, field: &str, value: &str) -> Response {
    daemon.ask(
        "PUT",
        &format!("/api/topics/main/config/{field}"),
        &format!("{{\"value\":{value}}}"),
    )
}

fn revision(frame: &Value) -> u64 {
    frame["revision"]
        .as_str()
        .and_then(|text| text.parse().ok())
        .expect("a revision in a string")
}

/// A viewer that has been sent the present session.
fn settled(daemon: &Daemon) -> Socket {
    let mut viewer = daemon.viewer();
    assert_eq!(viewer.json()["type"], json!("session_update"));
    viewer
}

#[test]
fn the_frames_are_exactly_these() {
    let daemon = Daemon::start();
    let first =
        daemon.put("{\"name\":\"Demo\",\"data\":{},\"config\":{\"speed\":1},\"metadata\":{}}");
    let mut viewer = daemon.viewer();
    let expected = format!(
        r#"{{"type":"session_update","topic":"main","revision":"{first}","payload":{{"name":"Demo","data":{{}},"config":{{"speed":1}},"metadata":{{}}}}}}"#
    );
    assert_eq!(viewer.text(), Some(expected));
    let second = set(&daemon, "speed", "1.5").json()["serverRevision"].clone();
    let expected = format!(
        r#"{{"type":"config_update","topic":"main","revision":"{second}","payload":{{"speed":1.5}}}}"#
    );
    assert_eq!(viewer.text(), Some(expected));
}

#[test]
fn a_newcomer_disturbs_nobody() {
    let daemon = Daemon::start();
    demo(&daemon, 1);
    let mut first = settled(&daemon);
    let mut second = settled(&daemon);
    let _third = settled(&daemon);
    set(&daemon, "speed", "2");
    assert_eq!(
        first.json()["payload"],
        json!({"speed": 2}),
        "the next frame after its own snapshot"
    );
    assert_eq!(second.json()["payload"], json!({"speed": 2}));
}

#[test]
fn a_viewer_may_come_before_the_state() {
    let daemon = Daemon::start();
    let mut viewer = daemon.viewer();
    demo(&daemon, 1);
    assert_eq!(viewer.json()["payload"]["name"], json!("Demo"));
}

#[test]
fn numbers_reach_viewers_to_the_digit() {
    let daemon = Daemon::start();
    let data =
        r#"{"z":[18446744073709551616,-0,1E+2,1.50,0.1e-7,1e400],"a":"é\u00e9","\u006b":null}"#;
    daemon.put(&format!("{{\"data\":{data},\"config\":{{\"n\":1.0}}}}"));
    let mut viewer = daemon.viewer();
    assert!(viewer.text().unwrap().contains(data));
    set(&daemon, "n", "123456789012345678901234567890.10");
    assert!(
        viewer
            .text()
            .unwrap()
            .contains(r#""payload":{"n":123456789012345678901234567890.10}"#)
    );
    let response = daemon.ask("GET", "/api/topics/main", "");
    assert!(response.body.contains(data), "{}", response.body);
}

#[test]
fn what_changes_back_or_not_at_all_is_not_sent() {
    let daemon = Daemon::with(&["--debounce", "250ms"]);
    demo(&daemon, 1);
    let mut viewer = settled(&daemon);
    // The snapshot may have come before the first flush, which is then skipped.
    set(&daemon, "speed", "1");
    demo(&daemon, 1);
    set(&daemon, "speed", "2");
    set(&daemon, "color", "\"blue\"");
    set(&daemon, "color", "\"red\"");
    let frame = viewer.json();
    assert_eq!(
        (&frame["type"], &frame["payload"]["speed"]),
        (&json!("config_update"), &json!(2))
    );
}

#[test]
fn structural_changes_send_everything() {
    let daemon = Daemon::start();
    demo(&daemon, 1);
    let mut viewer = settled(&daemon);
    let bodies = [
        ("a new field", r#"{"config":{"more":1}}"#),
        ("a removed field", r#"{"config":{"more":null}}"#),
        ("another type", r#"{"config":{"speed":"fast"}}"#),
        ("data", r#"{"data":[2]}"#),
        ("the name", r#"{"name":"Other"}"#),
        ("metadata", r#"{"metadata":{"by":"me"}}"#),
    ];
    for (what, patch) in bodies {
        assert_eq!(
            daemon.ask("PATCH", "/api/topics/main", patch).status,
            200,
            "{what}"
        );
        assert_eq!(viewer.json()["type"], json!("session_update"), "{what}");
    }
}

#[test]
fn revisions_grow() {
    let daemon = Daemon::start();
    let mut last = demo(&daemon, 0);
    let mut viewer = settled(&daemon);
    for speed in 1..20 {
        set(&daemon, "speed", &speed.to_string());
        let frame = viewer.json();
        assert!(revision(&frame) > last, "{frame} after {last}");
        last = revision(&frame);
    }
}

#[test]
fn resuming_sends_what_was_missed() {
    let daemon = Daemon::start();
    let structural = demo(&daemon, 1);
    set(&daemon, "speed", "2");
    let now = set(&daemon, "color", "\"blue\"").json()["serverRevision"]
        .as_u64()
        .unwrap();
    let mut missed = daemon.socket(&format!("/?since={structural}"), &[]);
    let frame = missed.json();
    assert_eq!(frame["type"], json!("config_update"));
    assert_eq!(frame["payload"], json!({"speed": 2, "color": "blue"}));
    let mut older = daemon.socket(&format!("/?since={}", structural - 1), &[]);
    assert_eq!(older.json()["type"], json!("session_update"));
    let mut current = daemon.socket(&format!("/?since={now}"), &[]);
    current.send(&masked(FIN | PING, b"joined"));
    assert_eq!(
        current.frame().unwrap().payload,
        b"joined",
        "nothing before the pong"
    );
    set(&daemon, "speed", "3");
    assert_eq!(current.json()["payload"], json!({"speed": 3}));
}

#[test]
fn topics_are_apart() {
    let daemon = Daemon::start();
    demo(&daemon, 1);
    assert_eq!(
        daemon
            .ask("PUT", "/api/topics/stage", "{\"data\":\"stage\"}")
            .status,
        201
    );
    let mut main = settled(&daemon);
    let mut stage = daemon.socket("/?topic=stage", &[]);
    assert_eq!(stage.json()["topic"], json!("stage"));
    daemon.ask("PUT", "/api/topics/stage", "{\"data\":\"other\"}");
    assert_eq!(stage.json()["payload"]["data"], json!("other"));
    set(&daemon, "speed", "2");
    assert_eq!(main.json()["payload"], json!({"speed": 2}));
    assert_eq!(daemon.ask("DELETE", "/api/topics/stage", "").status, 204);
    assert_eq!(stage.close_code(), Some(4404));
}

#[test]
fn a_broadcast_is_verbatim() {
    let daemon = Daemon::start();
    demo(&daemon, 1);
    let mut viewer = settled(&daemon);
    let response = daemon.ask("POST", "/api/topics/main/broadcast", "any text: {é}");
    assert_eq!(response.json(), json!({"viewers": 1}));
    assert_eq!(viewer.text().as_deref(), Some("any text: {é}"));
}

#[test]
fn what_a_viewer_says_changes_nothing() {
    let daemon = Daemon::start();
    demo(&daemon, 1);
    let mut viewer = settled(&daemon);
    viewer.send(&masked(
        FIN | TEXT,
        br#"{"type":"config_update","payload":{"speed":9}}"#,
    ));
    viewer.send(&masked(
        FIN | TEXT,
        br#"{"type":"session_update","payload":{"data":[9]}}"#,
    ));
    viewer.send(&masked(FIN | PING, b"read"));
    assert_eq!(viewer.frame().unwrap().payload, b"read");
    let state = daemon.ask("GET", "/api/topics/main", "").json();
    assert_eq!(
        (&state["data"]["config"]["speed"], &state["data"]["data"]),
        (&json!(1), &json!([1]))
    );
}

#[test]
fn racing_writers_get_distinct_growing_revisions() {
    let daemon = Daemon::start();
    demo(&daemon, 0);
    let mut viewer = settled(&daemon);
    let written = Mutex::new(BTreeSet::new());
    std::thread::scope(|scope| {
        for writer in 0..8 {
            let (daemon, written) = (&daemon, &written);
            scope.spawn(move || {
                let mut last = 0;
                for count in 1..=125 {
                    let value = writer * 1000 + count;
                    let answer = set(daemon, "speed", &value.to_string()).json();
                    let revision = answer["serverRevision"].as_u64().expect("a revision");
                    assert!(revision > last);
                    last = revision;
                    assert!(written.lock().unwrap().insert((revision, value)));
                }
            });
        }
    });
    let written = written.into_inner().unwrap();
    let revisions: BTreeSet<u64> = written.iter().map(|(revision, _)| *revision).collect();
    assert_eq!(revisions.len(), 1000);
    let (last, value) = written.last().unwrap();
    let frame = std::iter::repeat_with(|| viewer.json())
        .find(|frame| revision(frame) == *last)
        .unwrap();
    assert_eq!(frame["payload"], json!({ "speed": value }));
}

#[test]
fn a_slow_viewer_ends_on_the_last_state() {
    let daemon = Daemon::with(&["--debounce", "0ms"]);
    demo(&daemon, 0);
    let mut slow = daemon.viewer();
    let mut quick = settled(&daemon);
    let filler = "x".repeat(400_000);
    for count in 1..=120 {
        daemon.put(&format!(
            "{{\"data\":{{\"count\":{count},\"filler\":\"{filler}\"}}}}"
        ));
        assert_eq!(
            quick.json()["payload"]["data"]["count"],
            json!(count),
            "nobody waits for the slow one"
        );
    }
    let mut frames = 0;
    let last = std::iter::repeat_with(|| slow.json()).inspect(|_| frames += 1);
    let last = last
        .map(|frame| frame["payload"]["data"]["count"].clone())
        .find(|count| *count == json!(120));
    assert_eq!(last, Some(json!(120)));
    assert!(frames < 120, "{frames} frames were kept for it");
}

#[test]
fn the_count_of_viewers_is_exact() {
    let daemon = Daemon::start();
    demo(&daemon, 1);
    let count = || {
        daemon.ask("GET", "/api/status", "").json()["clientCount"]
            .as_u64()
            .expect("a count")
    };
    let mut viewers: Vec<Socket> = (0..20).map(|_| settled(&daemon)).collect();
    assert_eq!(count(), 20);
    viewers.drain(..10).for_each(Socket::abort);
    let deadline = std::time::Instant::now() + super::harness::LIMIT;
    while count() != 10 {
        assert!(std::time::Instant::now() < deadline, "{} viewers", count());
    }
    for viewer in &mut viewers {
        viewer.send(&masked(FIN | CLOSE, &1000_u16.to_be_bytes()));
        assert_eq!(viewer.close_code(), Some(1000));
    }
    while count() != 0 {
        assert!(std::time::Instant::now() < deadline, "{} viewers", count());
    }
}

#[test]
fn more_viewers_than_allowed_are_sent_away() {
    let daemon = Daemon::with(&["--max-viewers", "2"]);
    let _two = [daemon.viewer(), daemon.viewer()];
    let refused = Socket::try_open(daemon.connect(), "/", &[])
        .err()
        .expect("no third one");
    assert_eq!(refused.status, 503);
    assert!(refused.header("retry-after").is_some());
}

#[test]
fn pings_keep_a_viewer_and_silence_loses_it() {
    let daemon = Daemon::with(&["--ping", "100ms"]);
    let (mut silent, mut polite) = (daemon.viewer(), daemon.viewer());
    for _ in 0..5 {
        let ping = polite.frame().expect("a ping");
        assert_eq!(ping.first, FIN | PING);
        polite.send(&masked(FIN | PONG, &ping.payload));
    }
    let mut pings = 0;
    while silent.frame().is_some() {
        pings += 1;
    }
    assert_eq!(pings, 2, "gone after two unanswered");
    assert!(polite.frame().is_some());
}

#[cfg(unix)]
#[test]
fn stopping_flushes_and_says_goodbye() {
    let mut daemon = Daemon::with(&["--debounce", "30s"]);
    demo(&daemon, 1);
    let mut viewer = settled(&daemon);
    set(&daemon, "speed", "2");
    daemon.signal("TERM");
    assert_eq!(
        viewer.json()["payload"]["speed"],
        json!(2),
        "what the debounce held"
    );
    assert_eq!(viewer.close_code(), Some(1001));
    assert_eq!(daemon.exited().code(), Some(0));
}

#[test]
fn our_own_clients_hear_more() {
    let daemon = Daemon::start();
    demo(&daemon, 1);
    let mut viewer = daemon.socket("/", &[("Sec-WebSocket-Protocol", "onlooker.v1")]);
    assert_eq!(
        viewer.upgrade.header("sec-websocket-protocol"),
        Some("onlooker.v1")
    );
    let hello = viewer.json();
    assert_eq!(
        (&hello["type"], &hello["resumed"], &hello["protocol"]),
        (&json!("hello"), &json!("snapshot"), &json!(1))
    );
    assert_eq!(viewer.json()["type"], json!("session_update"));
}

/// No outdated state waits in the kernel.
#[cfg(target_os = "linux")]
#[test]
fn a_viewer_that_did_not_read_is_sent_the_newest_next() {
    let daemon = Daemon::with(&["--debounce", "0", "-v"]);
    use std::net::{Ipv4Addr, SocketAddr};
    let raw = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    raw.set_recv_buffer_size(16 * 1024).unwrap();
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, daemon.port));
    raw.connect(&address.into()).unwrap();
    raw.set_read_timeout(Some(crate::harness::LIMIT)).unwrap();
    daemon.put("0");
    let mut slow = Socket::open(raw.into(), "/", &[]);
    slow.json();
    // One for each core, so that one of them belongs to the slow viewer's shard and comes after it.
    let cores = std::thread::available_parallelism().unwrap().get();
    let mut others: Vec<Socket> = (0..cores).map(|_| settled(&daemon)).collect();
    for count in 1..=20 {
        daemon.put(&format!("[{count},\"{}\"]", "x".repeat(50_000)));
        others.iter_mut().for_each(|viewer| _ = viewer.json());
    }
    let why = daemon.logged("viewer is slow");
    assert!(why.contains("it has not taken the last frame yet"), "{why}");
    let behind = || {
        let told = daemon.ask("GET", "/api/topics/main/changes", "").json();
        [told[0]["viewers"].clone(), told[0]["behind"].clone()]
    };
    assert_eq!(behind(), [json!(cores + 1), json!(1)]);
    let mut number = || slow.json()["payload"]["data"][0].clone();
    assert_eq!([number(), number()], [json!(1), json!(20)]);
    let caught_up = daemon.logged("viewer has caught up");
    assert!(caught_up.contains("by=\"snapshot\""), "{caught_up}");
    assert_eq!(behind(), [json!(cores + 1), json!(0)]);
}

#[test]
fn the_log_tells_of_viewers_and_flushes_when_asked() {
    let daemon = Daemon::with(&["--debounce", "0", "-vv"]);
    demo(&daemon, 1);
    let viewer = settled(&daemon);
    let joined = daemon.logged("viewer joined");
    assert!(joined.contains("resumed=\"snapshot\""), "{joined}");
    let revision = set(&daemon, "speed", "2").json()["serverRevision"].clone();
    let flush = daemon.logged(&format!("to={revision} "));
    assert!(flush.contains("flush topic=main from="), "{flush}");
    assert!(flush.contains("viewers=1"), "{flush}");
    drop(viewer);
    let left = daemon.logged("viewer left");
    assert!(left.contains("why=\"disconnected\""), "{left}");
}
