//! The configuration as the program takes it: file, variables, flags, and what it says about them.

use std::path::Path;
use std::process::Command;

use crate::harness::Daemon;

/// `onlooker` in a directory with a file; the exit code, stdout and stderr.
fn run(file: &str, variables: &[(&str, &str)], args: &[&str]) -> (i32, String, String) {
    let home = tempfile::tempdir().expect("a directory of our own");
    std::fs::write(home.path().join("onlooker.toml"), file).expect("written");
    run_in(home.path(), variables, args)
}

fn run_in(home: &Path, variables: &[(&str, &str)], args: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_onlooker"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("ONLOOKER_")) {
        command.env_remove(name);
    }
    command.envs(variables.iter().copied());
    let output = command.args(args).current_dir(home).output();
    let output = output.expect("the program starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    let code = output.status.code().unwrap_or(-1);
    (code, text(output.stdout), text(output.stderr))
}

#[test]
fn config_shows_what_is_in_effect_and_why() {
    let file = "port = 8000\ndebounce = \"1s\"\nhost_token = \"correct-horse-battery\"";
    let variables = [("ONLOOKER_DEBOUNCE", "2s")];
    let (code, shown, stderr) = run(file, &variables, &["config", "--topic", "stage"]);
    assert_eq!(code, 0, "{stderr}");
    let line = |start: &str| {
        let found = shown.lines().find(|line| line.starts_with(start));
        found.unwrap_or_default().to_owned()
    };
    assert!(
        line("port = 8000 ").ends_with("# onlooker.toml:1"),
        "{shown}"
    );
    assert!(
        line("debounce = \"2s\"").ends_with("# environment ONLOOKER_DEBOUNCE"),
        "{shown}"
    );
    assert!(
        line("topic = \"stage\"").ends_with("# flag --topic"),
        "{shown}"
    );
    assert!(line("ping = \"15s\"").ends_with("# default"), "{shown}");
    assert!(!shown.contains("horse"), "{shown}");
}

#[test]
fn config_shows_the_rooms_that_are_declared() {
    let file = "[rooms]\nkeep_deleted = \"90m\"\n[rooms.channels.todos]\ncolumns = { id = \"string\", done = \"boolean\" }";
    let variables = [("ONLOOKER_MAX_ROWS", "7")];
    let args = ["config", "--max-rooms", "2", "--max-actions", "9"];
    let (code, shown, stderr) = run(file, &variables, &args);
    assert_eq!(code, 0, "{stderr}");
    for (line, origin) in [
        ("max_rooms = 2", "flag --max-rooms"),
        ("max_rows = 7", "environment ONLOOKER_MAX_ROWS"),
        ("max_row = \"64KiB\"", "default"),
        ("max_actions = 9", "flag --max-actions"),
        ("[rooms]", "onlooker.toml:1"),
        ("parties = [\"main\"]", "default"),
        ("keep_deleted = \"90m\"", "onlooker.toml:2"),
        ("[rooms.channels.todos]", "onlooker.toml:3"),
        (
            "columns = { id = \"string\", done = \"boolean\" }",
            "onlooker.toml:4",
        ),
        ("writers = \"host\"", "default"),
    ] {
        let found = shown.lines().filter_map(|line| line.split_once("  # "));
        let found = found.map(|(line, origin)| (line.trim_end(), origin));
        assert!(
            found.into_iter().any(|pair| pair == (line, origin)),
            "{line} # {origin} in {shown}"
        );
    }
    // What is shown is a file that says the same.
    let (_, again, stderr) = run(&shown, &[], &["config"]);
    let tables = |shown: &str| {
        let (_, tables) = shown.split_once("[rooms]").expect("they are declared");
        let lines = tables.lines().map(|line| line.split("  # ").next());
        let lines = lines.map(|line| line.unwrap_or_default().trim_end().to_owned());
        lines.collect::<Vec<_>>()
    };
    assert_eq!(tables(&again), tables(&shown), "{stderr}");
}

#[test]
fn the_commented_file_is_what_the_program_prints() {
    let (code, printed, _) = run("", &[], &["config", "--default"]);
    assert_eq!(code, 0);
    let kept = include_str!("../../config/onlooker.toml");
    assert_eq!(printed, kept);
}

#[test]
fn a_fault_in_the_file_is_named_with_its_line_and_the_way_out() {
    let cases = [
        (
            "max_viewer = 1",
            "onlooker.toml:1: unknown key \"max_viewer\": the nearest known one is \"max_viewers\"",
        ),
        (
            "\nport = 70000",
            "onlooker.toml:2: port = 70000: give a port from 0 to 65535",
        ),
        (
            "debounce = 250",
            "onlooker.toml:1: debounce = 250: give a whole number and a unit, like 250ms",
        ),
        ("port = ", "onlooker.toml:1: "),
        (
            "[fields]\nspeed = \"numbr\"",
            "onlooker.toml:2: fields.speed: ",
        ),
        (
            "[rooms]\nparties = [\"a.b\"]",
            "onlooker.toml:2: rooms.parties: \"a.b\" cannot name a party",
        ),
        (
            "[rooms.channels.todos]\ncolumns = { text = \"string\" }",
            "onlooker.toml:2: rooms.channels.todos.columns: the first column has to be id",
        ),
        (
            "max_row = \"1B\"",
            "onlooker.toml:1: max_row = 1B: the least is 1KiB",
        ),
    ];
    for (file, text) in cases {
        let (code, stdout, stderr) = run(file, &[], &[]);
        assert_eq!((code, stdout.as_str()), (78, ""), "{file}: {stderr}");
        assert!(stderr.contains(text), "{file}: {stderr}");
    }
    let (code, _, stderr) = run("", &[("ONLOOKER_CONFIG", "no-such.toml")], &["config"]);
    assert_eq!(code, 78);
    assert!(stderr.contains("no-such.toml"), "{stderr}");
    let (code, _, stderr) = run("", &[("ONLOOKER_MAX_SESSION", "big")], &[]);
    assert_eq!(code, 78);
    assert!(stderr.contains("ONLOOKER_MAX_SESSION=big: "), "{stderr}");
}

#[test]
fn an_almost_right_variable_is_noticed() {
    let (_, _, stderr) = run(
        "",
        &[("ONLOOKER_PROT", "1")],
        &["--viewer", "no-such-directory"],
    );
    assert!(
        stderr.contains("ONLOOKER_PROT") && stderr.contains("ONLOOKER_PORT"),
        "{stderr}"
    );
}

#[test]
fn a_daemon_obeys_its_file() {
    let home = tempfile::tempdir().expect("a directory of our own");
    let file = home.path().join("here.toml");
    std::fs::write(home.path().join("state.json"), "{\"data\":7}").expect("written");
    std::fs::write(
        &file,
        "topic = \"stage\"\nsources = [\"state.json\"]\nhost_token = \"none\"",
    )
    .expect("written");
    let daemon = Daemon::with(&["--config", file.to_str().expect("text")]);
    assert_eq!(daemon.ready.get("hostToken"), None);
    daemon.logged("serving state.json");
    let frame = daemon.viewer().json();
    assert_eq!(frame["topic"], "stage");
    assert_eq!(frame["payload"]["data"], 7);
}
