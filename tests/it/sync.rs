//! `/sync`: clients that fetch for themselves are told when to, and so arrive at the truth.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::sync::{Condvar, Mutex};

use serde_json::{Value, json};

use super::harness::{
    BOTH, Block, Daemon, Events, LIMIT, Response, Socket, Told, masked, opcode::*, rand, revision,
};

fn put(daemon: &Daemon, topic: &str, session: &str) -> u64 {
    let answer = daemon.ask("PUT", &format!("/api/topics/{topic}"), session);
    assert!(answer.status < 300, "{answer:?}");
    revision(&answer.json())
}

#[test]
fn one_event_per_topic_then_one_per_flush() {
    let daemon = Daemon::with(&["--debounce", "0ms"]);
    let main = daemon.put(r#"{"data":1,"config":{"speed":1}}"#);
    let stage = put(&daemon, "stage", "1");
    for open in BOTH {
        let mut told = open(&daemon, "/sync");
        let hello = [told.json(), told.json()];
        let at: BTreeMap<_, _> = hello
            .iter()
            .map(|event| (event["topic"].as_str().unwrap(), revision(event)))
            .collect();
        assert!(at["main"] >= main && at["stage"] >= stage, "{at:?}");
        let keys: BTreeSet<&String> = hello[0].as_object().unwrap().keys().collect();
        assert_eq!(
            keys,
            ["revision", "timestampMs", "topic"]
                .map(String::from)
                .iter()
                .collect()
        );
        assert!(hello[0]["timestampMs"].as_u64().unwrap() > 1_600_000_000_000);
        let token = format!("Bearer {}", daemon.token);
        let headers = [
            ("Authorization", token.as_str()),
            ("Onlooker-Source-Id", "panel"),
        ];
        let body = format!(r#"{{"speed":{}}}"#, at["main"]);
        let written = Response::to(
            daemon.connect(),
            "PATCH",
            "/api/topics/main/config",
            &headers,
            &body,
        );
        let event = told.json();
        assert_eq!(
            (&event["topic"], &event["sourceId"], &event["revision"]),
            (&json!("main"), &json!("panel"), &written.json()["revision"])
        );
        daemon.ask("POST", "/api/topics/main/broadcast", "hello");
        daemon.ask("POST", "/api/topics/main/resend", "");
        daemon.ask("PATCH", "/api/topics/main/config", &body);
        let next = put(&daemon, "stage", &format!("{}", at["main"]));
        let event = told.json();
        assert_eq!(
            (&event["topic"], revision(&event)),
            (&json!("stage"), next),
            "nothing else is told"
        );
        assert_eq!(
            event["sourceId"],
            json!(null),
            "a writer that gives no name has none"
        );
    }
}

#[test]
fn what_is_told_can_be_pulled() {
    let daemon = Daemon::with(&["--debounce", "0ms"]);
    daemon.put("0");
    for open in BOTH {
        let mut told = open(&daemon, "/sync");
        told.json();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for count in 1..=200 {
                    daemon.put(&format!("[{count},{}]", rand(count)));
                }
            });
            loop {
                let at = revision(&told.json());
                let pulled = daemon.ask("GET", "/api/topics/main", "").json();
                assert!(revision(&pulled) >= at, "{pulled} when told of {at}");
                if revision(&pulled) == at && pulled["data"]["data"][0] == json!(200) {
                    break;
                }
            }
        });
    }
}

#[test]
fn topics_can_be_picked() {
    let daemon = Daemon::with(&["--debounce", "0ms"]);
    for topic in ["a", "b", "c"] {
        put(&daemon, topic, "0");
    }
    for (round, open) in BOTH.into_iter().enumerate() {
        let mut told = open(&daemon, "/sync?topic=a&topic=c&topic=later");
        let hello: BTreeSet<String> = (0..2 + round)
            .map(|_| told.json()["topic"].to_string())
            .collect();
        assert!(
            hello.contains("\"a\"") && hello.contains("\"c\"") && !hello.contains("\"b\""),
            "{hello:?}"
        );
        for topic in ["b", "c", "main", "later"] {
            put(&daemon, topic, &format!("[{round}]"));
        }
        assert_eq!(told.json()["topic"], json!("c"));
        assert_eq!(
            told.json()["topic"],
            json!("later"),
            "a topic may come later"
        );
    }
    let bad = Events::open(&daemon, "/sync?topic=a%20b", &[]);
    assert_eq!(bad.head.status, 400);
    let bad = Socket::try_open(daemon.connect(), "/sync?topic=", &[]);
    assert_eq!(bad.err().expect("no such topic").status, 400);
}

#[test]
fn a_refused_write_announces_its_topic_again() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("onlooker.toml");
    std::fs::write(&path, "[fields]\nspeed = \"number\"\n").unwrap();
    let daemon = Daemon::with(&["--debounce", "0ms", "--config", path.to_str().unwrap()]);
    daemon.put(r#"{"data":1,"config":{"speed":1}}"#);
    for open in BOTH {
        let mut told = open(&daemon, "/sync");
        let before = revision(&told.json());
        let refused = daemon.ask("PATCH", "/api/topics/main/config", r#"{"speed":"fast"}"#);
        assert_eq!(refused.status, 422);
        let after = revision(&told.json());
        assert!(after > before);
        let pulled = daemon.ask("GET", "/api/topics/main", "").json();
        assert_eq!(
            (revision(&pulled), &pulled["data"]["config"]),
            (after, &json!({"speed": 1}))
        );
    }
}

#[test]
fn events_are_a_proper_stream() {
    let daemon = Daemon::with(&["--ping", "50ms", "--debounce", "0ms"]);
    let at = daemon.put("1");
    let mut events = Events::open(&daemon, "/sync", &[]);
    assert_eq!(events.head.status, 200);
    assert_eq!(
        events.head.header("content-type"),
        Some("text/event-stream")
    );
    assert_eq!(events.head.header("cache-control"), Some("no-store"));
    assert_eq!(events.head.header("access-control-allow-origin"), None);
    let Some(Block::Event { id, data }) = events.block() else {
        panic!("no event")
    };
    assert_eq!(
        (id.as_str(), revision(&data)),
        (format!("main@{at}").as_str(), at)
    );
    for _ in 0..3 {
        assert_eq!(events.block(), Some(Block::Comment("ping".to_owned())));
    }
    let mut back = Events::open(&daemon, "/sync", &[("Last-Event-ID", &id)]);
    assert_eq!(
        revision(&back.json()),
        at,
        "who comes back is told where everything is"
    );
}

#[test]
fn pages_of_allowed_origins_may_ask() {
    let daemon = Daemon::with(&["--allow-origin", "https://app.example"]);
    daemon.put("1");
    for origin in [
        "https://app.example",
        "http://localhost:5173",
        "capacitor://localhost",
    ] {
        let events = Events::open(&daemon, "/sync", &[("Origin", origin)]);
        assert_eq!(
            events.head.header("access-control-allow-origin"),
            Some(origin)
        );
        assert!(
            events
                .head
                .header("vary")
                .unwrap()
                .to_lowercase()
                .contains("origin")
        );
        let state = Response::to(
            daemon.connect(),
            "GET",
            "/api/topics/main",
            &[("Origin", origin)],
            "",
        );
        assert_eq!(state.header("access-control-allow-origin"), Some(origin));
        assert!(
            state
                .header("access-control-expose-headers")
                .unwrap()
                .contains("etag")
        );
        let asks = [
            ("Origin", origin),
            ("Access-Control-Request-Method", "PUT"),
            (
                "Access-Control-Request-Headers",
                "authorization,content-type,if-match",
            ),
        ];
        let preflight = Response::to(daemon.connect(), "OPTIONS", "/api/topics/main", &asks, "");
        assert_eq!(
            (preflight.status, preflight.body.as_str()),
            (204, ""),
            "without a token"
        );
        assert_eq!(
            preflight.header("access-control-allow-origin"),
            Some(origin)
        );
        let methods = preflight.header("access-control-allow-methods").unwrap();
        assert!(
            ["GET", "PUT", "PATCH", "POST", "DELETE"]
                .iter()
                .all(|method| methods.contains(method)),
            "{methods}"
        );
        let allowed = preflight.header("access-control-allow-headers").unwrap();
        for header in [
            "authorization",
            "content-type",
            "if-match",
            "if-none-match",
            "onlooker-source-id",
            "onlooker-device-id",
            "onlooker-local-revision",
        ] {
            assert!(allowed.contains(header), "{header} is not in {allowed}");
        }
        assert!(preflight.header("access-control-max-age").is_some());
        let refused = Response::to(
            daemon.connect(),
            "PUT",
            "/api/topics/main",
            &[("Origin", origin)],
            "1",
        );
        assert_eq!(
            (
                refused.status,
                refused.header("access-control-allow-origin")
            ),
            (401, None)
        );
    }
}

#[test]
fn pages_of_other_origins_may_not() {
    let daemon = Daemon::start();
    daemon.put("1");
    let foreign = [("Origin", "https://evil.example")];
    assert_eq!(Events::open(&daemon, "/sync", &foreign).head.status, 403);
    assert_eq!(
        Socket::try_open(daemon.connect(), "/sync", &foreign)
            .err()
            .unwrap()
            .status,
        403
    );
    let preflight = Response::to(
        daemon.connect(),
        "OPTIONS",
        "/api/topics/main",
        &foreign,
        "",
    );
    assert_eq!(preflight.status, 403);
    assert_eq!(preflight.header("access-control-allow-methods"), None);
    let own = format!("http://127.0.0.1:{}", daemon.port);
    let events = Events::open(&daemon, "/sync", &[("Origin", &own)]);
    assert_eq!(events.head.status, 200);
}

#[test]
fn stopping_ends_both() {
    let mut daemon = Daemon::with(&["--debounce", "0ms"]);
    daemon.put("1");
    let (mut socket, mut events) = (
        daemon.socket("/sync", &[]),
        Events::open(&daemon, "/sync", &[]),
    );
    socket.json();
    events.json();
    daemon.signal("TERM");
    assert_eq!(socket.close_code(), Some(1001));
    assert_eq!(events.block(), None);
    assert!(daemon.exited().success());
}

#[test]
fn what_a_reader_says_is_dropped() {
    let daemon = Daemon::with(&["--debounce", "0ms"]);
    daemon.put("1");
    let mut socket = daemon.socket("/sync", &[]);
    socket.json();
    socket.send(&masked(
        FIN | TEXT,
        br#"{"type":"session_update","payload":[9]}"#,
    ));
    socket.send(&masked(FIN | PING, b"heard"));
    assert_eq!(socket.frame().unwrap().payload, b"heard");
    let next = daemon.put("2");
    assert_eq!(revision(&socket.json()), next);
}

#[test]
fn a_reader_has_the_budget_of_a_viewer() {
    let daemon = Daemon::with(&["--debounce", "0ms"]);
    let mut pinging = daemon.socket("/sync", &[]);
    let pings: Vec<u8> = (0..101).flat_map(|_| masked(FIN | PING, b"")).collect();
    pinging.send(&pings);
    let codes = std::iter::repeat_with(|| pinging.frame()).find(|frame| {
        frame
            .as_ref()
            .is_none_or(|frame| frame.first == FIN | CLOSE)
    });
    assert_eq!(codes.flatten().unwrap().payload, 1008_u16.to_be_bytes());
    let mut talking = daemon.socket("/sync", &[]);
    talking.send(&masked(FIN | TEXT, &[b'x'; 70_000]));
    assert_eq!(talking.close_code(), Some(1009));
    let mut unmasked = daemon.socket("/sync", &[]);
    unmasked.send(b"\x81\x02{}");
    assert_eq!(unmasked.close_code(), Some(1002));
    let mut leaving = daemon.socket("/sync", &[]);
    leaving.send(&masked(FIN | CLOSE, &1000_u16.to_be_bytes()));
    assert_eq!(leaving.close_code(), Some(1000));
}

#[test]
fn who_pings_and_does_not_read_costs_no_memory() {
    let daemon = Daemon::with(&["--debounce", "0ms"]);
    let token = format!("Bearer {}", daemon.token);
    let before = daemon.memory();
    for path in ["/sync", "/host"] {
        let tcp = daemon.connect();
        tcp.set_write_timeout(Some(std::time::Duration::from_millis(500)))
            .unwrap();
        let mut writer = tcp.try_clone().unwrap();
        let _socket = Socket::open(tcp, path, &[("Authorization", &token)]);
        let pings: Vec<u8> = (0..1000)
            .flat_map(|_| masked(FIN | PING, &[7; 125]))
            .collect();
        // 64 MB, or until the daemon takes no more, or has hung up.
        let taken = (0..500)
            .take_while(|_| writer.write_all(&pings).is_ok())
            .count();
        let grown = daemon.memory().saturating_sub(before);
        assert!(
            grown < 24 << 20,
            "{path}: {grown} bytes were kept after {taken} rounds"
        );
    }
}

#[test]
fn silence_loses_a_reader() {
    let daemon = Daemon::with(&["--ping", "100ms"]);
    let mut polite = daemon.socket("/sync", &[]);
    for _ in 0..6 {
        let ping = polite.frame().unwrap();
        assert_eq!(ping.first, FIN | PING);
        polite.send(&masked(FIN | PONG, &ping.payload));
    }
    let mut silent = daemon.socket("/sync", &[]);
    for _ in 0..2 {
        assert_eq!(silent.frame().unwrap().first, FIN | PING);
    }
    assert_eq!(silent.frame(), None, "two pings were not answered");
}

#[test]
fn a_slow_reader_is_told_the_newest() {
    const UPDATES: usize = 50_000;
    let long = "t".repeat(128);
    let mut daemon = Daemon::with(
        &[
            ["--debounce", "0ms"],
            ["--topic", &long],
            ["--ping", "1h"],
            // However long a busy machine takes for all the updates.
            ["--stall-timeout", "10m"],
        ]
        .concat(),
    );
    let mut slow = daemon.socket("/sync", &[]);
    let token = format!("Bearer {}", daemon.token);
    let mut host = daemon.socket("/host", &[("Authorization", &token)]);
    let before = daemon.memory();
    let mut last = 0;
    for chunk in (0..UPDATES).collect::<Vec<_>>().chunks(250) {
        let update = |value: &usize| {
            let text = format!(
                r#"{{"type":"config_update","payload":{{"speed":{value}}},"sourceId":"{long}"}}"#
            );
            masked(FIN | TEXT, text.as_bytes())
        };
        host.send(&chunk.iter().flat_map(update).collect::<Vec<u8>>());
        for _ in chunk {
            last = revision(&host.json());
        }
    }
    let grown = daemon.memory().saturating_sub(before);
    assert!(grown < 24 << 20, "{grown} bytes were kept for it");
    let (mut told, mut at) = (0, 0);
    while at < last {
        let next = revision(&slow.json());
        assert!(next > at, "{next} after {at}");
        (told, at) = (told + 1, next);
    }
    assert!((1..UPDATES).contains(&told), "{told} events");
    daemon.signal("TERM");
    assert!(daemon.exited().success());
}

/// A client that is told of changes and then pulls them, as invalidation libraries do. An event
/// that is not newer than what it has is skipped; however many come during a GET, one more follows.
struct Puller<'a> {
    daemon: &'a Daemon,
    topic: &'a str,
    seed: u64,
    state: Mutex<Pulled>,
    arrived: Condvar,
}

#[derive(Default)]
struct Pulled {
    revision: u64,
    data: Value,
    running: bool,
    queued: bool,
    pulls: u64,
}

impl<'a> Puller<'a> {
    fn new(daemon: &'a Daemon, topic: &'a str, seed: u64) -> Puller<'a> {
        Puller {
            daemon,
            topic,
            seed,
            state: Mutex::default(),
            arrived: Condvar::new(),
        }
    }

    /// Takes an event. Returns whether a GET has to be started.
    fn hear(&self, revision: u64) -> bool {
        let mut state = self.state.lock().unwrap();
        if revision <= state.revision {
            return false;
        }
        state.queued = state.running;
        !std::mem::replace(&mut state.running, true)
    }

    fn pull_until_quiet(&self) {
        loop {
            self.dawdle(1);
            let answer = self
                .daemon
                .ask("GET", &format!("/api/topics/{}", self.topic), "")
                .json();
            self.dawdle(2);
            let mut state = self.state.lock().unwrap();
            state.pulls += 1;
            if revision(&answer) > state.revision {
                state.revision = revision(&answer);
                state.data = answer["data"].clone();
                self.arrived.notify_all();
            }
            if !std::mem::take(&mut state.queued) {
                state.running = false;
                return;
            }
        }
    }

    /// Lets the other threads run, for a varying time.
    fn dawdle(&self, salt: u64) {
        let pulls = self.state.lock().unwrap().pulls;
        for _ in 0..rand(self.seed ^ pulls << 8 ^ salt << 4) % 300 {
            std::thread::yield_now();
        }
    }

    /// Reads events until it has the revision that `ends` names.
    fn follow(&self, told: &mut Told, ends: &Mutex<Option<u64>>) {
        std::thread::scope(|scope| {
            loop {
                let event = told.json();
                if event["topic"] == json!(self.topic) && self.hear(revision(&event)) {
                    scope.spawn(|| self.pull_until_quiet());
                }
                if ends
                    .lock()
                    .unwrap()
                    .is_some_and(|end| revision(&event) >= end)
                {
                    return;
                }
            }
        });
    }

    fn waits_for(&self, revision: u64) -> Value {
        let state = self.state.lock().unwrap();
        let behind = |state: &mut Pulled| state.revision < revision;
        let (state, waited) = self
            .arrived
            .wait_timeout_while(state, LIMIT, behind)
            .unwrap();
        assert!(
            !waited.timed_out(),
            "stuck at {} before {revision}",
            state.revision
        );
        assert!(state.pulls < 1000, "{} GETs", state.pulls);
        state.data.clone()
    }
}

fn write_at_random(daemon: &Daemon, writer: u64) {
    for count in 0..100 {
        let number = rand(writer << 32 | count);
        let (method, path, body) = match number % 4 {
            0 => (
                "PUT",
                "/api/topics/main",
                format!(r#"{{"data":{number},"config":{{"speed":1}}}}"#),
            ),
            1 => (
                "PATCH",
                "/api/topics/main",
                format!(r#"{{"metadata":{{"by":{writer}}},"data":{number}}}"#),
            ),
            2 => (
                "PATCH",
                "/api/topics/main/config",
                r#"{"speed":"refused"}"#.to_owned(),
            ),
            _ => (
                "PUT",
                "/api/topics/main/config/speed",
                format!(r#"{{"value":{number}}}"#),
            ),
        };
        let status = daemon.ask(method, path, &body).status;
        assert!(status == 200 || status == 422, "{status}");
    }
}

#[test]
fn who_pulls_when_told_ends_on_the_truth() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("onlooker.toml");
    std::fs::write(&path, "[fields]\nspeed = \"number\"\n").unwrap();
    for debounce in ["0ms", "3ms"] {
        let daemon = Daemon::with(&["--debounce", debounce, "--config", path.to_str().unwrap()]);
        daemon.put(r#"{"data":0,"config":{"speed":1}}"#);
        let pullers: Vec<Puller> = (0..6)
            .map(|seed| Puller::new(&daemon, "main", seed))
            .collect();
        let ends = Mutex::new(None);
        std::thread::scope(|scope| {
            for (index, puller) in pullers.iter().enumerate() {
                // It listens before it pulls, so that it cannot miss anything in between.
                let mut told = BOTH[index % 2](&daemon, "/sync");
                let ends = &ends;
                scope.spawn(move || puller.follow(&mut told, ends));
            }
            let writers: Vec<_> = (0..3)
                .map(|writer| {
                    scope.spawn({
                        let daemon = &daemon;
                        move || write_at_random(daemon, writer)
                    })
                })
                .collect();
            writers
                .into_iter()
                .for_each(|writer| writer.join().unwrap());
            // The last write, at whose event the followers end.
            let mut end = ends.lock().unwrap();
            *end = Some(daemon.put(r#"{"data":"the end","config":{"speed":0}}"#));
        });
        let truth = daemon.ask("GET", "/api/topics/main", "").json();
        assert_eq!(truth["data"]["data"], json!("the end"));
        for puller in &pullers {
            assert_eq!(puller.waits_for(revision(&truth)), truth["data"]);
        }
    }
}

#[test]
fn a_topic_that_comes_back_is_newer() {
    let daemon = Daemon::with(&["--debounce", "0ms"]);
    let mut told = daemon.socket("/sync", &[]);
    let first = put(&daemon, "stage", "1");
    assert_eq!(revision(&told.json()), first);
    daemon.ask("DELETE", "/api/topics/stage", "");
    let again = put(&daemon, "stage", "1");
    assert!(again > first);
    assert_eq!(revision(&told.json()), again, "and its end is not told");
}
