//! The program as it is typed: commands, streams, signals, and the codes it ends with.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::harness::Daemon;

/// The program, for one command, in a directory of its own.
fn command(home: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_onlooker"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("ONLOOKER_")) {
        command.env_remove(name);
    }
    command.args(args).current_dir(home);
    command.env("XDG_RUNTIME_DIR", home).stdin(Stdio::null());
    command
}

/// Runs it to its end; the exit code, stdout and stderr.
fn run(home: &Path, args: &[&str]) -> (i32, String, String) {
    ended(&command(home, args).output().expect("the program starts"))
}

fn ended(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
    let code = output.status.code().unwrap_or(-1);
    (code, text(&output.stdout), text(&output.stderr))
}

/// The same, for the commands that talk to a daemon.
fn ask(daemon: &Daemon, args: &[&str]) -> (i32, String, String) {
    let port = daemon.port.to_string();
    run(daemon.home(), &[args, &["--port", &port]].concat())
}

fn alone(args: &[&str]) -> (i32, String, String) {
    let home = tempfile::tempdir().expect("a directory of our own");
    run(home.path(), args)
}

#[test]
fn the_first_line_tells_a_program_where_to_connect() {
    let daemon = Daemon::start();
    assert_eq!(daemon.ready["event"], "ready");
    let url = daemon.ready["urls"][0].as_str().expect("a url");
    assert!(url.contains(&daemon.port.to_string()), "{url}");
    assert!(daemon.token.len() >= 22, "128 bits at least");
}

#[test]
fn each_way_to_fail_has_its_code() {
    let daemon = Daemon::start();
    let taken = daemon.port.to_string();
    let cases: [(&[&str], i32, &str); 9] = [
        (&["--no-such-flag"], 2, "--no-such-flag"),
        (&["--port", "70000"], 2, "from 0 to 65535"),
        (&["--max-actions", "0"], 2, "the least is 1"),
        (&["push"], 2, "nothing to write"),
        (&["no-such.json", "--port", "0"], 66, "no-such.json"),
        (&["push", "no-such.json"], 66, "no-such.json"),
        (&["--bind", "127.0.0.1", "--port", &taken], 69, "--port"),
        (&["--config", "no-such.toml"], 78, "no-such.toml"),
        (&["status", "--port", "1"], 1, "no onlooker answers"),
    ];
    for (args, code, text) in cases {
        let (found, stdout, stderr) = alone(args);
        assert_eq!(found, code, "{args:?}: {stderr}");
        assert!(stderr.contains(text), "{args:?}: {stderr}");
        assert_eq!(stdout, "", "{args:?}");
    }
}

#[test]
fn a_mistyped_command_is_recognised() {
    let (code, _, stderr) = alone(&["statsu"]);
    assert_eq!(code, 66);
    assert!(
        stderr.contains("did you mean the command onlooker status?"),
        "{stderr}"
    );
}

#[test]
fn a_token_is_not_taken_from_a_source() {
    let (code, _, stderr) = alone(&["--viewer-token", "state.json"]);
    assert_eq!(code, 2);
    assert!(
        stderr.contains("--viewer-token=random state.json"),
        "{stderr}"
    );
}

#[test]
fn pushed_files_and_fields_reach_viewers() {
    let daemon = Daemon::start();
    std::fs::write(
        daemon.home().join("a.toml"),
        "name = \"A\"\n[config]\nspeed = 1\n",
    )
    .expect("written");
    let (code, revision, stderr) = ask(&daemon, &["push", "a.toml"]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    assert!(revision.trim().parse::<u64>().is_ok(), "{revision}");
    for (name, text, told) in [
        ("photo.png", "", "photo.png: an image cannot be a state"),
        ("a.conf", "a = 1", "is not JSON, and .conf is"),
    ] {
        std::fs::write(daemon.home().join(name), text).expect("written");
        let (code, _, stderr) = ask(&daemon, &["push", name]);
        assert!(code == 66 && stderr.contains(told), "{stderr}");
    }
    let (code, _, stderr) = ask(&daemon, &["push", "b.toml"]);
    assert!(
        code == 66 && stderr.contains("did you mean a.toml?"),
        "{stderr}"
    );
    let yaml = "name: A\nconfig: {speed: 1}\n";
    std::fs::write(daemon.home().join("a.yaml"), yaml).expect("written");
    assert_eq!(ask(&daemon, &["push", "a.yaml"]).0, 0);
    let (code, ..) = ask(
        &daemon,
        &["push", "--set", "speed=2.50", "--set", "color=red"],
    );
    assert_eq!(code, 0);
    let session = daemon.ask("GET", "/api/topics/main", "").json();
    assert_eq!(session["data"]["config"]["color"], "red");
    let (code, line, _) = ask(&daemon, &["view", "--count", "1"]);
    assert_eq!(code, 0);
    assert!(line.contains("\"speed\":2.50,\"color\":\"red\""), "{line}");
    assert_eq!(line.lines().count(), 1);
}

#[test]
fn lines_are_pushed_one_by_one_and_a_bad_one_is_named() {
    let daemon = Daemon::start();
    let port = daemon.port.to_string();
    let mut push = command(
        daemon.home(),
        &["push", "-", "--topic", "t", "--port", &port],
    )
    .stdin(Stdio::piped())
    .stdout(Stdio::piped())
    .stderr(Stdio::piped())
    .spawn()
    .expect("the program starts");
    let mut stdin = push.stdin.take().expect("piped");
    stdin
        .write_all(b"{\"data\":[1]}\n\nnot json\n{\"type\":\"config_update\",\"payload\":{\"a\":1}}\n{\"type\":\"nonsense\"}\n")
        .expect("it reads");
    drop(stdin);
    let (code, stdout, stderr) = ended(&push.wait_with_output().expect("it ends"));
    assert_eq!(code, 1);
    assert_eq!(stdout.lines().count(), 2, "{stdout}");
    assert!(
        stderr.contains("line 3: ") && stderr.contains("line 5: "),
        "{stderr}"
    );
    assert!(stderr.contains("2 of 5 lines"), "{stderr}");
    let session = daemon.ask("GET", "/api/topics/t", "").json();
    assert_eq!(session["data"]["data"], serde_json::json!([1]));
    assert_eq!(session["data"]["config"]["a"], 1);
}

#[test]
fn a_refused_push_names_every_field() {
    let home = tempfile::tempdir().expect("a directory of our own");
    let config = home.path().join("fields.toml");
    std::fs::write(
        &config,
        "[fields]\nspeed = { type = \"number\", max = 5 }\n",
    )
    .expect("written");
    let daemon = Daemon::with(&["--config", config.to_str().expect("text")]);
    daemon.put("{\"config\":{\"speed\":1}}");
    let (code, stdout, stderr) = ask(&daemon, &["push", "--set", "speed=9"]);
    assert_eq!((code, stdout.as_str()), (1, ""));
    assert!(
        stderr.contains("422") && stderr.contains("speed") && stderr.contains("at most 5"),
        "{stderr}"
    );
}

#[test]
fn the_running_daemon_reports_its_status() {
    let daemon = Daemon::start();
    daemon.put("{\"name\":\"Ev\\u001b[2Jil\",\"data\":1}");
    let (code, table, _) = ask(&daemon, &["status"]);
    assert_eq!(code, 0);
    assert!(
        table.contains("Ev␛[2Jil") && !table.contains('\x1b'),
        "{table}"
    );
    let (_, json, _) = ask(&daemon, &["status", "--json"]);
    let status: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(status["port"], daemon.port);
    assert_eq!(
        ask(&daemon, &["status", "--health"]),
        (0, String::new(), String::new())
    );
    let (_, code, _) = ask(&daemon, &["qr"]);
    let link = daemon.ready["urls"][0].as_str().expect("a url");
    assert!(
        code.contains('▀') && code.trim_end().ends_with(link),
        "{code}"
    );
    let (_, text, _) = alone(&["qr", "hello"]);
    assert!(text.ends_with("hello\n"));
}

#[test]
fn the_token_is_kept_for_this_user_while_the_daemon_runs() {
    let mut daemon = Daemon::start();
    let (code, token, _) = ask(&daemon, &["token"]);
    assert_eq!((code, token.trim()), (0, daemon.token.as_str()));
    let kept = daemon
        .home()
        .join(format!("onlooker/{}.token", daemon.port));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = |path: &Path| path.metadata().expect("there").permissions().mode() & 0o777;
        assert_eq!(
            (mode(&kept), mode(&daemon.home().join("onlooker"))),
            (0o600, 0o700)
        );
    }
    daemon.signal("TERM");
    assert!(daemon.exited().success());
    assert!(!kept.exists());
    let (code, _, stderr) = ask(&daemon, &["token"]);
    assert_eq!(code, 1);
    assert!(stderr.contains("no token for port"), "{stderr}");
}

#[test]
fn signals_stop_it_in_order() {
    for signal in ["INT", "TERM"] {
        let mut daemon = Daemon::start();
        daemon.signal(signal);
        assert_eq!(daemon.exited().code(), Some(0), "{signal}");
    }
}

#[test]
fn a_log_file_holds_no_token() {
    let mut daemon = Daemon::with(&["--viewer-token", "-v"]);
    daemon.logged("serving");
    daemon.signal("TERM");
    assert!(daemon.exited().success());
    let token = daemon.token.clone();
    assert_eq!(daemon.log_count(&token), 0);
    let page = daemon.ready["urls"][0].as_str().expect("a url");
    let (_, viewer_token) = page.split_once("#t=").expect("the page's link carries it");
    assert_eq!(daemon.log_count(viewer_token), 0);
}

#[test]
fn log_lines_are_json_when_asked_for() {
    let daemon = Daemon::with(&["--log-format", "json"]);
    let line: serde_json::Value = serde_json::from_str(&daemon.logged("serving")).expect("JSON");
    assert_eq!(line["level"], "INFO");
}

#[test]
fn a_qr_code_is_drawn_when_it_was_asked_for() {
    let daemon = Daemon::with(&["--qr", "ws"]);
    daemon.logged("▀");
    daemon.logged("ws://");
    let quiet = Daemon::with(&["-q", "--qr", "page"]);
    quiet.put("{\"data\":1}");
    assert_eq!(quiet.log_count("▀"), 0);
}

#[test]
fn a_reader_that_leaves_is_not_an_error() {
    for args in [
        &["completions", "bash"][..],
        &["man"],
        &["--help"],
        &["config", "--default"],
    ] {
        let home = tempfile::tempdir().expect("a directory of our own");
        let mut child = command(home.path(), args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        drop(child.stdout.take());
        let (code, _, stderr) = ended(&child.wait_with_output().expect("it ends"));
        assert_eq!((code, stderr.as_str()), (0, ""), "{args:?}");
    }
}

#[test]
fn view_waits_for_a_daemon_that_comes_back() {
    let mut daemon = Daemon::start();
    daemon.put("{\"data\":1}");
    let port = daemon.port.to_string();
    let mut view = command(daemon.home(), &["view", "--count", "2", "--port", &port])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut lines = BufReader::new(view.stdout.take().expect("piped")).lines();
    lines.next().expect("a frame").expect("text");
    daemon.signal("TERM");
    assert!(daemon.exited().success());
    let mut log = BufReader::new(view.stderr.take().expect("piped")).lines();
    let lost = log.next().expect("a line").expect("text");
    assert!(
        lost.contains("1001") && lost.contains("trying again"),
        "{lost}"
    );
    let again = Daemon::with(&["--port", &port, "--host-token", &daemon.token]);
    again.put("{\"data\":2}");
    let frame = lines.next().expect("a frame").expect("text");
    assert!(frame.contains("\"data\":2"), "{frame}");
    assert!(view.wait().expect("it ends").success());
}

#[test]
fn help_names_every_default_and_teaches() {
    let (code, help, _) = alone(&["--help"]);
    assert_eq!(code, 0);
    for part in [
        "Examples:",
        "Exit codes:",
        "[default: 250ms]",
        "[default: 9876]",
        "[default: 16MiB]",
        "Limits:",
        "--max-rooms <COUNT>",
        "under [rooms]",
    ] {
        assert!(help.contains(part), "{part} in {help}");
    }
    assert!(alone(&["man"]).1.contains(".TH"));
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        assert!(
            alone(&["completions", shell]).1.contains("max-viewers"),
            "{shell}"
        );
    }
}
