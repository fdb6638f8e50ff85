//! A watched file is what viewers see, however an editor or a mount replaces it.

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use serde_json::json;

use super::harness::{Daemon, Socket};

/// A directory with one state file that a daemon watches.
struct House {
    directory: tempfile::TempDir,
}

impl House {
    fn new() -> House {
        House {
            directory: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// In place, as VS Code does: truncated, then written.
    fn write(&self, name: &str, text: &str) -> PathBuf {
        fs::write(self.path(name), text).unwrap();
        self.path(name)
    }

    /// Aside and then renamed over it, as vim does.
    fn rename_over(&self, name: &str, text: &str) {
        fs::rename(self.write(".aside", text), self.path(name)).unwrap();
    }
}

fn session(speed: &str, data: &str) -> String {
    format!("{{\"name\":\"Wave\",\"data\":{data},\"config\":{{\"speed\":{speed}}}}}")
}

/// A daemon that watches `state.json` with speed 1, and a viewer that has seen it.
fn watched(house: &House) -> (Daemon, Socket) {
    let path = house.write("state.json", &session("1", "[1]"));
    let daemon = Daemon::watching(&path, &["--debounce", "20ms"]);
    let mut viewer = daemon.viewer();
    assert_eq!(viewer.json()["payload"]["config"]["speed"], json!(1));
    (daemon, viewer)
}

/// The next frame must be a `config_update` of the speed alone.
fn expect_speed(viewer: &mut Socket, speed: i64) {
    let frame = viewer.json();
    assert_eq!(
        (&frame["type"], &frame["payload"]),
        (&json!("config_update"), &json!({ "speed": speed })),
        "{frame}"
    );
}

#[test]
fn the_first_frame_is_the_whole_file() {
    let house = House::new();
    let path = house.write(
        "wave.json",
        "{\"data\":{\"big\":18446744073709551616,\"e\":1E+2,\"z\":-0,\"a\":1.50}}",
    );
    let daemon = Daemon::watching(&path, &[]);
    let text = daemon.viewer().text().unwrap();
    let payload = r#""payload":{"name":"wave","data":{"big":18446744073709551616,"e":1E+2,"z":-0,"a":1.50},"config":{},"metadata":{}}}"#;
    assert!(text.ends_with(payload), "{text}");
    assert!(
        text.starts_with(r#"{"type":"session_update","topic":""#),
        "{text}"
    );
}

#[test]
fn a_changed_field_is_all_that_is_sent() {
    let house = House::new();
    let (_daemon, mut viewer) = watched(&house);
    house.write("state.json", &session("2", "[1]"));
    expect_speed(&mut viewer, 2);
    house.write("state.json", &session("2", "[2]"));
    let frame = viewer.json();
    assert_eq!(
        (&frame["type"], &frame["payload"]["data"]),
        (&json!("session_update"), &json!([2]))
    );
}

#[test]
fn the_same_content_prints_nothing() {
    let house = House::new();
    let (_daemon, mut viewer) = watched(&house);
    house.write("state.json", &session("1", "[1]"));
    house.rename_over("state.json", &session("1", "[1]"));
    house.rename_over("state.json", &format!("  {}\n\n", session("1", "[ 1 ]")));
    house.write("state.json", &session("3", "[1]"));
    expect_speed(&mut viewer, 3);
}

#[test]
fn renames_over_it_are_followed() {
    let house = House::new();
    let (_daemon, mut viewer) = watched(&house);
    for speed in 2..6 {
        house.rename_over("state.json", &session(&speed.to_string(), "[1]"));
        expect_speed(&mut viewer, speed);
    }
}

#[test]
fn a_half_written_file_shows_nothing() {
    let house = House::new();
    let (daemon, mut viewer) = watched(&house);
    let whole = session("2", "[1]");
    house.write("state.json", "");
    house.write("state.json", &whole[..whole.len() / 2]);
    house.write("state.json", &whole);
    expect_speed(&mut viewer, 2);
    assert_eq!(daemon.log_count("state.json:"), 0, "and is no fault either");
}

#[test]
fn twenty_quick_saves_make_one_frame() {
    let house = House::new();
    let path = house.write("state.json", &session("1", "[1]"));
    let daemon = Daemon::watching(&path, &["--debounce", "250ms"]);
    let mut viewer = daemon.viewer();
    viewer.json();
    for speed in 2..=21 {
        house.rename_over("state.json", &session(&speed.to_string(), "[1]"));
    }
    expect_speed(&mut viewer, 21);
    house.write("state.json", &session("22", "[1]"));
    expect_speed(&mut viewer, 22);
}

#[test]
fn a_deleted_file_leaves_its_state_and_may_come_back() {
    let house = House::new();
    let (daemon, mut viewer) = watched(&house);
    fs::remove_file(house.path("state.json")).unwrap();
    daemon.logged("state.json is not there");
    assert_eq!(
        daemon.viewer().json()["payload"]["config"]["speed"],
        json!(1),
        "newcomers still see it"
    );
    house.write("state.json", &session("2", "[1]"));
    expect_speed(&mut viewer, 2);
    daemon.logged("state.json is good now");
    assert_eq!(daemon.log_count("is not there"), 1);
}

#[test]
fn a_file_may_come_later() {
    let house = House::new();
    let path = house.write("state.json", "");
    let daemon = Daemon::watching(&path, &["--debounce", "0ms"]);
    let mut viewer = daemon.viewer();
    daemon.logged("state.json is empty");
    house.write("state.json", &session("1", "[1]"));
    assert_eq!(viewer.json()["payload"]["config"]["speed"], json!(1));
}

#[test]
fn a_fault_is_said_once_with_its_place() {
    let house = House::new();
    let (daemon, mut viewer) = watched(&house);
    house.write("state.json", "{\n  \"config\": {\"speed\": NaN}\n}");
    let line = daemon.logged("state.json: ");
    assert!(line.contains("NaN is not JSON (line 2, column 2"), "{line}");
    assert!(line.contains("last good state"), "{line}");
    house.write("state.json", "{\n  \"config\": {\"speed\": NaN}\n}");
    house.write("state.json", "{\"data\":1,\"data\":2}");
    daemon.logged("duplicate key \"/data\" (line 1, column 16)");
    house.write("state.json", &session("2", "[1]"));
    expect_speed(&mut viewer, 2);
    daemon.logged("is good now");
    assert_eq!(daemon.log_count("NaN is not JSON"), 1, "once per content");
}

#[test]
fn a_refused_session_names_every_field() {
    let house = House::new();
    let config = house.write(
        "onlooker.toml",
        "[fields]\nspeed = { type = \"number\", max = 5 }\nlabel = \"string\"\n",
    );
    let path = house.write("state.json", &session("1", "[1]"));
    let daemon = Daemon::watching(
        &path,
        &["--debounce", "0ms", "--config", config.to_str().unwrap()],
    );
    let mut viewer = daemon.viewer();
    viewer.json();
    house.write(
        "state.json",
        "{\"data\":[1],\"config\":{\"speed\":9,\"label\":7}}",
    );
    let line = daemon.logged("state.json: speed");
    assert!(
        line.contains("speed: expected number of at most 5, got 9"),
        "{line}"
    );
    assert!(line.contains("label: expected string, got 7"), "{line}");
    house.write("state.json", &session("2", "[1]"));
    while viewer.json()["payload"]["speed"] != json!(2) {}
}

#[test]
fn too_large_a_file_is_refused_by_name() {
    let house = House::new();
    let path = house.write("state.json", &session("1", "[1]"));
    let daemon = Daemon::watching(&path, &["--debounce", "0ms", "--max-session", "1KiB"]);
    let mut viewer = daemon.viewer();
    viewer.json();
    house.write(
        "state.json",
        &session("2", &format!("\"{}\"", "x".repeat(2000))),
    );
    let line = daemon.logged("over the limit of 1024 (--max-session)");
    assert!(line.contains("state.json has 20"), "{line}");
    house.write("state.json", &session("3", "[1]"));
    expect_speed(&mut viewer, 3);
}

#[test]
fn what_found_no_room_is_written_when_there_is_some() {
    let house = House::new();
    let store = house.path("store");
    let store = store.to_str().unwrap();
    let mut before = Daemon::with(&["--store", store]);
    before.ask("PUT", "/api/topics/other", "1");
    before.signal("TERM");
    assert!(before.exited().success());

    let wave = house.write("wave.json", "{\"data\":\"first\"}");
    let stage = house.write("stage.json", "{\"data\":\"second\"}");
    let stage = stage.to_str().unwrap();
    let daemon = Daemon::watching(&wave, &[stage, "--store", store, "--max-topics", "2"]);
    daemon.logged("stage.json: the limit of 2 topics is reached");
    assert_eq!(daemon.ask("DELETE", "/api/topics/other", "").status, 204);
    daemon.logged("stage.json is good now");
    assert_eq!(
        daemon.log_count("limit of 2 topics is reached"),
        1,
        "said once"
    );
    let frame = daemon.socket("/?topic=stage", &[]).json();
    assert_eq!(frame["payload"]["data"], json!("second"));
}

#[test]
fn toml_is_read_too() {
    let house = House::new();
    let path = house.write(
        "state.toml",
        "name = \"Wave\"\n[data]\nat = 2026-11-21\n[config]\nspeed = 1.50\n",
    );
    let daemon = Daemon::watching(&path, &["--debounce", "0ms"]);
    let mut viewer = daemon.viewer();
    let text = viewer.text().unwrap();
    assert!(
        text.contains(
            r#"{"name":"Wave","data":{"at":"2026-11-21"},"config":{"speed":1.50},"metadata":{}}"#
        ),
        "{text}"
    );
    house.write("state.toml", "[data]\n[config]\nspeed = inf\n");
    daemon.logged("inf is not JSON (line 3, column 9)");
}

#[test]
fn every_format_is_read_by_its_extension() {
    let house = House::new();
    let formats = [
        (
            "a.jsonc",
            "{ // a comment\n\"big\": 18446744073709551616, }",
        ),
        ("b.yaml", "big: 18446744073709551616 # a comment\n"),
        ("c.YML", "big: 18446744073709551616\n"),
        (
            "d.ndjson",
            "{\"big\":1}\n{\"big\":18446744073709551616}\n{\"bi",
        ),
        ("e.jsonl", "{\"big\":18446744073709551616}"),
        ("f.csv", "\u{feff}big\r\n18446744073709551616\r\n"),
        ("g.tsv", "big\n18446744073709551616\n"),
        ("h.state", "{\"big\":18446744073709551616}"),
    ];
    let paths = formats.map(|(name, text)| house.write(name, text));
    let args: Vec<&str> = paths.iter().filter_map(|path| path.to_str()).collect();
    let daemon = Daemon::with(&args);
    for (name, _) in formats {
        let topic = name.split('.').next().unwrap();
        let path = if topic == "a" {
            "/".to_owned()
        } else {
            format!("/?topic={topic}")
        };
        let text = daemon.socket(&path, &[]).text().unwrap();
        let object = "{\"big\":18446744073709551616}";
        let data = [
            format!("\"data\":{object},"),
            format!("\"data\":[{object}],"),
        ];
        assert!(
            data.iter().any(|data| text.contains(data)),
            "{name}: {text}"
        );
    }
    house.write("b.yaml", "a: 1\nb: [1,\n");
    let line = daemon.logged("b.yaml: ");
    assert!(
        line.contains("(line 2, column 4); viewers keep the last"),
        "{line}"
    );
}

#[test]
fn a_log_shows_its_last_line() {
    let house = House::new();
    let line = |speed: i64| session(&speed.to_string(), "[1]") + "\n";
    let long: String = (0..1000).map(line).collect();
    let path = house.write("log.ndjson", &long);
    let daemon = Daemon::watching(&path, &["--debounce", "0ms", "--max-session", "1KiB"]);
    let mut viewer = daemon.viewer();
    assert_eq!(viewer.json()["payload"]["config"]["speed"], json!(999));
    let mut log = fs::File::options().append(true).open(&path).unwrap();
    for speed in 1000..1003 {
        let line = line(speed);
        let (half, rest) = line.split_at(20);
        log.write_all(half.as_bytes()).unwrap();
        log.write_all(rest.as_bytes()).unwrap();
        expect_speed(&mut viewer, speed);
    }
    assert_eq!(daemon.log_count("warn"), 0, "a log that grows is no fault");
    log.write_all(b"{,}\n").unwrap();
    daemon.logged("log.ndjson: key must be a string (last line, column 2)");
}

#[test]
fn before_anything_was_good_nothing_is_kept() {
    let house = House::new();
    let path = house.write("state.yaml", "speed: .nan\n");
    let daemon = Daemon::watching(&path, &["--debounce", "0ms"]);
    let line = daemon.logged("state.yaml: .nan is not JSON (line 1, column 8)");
    assert!(line.ends_with("; viewers see nothing yet"), "{line}");
    house.write("state.yaml", "speed: 1\n");
    assert_eq!(daemon.viewer().json()["payload"]["data"]["speed"], json!(1));
    house.write("state.yaml", "speed: .inf\n");
    let line = daemon.logged("state.yaml: .inf is not JSON");
    assert!(
        line.ends_with("; viewers keep the last good state"),
        "{line}"
    );
}

#[test]
fn what_cannot_be_a_source_is_refused_at_the_start() {
    let house = House::new();
    let photo = house.write("photo.png", "");
    let text = house.write("notes.conf", "[notes]");
    house.write("state.json", "{}");
    let config = house.write("onlooker.toml", "sources = [\"photo.png\"]");
    let near = house.path("stat.json");
    let (folder, config) = (house.path(""), config.to_str().unwrap());
    for (args, told) in [
        (
            ["--topic=a", photo.to_str().unwrap()],
            "photo.png: an image cannot be a state",
        ),
        (
            ["--topic=a", text.to_str().unwrap()],
            "is not JSON, and .conf is",
        ),
        (
            ["--topic=a", folder.to_str().unwrap()],
            "is a folder, not a file",
        ),
        (
            ["--topic=a", "http://127.0.0.1/a"],
            "curl -o state.json http://127.0.0.1/a",
        ),
        (["--topic=a", near.to_str().unwrap()], "state.json?"),
        (
            ["--config", config],
            "photo.png: an image cannot be a state",
        ),
    ] {
        let log = Daemon::spawn(&args).err().expect("it does not start");
        assert!(log.contains("66") && log.contains(told), "{args:?}: {log}");
    }
}

#[test]
fn several_files_are_a_topic_each() {
    let house = House::new();
    let first = house.write("wave.json", "{\"data\":\"first\"}");
    let second = house.write("stage.json", "{\"data\":\"second\"}");
    let daemon = Daemon::watching(&first, &[second.to_str().unwrap(), "--debounce", "0ms"]);
    assert_eq!(daemon.viewer().json()["payload"]["data"], json!("first"));
    let mut stage = daemon.socket("/?topic=stage", &[]);
    let frame = stage.json();
    assert_eq!(
        (&frame["topic"], &frame["payload"]["data"]),
        (&json!("stage"), &json!("second"))
    );
    house.write("wave.json", "{\"data\":\"other\"}");
    house.write("stage.json", "{\"data\":\"third\"}");
    assert_eq!(
        stage.json()["payload"]["data"],
        json!("third"),
        "and hears of no other topic"
    );
}

#[cfg(unix)]
mod links {
    use super::*;
    use std::os::unix::fs::symlink;

    /// As Kubernetes mounts a `ConfigMap`: `state.json → ..data/state.json`, `..data → ..1`.
    fn mount(house: &House, generation: u32, speed: i64) {
        let real = format!("..{generation}");
        fs::create_dir(house.path(&real)).unwrap();
        house.write(
            &format!("{real}/state.json"),
            &session(&speed.to_string(), "[1]"),
        );
        symlink(&real, house.path("..new")).unwrap();
        fs::rename(house.path("..new"), house.path("..data")).unwrap();
    }

    #[test]
    fn a_swapped_link_is_followed() {
        let house = House::new();
        mount(&house, 1, 1);
        symlink("..data/state.json", house.path("state.json")).unwrap();
        let daemon = Daemon::watching(&house.path("state.json"), &["--debounce", "0ms"]);
        let mut viewer = daemon.viewer();
        viewer.json();
        for generation in 2..5 {
            mount(&house, generation, i64::from(generation));
            fs::remove_dir_all(house.path(&format!("..{}", generation - 1))).unwrap();
            expect_speed(&mut viewer, i64::from(generation));
        }
    }

    #[test]
    fn a_link_s_target_in_another_directory_is_watched() {
        let (house, elsewhere) = (House::new(), House::new());
        elsewhere.write("real.json", &session("1", "[1]"));
        symlink(elsewhere.path("real.json"), house.path("state.json")).unwrap();
        let daemon = Daemon::watching(&house.path("state.json"), &["--debounce", "0ms"]);
        let mut viewer = daemon.viewer();
        viewer.json();
        elsewhere.rename_over("real.json", &session("2", "[1]"));
        expect_speed(&mut viewer, 2);
        let other = House::new();
        other.write("real.json", &session("3", "[1]"));
        fs::remove_file(house.path("state.json")).unwrap();
        symlink(other.path("real.json"), house.path("state.json")).unwrap();
        expect_speed(&mut viewer, 3);
        other.write("real.json", &session("4", "[1]"));
        expect_speed(&mut viewer, 4);
    }

    #[test]
    fn a_replaced_directory_is_found_again() {
        let house = House::new();
        fs::create_dir(house.path("mount")).unwrap();
        let path = house.write("mount/state.json", &session("1", "[1]"));
        let daemon = Daemon::watching(&path, &["--debounce", "0ms"]);
        let mut viewer = daemon.viewer();
        viewer.json();
        for speed in 2..4 {
            fs::rename(house.path("mount"), house.path(&format!("old{speed}"))).unwrap();
            fs::create_dir(house.path("mount")).unwrap();
            house.write("mount/state.json", &session(&speed.to_string(), "[1]"));
            expect_speed(&mut viewer, speed);
        }
    }
}
