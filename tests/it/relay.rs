//! A daemon that shows what another one shows: under the same revisions, and for as long as that
//! one is there.

mod hostile;
mod loops;
mod wire;

use serde_json::{Value, json};

use super::harness::{Daemon, Socket};
use wire::Wire;

const OWN: (&str, &str) = ("Sec-WebSocket-Protocol", "onlooker.v1");
const SESSION: &str = r#"{"name":"n","data":[18446744073709551616,1E+2],"config":{"speed":1.50,"gain":2},"metadata":{}}"#;

/// A relay of whatever has this port.
fn relay(port: u16) -> Daemon {
    relay_of(&format!("ws://127.0.0.1:{port}"))
}

fn relay_of(link: &str) -> Daemon {
    Daemon::with(&[link])
}

fn own(daemon: &Daemon, path: &str) -> Socket {
    daemon.socket(path, &[OWN])
}

/// The next message for which this holds.
fn until(socket: &mut Socket, holds: impl Fn(&Value) -> bool) -> Value {
    let mut messages = std::iter::repeat_with(|| socket.json());
    messages.find(|message| holds(message)).expect("no end")
}

fn kind(socket: &mut Socket, kind: &str) -> Value {
    until(socket, |message| message["type"] == json!(kind))
}

/// Waits until its viewers are told that the upstream is lost, or is there again.
fn told_lost(socket: &mut Socket, lost: bool) -> Value {
    let expected = match lost {
        true => json!("upstream"),
        false => Value::Null,
    };
    until(socket, |message| {
        message["type"] == json!("heartbeat") && message["lost"] == expected
    })
}

/// Waits until it shows this revision.
fn reaches(daemon: &Daemon, revision: u64) {
    let mut viewer = own(daemon, "/");
    let revision = json!(revision.to_string());
    until(&mut viewer, |message| {
        message["revision"] == revision && message["type"] != json!("heartbeat")
    });
}

fn session(daemon: &Daemon) -> (Option<String>, String) {
    let response = daemon.ask("GET", "/api/topics/main", "");
    (response.header("etag").map(str::to_owned), response.body)
}

fn status(daemon: &Daemon) -> Value {
    daemon.ask("GET", "/api/status", "").json()["relays"].clone()
}

fn set(daemon: &Daemon, fields: &str) -> u64 {
    let response = daemon.ask("PATCH", "/api/topics/main/config", fields);
    let revision = response.json()["revision"].clone();
    let revision = revision.as_str().and_then(|text| text.parse().ok());
    revision.unwrap_or_else(|| panic!("{response:?}"))
}

#[test]
fn a_relay_shows_the_same_under_the_same_revisions() {
    let origin = Daemon::start();
    let first = origin.put(SESSION);
    let relay = relay(origin.port);
    reaches(&relay, first);
    assert_eq!(session(&relay), session(&origin), "to the digit");
    let mut viewer = own(&relay, "/");
    assert_eq!(kind(&mut viewer, "hello")["lost"], Value::Null);
    kind(&mut viewer, "session_update");

    let named =
        r#"{"type":"config_update","payload":{"speed":2.50},"sourceId":"panel","localRevision":3}"#;
    let token = format!("Bearer {}", origin.token);
    let mut host = origin.socket("/host", &[("Authorization", &token)]);
    host.send(&super::harness::masked(0x81, named.as_bytes()));
    let second: Value = host.json();
    let update = kind(&mut viewer, "config_update");
    assert_eq!(update["revision"], second["revision"]);
    assert_eq!(update["payload"]["speed"].to_string(), "2.50");
    let origin_of = &update["origins"]["speed"];
    assert_eq!(origin_of["sourceId"], json!("panel"));
    assert_eq!(origin_of["localRevision"], json!(3));

    let third = origin.put(r#"{"data":[2],"config":{"speed":2.50,"gain":2}}"#);
    let update = kind(&mut viewer, "session_update");
    assert_eq!(update["revision"], json!(third.to_string()));
    assert_eq!(session(&relay), session(&origin));
}

#[test]
fn a_viewer_that_moves_between_the_two_resumes() {
    let origin = Daemon::start();
    let first = origin.put(SESSION);
    let relay = relay(origin.port);
    reaches(&relay, first);
    let second = set(&origin, r#"{"speed":3}"#);
    reaches(&relay, second);
    for daemon in [&origin, &relay] {
        let resumed = |since: u64| {
            let mut viewer = own(daemon, &format!("/?since={since}"));
            let hello = kind(&mut viewer, "hello");
            (hello["resumed"].clone(), viewer)
        };
        assert_eq!(resumed(second).0, json!("current"));
        let (resumed, mut viewer) = resumed(first);
        assert_eq!(resumed, json!("delta"));
        let update = kind(&mut viewer, "config_update");
        assert_eq!(update["payload"], json!({"speed": 3}));
    }
}

#[test]
fn what_happens_upstream_is_passed_on() {
    let origin = Daemon::start();
    let first = origin.put(SESSION);
    let relay = relay(origin.port);
    reaches(&relay, first);
    let mut viewer = own(&relay, "/");
    kind(&mut viewer, "session_update");
    let text = r#"{"cheer":  1.0}"#;
    assert_eq!(
        origin
            .ask("POST", "/api/topics/main/broadcast", text)
            .status,
        200
    );
    assert_eq!(viewer.text().as_deref(), Some(text), "verbatim");
    assert_eq!(
        origin.ask("POST", "/api/topics/main/resend", "").status,
        200
    );
    let again = kind(&mut viewer, "session_update");
    assert_eq!(again["revision"], json!(first.to_string()));

    assert_eq!(origin.ask("POST", "/api/freeze", "").status, 204);
    until(&mut viewer, |message| message["frozen"] == json!(true));
    assert_eq!(origin.ask("DELETE", "/api/freeze", "").status, 204);
    let heartbeat = kind(&mut viewer, "heartbeat");
    assert_eq!(heartbeat["frozen"], Value::Null);
    let age = heartbeat["changedMs"].as_u64();
    assert!(age.is_some() && heartbeat["source"] == json!("alive"));

    let token = format!("Bearer {}", origin.token);
    let host = origin.socket("/host", &[("Authorization", &token)]);
    host.abort();
    until(&mut viewer, |message| message["source"] == json!("ended"));
}

#[test]
fn a_topic_that_is_deleted_upstream_is_deleted_here() {
    let origin = Daemon::start();
    let first = origin.ask("PUT", "/api/topics/side", "1").status;
    assert_eq!(first, 201);
    let relay = relay_of(&format!("ws://127.0.0.1:{}/?topic=side", origin.port));
    let mut viewer = own(&relay, "/");
    kind(&mut viewer, "session_update");
    assert_eq!(origin.ask("DELETE", "/api/topics/side", "").status, 204);
    assert_eq!(kind(&mut viewer, "bye")["reason"], json!("deleted"));
    assert_eq!(viewer.close_code(), Some(4404));
    relay.logged("the topic was deleted there");
    assert_eq!(relay.ask("GET", "/api/topics/main", "").status, 404);
    assert_eq!(status(&relay)[0]["state"], json!("lost"));
}

#[test]
fn nobody_writes_to_a_relay() {
    let origin = Daemon::start();
    let first = origin.put(SESSION);
    let link = format!("ws://127.0.0.1:{}", origin.port);
    let relay = relay_of(&format!("{link}/?token=swordfish-token"));
    reaches(&relay, first);
    let wrong = [
        ("PUT", "/api/topics/main", SESSION),
        ("PATCH", "/api/topics/main/config", r#"{"speed":9}"#),
        ("PUT", "/api/topics/main/config/speed", r#"{"value":9}"#),
        ("DELETE", "/api/topics/main", ""),
    ];
    for (method, path, body) in wrong {
        let refused = relay.ask(method, path, body);
        assert_eq!(refused.status, 409, "{method} {path}: {refused:?}");
        assert!(refused.body.contains(&link), "{refused:?}");
        assert!(!refused.body.contains("swordfish"), "{refused:?}");
    }
    // What is no change at all would be announced elsewhere, with a revision of its own.
    assert_eq!(
        relay.ask("PATCH", "/api/topics/main/config", "[]").status,
        422
    );
    let token = format!("Bearer {}", relay.token);
    let headers = [("Authorization", token.as_str())];
    let refused = Socket::try_open(relay.connect(), "/host", &headers);
    assert_eq!(refused.err().map(|refused| refused.status), Some(409));
    assert_eq!(session(&relay), session(&origin));
    assert_eq!(relay.log_count("swordfish"), 0);
}

#[test]
fn other_topics_of_a_relay_are_its_own() {
    let origin = Daemon::start();
    origin.put(SESSION);
    assert_eq!(origin.ask("PUT", "/api/topics/side", "1").status, 201);
    let link = format!("ws://127.0.0.1:{}", origin.port);
    let side = format!("{link}/?topic=side");
    let relay = Daemon::with(&[&link, &side]);
    relay.logged_again("relaying ws://", 2);
    let mut viewer = own(&relay, "/?topic=side");
    assert_eq!(
        kind(&mut viewer, "session_update")["payload"]["data"],
        json!(1)
    );
    assert_eq!(relay.ask("PUT", "/api/topics/own", "2").status, 201);
    assert_eq!(relay.ask("PUT", "/api/topics/side", "2").status, 409);
    let relays = status(&relay);
    assert_eq!(relays[1]["topic"], json!("side"), "{relays}");
    assert_eq!(relays[1]["url"], json!(side));
    assert_eq!(relays[1]["state"], json!("connected"));
    let metrics = relay.ask("GET", "/metrics", "").body;
    assert!(metrics.contains("onlooker_relays 2\n"), "{metrics}");
}

#[test]
fn an_upstream_that_is_away_is_waited_for() {
    let wire = Wire::to(0);
    let relay = relay(wire.port);
    let mut viewer = own(&relay, "/");
    let hello = kind(&mut viewer, "hello");
    assert_eq!(hello["lost"], json!("upstream"));
    relay.logged(&format!("ws://127.0.0.1:{}: ", wire.port));
    let origin = Daemon::start();
    let first = origin.put(SESSION);
    wire.lead_to(origin.port);
    let update = kind(&mut viewer, "session_update");
    assert_eq!(update["revision"], json!(first.to_string()));
    told_lost(&mut viewer, false);
    relay.logged("relaying ws://");
}

#[test]
fn a_wrong_token_is_said_once_with_the_way_out() {
    let origin = Daemon::with(&["--viewer-token", "open-sesame"]);
    let first = origin.put(SESSION);
    let link = format!("ws://127.0.0.1:{}", origin.port);
    let without = relay_of(&link);
    assert!(
        without
            .logged("wants its viewer token")
            .contains("?token=TOKEN")
    );
    let wrong = relay_of(&format!("{link}/?token=close-sesame"));
    wrong.logged("does not know this token");
    let reason = status(&wrong)[0]["reason"].clone();
    assert!(reason.as_str().is_some_and(|reason| reason.contains("401")));
    assert_eq!(wrong.log_count("close-sesame"), 0);
    let page = format!("http://127.0.0.1:{}/#t=open-sesame", origin.port);
    let relay = relay_of(&page);
    reaches(&relay, first);
    assert_eq!(relay.log_count("open-sesame"), 0);
    let missing = relay_of(&format!("{link}/?topic=none&token=open-sesame"));
    missing.logged(r#"it has no topic "none""#);
}

/// The middle one of three is killed: the last one's viewers are told, and go on without a redraw
/// when it is back, although values have changed meanwhile.
#[test]
fn a_chain_heals_without_a_redraw() {
    let origin = Daemon::start();
    let first = origin.put(SESSION);
    let middle = relay(origin.port);
    let wire = Wire::to(middle.port);
    let last = relay(wire.port);
    reaches(&last, first);
    let mut viewer = own(&last, "/");
    // The middle one may have been told of its upstream after it was greeted itself.
    until(&mut viewer, |message| {
        message["way"].as_array().is_some_and(|way| way.len() == 3)
    });

    wire.lead_to(0);
    drop(middle);
    let heartbeat = told_lost(&mut viewer, true);
    assert_eq!(heartbeat["source"], json!("silent"));
    assert_eq!(heartbeat["revision"], json!(first.to_string()));
    assert!(session(&last).1.contains(SESSION), "it keeps what it has");
    let second = set(&origin, r#"{"speed":4}"#);

    let middle = relay(origin.port);
    reaches(&middle, second);
    wire.lead_to(middle.port);
    let next = until(&mut viewer, |message| message["type"] != json!("heartbeat"));
    assert_eq!(next["type"], json!("config_update"), "{next}");
    assert_eq!(next["payload"], json!({"speed": 4}));
    assert_eq!(next["revision"], json!(second.to_string()));
    told_lost(&mut viewer, false);
    assert_eq!(session(&last), session(&origin));
}

/// The same where it is back before it knows anything itself.
#[test]
fn a_middle_one_that_is_empty_takes_nothing_away() {
    let origin = Daemon::start();
    let first = origin.put(SESSION);
    let above = Wire::to(origin.port);
    let middle = relay(above.port);
    let below = Wire::to(middle.port);
    let last = relay(below.port);
    reaches(&last, first);
    let mut viewer = own(&last, "/");
    kind(&mut viewer, "session_update");
    above.lead_to(0);
    drop(middle);
    told_lost(&mut viewer, true);
    let middle = relay(above.port);
    below.lead_to(middle.port);
    last.logged_again("relaying ws://", 2);
    assert!(session(&last).1.contains(SESSION));
    let second = set(&origin, r#"{"speed":5}"#);
    above.lead_to(origin.port);
    let next = until(&mut viewer, |message| message["type"] != json!("heartbeat"));
    assert_eq!(next["type"], json!("config_update"), "{next}");
    assert_eq!(next["revision"], json!(second.to_string()));
}

/// A change of many fields, and a session that is read on another thread.
#[test]
fn what_is_large_arrives_as_it_is() {
    let origin = Daemon::start();
    let fields = |value: usize| {
        let field = |field| format!("\"field{field}\":{value}");
        (0..20_000).map(field).collect::<Vec<_>>().join(",")
    };
    let data = "x".repeat(2 << 20);
    let first = origin.put(&format!(
        r#"{{"data":"{data}","config":{{{}}}}}"#,
        fields(1)
    ));
    let relay = relay(origin.port);
    reaches(&relay, first);
    let mut viewer = own(&relay, "/");
    kind(&mut viewer, "session_update");
    let second = set(&origin, &format!("{{{}}}", fields(2)));
    let update = kind(&mut viewer, "config_update");
    assert_eq!(update["revision"], json!(second.to_string()));
    assert_eq!(
        update["payload"].as_object().map(|fields| fields.len()),
        Some(20_000)
    );
    let third = set(&origin, r#"{"field7":3}"#);
    let update = kind(&mut viewer, "config_update");
    assert_eq!(update["payload"], json!({"field7": 3}));
    assert_eq!(update["revision"], json!(third.to_string()));
    assert_eq!(session(&relay), session(&origin));
}

#[test]
fn tls_is_trusted_as_the_system_says() {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).expect("a certificate");
    let folder = tempfile::tempdir().unwrap();
    let (cert, key) = (
        folder.path().join("cert.pem"),
        folder.path().join("key.pem"),
    );
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let origin = Daemon::with(&[
        "--tls-cert",
        cert.to_str().unwrap(),
        "--tls-key",
        key.to_str().unwrap(),
        "-",
    ]);
    let mut origin = origin;
    origin.type_in("{\"data\":7}\n");
    let link = format!("wss://localhost:{}", origin.port);
    let trusting = Daemon::spawn_in(&[("SSL_CERT_FILE", cert.as_os_str())], &[&link]).unwrap();
    let mut viewer = own(&trusting, "/");
    assert_eq!(
        kind(&mut viewer, "session_update")["payload"]["data"],
        json!(7)
    );
    let doubting = relay_of(&link);
    assert!(
        doubting
            .logged("TLS: ")
            .contains("has to trust its certificate")
    );
}

#[test]
fn what_a_store_has_kept_of_a_relayed_topic_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store.redb");
    let store = store.to_str().unwrap();
    let mut daemon = Daemon::with(&["--store", store]);
    daemon.put("1");
    daemon.signal("TERM");
    daemon.exited();
    let origin = Daemon::start();
    let first = origin.put(SESSION);
    let link = format!("ws://127.0.0.1:{}", origin.port);
    let mut relay = Daemon::with(&[&link, "--store", store]);
    relay.logged("relayed now");
    reaches(&relay, first);
    relay.signal("TERM");
    relay.exited();
    let daemon = Daemon::with(&["--store", store]);
    assert!(
        session(&daemon).1.contains(r#""data":1"#),
        "{:?}",
        session(&daemon)
    );
}
