//! Rooms from outside: what their people and hosts are sent to the byte, who may come in and how
//! they leave, and that everybody ends on what the room has.

mod access;
mod ends;
mod hosts;
mod http;
mod slow;
mod wire;

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{Daemon, Response, Socket, masked, opcode::*};

/// Channels of every kind.
const ROOMS: &str = r#"
[rooms]
parties = ["main", "stage-2"]

[rooms.channels.todos]
columns = { id = "string", text = "string", completed = "number" }
writers = "viewers"

[rooms.channels.flags]
columns = { id = "number", on = "boolean" }
writers = "viewers"

[rooms.channels.asked]
columns = { id = "string", text = "string" }
actions = "host"
writers = "viewers"

[rooms.channels.guarded]
columns = { id = "string", text = "string" }

[rooms.channels.shown]
columns = { id = "string", text = "string" }
actions = "none"
"#;

/// A daemon with rooms, and a file that can be rewritten.
struct House {
    daemon: Daemon,
    folder: TempDir,
}

impl House {
    fn new(args: &[&str]) -> House {
        House::with("", args)
    }

    /// With something else in the file before the rooms.
    fn with(more: &str, args: &[&str]) -> House {
        let folder = tempfile::tempdir().expect("a directory");
        House::in_folder(folder, more, args)
    }

    fn in_folder(folder: TempDir, more: &str, args: &[&str]) -> House {
        let file = configuration(folder.path(), more);
        let daemon = Daemon::with(&[&["--config", &file], args].concat());
        House { daemon, folder }
    }

    fn person(&self, query: &str) -> Socket {
        self.person_of("main/lobby", query)
    }

    fn person_of(&self, room: &str, query: &str) -> Socket {
        self.daemon.socket(&format!("/parties/{room}{query}"), &[])
    }

    fn refused(&self, path: &str) -> Response {
        let opened = Socket::try_open(self.daemon.connect(), path, &[]);
        opened.err().expect("it is refused")
    }

    fn host(&self) -> Socket {
        let path = format!("/host?room=main/lobby&token={}", self.daemon.token);
        self.daemon.socket(&path, &[])
    }

    /// The rows of a channel, as the API has them.
    fn rows(&self, channel: &str) -> Vec<Value> {
        let path = format!("/api/rooms/main/lobby/{channel}");
        let answer = self.daemon.ask("GET", &path, "");
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["rows"].as_array().expect("an array").clone()
    }

    /// Runs an action over HTTP.
    fn act(&self, channel: &str, action: &Value) -> Response {
        let path = format!("/api/rooms/main/lobby/{channel}/actions");
        self.daemon.ask("POST", &path, &action.to_string())
    }
}

/// Writes the file, and returns its path.
fn configuration(folder: &Path, more: &str) -> String {
    let file = folder.join("rooms.toml");
    fs::write(&file, format!("{more}\n{ROOMS}")).expect("written");
    file.to_str().expect("text").to_owned()
}

fn send(socket: &mut Socket, text: &str) {
    socket.send(&masked(FIN | TEXT, text.as_bytes()));
}

fn say(socket: &mut Socket, message: &Value) {
    send(socket, &message.to_string());
}

fn next(socket: &mut Socket) -> Value {
    let text = socket.message().expect("a message, not the end");
    serde_json::from_str(&text).expect("every message is JSON")
}

fn create(id: &str, text: &str) -> Value {
    json!({"type": "create", "payload": {"id": id, "text": text, "completed": 0}})
}

fn update(id: &str, text: &str) -> Value {
    json!({"type": "update", "payload": {"id": id, "text": text}})
}

fn delete(id: &str) -> Value {
    json!({"type": "delete", "payload": {"id": id}})
}

/// Asks for an action.
fn ask(socket: &mut Socket, id: impl Into<Value>, channel: &str, action: &Value) {
    let id = id.into();
    let message = json!({"id": id, "channel": channel, "rpc": true, "action": action});
    say(socket, &message);
}

/// The answer to an action, whatever is told before it.
fn answer(socket: &mut Socket) -> Value {
    loop {
        let message = next(socket);
        if message["rpc"] == true {
            return message;
        }
    }
}

/// Has an action done, and returns its rows.
fn done(socket: &mut Socket, channel: &str, action: &Value) -> Vec<Value> {
    ask(socket, "a", channel, action);
    let answer = answer(socket);
    assert_eq!(answer["type"], "success", "{action}: {answer}");
    answer["result"].as_array().expect("an array").clone()
}

/// Asks for rows, and returns the answer.
fn sync(socket: &mut Socket, channel: &str, from: &Value) -> Vec<Value> {
    say(
        socket,
        &json!({"channel": channel, "sync": true, "from": from}),
    );
    loop {
        let message = next(socket);
        if message["sync"] == true && message["channel"] == channel {
            return message["payload"].as_array().expect("an array").clone();
        }
    }
}

fn updated(row: &Value) -> u64 {
    let row = row.as_array().expect("a row");
    row[row.len() - 2].as_u64().expect("a time")
}

fn is_deleted(row: &Value) -> bool {
    row.as_array().expect("a row").last() != Some(&Value::Null)
}
