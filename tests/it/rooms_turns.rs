//! A large table is sent in turns, so that nobody waits for another's.

use serde_json::{Value, json};

use super::harness::{Daemon, Socket, masked, opcode::*};

const ROOMS: &str = r#"
[rooms.channels.todos]
columns = { id = "number", text = "string" }
writers = "viewers"
"#;

const ROWS: usize = 12_000;

fn say(socket: &mut Socket, message: &Value) {
    socket.send(&masked(FIN | TEXT, message.to_string().as_bytes()));
}

/// The next message, which may come in several frames.
fn next(socket: &mut Socket) -> Value {
    let mut text = Vec::new();
    loop {
        let frame = socket.frame().expect("a message, not the end");
        assert!(matches!(frame.first & 0x0f, 0 | 1), "{frame:?}");
        text.extend(frame.payload);
        if frame.first & FIN != 0 {
            return serde_json::from_slice(&text).expect("every message is JSON");
        }
    }
}

#[test]
fn all_rows_arrive_whoever_leaves_meanwhile() {
    let folder = tempfile::tempdir().expect("a directory of our own");
    let path = folder.path().join("rooms.toml");
    std::fs::write(&path, ROOMS).expect("written");
    let config = path.to_str().expect("text");
    let daemon = Daemon::with(&["--config", config, "--host-token", "none"]);
    let mut host = daemon.socket("/host?room=main/lobby", &[]);
    for thousand in 0..ROWS / 1000 {
        let rows: Vec<Value> = (0..1000)
            .map(|row| json!([1000 * thousand + row, "t".repeat(200)]))
            .collect();
        say(
            &mut host,
            &json!({"type": "rows", "channel": "todos", "rows": rows}),
        );
        assert_eq!(next(&mut host), json!({"type": "ack"}));
    }
    let person = |_| {
        let mut person = daemon.socket("/parties/main/lobby", &[]);
        say(
            &mut person,
            &json!({"channel": "todos", "sync": true, "from": null}),
        );
        person
    };
    let people: Vec<Socket> = (0..8).map(person).collect();
    let mut stay = Vec::new();
    for (place, person) in people.into_iter().enumerate() {
        // It is in the middle of it.
        person.wait();
        match place % 2 {
            0 => person.abort(),
            _ => stay.push(person),
        }
    }
    // Some take the places of those who have left.
    stay.extend((0..4).map(person));
    for person in &mut stay {
        let rows = next(person);
        assert_eq!(rows["payload"].as_array().map(Vec::len), Some(ROWS));
    }
    say(
        &mut stay[0],
        &json!({"id": "7", "channel": "todos", "rpc": true, "action": {"type": "delete", "payload": {"id": 7}}}),
    );
    assert_eq!(next(&mut stay[0])["type"], "success");
    for person in &mut stay[1..] {
        let told = next(person);
        assert_eq!(
            (&told["broadcast"], &told["payload"][0][0]),
            (&json!(true), &json!(7))
        );
    }
}
