//! Corners where two things meet: a change taken back within a pause, an end while a shard is
//! behind, a join while its topic or its daemon goes.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use socket2::SockRef;

use super::harness::{Daemon, Events, LIMIT, Socket, masked, opcode::*, revision};

const OWN: (&str, &str) = ("Sec-WebSocket-Protocol", "onlooker.v1");

/// Without pings, so that whoever waits in vain fails.
fn daemon_with(args: &[&str]) -> Daemon {
    Daemon::with(&[args, &["--ping", "1h"]].concat())
}

/// Replaces a topic's session, and returns its revision.
fn put(daemon: &Daemon, topic: &str, session: &str) -> u64 {
    let answer = daemon.ask("PUT", &format!("/api/topics/{topic}"), session);
    assert!(answer.status < 300, "{answer:?}");
    revision(&answer.json())
}

/// Writes a field of the default topic, and returns its revision.
fn set(daemon: &Daemon, field: &str, body: &str) -> u64 {
    let path = format!("/api/topics/main/config/{field}");
    let answer = daemon.ask("PUT", &path, body);
    assert_eq!(answer.status, 200, "{answer:?}");
    let revision = answer.json()["serverRevision"].as_u64();
    revision.expect("a revision")
}

fn host_of(daemon: &Daemon, topic: &str) -> Socket {
    let token = format!("Bearer {}", daemon.token);
    let path = format!("/host?topic={topic}");
    daemon.socket(&path, &[("Authorization", &token)])
}

/// Sends one message and returns its answer.
fn tell(host: &mut Socket, message: &Value) -> Value {
    host.send(&masked(FIN | TEXT, message.to_string().as_bytes()));
    host.json()
}

/// Tries until there is something.
fn until<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + LIMIT;
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}");
    }
}

/// The next frame of this type, whatever comes before it.
fn next(viewer: &mut Socket, kind: &str) -> Value {
    let mut frames = std::iter::repeat_with(|| viewer.json());
    let frame = frames.find(|frame| frame["type"] == json!(kind));
    frame.expect("frames without end")
}

#[test]
fn there_and_back_within_a_pause_reaches_a_viewer() {
    let daemon = daemon_with(&[]);
    // It was here before the session: what it is sent first has left for everybody.
    let mut viewer = daemon.viewer();
    daemon.put(r#"{"data":1,"config":{"like":false}}"#);
    next(&mut viewer, "session_update");
    set(
        &daemon,
        "like",
        r#"{"value":true,"deviceId":7,"localRevision":1}"#,
    );
    let body = r#"{"value":false,"deviceId":8,"localRevision":1}"#;
    let back = set(&daemon, "like", body);
    let frame = std::iter::repeat_with(|| viewer.json()).find(|frame| revision(frame) >= back);
    let frame = frame.expect("frames without end");
    let origin = json!({"revision": back, "deviceId": 8, "localRevision": 1});
    assert_eq!(frame["type"], json!("config_update"));
    assert_eq!(frame["payload"], json!({"like": false}));
    assert_eq!(frame["origins"], json!({"like": origin}));
}

#[test]
fn a_newcomer_is_told_who_wrote_also_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let flags = ["--store", store.to_str().unwrap()];
    let mut daemon = daemon_with(&flags);
    daemon.put(r#"{"data":1,"config":{"speed":1,"size":1}}"#);
    let body = r#"{"value":2,"deviceId":7,"localRevision":3}"#;
    let written = set(&daemon, "speed", body);
    let first = daemon.viewer().json();
    let origin = json!({"revision": written, "deviceId": 7, "localRevision": 3});
    assert_eq!(first["type"], json!("session_update"));
    assert_eq!(
        first["origins"],
        json!({"speed": origin}),
        "only who has a name"
    );
    daemon.signal("TERM");
    daemon.exited();
    daemon = daemon_with(&flags);
    assert_eq!(daemon.viewer().json(), first);
    daemon.signal("KILL");
    daemon.exited();
    daemon = daemon_with(&flags);
    let mut again = daemon.viewer().json();
    // Something later may have been shown and lost: whoever holds it must fetch this.
    assert!(revision(&again) > revision(&first), "{again}");
    again["revision"] = first["revision"].clone();
    assert_eq!(again, first);
    let since = first["revision"].as_str().unwrap();
    let mut back = daemon.socket(&format!("/?since={since}"), &[]);
    back.send(&masked(FIN | PING, b"joined"));
    assert_eq!(
        back.frame().unwrap().payload,
        b"joined",
        "who holds what was kept is sent nothing"
    );
}

#[test]
fn a_deleted_topics_host_is_heard_when_it_writes_again() {
    let daemon = daemon_with(&["--debounce", "0"]);
    let mut host = host_of(&daemon, "stage");
    let session = |data| json!({"type": "session_update", "payload": {"data": data, "config": {}}});
    assert_eq!(tell(&mut host, &session(1))["type"], json!("ack"));
    assert_eq!(daemon.ask("DELETE", "/api/topics/stage", "").status, 204);
    assert_eq!(daemon.ask("GET", "/api/topics/stage", "").status, 404);
    let mut viewer = daemon.socket("/?topic=stage", &[OWN]);
    assert_eq!(viewer.json()["type"], json!("hello"), "its host is there");
    assert_eq!(tell(&mut host, &session(2))["type"], json!("ack"));
    assert_eq!(viewer.json()["payload"]["data"], json!(2));
    assert_eq!(next(&mut viewer, "heartbeat")["source"], json!("alive"));
    host.abort();
    // A heartbeat may have been on its way when the host left.
    let ends = (0..3).any(|_| next(&mut viewer, "heartbeat")["source"] == json!("ended"));
    assert!(ends, "its only source has left");
}

/// Ends the writers of a test, even if it fails.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Writes one field over and over, as fast as it is answered, until `done`.
fn flood(daemon: &Daemon, topic: &str, done: &AtomicBool) {
    const CHUNK: usize = 200;
    let mut host = host_of(daemon, topic);
    let mut count = 0;
    while !done.load(Ordering::Relaxed) {
        let update = |n| json!({"type": "config_update", "payload": {"speed": n}}).to_string();
        let messages = (count..count + CHUNK).map(|n| masked(FIN | TEXT, update(n).as_bytes()));
        host.send(&messages.collect::<Vec<_>>().concat());
        count += CHUNK;
        for _ in 0..CHUNK {
            host.json();
        }
    }
}

#[test]
fn a_shard_that_lags_loses_no_end_and_no_resend() {
    const CROWDS: [&str; 3] = ["left", "middle", "right"];
    let daemon = daemon_with(&["--capacity", "16", "--debounce", "0"]);
    let session = r#"{"data":1,"config":{"speed":-1}}"#;
    let watch = |topic: &str, count: usize| -> Vec<Socket> {
        put(&daemon, topic, session);
        let viewers = (0..count).map(|_| daemon.socket(&format!("/?topic={topic}"), &[]));
        let mut viewers: Vec<_> = viewers.collect();
        viewers.iter_mut().for_each(|viewer| drop(viewer.json()));
        viewers
    };
    let _crowds = CROWDS.map(|topic| watch(topic, 100));
    let mut quiet = watch("quiet", 4);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for topic in CROWDS {
            scope.spawn(|| flood(&daemon, topic, &done));
        }
        let _done = Done(&done);
        for round in 0..20 {
            let ending = watch("ending", 4);
            assert_eq!(daemon.ask("DELETE", "/api/topics/ending", "").status, 204);
            let answer = daemon.ask("POST", "/api/topics/quiet/resend", "");
            assert_eq!(answer.json(), json!({"viewers": 4}));
            for mut viewer in ending {
                assert_eq!(viewer.close_code(), Some(4404), "round {round}");
            }
            for viewer in &mut quiet {
                assert_eq!(viewer.json()["type"], json!("session_update"), "{round}");
            }
        }
    });
}

/// Writes to the default topic until `done`, every eighth time the whole session; keeps what
/// was acknowledged.
fn write(daemon: &Daemon, acknowledged: &Mutex<Vec<u64>>, done: &AtomicBool) {
    for count in 0.. {
        let written = match count % 8 {
            0 => daemon.put(&format!(r#"{{"data":{count},"config":{{"speed":0}}}}"#)),
            _ => set(daemon, "speed", &format!(r#"{{"value":{count}}}"#)),
        };
        acknowledged.lock().unwrap().push(written);
        if done.load(Ordering::Relaxed) {
            return;
        }
    }
}

#[test]
fn a_greeting_agrees_with_what_follows() {
    const JOINS: usize = 600;
    let daemon = daemon_with(&["--debounce", "0"]);
    let (acknowledged, done) = (Mutex::new(vec![daemon.put("0")]), AtomicBool::new(false));
    let mut seen = BTreeSet::new();
    thread::scope(|scope| {
        scope.spawn(|| write(&daemon, &acknowledged, &done));
        let _done = Done(&done);
        for join in 0..JOINS {
            let since = {
                let known = acknowledged.lock().unwrap();
                let back = if join % 4 == 0 { 3 } else { 1 };
                known[known.len().saturating_sub(back)]
            };
            let mut viewer = daemon.socket(&format!("/?since={since}"), &[OWN]);
            let (hello, frame) = (viewer.json(), viewer.json());
            let (at, then) = (revision(&hello), revision(&frame));
            let told = format!("since {since}: {hello} {frame}");
            match hello["resumed"].as_str() {
                Some("current") => assert!(at == since && then > at, "{told}"),
                Some("delta") => assert!(frame["type"] == "config_update" && then == at, "{told}"),
                Some("snapshot") => {
                    assert!(frame["type"] == "session_update" && then == at, "{told}");
                }
                _ => panic!("{told}"),
            }
            seen.insert(hello["resumed"].to_string());
        }
    });
    assert_eq!(seen.len(), 3, "{seen:?}");
}

const TEXTS: usize = 2_000;

/// Sends all texts at once, each of this length, and returns how many viewers each passed over.
fn broadcasts(daemon: &Daemon, length: usize) -> Vec<u64> {
    let mut host = host_of(daemon, "main");
    let filler = "x".repeat(length);
    let mut passed_over = Vec::new();
    for chunk in (0..TEXTS).collect::<Vec<_>>().chunks(100) {
        let message = |n: &usize| {
            let text = format!("{n:08}{filler}");
            let message = json!({"type": "broadcast", "text": text, "id": n}).to_string();
            masked(FIN | TEXT, message.as_bytes())
        };
        host.send(&chunk.iter().flat_map(message).collect::<Vec<u8>>());
        for n in chunk {
            let ack = host.json();
            assert_eq!((&ack["type"], &ack["id"]), (&json!("ack"), &json!(n)));
            passed_over.push(ack["passedOver"].as_u64().unwrap_or(0));
            assert_ne!(
                ack["passedOver"],
                json!(0),
                "told only where there is something"
            );
        }
    }
    passed_over
}

fn number(text: &str) -> usize {
    text[..8].parse().expect("the number of a text")
}

#[test]
fn thousands_of_texts_reach_who_reads_in_their_order() {
    let daemon = daemon_with(&[]);
    let mut viewer = daemon.viewer();
    thread::scope(|scope| {
        let sent = scope.spawn(|| broadcasts(&daemon, 10));
        for n in 0..TEXTS {
            assert_eq!(number(&viewer.text().expect("a text")), n);
        }
        assert_eq!(sent.join().unwrap(), vec![0; TEXTS]);
    });
}

#[test]
fn texts_that_pass_a_viewer_over_are_counted() {
    // It reads only after all texts were sent, which takes long on a busy machine.
    let daemon = daemon_with(&["--debounce", "0", "--stall-timeout", "1h"]);
    daemon.put("0");
    let mut viewer = daemon.viewer();
    viewer.json();
    let passed_over = broadcasts(&daemon, 20_000);
    daemon.put("1");
    let texts = std::iter::repeat_with(|| viewer.text().expect("a message"));
    let texts = texts.take_while(|text| !text.starts_with('{'));
    let got: Vec<usize> = texts.map(|text| number(&text)).collect();
    let given = |n: &usize| passed_over[*n] == 0;
    assert!(got.len() < TEXTS, "nothing waited: 40 MB fit its socket");
    assert_eq!(got, (0..TEXTS).filter(given).collect::<Vec<_>>());
    let counted = passed_over.iter().sum::<u64>();
    let metrics = daemon.ask("GET", "/metrics", "").body;
    let line = format!("\nonlooker_passed_over_texts_total {counted}\n");
    assert!(metrics.contains(&line), "{counted}: {metrics}");
}

#[test]
fn what_is_refused_or_left_takes_no_place_among_the_topics() {
    let daemon = daemon_with(&["--max-topics", "4"]);
    let create = |topic: &str| {
        let path = format!("/api/topics/{topic}");
        daemon.ask("PUT", &path, "1").status
    };
    for topic in ["a", "b", "c"] {
        let path = format!("/api/topics/{topic}");
        assert_eq!(daemon.ask("PUT", &path, r#"{"config":1}"#).status, 422);
        assert_eq!(daemon.ask("DELETE", &path, "").status, 404, "{topic}");
    }
    let hosts = ["d", "e", "f"].map(|topic| host_of(&daemon, topic));
    assert_eq!(create("g"), 503, "the default topic and three with a host");
    hosts.into_iter().for_each(Socket::abort);
    for topic in ["g", "h", "i"] {
        until("a place for another topic", || {
            let status = create(topic);
            assert!([201, 503].contains(&status), "{status}");
            (status == 201).then_some(())
        });
    }
    assert_eq!(create("j"), 503, "now it is full again");
}

#[test]
fn who_waits_keeps_a_topic_whose_host_has_left() {
    let daemon = daemon_with(&[]);
    let host = host_of(&daemon, "stage");
    let mut viewer = daemon.socket("/?topic=stage", &[OWN]);
    host.abort();
    until("the end of its source", || {
        (next(&mut viewer, "heartbeat")["source"] == json!("ended")).then_some(())
    });
    put(&daemon, "stage", "[7]");
    assert_eq!(
        next(&mut viewer, "session_update")["payload"]["data"],
        json!([7])
    );
}

/// A viewer whose connection is held open; or the status of the refusal.
type Watch = fn(&Daemon) -> Result<Box<dyn Send>, u16>;

fn socket(daemon: &Daemon, path: &str) -> Result<Box<dyn Send>, u16> {
    match Socket::try_open(daemon.connect(), path, &[]) {
        Ok(socket) => Ok(Box::new(socket)),
        Err(refused) => Err(refused.status),
    }
}

fn events(daemon: &Daemon) -> Result<Box<dyn Send>, u16> {
    match Events::open(daemon, "/sync", &[]) {
        events if events.head.status == 200 => Ok(Box::new(events)),
        refused => Err(refused.head.status),
    }
}

#[test]
fn readers_of_sync_take_the_places_of_viewers() {
    let ways: [(&str, Watch); 3] = [
        ("viewer", |daemon| socket(daemon, "/")),
        ("reader by WebSocket", |daemon| socket(daemon, "/sync")),
        ("reader by events", events),
    ];
    let daemon = daemon_with(&["--max-viewers", "2"]);
    daemon.put("0");
    for (first, open_first) in ways {
        for (second, open_second) in ways {
            let open = |way: Watch| until("a free place", || way(&daemon).ok());
            let both = (open(open_first), open(open_second));
            for (third, open_third) in ways {
                let refused = open_third(&daemon).err();
                assert_eq!(refused, Some(503), "{third} beside {first} and {second}");
            }
            drop(both);
        }
    }
}

/// Joins until nobody is let in any more, and reports each 101.
fn join_until_the_end(port: u16, joined: &Sender<()>) -> Vec<Socket> {
    let mut sockets = Vec::new();
    let ways = [("/", None), ("/", Some(OWN)), ("/sync", None)];
    for (path, header) in ways.into_iter().cycle() {
        let Ok(tcp) = TcpStream::connect(("127.0.0.1", port)) else {
            break;
        };
        tcp.set_read_timeout(Some(LIMIT)).unwrap();
        match Socket::try_open(tcp, path, header.as_slice()) {
            Ok(socket) => sockets.push(socket),
            // Stopping, full, or not accepted any more.
            Err(refused) => assert!([0, 503].contains(&refused.status), "{refused:?}"),
        }
        // The test may have heard enough.
        let _ = joined.send(());
    }
    sockets
}

/// The code of the close frame, whatever comes before it; none if there is no such frame.
fn end_of(mut socket: Socket) -> Option<u16> {
    loop {
        let frame = socket.frame()?;
        if frame.first == FIN | CLOSE {
            let code = frame.payload.first_chunk();
            return code.map(|code| u16::from_be_bytes(*code));
        }
    }
}

#[cfg(unix)]
#[test]
fn who_joins_while_the_daemon_stops_is_told() {
    for round in 0..10 {
        let mut daemon = daemon_with(&["--max-per-address", "5000"]);
        daemon.put("0");
        let (port, (joined, joins)) = (daemon.port, channel());
        let threads = [joined.clone(), joined.clone(), joined.clone(), joined]
            .map(|joined| thread::spawn(move || join_until_the_end(port, &joined)));
        for _ in 0..40 * (round + 1) {
            joins.recv_timeout(LIMIT).expect("it lets in");
        }
        daemon.signal("TERM");
        for sockets in threads.map(|thread| thread.join().unwrap()) {
            let ends = sockets.into_iter().map(end_of);
            let bad: Vec<_> = ends.filter(|end| *end != Some(1001)).collect();
            assert_eq!(bad, [], "in round {round}");
        }
        assert_eq!(daemon.exited().code(), Some(0));
    }
}

/// Reads to the close, or to the session that everybody is to see in the end.
fn ends_well(mut viewer: Socket) -> bool {
    loop {
        let Some(frame) = viewer.frame() else {
            return false;
        };
        match frame.first {
            0x88 => return frame.payload == 4404_u16.to_be_bytes(),
            0x81 => {
                let frame: Value = serde_json::from_slice(&frame.payload).unwrap();
                if frame["payload"]["data"] == json!("the end") {
                    return true;
                }
            }
            _ => {}
        }
    }
}

#[test]
fn nobody_stays_with_a_topic_that_has_ended() {
    const JOINS: usize = 200;
    for debounce in ["0", "20ms"] {
        let daemon = daemon_with(&["--debounce", debounce, "--max-per-address", "5000"]);
        let join = || {
            let open = |_| Socket::try_open(daemon.connect(), "/?topic=stage", &[]);
            let refused = |status| assert_eq!(status, 404, "between two topics of that name");
            let opened = (0..JOINS).map(open);
            opened
                .filter_map(|tried| tried.map_err(|answer| refused(answer.status)).ok())
                .collect::<Vec<Socket>>()
        };
        put(&daemon, "stage", "0");
        let viewers: Vec<Socket> = thread::scope(|scope| {
            let joining: Vec<_> = (0..4).map(|_| scope.spawn(join)).collect();
            for count in 1.. {
                assert_eq!(daemon.ask("DELETE", "/api/topics/stage", "").status, 204);
                put(&daemon, "stage", &count.to_string());
                if joining.iter().all(|thread| thread.is_finished()) {
                    break;
                }
            }
            joining
                .into_iter()
                .flat_map(|thread| thread.join().unwrap())
                .collect()
        });
        put(&daemon, "stage", r#""the end""#);
        let all = viewers.len();
        let well = viewers
            .into_iter()
            .filter_map(|viewer| ends_well(viewer).then_some(()));
        assert_eq!(well.count(), all, "with --debounce {debounce}");
    }
}

/// A connection over a slow line: 64 KiB every 300 ms, and little in flight.
fn slow_link(daemon: &Daemon) -> TcpStream {
    const PACE: Duration = Duration::from_millis(300);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    near.set_read_timeout(Some(LIMIT)).unwrap();
    let (mut end, _) = listener.accept().unwrap();
    let mut far = daemon.connect();
    SockRef::from(&far).set_recv_buffer_size(64 * 1024).unwrap();
    let (mut from, mut to) = (end.try_clone().unwrap(), far.try_clone().unwrap());
    thread::spawn(move || std::io::copy(&mut from, &mut to));
    thread::spawn(move || {
        let mut piece = [0; 64 * 1024];
        while let Ok(length @ 1..) = far.read(&mut piece) {
            if end.write_all(&piece[..length]).is_err() {
                break;
            }
            thread::sleep(PACE);
        }
        let _ = end.shutdown(std::net::Shutdown::Both);
    });
    near
}

#[test]
fn a_slow_but_steady_reader_is_not_dropped() {
    let daemon = Daemon::with(&["--ping", "1s"]);
    let filler = "x".repeat(3_000_000);
    daemon.put(&format!(r#"{{"data":"{filler}","config":{{"speed":1}}}}"#));
    // It answers a ping when it gets to it, after everything that was sent before.
    let mut slow = Socket::open(slow_link(&daemon), "/", &[]);
    set(&daemon, "speed", r#"{"value":2}"#);
    let first = slow.json();
    assert_eq!(first["payload"]["data"], json!(filler));
    let mut speed = first["payload"]["config"]["speed"].clone();
    for last in [2, 3] {
        set(&daemon, "speed", &format!(r#"{{"value":{last}}}"#));
        while speed != json!(last) {
            speed = next(&mut slow, "config_update")["payload"]["speed"].clone();
        }
    }
}
