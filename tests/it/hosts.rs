//! The hosts of `docs/hosts.md`, and the puller and the host of `docs/interop.md`, run as they are
//! printed.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use super::harness::{Daemon, masked, opcode::*};

/// The first code block of a language in a document.
fn printed(document: &str, language: &str) -> String {
    printed_below("", document, language)
}

/// The first one below a heading.
fn printed_below(heading: &str, document: &str, language: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("docs")
        .join(document);
    let paper = fs::read_to_string(path).unwrap();
    let opening = format!("\n```{language}\n");
    let (_, below) = paper.split_once(heading).expect("such a heading");
    let (_, rest) = below.split_once(&opening).expect("such a fence");
    rest.split("\n```").next().unwrap().to_owned() + "\n"
}

/// Runs a host against a daemon, as somebody who copied it would.
fn run(daemon: &Daemon, program: &str, file: &str, text: &str) -> Option<Output> {
    let house = tempfile::tempdir().unwrap();
    let path = house.path().join(file);
    fs::write(&path, text).unwrap();
    let mut command = Command::new(program);
    command.arg(&path).stdin(Stdio::null());
    command.env("ONLOOKER_URL", format!("http://127.0.0.1:{}", daemon.port));
    command
        .env("ONLOOKER_HOST_TOKEN", &daemon.token)
        .env("no_proxy", "*");
    let output = command.output().ok()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{program}: {said}");
    Some(output)
}

/// The host shows itself by name, then turns the speed up to 3 without a redraw.
fn shows(program: &str, file: &str, language: &str, name: &str) {
    let daemon = Daemon::with(&["--debounce", "0ms"]);
    let mut viewer = daemon.viewer();
    let Some(output) = run(&daemon, program, file, &printed("hosts.md", language)) else {
        return eprintln!("{program} is not here: its host was not tried");
    };
    let frame = viewer.json();
    assert_eq!(frame["type"], json!("session_update"));
    assert_eq!(
        frame["payload"],
        json!({"name": name, "data": {"cells": [1, 2, 3]}, "config": {"speed": 0}, "metadata": {}})
    );
    let mut revision = Value::Null;
    for speed in 1..=3 {
        let frame = viewer.json();
        assert_eq!(
            (&frame["type"], &frame["payload"]),
            (&json!("config_update"), &json!({ "speed": speed }))
        );
        revision = frame["revision"].clone();
    }
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains(revision.as_str().unwrap()), "{said}");
}

#[test]
fn the_python_host() {
    assert!(
        Command::new("python3").arg("--version").output().is_ok(),
        "this test needs python3"
    );
    shows("python3", "host.py", "python", "Python");
}

#[test]
fn the_node_host() {
    shows("node", "host.mjs", "js", "Node");
}

#[test]
fn the_curl_host() {
    if Command::new("curl").arg("--version").output().is_ok() {
        shows("sh", "host.sh", "sh", "curl");
    }
}

#[test]
fn the_python_host_says_what_is_wrong() {
    let house = tempfile::tempdir().unwrap();
    let path = house.path().join("onlooker.toml");
    fs::write(&path, "[fields]\nspeed = { type = \"number\", max = 2 }\n").unwrap();
    let daemon = Daemon::with(&["--debounce", "0ms", "--config", path.to_str().unwrap()]);
    let script = house.path().join("host.py");
    fs::write(&script, printed("hosts.md", "python")).unwrap();
    let mut command = Command::new("python3");
    command
        .arg(&script)
        .env("ONLOOKER_URL", format!("http://127.0.0.1:{}", daemon.port));
    command
        .env("ONLOOKER_HOST_TOKEN", &daemon.token)
        .env("no_proxy", "*");
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success() && said.contains("422") && said.contains("number of at most 2"),
        "{said}"
    );
}

/// A program that ends with the test.
#[cfg(unix)]
struct Running(std::process::Child);

#[cfg(unix)]
impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(unix)]
#[test]
fn the_host_of_a_room() {
    let modules = Path::new(env!("CARGO_MANIFEST_DIR")).join("client/node_modules");
    if !modules.join("ws").exists() {
        return eprintln!("the package ws is not here: the host of a room was not tried");
    }
    let house = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(modules, house.path().join("node_modules")).unwrap();
    let heading = "### A host that decides";
    let (config, script) = ("onlooker.toml", "host.mjs");
    for (file, language) in [(config, "toml"), (script, "js")] {
        let text = printed_below(heading, "interop.md", language);
        fs::write(house.path().join(file), text).unwrap();
    }
    let config = house.path().join(config);
    let daemon = Daemon::with(&["--config", config.to_str().unwrap()]);
    let mut person = daemon.socket("/parties/main/lobby", &[]);
    let mut ask = |sent: &str| person.send(&masked(FIN | TEXT, sent.as_bytes()));
    ask(r#"{"channel":"votes","sync":true,"from":null}"#);
    assert_eq!(person.json()["payload"], json!([]));
    let mut command = Command::new("node");
    command
        .arg(house.path().join(script))
        .env("ONLOOKER_URL", format!("http://127.0.0.1:{}", daemon.port))
        .env("ONLOOKER_HOST_TOKEN", &daemon.token);
    let _host = Running(command.spawn().expect("node"));
    let unasked = person.json();
    let counts = |rows: &Value| [rows[0][1].clone(), rows[1][1].clone()];
    assert_eq!(counts(&unasked["payload"]), [0, 0], "{unasked}");
    let mut vote = |what: &str| {
        let action = format!(r#"{{"type":"vote","payload":"{what}"}}"#);
        let sent = format!(r#"{{"id":1,"channel":"votes","rpc":true,"action":{action}}}"#);
        person.send(&masked(FIN | TEXT, sent.as_bytes()));
        person.json()
    };
    for count in 1..=2 {
        let answer = vote("tea");
        assert_eq!(answer["result"][0][1], count, "{answer}");
    }
    assert_eq!(vote("milk")["error"], json!(["there is no milk"]));
}

#[test]
fn the_rust_host_is_the_example() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/embed.rs");
    assert_eq!(
        printed("hosts.md", "rust"),
        fs::read_to_string(path).unwrap()
    );
}

/// What the Tauri host asks for: state that any thread may use, and futures that may move.
#[test]
fn a_daemon_can_be_an_apps_state() {
    fn managed<T: Send + Sync + 'static>() {}
    fn moves<T: Send>(_: &T) {}
    managed::<onlooker::Server>();
    managed::<onlooker::TopicHandle>();
    let _never_run = |topic: onlooker::TopicHandle, value: Value| {
        moves(&topic.set(&value));
        moves(&topic.set_fields(&value));
    };
}

/// Node 20 has no `EventSource` yet: as much of one as the puller uses.
const EVENT_SOURCE: &str = r#"
class EventSource {
  #listeners = [];
  #ended = new AbortController();
  constructor(url) { this.#read(url); }
  addEventListener(name, listener) { this.#listeners.push(listener); }
  close() { this.#ended.abort(); }
  async #read(url) {
    const answer = await fetch(url, { signal: this.#ended.signal });
    let text = "";
    try {
      for await (const chunk of answer.body.pipeThrough(new TextDecoderStream())) {
        const blocks = (text += chunk).split("\n\n");
        text = blocks.pop();
        for (const block of blocks) {
          const data = block.split("\n").find((line) => line.startsWith("data:"))?.slice(5);
          if (data) for (const listener of this.#listeners) listener({ data });
        }
      }
    } catch (error) {
      if (error.name !== "AbortError") throw error;
    }
  }
}
const stop = pull(process.env.ONLOOKER_URL, "main", (session, revision) => {
  console.log(JSON.stringify({ revision, speed: session.config.speed }));
  if (session.config.speed === 200) stop();
});
"#;

#[test]
fn the_puller() {
    let daemon = Daemon::with(&["--debounce", "0ms"]);
    daemon.put(r#"{"data":1,"config":{"speed":0}}"#);
    let script = printed("interop.md", "js") + EVENT_SOURCE;
    let output = std::thread::scope(|scope| {
        let puller = scope.spawn(|| run(&daemon, "node", "puller.mjs", &script));
        for speed in 1..=200 {
            daemon.ask(
                "PATCH",
                "/api/topics/main/config",
                &format!("{{\"speed\":{speed}}}"),
            );
        }
        puller.join().unwrap()
    });
    let Some(output) = output else {
        return eprintln!("node is not here: the puller was not tried");
    };
    let said = String::from_utf8(output.stdout).unwrap();
    let shown: Vec<Value> = said
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(shown.last().unwrap()["speed"], json!(200));
    let revision = |value: &Value| value["revision"].as_str().unwrap().parse::<u64>().unwrap();
    assert!(
        shown.is_sorted_by(|a, b| revision(a) < revision(b)),
        "{said}"
    );
}
