//! Who counts as a viewer, and what a host may do with those who watch.

use serde_json::{Value, json};

use super::harness::{Daemon, Frame, Response, Socket, masked, opcode::*};

const OWN: (&str, &str) = ("Sec-WebSocket-Protocol", "onlooker.v1");

fn frame(socket: &mut Socket, kind: &str) -> Value {
    let mut frames = std::iter::repeat_with(|| socket.json());
    let found = frames.find(|frame| frame["type"] == json!(kind));
    found.expect("sockets end with a panic")
}

fn ask(daemon: &Daemon, method: &str, path: &str) -> Response {
    daemon.ask(method, path, "")
}

fn count(daemon: &Daemon) -> (Value, usize) {
    let status = ask(daemon, "GET", "/api/status").json();
    let list = ask(daemon, "GET", "/api/viewers").json();
    let listed = list.as_array().expect("a list").len();
    (status["clientCount"].clone(), listed)
}

#[test]
fn a_newer_connection_takes_the_place_of_the_viewers_own() {
    let daemon = Daemon::start();
    daemon.put("1");
    let mut old = daemon.socket("/?id=tab-1", &[OWN]);
    frame(&mut old, "session_update");
    let mut new = daemon.socket("/?id=tab-1", &[OWN]);
    let bye = frame(&mut old, "bye");
    assert_eq!(bye["reason"], json!("replaced"));
    assert_eq!(bye["retryAfterMs"], json!(0));
    // It has not been closed yet, and counts no more.
    assert_eq!(count(&daemon), (json!(1), 1));
    assert_eq!(old.close_code(), Some(4409));
    frame(&mut new, "session_update");
    daemon.put("2");
    assert_eq!(
        frame(&mut new, "session_update")["payload"]["data"],
        json!(2)
    );
}

#[test]
fn other_viewers_are_not_replaced() {
    let daemon = Daemon::start();
    daemon.put("1");
    assert_eq!(daemon.ask("PUT", "/api/topics/side", "1").status, 201);
    let long = format!("/?id={}", "x".repeat(65));
    let queries = [
        "/?id=tab-1",
        "/?id=tab-2",
        "/?topic=side&id=tab-1",
        "/",
        "/",
        "/?id=",
        "/?id=",
        "/?id=a.b",
        "/?id=a.b",
        &long,
        &long,
    ];
    let mut viewers = queries.map(|query| daemon.socket(query, &[]));
    for viewer in &mut viewers {
        frame(viewer, "session_update");
    }
    assert_eq!(count(&daemon), (json!(queries.len()), queries.len()));
}

#[test]
fn a_host_that_looks_on_is_no_viewer() {
    let daemon = Daemon::start();
    daemon.put("1");
    let token = format!("Bearer {}", daemon.token);
    let mut panel = daemon.socket("/?panel=1", &[("Authorization", &token)]);
    frame(&mut panel, "session_update");
    assert_eq!(count(&daemon), (json!(0), 0));
    // Nobody else can hide.
    let mut stranger = daemon.socket("/?panel=1", &[]);
    frame(&mut stranger, "session_update");
    assert_eq!(count(&daemon), (json!(1), 1));
    let sent = daemon.ask("POST", "/api/topics/main/broadcast", "hello");
    assert_eq!(sent.json(), json!({"viewers": 1}));
    assert_eq!(panel.text().as_deref(), Some("hello"));
}

#[test]
fn viewers_are_frozen_until_the_host_lets_go() {
    let daemon = Daemon::with(&["--debounce", "0"]);
    daemon.put(r#"{"config":{"speed":1}}"#);
    let mut viewer = daemon.socket("/", &[OWN]);
    frame(&mut viewer, "session_update");
    assert_eq!(ask(&daemon, "POST", "/api/freeze").status, 204);
    assert_eq!(
        ask(&daemon, "GET", "/api/status").json()["frozen"],
        json!(true)
    );
    for speed in 2..5 {
        let path = "/api/topics/main/config/speed";
        daemon.ask("PUT", path, &format!(r#"{{"value":{speed}}}"#));
    }
    let shown = ask(&daemon, "GET", "/api/topics/main").json();
    assert_eq!(shown["data"]["config"]["speed"], json!(1));
    let mut newcomer = daemon.socket("/", &[OWN]);
    assert_eq!(frame(&mut newcomer, "hello")["frozen"], json!(true));
    let snapshot = frame(&mut newcomer, "session_update");
    assert_eq!(snapshot["payload"]["config"]["speed"], json!(1));
    assert_eq!(ask(&daemon, "DELETE", "/api/freeze").status, 204);
    for viewer in [&mut viewer, &mut newcomer] {
        let update = frame(viewer, "config_update");
        assert_eq!(update["payload"], json!({"speed": 4}));
    }
    assert!(
        ask(&daemon, "GET", "/api/status")
            .json()
            .get("frozen")
            .is_none()
    );
}

#[test]
fn everything_is_sent_again_to_all_topics() {
    let daemon = Daemon::start();
    daemon.put("1");
    assert_eq!(daemon.ask("PUT", "/api/topics/side", "2").status, 201);
    let mut viewers = ["/", "/?topic=side"].map(|query| daemon.socket(query, &[]));
    for viewer in &mut viewers {
        frame(viewer, "session_update");
    }
    let sent = ask(&daemon, "POST", "/api/resend");
    assert_eq!(sent.json(), json!({"viewers": 2}));
    for (viewer, data) in viewers.iter_mut().zip([1, 2]) {
        assert_eq!(
            frame(viewer, "session_update")["payload"]["data"],
            json!(data)
        );
    }
}

#[test]
fn links_lead_to_the_next_address_and_come_round() {
    let daemon = Daemon::with(&["--bind", "127.0.0.1", "--advertise", "first.example:81"]);
    let urls = |answer: Response| answer.json()["urls"].clone();
    let before = urls(ask(&daemon, "GET", "/api/status"));
    let count = before.as_array().expect("a list").len();
    assert_eq!(before[0], json!("http://first.example:81/"));
    let next = urls(ask(&daemon, "POST", "/api/next-address"));
    assert_eq!((&next[0], &next[count - 1]), (&before[1], &before[0]));
    let link = ask(&daemon, "GET", "/qr.svg").body;
    for _ in 1..count {
        ask(&daemon, "POST", "/api/next-address");
    }
    assert_eq!(urls(ask(&daemon, "GET", "/api/status")), before);
    assert_ne!(ask(&daemon, "GET", "/qr.svg").body, link, "codes follow");
}

fn close(socket: &mut Socket, code: Option<u16>) {
    let payload = code.map(u16::to_be_bytes).unwrap_or_default();
    let payload = &payload[..if code.is_some() { 2 } else { 0 }];
    socket.send(&masked(FIN | CLOSE, payload));
}

/// What viewers are told of a topic's source once its host's socket has ended.
fn source_after(end: impl FnOnce(Socket)) -> Value {
    let daemon = Daemon::with(&["--debounce", "0", "-v"]);
    let token = format!("Bearer {}", daemon.token);
    let mut host = daemon.socket("/host", &[("Authorization", &token)]);
    host.send(&masked(
        FIN | TEXT,
        br#"{"type":"session_update","payload":{"data":1}}"#,
    ));
    host.json();
    end(host);
    daemon.logged("host left");
    let mut viewer = daemon.socket("/", &[OWN]);
    frame(&mut viewer, "heartbeat")["source"].clone()
}

#[test]
fn a_host_that_wrote_and_left_is_not_missed() {
    let left = source_after(|mut host| {
        close(&mut host, None);
        assert!(matches!(host.frame(), Some(Frame { first, .. }) if first == FIN | CLOSE));
    });
    assert_eq!(left, json!("alive"));
    let done = source_after(|mut host| close(&mut host, Some(1000)));
    assert_eq!(done, json!("alive"));
}

#[test]
fn a_host_that_broke_off_is_missed() {
    assert_eq!(source_after(drop), json!("ended"));
    let closed_page = source_after(|mut host| close(&mut host, Some(1001)));
    assert_eq!(closed_page, json!("ended"));
}

#[test]
fn a_full_house_has_room_for_the_viewers_own_next_connection() {
    let daemon = Daemon::with(&["--max-viewers", "2"]);
    daemon.put("1");
    let mut first = daemon.socket("/?id=first", &[]);
    let mut second = daemon.socket("/?id=second", &[]);
    for viewer in [&mut first, &mut second] {
        frame(viewer, "session_update");
    }
    let open = |query: &str| Socket::try_open(daemon.connect(), query, &[]);
    assert_eq!(open("/?id=third").err().map(|full| full.status), Some(503));
    for _ in 0..3 {
        let mut again = open("/?id=first").unwrap_or_else(|full| panic!("{}", full.status));
        frame(&mut again, "session_update");
        assert_eq!(first.close_code(), Some(4409));
        first = again;
        assert_eq!(count(&daemon), (json!(2), 2));
        assert_eq!(open("/?id=third").err().map(|full| full.status), Some(503));
    }
}

#[test]
fn what_a_file_holds_is_as_old_as_the_file() {
    let folder = tempfile::tempdir().expect("a directory");
    let path = folder.path().join("state.json");
    std::fs::write(&path, "1").expect("written");
    let file = std::fs::File::options().write(true).open(&path);
    let hour = std::time::Duration::from_secs(3600);
    let long_ago = std::time::SystemTime::now() - hour;
    file.and_then(|file| file.set_modified(long_ago))
        .expect("a time");
    let daemon = Daemon::watching(&path, &[]);
    let mut viewer = daemon.socket("/", &[OWN]);
    frame(&mut viewer, "session_update");
    let told = frame(&mut viewer, "heartbeat")["changedMs"].as_u64();
    assert!(told >= Some(3_600_000), "{told:?}");
    // A copy that keeps the old time is news all the same.
    std::fs::write(folder.path().join("new"), "2").expect("written");
    let file = std::fs::File::options()
        .write(true)
        .open(folder.path().join("new"));
    file.and_then(|file| file.set_modified(long_ago))
        .expect("a time");
    std::fs::rename(folder.path().join("new"), &path).expect("renamed");
    frame(&mut viewer, "session_update");
    let told = frame(&mut viewer, "heartbeat")["changedMs"].as_u64();
    assert!(told < Some(3_600_000), "{told:?}");
}
