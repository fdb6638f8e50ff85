//! What was acknowledged survives, whenever the daemon is killed.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{Daemon, LIMIT, masked};

const WRITERS: usize = 4;
const WRITES: usize = 250;

/// A process that writes its own counter and a field that all writers share.
fn writer(daemon: &Daemon, index: usize) -> Child {
    let mut child = Command::new(env!("CARGO_BIN_EXE_onlooker"))
        .args([
            "push",
            "--port",
            &daemon.port.to_string(),
            "--bind",
            "127.0.0.1",
        ])
        .args(["--token", &daemon.token, "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    let mut stdin = child.stdin.take().expect("piped");
    thread::spawn(move || {
        for count in 1..=WRITES {
            let line = format!(
                r#"{{"type":"config_update","payload":{{"shared":"{index}:{count}","writer{index}":{count}}}}}"#
            );
            // The daemon is killed while this goes on.
            if writeln!(stdin, "{line}").is_err() {
                return;
            }
        }
    });
    child
}

/// Passes on each acknowledged revision, then returns how many there were.
fn acknowledged(mut child: Child, index: usize, acks: Sender<(usize, u64)>) -> JoinHandle<usize> {
    thread::spawn(move || {
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        let revisions = stdout
            .lines()
            .map_while(Result::ok)
            .map(|line| line.parse().expect("a revision"));
        let count = revisions
            .inspect(|revision| acks.send((index, *revision)).expect("the test listens"))
            .count();
        let _ = child.wait();
        count
    })
}

fn topic(daemon: &Daemon) -> (u64, Value) {
    let body = daemon.ask("GET", "/api/topics/main", "").json();
    let revision = body["revision"].as_str().and_then(|text| text.parse().ok());
    (
        revision.expect("a revision"),
        body["data"]["config"].clone(),
    )
}

/// Waits for so many acknowledgements, and returns all that came by then.
fn take(acks: &Receiver<(usize, u64)>, count: usize) -> Vec<(usize, u64)> {
    (0..count)
        .map(|_| acks.recv_timeout(LIMIT).expect("an acknowledgement"))
        .collect()
}

/// One round: race, kill in the middle, start again. Returns all acknowledged revisions.
fn round(store: &Path, kill_after: usize) -> Vec<u64> {
    let store = store.to_str().expect("text");
    let mut daemon = Daemon::with(&["--store", store, "--debounce", "20ms"]);
    let counters: String = (0..WRITERS)
        .map(|index| format!(r#","writer{index}":0"#))
        .collect();
    let first = daemon.put(&format!(
        r#"{{"data":{{}},"config":{{"shared":""{counters}}}}}"#
    ));
    let (sender, acks) = channel();
    let writers: Vec<_> = (0..WRITERS)
        .map(|index| acknowledged(writer(&daemon, index), index, sender.clone()))
        .collect();
    drop(sender);
    let mut seen = take(&acks, kill_after);
    daemon.signal("KILL");
    daemon.exited();
    let counts: Vec<usize> = writers
        .into_iter()
        .map(|writer| writer.join().expect("it counts"))
        .collect();
    seen.extend(acks.try_iter());

    let daemon = Daemon::with(&["--store", store]);
    let (revision, config) = topic(&daemon);
    for (index, count) in counts.iter().enumerate() {
        let kept = config[format!("writer{index}")]
            .as_u64()
            .expect("a counter");
        assert!(
            kept >= *count as u64,
            "writer {index}: {count} acknowledged, {kept} kept"
        );
    }
    let mut revisions: Vec<u64> = seen.into_iter().map(|(_, revision)| revision).collect();
    revisions.push(first);
    assert!(
        revisions.iter().all(|known| *known <= revision),
        "the last acknowledged revision is kept"
    );
    let next = daemon.put(r#"{"data":{},"config":{"restarted":true}}"#);
    assert!(next > revision, "revisions go on growing");
    revisions.push(next);
    revisions
}

#[test]
fn no_acknowledged_write_is_lost_to_a_kill() {
    let folder = tempfile::tempdir().expect("a directory");
    let store = folder.path().join("store");
    let mut all: Vec<u64> = Vec::new();
    for index in 0..20 {
        let revisions = round(&store, 1 + index * 45);
        let before = all.iter().max().copied().unwrap_or(0);
        assert!(
            revisions.iter().all(|revision| *revision > before),
            "no revision is smaller after a restart"
        );
        all.extend(revisions);
    }
    let distinct: HashSet<u64> = all.iter().copied().collect();
    assert_eq!(distinct.len(), all.len(), "no revision is repeated");
}

#[test]
fn a_topic_keeps_its_revision_so_that_viewers_resume() {
    let folder = tempfile::tempdir().expect("a directory");
    let store = folder.path().join("store");
    let store = store.to_str().expect("text");
    let mut daemon = Daemon::with(&["--store", store]);
    let revision = daemon.put(r#"{"data":[1E+2],"config":{"z":1,"a":2}}"#);
    daemon.signal("TERM");
    assert!(daemon.exited().success());
    let daemon = Daemon::with(&["--store", store, "--debounce", "20ms"]);
    let mut resumed = daemon.socket(&format!("/?since={revision}"), &[]);
    daemon.ask("PATCH", "/api/topics/main/config", r#"{"z":3}"#);
    // A snapshot would have come first.
    let next = resumed.json();
    assert_eq!(
        (&next["type"], &next["payload"]),
        (&"config_update".into(), &serde_json::json!({"z": 3}))
    );
    let mut newcomer = daemon.viewer();
    assert!(newcomer.text().expect("a snapshot").contains(
        r#""payload":{"name":"main","data":[1E+2],"config":{"z":3,"a":2},"metadata":{}}"#
    ));
}

#[test]
fn a_store_has_one_daemon_and_a_foreign_file_stays() {
    let folder = tempfile::tempdir().expect("a directory");
    let store = folder.path().join("store");
    let _first = Daemon::with(&["--store", store.to_str().expect("text")]);
    let refused = Daemon::spawn(&["--store", store.to_str().expect("text")])
        .err()
        .expect("it is in use");
    assert!(
        refused.contains("another onlooker has it open"),
        "{refused}"
    );
    let foreign = folder.path().join("notes.txt");
    std::fs::write(&foreign, "not a store\n").expect("a file");
    let refused = Daemon::spawn(&["--store", foreign.to_str().expect("text")])
        .err()
        .expect("it is no store");
    assert!(refused.contains("notes.txt"), "{refused}");
    assert_eq!(
        std::fs::read_to_string(&foreign).expect("it is there"),
        "not a store\n"
    );
}

#[test]
fn a_deleted_topic_stays_deleted() {
    let folder = tempfile::tempdir().expect("a directory");
    let store = folder.path().join("store");
    let store = store.to_str().expect("text");
    let mut daemon = Daemon::with(&["--store", store]);
    daemon.put(r#"{"data":1}"#);
    assert_eq!(daemon.ask("DELETE", "/api/topics/main", "").status, 204);
    daemon.signal("KILL");
    daemon.exited();
    let daemon = Daemon::with(&["--store", store]);
    assert_eq!(daemon.ask("GET", "/api/topics/main", "").status, 404);
}

#[test]
fn what_was_answered_is_shown_also_where_it_has_to_be_durable_first() {
    let folder = tempfile::tempdir().expect("a directory");
    let store = folder.path().join("store");
    let store = store.to_str().expect("text");
    let daemon = Daemon::with(&["--store", store, "--show-after-durable"]);
    let mut viewer = daemon.viewer();
    let revision = daemon.put(r#"{"config":{"a":1}}"#);
    assert_eq!(topic(&daemon).0, revision);
    assert_eq!(viewer.json()["revision"], revision.to_string());
    daemon.ask("PATCH", "/api/topics/main/config", r#"{"a":2}"#);
    assert_eq!(topic(&daemon).1, serde_json::json!({"a": 2}));
    assert_eq!(viewer.json()["payload"], serde_json::json!({"a": 2}));
    let refused = Daemon::spawn(&["--show-after-durable"]);
    let refused = refused.err().expect("nothing is durable");
    assert!(refused.contains("without a store"), "{refused}");
    drop(daemon);
    let both = ["--show-after-durable", "--store-failure", "serve"];
    let refused = Daemon::spawn(&[&both[..], &["--store", store]].concat());
    let refused = refused.err().expect("they disagree");
    assert!(refused.contains("choose one"), "{refused}");
}

/// Spins, because a sleep is as long as the system likes.
fn wait_until(deadline: Instant, reached: impl Fn() -> bool) {
    while Instant::now() < deadline && !reached() {
        std::hint::spin_loop();
    }
}

#[test]
fn a_kill_while_the_file_is_made_disturbs_no_later_start() {
    let folder = tempfile::tempdir().expect("a directory");
    let mut refused = Vec::new();
    for round in 0..150 {
        let home = folder.path().join(round.to_string());
        std::fs::create_dir(&home).expect("a directory");
        let store = home.join("store");
        let args = ["--store", store.to_str().expect("text")];
        Daemon::killed_after(&args, || {
            let is_begun = || std::fs::read_dir(&home).is_ok_and(|found| found.count() > 0);
            wait_until(Instant::now() + LIMIT, is_begun);
            let later = Duration::from_micros(20 * round);
            wait_until(Instant::now() + later, || false);
        });
        match Daemon::spawn(&args) {
            Ok(daemon) => _ = daemon.put(r#"{"data":1}"#),
            Err(log) => refused.push(log),
        }
        let left = std::fs::read_dir(&home).expect("a directory").count();
        assert_eq!(left, 1, "only the store stays");
    }
    assert!(refused.is_empty(), "{} of 150: {refused:?}", refused.len());
}

/// Runs `onlooker store COMMAND`; whether it ended well, and all that it printed.
fn store(command: &str, file: &Path) -> (bool, String) {
    let ran = Command::new(env!("CARGO_BIN_EXE_onlooker"))
        .args(["store", command, "--store", file.to_str().expect("text")])
        .output()
        .expect("the program starts");
    let printed = [ran.stdout, ran.stderr].concat();
    let printed = String::from_utf8(printed).expect("text");
    (ran.status.success(), printed)
}

/// Changes a text wherever it stands in a file.
fn damage(file: &Path, text: &[u8]) {
    let mut bytes = std::fs::read(file).expect("a file");
    let found = |at: &usize| bytes[*at..].starts_with(text);
    let places: Vec<usize> = (0..bytes.len()).filter(found).collect();
    assert!(!places.is_empty(), "it is there");
    places.iter().for_each(|at| bytes[*at] ^= 1);
    std::fs::write(file, bytes).expect("a file");
}

#[test]
fn a_damaged_file_is_set_aside_and_the_rest_is_served() {
    let folder = tempfile::tempdir().expect("a directory");
    let file = folder.path().join("store");
    let args = ["--store", file.to_str().expect("text")];
    let mut daemon = Daemon::with(&args);
    daemon.put(r#"{"data":{},"config":{"speed":1,"color":"red"}}"#);
    daemon.ask(
        "PATCH",
        "/api/topics/main/config",
        r#"{"color":"HURT-COLOR"}"#,
    );
    daemon.ask("PUT", "/api/topics/other", r#"{"data":"HURT-DATA"}"#);
    daemon.ask("PUT", "/api/topics/third", r#"{"data":3}"#);
    daemon.signal("TERM");
    assert!(daemon.exited().success());
    let (whole, printed) = store("check", &file);
    assert!(whole, "{printed}");
    assert!(printed.contains("3 topics can be read"), "{printed}");

    damage(&file, b"HURT-COLOR");
    damage(&file, b"HURT-DATA");
    let bytes = std::fs::read(&file).expect("a file");
    let hurt = [r#"topic "main", field "color": "#, r#"topic "other": "#];
    for command in ["check", "export"] {
        let (whole, printed) = store(command, &file);
        assert!(!whole);
        for hurt in hurt {
            assert_eq!(printed.matches(hurt).count(), 1, "{printed}");
        }
        assert!(!printed.contains("panicked"), "{printed}");
    }
    assert_eq!(
        std::fs::read(&file).expect("a file"),
        bytes,
        "not written to"
    );

    let mut daemon = Daemon::with(&args);
    for hurt in hurt {
        let line = daemon.logged(hurt);
        assert!(line.contains(" error "), "{line}");
    }
    let line = daemon.logged("store.damaged-1");
    assert!(line.contains("onlooker store import"), "{line}");
    assert_eq!(daemon.log_count("onlooker store import"), 1);
    let main = daemon.ask("GET", "/api/topics/main", "").json();
    assert_eq!(main["data"]["config"], serde_json::json!({"speed": 1}));
    assert_eq!(daemon.ask("GET", "/api/topics/other", "").status, 404);
    assert_eq!(daemon.ask("GET", "/api/topics/third", "").status, 200);
    let aside = folder.path().join("store.damaged-1");
    assert_eq!(std::fs::read(aside).expect("a file"), bytes);
    daemon.signal("TERM");
    daemon.exited();
    let (whole, printed) = store("check", &file);
    assert!(whole, "{printed}");
    assert!(printed.contains("2 topics can be read"), "{printed}");
}

/// Imports these lines with the program; whether it ended well, and all that it printed.
fn import(file: &Path, lines: &str) -> (bool, String) {
    let ndjson = file.with_extension("ndjson");
    std::fs::write(&ndjson, lines).expect("a file");
    let ran = Command::new(env!("CARGO_BIN_EXE_onlooker"))
        .args(["store", "import", "--store"])
        .args([file, &ndjson])
        .output()
        .expect("the program starts");
    let printed = [ran.stdout, ran.stderr].concat();
    let printed = String::from_utf8(printed).expect("text");
    (ran.status.success(), printed)
}

/// The lines of an export as JSON.
fn exported(file: &Path) -> Vec<Value> {
    let (whole, printed) = store("export", file);
    assert!(whole, "{printed}");
    let lines = printed.lines();
    lines
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

const ROWS: &str = r#"
{"topic":"main","revision":"5","session":{"data":1}}
{"room":"main/lobby","channel":"todos","row":{"id":"a","text":"milk","created_at":7,"updated_at":8,"deleted_at":null}}
{"room":"main/lobby","channel":"todos","row":{"id":"b","text":"HURT-ROW","created_at":7,"updated_at":9,"deleted_at":9}}
{"room":"main/attic","channel":"gone","row":{"id":1,"created_at":7,"updated_at":9,"deleted_at":null}}
"#;

#[test]
fn rows_go_out_and_come_back_as_changes() {
    let folder = tempfile::tempdir().expect("a directory");
    let [first, second] = ["first", "second"].map(|name| folder.path().join(name));
    let (done, printed) = import(&first, ROWS);
    assert!(done && printed == "1 topic, 3 rows imported\n", "{printed}");
    // No daemon drops rows that it does not know.
    let mut daemon = Daemon::with(&["--store", first.to_str().expect("text")]);
    daemon.put(r#"{"data":2}"#);
    daemon.signal("TERM");
    assert!(daemon.exited().success());
    let (whole, printed) = store("check", &first);
    assert!(whole, "{printed}");
    assert!(printed.contains("room \"main/lobby\": whole, 2 rows\n"));
    assert!(printed.contains("1 topic, 2 rooms, 3 rows can be read\n"));

    let before = exported(&first);
    let lines: Vec<String> = before.iter().map(Value::to_string).collect();
    // The second time over itself.
    for (file, lines) in [(&second, &lines), (&second, &lines)] {
        let (done, printed) = import(file, &lines.join("\n"));
        assert!(done, "{printed}");
    }
    let after = exported(&second);
    assert_eq!(before.len(), 4);
    assert_eq!(after.len(), 4);
    for (before, after) in before.iter().zip(&after).skip(1) {
        for key in [
            "/room",
            "/channel",
            "/row/id",
            "/row/text",
            "/row/created_at",
        ] {
            assert_eq!(after.pointer(key), before.pointer(key), "{key}");
        }
        let [old, new] = [before, after].map(|line| line["row"]["updated_at"].as_u64());
        assert!(new > old, "{before} {after}");
        let is_deleted = !before["row"]["deleted_at"].is_null();
        let deleted = after["row"]["deleted_at"].as_u64();
        assert_eq!(deleted, new.filter(|_| is_deleted));
    }
}

#[test]
fn a_damaged_row_is_named_by_every_command_and_the_daemon() {
    let folder = tempfile::tempdir().expect("a directory");
    let file = folder.path().join("store");
    assert!(import(&file, ROWS).0);
    damage(&file, b"HURT-ROW");
    let hurt = r#"room "main/lobby", channel "todos", row "b": a row is damaged"#;
    for command in ["check", "export"] {
        let (whole, printed) = store(command, &file);
        assert!(!whole && printed.matches(hurt).count() == 1, "{printed}");
        assert!(printed.contains("main/attic"), "{printed}");
    }
    let mut daemon = Daemon::with(&["--store", file.to_str().expect("text")]);
    let line = daemon.logged(hurt);
    assert!(line.contains(" error "), "{line}");
    daemon.signal("TERM");
    daemon.exited();
    let (whole, printed) = store("check", &file);
    assert!(whole, "{printed}");
    assert!(
        printed.contains("1 topic, 2 rooms, 2 rows can be read"),
        "{printed}"
    );
    let (done, printed) = import(&file, ROWS);
    assert!(done, "{printed}");
    assert_eq!(exported(&file).len(), 4);
}

#[test]
fn a_line_that_cannot_be_a_row_is_named_and_nothing_is_imported() {
    let folder = tempfile::tempdir().expect("a directory");
    let file = folder.path().join("store");
    let wrong = r#"{"room":"main/lobby","channel":"todos","row":{"text":"x"}}"#;
    let (done, printed) = import(&file, &format!("{ROWS}{wrong}\n"));
    assert!(!done, "{printed}");
    assert!(
        printed.contains("line 6: row: \"id\" is missing"),
        "{printed}"
    );
    assert!(!file.exists(), "nothing of it");
}

#[test]
fn a_last_commit_that_cannot_be_verified_is_told_of() {
    let folder = tempfile::tempdir().expect("a directory");
    let file = folder.path().join("store");
    let mut daemon = Daemon::with(&["--store", file.to_str().expect("text")]);
    daemon.put(r#"{"data":1}"#);
    daemon.put(r#"{"data":2}"#);
    daemon.signal("KILL");
    daemon.exited();
    let mut bytes = std::fs::read(&file).expect("a file");
    // Where redb keeps its last two commits, and which of them is the newer.
    let slot = [64, 192][usize::from(bytes[9] & 1)];
    bytes[slot + 16] ^= 1;
    std::fs::write(&file, bytes).expect("a file");
    for command in ["check", "export"] {
        let (whole, printed) = store(command, &file);
        assert!(
            whole && printed.contains("could not be verified"),
            "{printed}"
        );
        assert!(printed.contains("main"), "{printed}");
    }
    let (_, printed) = store("check", &file);
    assert!(printed.contains("1 topic can be read"), "{printed}");
}

/// A disk that is full for a while: what the daemon says of it, and what is there afterwards.
#[cfg(target_os = "linux")]
fn full_for_a_while(failure: &str) {
    let serves = failure == "serve";
    let folder = tempfile::tempdir().expect("a directory");
    let file = folder.path().join("store");
    let file = file.to_str().expect("text");
    let args = [
        "--store",
        file,
        "--store-failure",
        failure,
        "--debounce",
        "20ms",
    ];
    let mut daemon = Daemon::with_small_disk(&args);
    daemon.put(r#"{"data":1,"config":{"speed":1}}"#);
    daemon.ask("PUT", "/api/topics/other", r#"{"data":1}"#);
    let status = |daemon: &Daemon| daemon.ask("GET", "/api/status", "").json()["store"].clone();
    assert_eq!(status(&daemon), serde_json::json!({}));
    let mut viewer = daemon.viewer();
    viewer.json();

    daemon.limit_file_size(4096);
    for round in 2..5 {
        let session = format!(r#"{{"data":{round},"config":{{"speed":1}}}}"#);
        let answer = daemon.ask("PUT", "/api/topics/main", &session);
        assert_eq!(answer.status, if serves { 200 } else { 507 });
        if serves {
            assert_eq!(answer.json()["kept"], false);
            assert_eq!(viewer.json()["payload"]["data"], round);
        }
    }
    let field = daemon.ask("PUT", "/api/topics/main/config/speed", r#"{"value":2}"#);
    assert_eq!(
        field.json()["kept"],
        if serves { false.into() } else { Value::Null }
    );
    let deleted = daemon.ask("DELETE", "/api/topics/other", "");
    assert_eq!(deleted.status, if serves { 200 } else { 507 });
    let mut host = daemon.socket(&format!("/host?token={}", daemon.token), &[]);
    host.send(&masked(
        0x81,
        br#"{"type":"config_update","payload":{"speed":3}}"#,
    ));
    let ack = host.json();
    assert_eq!(
        (ack["type"] == "ack", ack["kept"] == false),
        (serves, serves),
        "{ack}"
    );

    daemon.logged("the store cannot be written");
    for command in ["check", "import"] {
        let (done, printed) = store(command, Path::new(file));
        assert!(!done && printed.contains("another onlooker"), "{printed}");
    }
    assert!(status(&daemon)["failingSinceMs"].is_u64());
    assert!(
        status(&daemon)["error"]
            .as_str()
            .is_some_and(|error| !error.is_empty())
    );
    let ready = daemon.ask("GET", "/readyz", "");
    assert_eq!(ready.status, if serves { 200 } else { 503 });
    assert!(ready.body.contains("not kept since "), "{ready:?}");
    let metrics = daemon.ask("GET", "/metrics", "").body;
    assert!(
        metrics.contains("\nonlooker_store_failing 1\n"),
        "{metrics}"
    );
    assert!(
        !metrics.contains("\nonlooker_store_errors_total 0\n"),
        "{metrics}"
    );

    daemon.limit_file_size(rlimit::INFINITY);
    daemon.logged("the store works again");
    assert_eq!(status(&daemon), serde_json::json!({}));
    assert_eq!(daemon.ask("GET", "/readyz", "").status, 200);
    assert_eq!(daemon.log_count("the store cannot be written"), 1);
    assert_eq!(daemon.log_count("the store works again"), 1);
    let shown = daemon.ask("GET", "/api/topics/main", "").json()["data"].clone();
    daemon.signal("KILL");
    daemon.exited();
    let daemon = Daemon::with(&args);
    let kept = daemon.ask("GET", "/api/topics/main", "").json()["data"].clone();
    assert_eq!(kept, shown);
    assert_eq!(
        (kept["data"] == 4, kept["config"]["speed"] == 3),
        (serves, serves)
    );
    let other = daemon.ask("GET", "/api/topics/other", "").status;
    assert_eq!(other, if serves { 404 } else { 200 });
}

#[cfg(target_os = "linux")]
#[test]
fn a_failing_store_is_told_of_and_refuses() {
    full_for_a_while("refuse");
}

#[cfg(target_os = "linux")]
#[test]
fn a_failing_store_is_told_of_and_serves() {
    full_for_a_while("serve");
}
