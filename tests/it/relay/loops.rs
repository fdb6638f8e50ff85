//! Daemons that relay each other.

use serde_json::{Value, json};

use super::wire::Wire;
use super::{Daemon, SESSION, kind, own, reaches, relay, relay_of, status, told_lost, until};

/// So many daemons that relay each other in a ring, and the wires to them.
fn ring(count: usize) -> (Vec<Wire>, Vec<Daemon>) {
    let wires: Vec<Wire> = (0..count).map(|_| Wire::to(0)).collect();
    let upstream = |index: usize| wires[(index + 1) % count].port;
    let daemons: Vec<Daemon> = (0..count).map(|index| relay(upstream(index))).collect();
    for (wire, daemon) in wires.iter().zip(&daemons) {
        wire.lead_to(daemon.port);
    }
    (wires, daemons)
}

/// Waits until one of them has said that there is a loop; returns which.
fn refuses(daemons: &[Daemon]) -> usize {
    let said = |daemon: &Daemon| daemon.log_count("this is a loop") > 0;
    let began = std::time::Instant::now();
    loop {
        if let Some(index) = daemons.iter().position(said) {
            return index;
        }
        assert!(began.elapsed() < crate::harness::LIMIT, "nobody says so");
        std::thread::yield_now();
    }
}

#[test]
fn two_that_relay_each_other_say_so() {
    let (wires, daemons) = ring(2);
    let index = refuses(&daemons);
    let line = daemons[index].logged("this is a loop");
    let url = format!("ws://127.0.0.1:{}", wires[1 - index].port);
    assert!(line.contains(&url) && line.contains("/main > "), "{line}");
    assert!(line.contains("relay another daemon"), "the way out: {line}");
    let mut viewer = own(&daemons[index], "/");
    let hello = kind(&mut viewer, "hello");
    assert_eq!(hello["lost"], json!("upstream"));
    let reason = status(&daemons[index])[0]["reason"].clone();
    let reason = reason.as_str().unwrap_or_default().to_owned();
    assert!(reason.contains("loop"), "{reason}");
}

#[test]
fn one_after_the_other_they_say_so_too() {
    let origin = Daemon::start();
    let first = origin.put(SESSION);
    let wire = Wire::to(origin.port);
    let one = relay(wire.port);
    reaches(&one, first);
    let other = relay(one.port);
    reaches(&other, first);
    // The origin is gone, and the first one is led to its own relay instead.
    wire.lead_to(other.port);
    one.logged("this is a loop");
    let mut viewer = own(&other, "/");
    let lost = |message: &Value| message["lost"] == json!("upstream");
    until(&mut viewer, lost);
    // Once that is undone it goes on by itself.
    wire.lead_to(origin.port);
    let way = until(&mut viewer, |message| {
        message["way"].as_array().is_some_and(|way| way.len() == 3)
    });
    assert_eq!(way["lost"], Value::Null);
}

#[test]
fn three_in_a_ring_say_so() {
    let (_wires, daemons) = ring(3);
    let index = refuses(&daemons);
    let line = daemons[index].logged("this is a loop");
    assert_eq!(line.matches("/main").count(), 3, "{line}");
}

#[test]
fn a_daemon_may_relay_a_topic_of_its_own() {
    let wire = Wire::to(0);
    let daemon = relay_of(&format!("ws://127.0.0.1:{}/?topic=side", wire.port));
    assert_eq!(daemon.ask("PUT", "/api/topics/side", "1").status, 201);
    wire.lead_to(daemon.port);
    let mut viewer = own(&daemon, "/");
    let update = kind(&mut viewer, "session_update");
    assert_eq!(update["payload"]["data"], json!(1));
    let way = told_lost(&mut viewer, false)["way"].clone();
    let places: Vec<&str> = way
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let topics: Vec<&str> = places
        .iter()
        .filter_map(|place| Some(place.split_once('/')?.1))
        .collect();
    assert_eq!(topics, ["side", "main"]);

    // Its own default topic is a loop of one.
    let wire = Wire::to(0);
    let daemon = relay(wire.port);
    wire.lead_to(daemon.port);
    daemon.logged("this is a loop");
}
