//! Rooms as the rest of the program sees them: status, metrics, log, the list of those connected,
//! the commands and the terminal.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use super::harness::{Daemon, Socket, masked, opcode::*};

const ROOMS: &str = r#"
[rooms]
parties = ["main"]

[rooms.channels.todos]
columns = { id = "string", text = "string", completed = "number" }
writers = "viewers"
show = true

[rooms.channels.asked]
columns = { id = "string" }
actions = "host"
writers = "viewers"
"#;

/// A daemon with these rooms, and the folder of its configuration.
fn with_rooms(args: &[&str]) -> (Daemon, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a directory of our own");
    let config = config(folder.path());
    let daemon = Daemon::with(&[&["--config", &config, "--debounce", "0"], args].concat());
    (daemon, folder)
}

fn config(folder: &Path) -> String {
    let path = folder.join("rooms.toml");
    std::fs::write(&path, ROOMS).expect("written");
    path.to_str().expect("text").to_owned()
}

fn person(daemon: &Daemon, room: &str, agent: &str) -> Socket {
    daemon.socket(&format!("/parties/{room}"), &[("User-Agent", agent)])
}

fn say(socket: &mut Socket, message: &Value) {
    socket.send(&masked(FIN | TEXT, message.to_string().as_bytes()));
}

/// Asks for an action, and returns the answer to it.
fn act(socket: &mut Socket, channel: &str, action: &Value) -> Value {
    say(
        socket,
        &json!({"id": "7", "channel": channel, "rpc": true, "action": action}),
    );
    let mut messages = std::iter::repeat_with(|| socket.json());
    let answer = messages.find(|message| message["id"] == "7");
    answer.expect("sockets end with a panic")
}

fn create(id: &str, text: &str) -> Value {
    json!({"type": "create", "payload": {"id": id, "text": text, "completed": 0}})
}

fn status(daemon: &Daemon) -> Value {
    daemon.ask("GET", "/api/status", "").json()
}

fn metric(daemon: &Daemon, name: &str) -> Option<u64> {
    let metrics = daemon.ask("GET", "/metrics", "").body;
    let line = metrics
        .lines()
        .find_map(|line| line.strip_prefix(&format!("onlooker_{name} ")));
    line.map(|value| value.parse().expect("a number"))
}

#[test]
fn the_status_has_the_rooms_and_what_is_declared() {
    let (daemon, _folder) = with_rooms(&[]);
    let first = status(&daemon);
    assert_eq!(first["rooms"], json!([]));
    let channels = json!({
        "todos": {
            "columns": ["id", "text", "completed", "created_at", "updated_at", "deleted_at"],
            "actions": "rows", "writers": "viewers", "show": true,
        },
        "asked": {
            "columns": ["id", "created_at", "updated_at", "deleted_at"],
            "actions": "host", "writers": "viewers", "show": false,
        },
    });
    assert_eq!(first["channels"], channels);
    let mut people = ["a", "b"].map(|agent| person(&daemon, "main/lobby", agent));
    act(&mut people[0], "todos", &create("x", "milk"));
    act(&mut people[0], "todos", &create("y", "bread"));
    act(
        &mut people[1],
        "todos",
        &json!({"type": "delete", "payload": {"id": "x"}}),
    );
    let token = format!("Bearer {}", daemon.token);
    let _host = daemon.socket("/host?room=main/lobby", &[("Authorization", &token)]);
    let now = status(&daemon);
    let lobby = json!({
        "room": "main/lobby", "people": 2, "hosts": 1,
        "rows": {"todos": 1, "asked": 0}, "topic": "main.lobby",
    });
    assert_eq!(now["rooms"], json!([lobby]));
    assert_eq!(now["clientCount"], 0, "people are no viewers");
    let plain = status(&Daemon::start());
    assert!(plain.get("rooms").is_none() && plain.get("channels").is_none());
}

#[test]
fn rooms_are_counted() {
    let (daemon, _folder) = with_rooms(&[]);
    let mut someone = person(&daemon, "main/lobby", "");
    act(&mut someone, "todos", &create("x", "milk"));
    act(&mut someone, "todos", &create("y", "bread"));
    act(&mut someone, "todos", &create("y", "again"));
    act(
        &mut someone,
        "todos",
        &json!({"type": "delete", "payload": {"id": "x"}}),
    );
    let counted = [
        ("rooms", 1),
        ("people", 1),
        ("viewers", 0),
        ("rows", 1),
        ("actions_total", 3),
        ("refused_actions_total", 1),
    ];
    for (name, value) in counted {
        assert_eq!(metric(&daemon, name), Some(value), "{name}");
    }
    assert!(metric(&daemon, "rows_bytes") > Some(40));
    let plain = Daemon::start();
    for (name, _) in counted.iter().filter(|(name, _)| *name != "viewers") {
        assert_eq!(metric(&plain, name), None, "{name}");
    }
}

#[test]
fn actions_over_the_limit_are_refused_ones() {
    let (daemon, _folder) = with_rooms(&["--max-actions", "1"]);
    let mut someone = person(&daemon, "main/lobby", "");
    for id in ["x", "y", "z"] {
        act(&mut someone, "todos", &create(id, "milk"));
    }
    let counts = ["actions_total", "refused_actions_total"].map(|name| metric(&daemon, name));
    assert_eq!(counts, [Some(1), Some(2)]);
}

#[test]
fn a_person_is_listed_and_can_be_sent_away() {
    let (daemon, _folder) = with_rooms(&[]);
    let mut viewer = daemon.socket("/?topic=main.lobby", &[("User-Agent", "wscat")]);
    viewer.json();
    let mut goes = person(&daemon, "main/lobby", "iPad");
    // Whoever is answered is listed.
    say(
        &mut goes,
        &json!({"channel": "todos", "sync": true, "from": null}),
    );
    goes.json();
    let list = daemon.ask("GET", "/api/viewers", "").json();
    let list = list.as_array().expect("a list");
    let entry = |device: &str| {
        let found = list.iter().find(|entry| entry["device"] == device);
        found.expect("it is listed")
    };
    let (listed, watching) = (entry("iPad"), entry("wscat"));
    assert_eq!(
        (&listed["room"], &listed["topic"]),
        (&json!("main/lobby"), &json!("main.lobby"))
    );
    assert_eq!(listed["address"], "127.0.0.1");
    assert!(watching.get("room").is_none() && watching["topic"] == "main.lobby");
    let gone = daemon.ask("DELETE", &format!("/api/viewers/{}", listed["id"]), "");
    assert_eq!(gone.status, 204);
    assert_eq!(goes.close_code(), Some(1008));
    // The other one stays.
    let mut next = person(&daemon, "main/lobby", "");
    act(&mut next, "todos", &create("x", "milk"));
    let shown = viewer.json();
    assert_eq!(shown["payload"]["data"]["todos"][0]["text"], "milk");
    let away = "viewers_sent_away_total{reason=\"kicked\"}";
    assert_eq!(metric(&daemon, away), Some(1));
}

/// The members of the log line that has this text.
fn logged(daemon: &Daemon, text: &str) -> Value {
    let line: Value = serde_json::from_str(&daemon.logged(text)).expect("a JSON line");
    line["fields"].clone()
}

#[test]
fn each_action_is_told_to_who_asks_and_no_value() {
    let (daemon, _folder) = with_rooms(&["-v", "--log-format", "json"]);
    let mut someone = daemon.socket(
        "/parties/main/lobby?_pk=tab-1",
        &[("User-Agent", "wscat/1.0")],
    );
    act(&mut someone, "todos", &create("s3cret", "s3cret"));
    let line = logged(&daemon, "\"verdict\":\"done\"");
    let expected = json!({
        "message": "action", "room": "main/lobby", "channel": "todos", "action": "create",
        "address": "127.0.0.1", "device": "wscat", "name": "tab-1", "rows": 1, "verdict": "done",
        "told": "main/lobby: create in todos from wscat (this machine) · done, 1 row",
    });
    assert_eq!(line, expected);
    let span = serde_json::from_str::<Value>(&daemon.logged("\"verdict\":\"done\""));
    assert_eq!(span.expect("JSON")["span"]["topic"], "main.lobby");
    // Each of these is answered with the value.
    let wrong = json!({"type": "update", "payload": {"id": "s3cret", "completed": "s3cret"}});
    for action in [
        create("s3cret", "again"),
        wrong,
        json!({"type": "update", "payload": {"id": "s3cret!"}}),
    ] {
        let answer = act(&mut someone, "todos", &action);
        assert!(
            answer["error"][0]
                .as_str()
                .is_some_and(|why| why.contains("s3cret")),
            "{answer}"
        );
    }
    daemon.logged_again("it does not fit the rows", 3);
    act(&mut someone, "asked", &json!({"type": "join"}));
    let line = logged(&daemon, "no host is connected");
    assert_eq!(
        (&line["verdict"], &line["rows"]),
        (&json!("refused"), &json!(0))
    );
    // By a host, over HTTP: the answer has the value, and neither line does.
    let refused = daemon.ask(
        "POST",
        "/api/rooms/main/lobby/todos/actions",
        &create("s3cret", "x").to_string(),
    );
    assert_eq!(refused.status, 422);
    daemon.logged("from host (this machine) · refused");
    // However a line quotes it: in JSON with a backslash.
    assert_eq!(daemon.log_count("s3cret"), 0);
}

#[test]
fn what_a_host_decides_is_told_and_no_value() {
    let (daemon, _folder) = with_rooms(&["-v", "--log-format", "json"]);
    let token = format!("Bearer {}", daemon.token);
    let mut host = daemon.socket("/host?room=main/lobby", &[("Authorization", &token)]);
    let mut someone = person(&daemon, "main/lobby", "iPad");
    for (answer, verdict) in [
        (
            json!({"type": "refuse", "error": ["s3cret"]}),
            "the host has refused it",
        ),
        (
            json!({"type": "rows", "rows": [["a"], ["b"]]}),
            "done, 2 rows",
        ),
    ] {
        say(
            &mut someone,
            &json!({"id": "1", "channel": "asked", "rpc": true, "action": {"type": "join"}}),
        );
        let question = host.json();
        let mut answer = answer;
        answer["id"] = question["id"].clone();
        say(&mut host, &answer);
        daemon.logged(&format!(
            "join in asked from iPad (this machine) · {}",
            match verdict {
                "done, 2 rows" => verdict.to_owned(),
                refused => format!("refused: {refused}"),
            }
        ));
    }
    say(
        &mut host,
        &json!({"type": "rows", "channel": "asked", "rows": [["c"]]}),
    );
    assert_eq!(host.json()["type"], "ack");
    daemon.logged("rows in asked from host (this machine) · done, 1 row");
    say(
        &mut host,
        &json!({"type": "rows", "channel": "asked", "rows": [["s3cret", "s3cret"]]}),
    );
    assert_eq!(host.json()["status"], 422);
    daemon.logged("message refused");
    assert_eq!(daemon.log_count("s3cret"), 0);
}

#[test]
fn actions_of_strangers_fill_no_log() {
    let (daemon, _folder) = with_rooms(&["-v"]);
    let mut someone = person(&daemon, "main/lobby", "");
    for turn in 0..60 {
        act(&mut someone, "todos", &create(&turn.to_string(), "milk"));
    }
    // A host has as many lines as it wants.
    let deleted = daemon.ask(
        "POST",
        "/api/rooms/main/lobby/todos/actions",
        r#"{"type":"delete-all"}"#,
    );
    assert_eq!(deleted.status, 200);
    daemon.logged("delete-all in todos from host (this machine) · done, 60 rows");
    assert_eq!(daemon.log_count("create in todos"), 30);
    daemon.signal("TERM");
    daemon.logged("… and more actions address=\"127.0.0.1\" more=30");
}

/// A command beside a daemon, as its user runs it.
fn command(daemon: &Daemon, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_onlooker"));
    command
        .args(args)
        .args(["--port", &daemon.port.to_string()])
        .current_dir(daemon.home())
        .env("XDG_RUNTIME_DIR", daemon.home())
        .stdin(Stdio::null());
    command
}

fn ran(daemon: &Daemon, args: &[&str]) -> (Option<i32>, String, String) {
    let output = command(daemon, args).output().expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

/// A command that goes on, and its lines.
struct Running(Child, Box<dyn Iterator<Item = String>>);

impl Running {
    fn of(daemon: &Daemon, args: &[&str]) -> Running {
        let mut command = command(daemon, args);
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        Running(child, Box::new(lines.map(|line| line.expect("text"))))
    }

    fn line(&mut self) -> String {
        self.1.next().expect("a line")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn view_prints_a_rooms_rows_and_then_its_changes() {
    let (daemon, _folder) = with_rooms(&[]);
    let mut someone = person(&daemon, "main/lobby", "");
    act(&mut someone, "todos", &create("x", "milk\n\u{1b}[2J"));
    let mut view = Running::of(&daemon, &["view", "--room", "main/lobby"]);
    assert_eq!(
        view.line(),
        r#"todos  x  text="milk\n\u001b[2J" completed=0"#
    );
    act(
        &mut someone,
        "todos",
        &json!({"type": "update", "payload": {"id": "x", "completed": 1.50}}),
    );
    assert!(view.line().ends_with("completed=1.5"));
    act(
        &mut someone,
        "todos",
        &json!({"type": "delete", "payload": {"id": "x"}}),
    );
    assert_eq!(view.line(), "todos  x  deleted");
    daemon.ask(
        "POST",
        "/api/rooms/main/lobby/todos/actions",
        &create("y", "bread").to_string(),
    );
    assert_eq!(view.line(), r#"todos  y  text="bread" completed=0"#);
}

#[test]
fn view_prints_a_channels_frames_for_programs() {
    let (daemon, _folder) = with_rooms(&[]);
    let args = [
        "view",
        "--room",
        "main/lobby",
        "--channel",
        "asked",
        "--json",
        "--count",
        "2",
    ];
    let mut view = Running::of(&daemon, &args);
    assert_eq!(
        view.line(),
        r#"{"sync":true,"channel":"asked","payload":[]}"#
    );
    let token = format!("Bearer {}", daemon.token);
    let mut host = daemon.socket("/host?room=main/lobby", &[("Authorization", &token)]);
    let mut someone = person(&daemon, "main/lobby", "");
    act(&mut someone, "todos", &create("x", "of another channel"));
    say(
        &mut host,
        &json!({"type": "rows", "channel": "asked", "rows": [["c"]]}),
    );
    let frame: Value = serde_json::from_str(&view.line()).expect("JSON");
    assert_eq!(
        (&frame["channel"], &frame["payload"][0][0]),
        (&json!("asked"), &json!("c"))
    );
    assert!(view.0.wait().expect("it ends").success());
}

#[test]
fn view_waits_for_a_room_that_comes_back_and_lacks_nothing() {
    let (mut daemon, folder) = with_rooms(&[]);
    let store = folder.path().join("store.redb");
    let config = config(folder.path());
    let (port, token) = (daemon.port.to_string(), daemon.token.clone());
    let args = [
        "--config",
        &config,
        "--store",
        store.to_str().expect("text"),
        "--port",
        &port,
        "--host-token",
        &token,
    ];
    let stop = |daemon: &mut Daemon| {
        daemon.signal("TERM");
        assert!(daemon.exited().success());
    };
    stop(&mut daemon);
    let mut kept = Daemon::with(&args);
    let act = |daemon: &Daemon, action: &Value| {
        let done = daemon.ask(
            "POST",
            "/api/rooms/main/lobby/todos/actions",
            &action.to_string(),
        );
        assert_eq!(done.status, 200, "{done:?}");
    };
    act(&kept, &create("x", "milk"));
    act(&kept, &create("y", "bread"));
    let mut view = Running::of(&kept, &["view", "--room", "main/lobby"]);
    assert_eq!(
        [view.line(), view.line()].map(|line| line[..8].to_owned()),
        ["todos  x", "todos  y"]
    );
    // While it is away.
    let mut log = BufReader::new(view.0.stderr.take().expect("piped")).lines();
    stop(&mut kept);
    let lost = |line: &std::io::Result<String>| {
        line.as_ref()
            .is_ok_and(|line| line.contains("trying again"))
    };
    assert!(log.any(|line| lost(&line)));
    let away: Vec<&str> = args
        .iter()
        .copied()
        .map(|arg| if arg == port { "0" } else { arg })
        .collect();
    let mut elsewhere = Daemon::with(&away);
    act(
        &elsewhere,
        &json!({"type": "delete", "payload": {"id": "x"}}),
    );
    stop(&mut elsewhere);
    let again = Daemon::with(&args);
    // Only that, and what comes next.
    assert_eq!(view.line(), "todos  x  deleted");
    act(&again, &create("z", "tea"));
    assert_eq!(view.line(), r#"todos  z  text="tea" completed=0"#);
}

#[test]
fn what_cannot_be_viewed_is_said_with_the_way_out() {
    let (daemon, _folder) = with_rooms(&["--viewer-token", "open-sesame-open-sesame"]);
    let token = ["--token", "open-sesame-open-sesame"];
    let view = |args: &[&str]| {
        let (code, stdout, stderr) = ran(&daemon, &[&["view"], args, &token].concat());
        assert_eq!(stdout, "");
        (code, stderr)
    };
    for (args, code, told) in [
        (
            &["--room", "other/lobby"][..],
            1,
            "(400): \"other\" is not a party: there is main (parties under [rooms])",
        ),
        (
            &["--room", "main/a", "--channel", "none"],
            1,
            "there is no channel \"none\": there is todos, asked",
        ),
        (&["--room", "lobby"], 2, "PARTY/ROOM, like main/lobby"),
        (
            &["--room", "main/a", "--topic", "main"],
            2,
            "cannot be used with",
        ),
        (&["--channel", "todos"], 2, "--room"),
        (&["--json"], 2, "--room"),
    ] {
        let (found, stderr) = view(args);
        assert_eq!(found, Some(code), "{args:?}: {stderr}");
        assert!(stderr.contains(told), "{args:?}: {stderr}");
    }
    let (code, _, stderr) = ran(&daemon, &["view", "--room", "main/a", "--token", "wrong"]);
    assert!(code == Some(1) && stderr.contains("401"), "{stderr}");
    let plain = Daemon::start();
    let (code, _, stderr) = ran(&plain, &["view", "--room", "main/lobby"]);
    let told = "refused (404): no rooms are declared: [rooms.channels] in the configuration";
    assert!(code == Some(1) && stderr.contains(told), "{stderr}");
    let (_, help, _) = ran(&plain, &["view", "--help"]);
    assert!(help.contains("onlooker view --room main/lobby"), "{help}");
}

#[test]
fn the_status_command_lists_rooms() {
    let (daemon, _folder) = with_rooms(&[]);
    let mut someone = person(&daemon, "main/lobby", "");
    act(&mut someone, "todos", &create("x", "milk"));
    let (code, table, _) = ran(&daemon, &["status"]);
    assert_eq!(code, Some(0));
    assert!(
        table.contains("no devices connected · 1 person in 1 room\n"),
        "{table}"
    );
    assert!(
        table.contains("main/lobby  todos 1, asked 0       1  0\n"),
        "{table}"
    );
    let log = daemon.logged("serving");
    assert!(
        log.contains(&format!(
            "room=\"ws://127.0.0.1:{}/parties/main/ROOM\"",
            daemon.port
        )),
        "{log}"
    );
}

#[cfg(target_os = "linux")]
#[test]
fn people_are_told_of_at_the_terminal() {
    use super::harness::Terminal;
    use std::net::TcpStream;
    let home = tempfile::tempdir().expect("a directory of our own");
    let config = config(home.path());
    let mut command = Command::new(env!("CARGO_BIN_EXE_onlooker"));
    command
        .args([
            "serve",
            "--port",
            "0",
            "--bind",
            "127.0.0.1",
            "--json",
            "--config",
            &config,
        ])
        .current_dir(home.path())
        .env("XDG_RUNTIME_DIR", home.path());
    let mut terminal = Terminal::with(&mut command);
    terminal.shows("socket, and a room's");
    terminal.shows("/parties/main/ROOM");
    let port = terminal.ready()["port"].as_u64().expect("a port");
    terminal.shows("no devices · no session yet");
    let connect =
        || TcpStream::connect(("127.0.0.1", port.try_into().expect("a port"))).expect("it listens");
    let join = |path: &str, agent: &str| Socket::open(connect(), path, &[("User-Agent", agent)]);
    let _first = join("/parties/main/lobby", "iPad");
    terminal.shows("iPad joined main/lobby");
    terminal.shows("  1 person in 1 room");
    let _second = join("/parties/main/kitchen", "wscat");
    terminal.shows("wscat joined main/kitchen");
    terminal.shows("2 people in 2 rooms");
    // A viewer is not called by the name of a person.
    let _viewer = join("/", "curl");
    terminal.shows("curl joined\r\n");
    terminal.shows("curl · 2 people in 2 rooms");
    terminal.press("d");
    terminal.shows("iPad");
    terminal.shows("main/lobby");
}
