//! A person at the terminal: what the keys do, and that the terminal is afterwards what it was
//! before.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::harness::{Response, Socket, Terminal};

/// A daemon that somebody looks at.
struct Seen {
    terminal: Terminal,
    port: u16,
    token: String,
    home: tempfile::TempDir,
}

impl Seen {
    fn with(args: &[&str]) -> Seen {
        let home = tempfile::tempdir().expect("a directory of our own");
        let mut terminal = Terminal::with(&mut onlooker(home.path(), args));
        let ready = terminal.ready();
        let port = ready["port"].as_u64().and_then(|port| port.try_into().ok());
        Seen {
            terminal,
            port: port.expect("a port"),
            token: ready["hostToken"].as_str().unwrap_or_default().to_owned(),
            home,
        }
    }

    /// With a session, and its keys in use.
    fn with_keys() -> Seen {
        let mut seen = Seen::with(&["--debounce", "0ms"]);
        let session = r#"{"data":1,"config":{"speed":1}}"#;
        let made = seen.ask("PUT", "/api/topics/main", session);
        assert_eq!(made.status, 201, "{made:?}");
        seen.terminal.shows("h help");
        seen
    }

    fn ask(&self, method: &str, path: &str, body: &str) -> Response {
        let token = format!("Bearer {}", self.token);
        let headers = [("Authorization", token.as_str())];
        Response::to(self.connect(), method, path, &headers, body)
    }

    fn connect(&self) -> TcpStream {
        TcpStream::connect(("127.0.0.1", self.port)).expect("it listens")
    }

    fn viewer(&self) -> Socket {
        let mut viewer = Socket::open(self.connect(), "/", &[("User-Agent", "wscat")]);
        viewer.json();
        viewer
    }

    fn status(&self) -> Value {
        self.ask("GET", "/api/status", "").json()
    }
}

/// The program, in a home of its own.
fn onlooker(home: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_onlooker"));
    command
        .args(["serve", "--port", "0", "--bind", "127.0.0.1", "--json"])
        .args(args)
        .current_dir(home)
        .env("XDG_RUNTIME_DIR", home);
    command
}

#[test]
fn keys_show_and_hide() {
    let mut seen = Seen::with_keys();
    seen.terminal.press("h");
    seen.terminal.shows("send everything to every viewer again");
    seen.terminal.press("h");
    // What is shown next is shown without it.
    seen.terminal.press("q");
    let code = seen.terminal.shows("http://127.0.0.1:");
    assert!(code.contains('▀'), "{code}");
    seen.terminal.press("\x1b");
    seen.terminal.press("d");
    let list = seen.terminal.shows("no devices yet");
    assert!(!list.contains("Ctrl-C"), "{list}");
}

#[test]
fn a_device_is_listed_selected_and_sent_away() {
    let mut seen = Seen::with_keys();
    let (mut stays, mut goes) = (seen.viewer(), seen.viewer());
    seen.terminal.press("d");
    seen.terminal.shows("x sends the device away");
    seen.terminal.press("\x1b[B");
    // The second line has the mark.
    seen.terminal.shows("\n\x1b[1m▸ wscat  up to date");
    seen.terminal.press("x");
    seen.terminal.shows("wscat was sent away");
    assert_eq!(goes.close_code(), Some(1008));
    seen.terminal.press("d");
    seen.ask("PUT", "/api/topics/main", r#"{"data":2}"#);
    assert_eq!(stays.json()["payload"]["data"], 2);
}

#[test]
fn space_freezes_and_lets_go() {
    let mut seen = Seen::with_keys();
    let mut viewer = seen.viewer();
    seen.terminal.press(" ");
    seen.terminal
        .shows("frozen: viewers see the state of just now · space lets go");
    assert_eq!(seen.status()["frozen"], true);
    seen.ask("PUT", "/api/topics/main", r#"{"data":2}"#);
    seen.terminal.press("r");
    seen.terminal.shows("sent again to 1 device");
    assert_eq!(viewer.json()["payload"]["data"], 1, "what was frozen");
    seen.terminal.press(" ");
    assert_eq!(viewer.json()["payload"]["data"], 2);
    seen.terminal.shows("wscat · ");
}

#[test]
fn the_link_is_copied_and_its_token_is_not_shown() {
    use base64::Engine;
    let mut seen = Seen::with(&["--viewer-token", "open-sesame-open-sesame"]);
    seen.terminal.shows("h help");
    seen.terminal.press("c");
    seen.terminal.shows("\x1b]52;c;");
    let copied = seen.terminal.shows("\x07");
    let copied = base64::engine::general_purpose::STANDARD
        .decode(copied.trim_end_matches('\x07'))
        .expect("base64");
    let link = format!("http://127.0.0.1:{}/#t=open-sesame-open-sesame", seen.port);
    assert_eq!(copied, link.as_bytes());
    seen.terminal.shows("asked the terminal to copy ");
    let told = seen.terminal.shows("\n");
    assert_eq!(told.trim(), format!("http://127.0.0.1:{}/", seen.port));
}

#[test]
fn where_there_is_one_address_there_is_no_next() {
    let mut seen = Seen::with_keys();
    seen.terminal.press("n");
    seen.terminal.shows("no other address");
}

#[test]
fn what_opens_nothing_is_said_with_the_link() {
    let home = tempfile::tempdir().expect("a directory of our own");
    let mut command = onlooker(home.path(), &["--open"]);
    for name in ["DISPLAY", "WAYLAND_DISPLAY", "WSL_DISTRO_NAME", "BROWSER"] {
        command.env_remove(name);
    }
    let mut terminal = Terminal::with(&mut command);
    terminal.shows("nothing was opened (there is no desktop here): open http://127.0.0.1:");
}

/// A desktop whose opener tells us what it was given.
fn desktop(home: &Path, args: &[&str]) -> (Command, std::path::PathBuf) {
    use std::os::unix::fs::OpenOptionsExt;
    let told = home.join("told");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &told,
        rustix::fs::FileType::Fifo,
        0o600.into(),
        0,
    )
    .expect("a pipe with a name");
    let script = format!("#!/bin/sh\necho \"$1\" > '{}'\n", told.display());
    let mut options = std::fs::OpenOptions::new();
    let opener = options.write(true).create_new(true).mode(0o700);
    let mut opener = opener.open(home.join("xdg-open")).expect("a file");
    std::io::Write::write_all(&mut opener, script.as_bytes()).expect("written");
    let mut command = onlooker(home, args);
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{}:{path}", home.display()));
    command.env("DISPLAY", ":0").env_remove("WSL_DISTRO_NAME");
    (command, told)
}

#[test]
fn a_browser_is_led_to_the_panel_without_being_given_its_token() {
    let home = tempfile::tempdir().expect("a directory of our own");
    let (mut command, told) = desktop(home.path(), &["--open"]);
    let mut terminal = Terminal::with(&mut command);
    let ready = terminal.ready();
    let page = ready["urls"][0].as_str().expect("a link");
    assert_eq!(std::fs::read_to_string(&told).expect("text").trim(), page);
    terminal.shows("h help");
    terminal.press("p");
    let given = std::fs::read_to_string(&told).expect("text");
    let token = ready["hostToken"].as_str().expect("a token");
    assert!(!given.contains(token));
    let rest = given.trim().strip_prefix("http://").expect("a link");
    let (address, path) = rest.split_once('/').expect("a path");
    let ask = |path: &str| {
        let tcp = TcpStream::connect(address).expect("it waits for the browser");
        Response::to(tcp, "GET", path, &[], "")
    };
    assert_eq!(ask("/host").status, 404);
    let led = ask(&format!("/{path}"));
    assert_eq!(led.status, 303);
    assert_eq!(
        led.header("location"),
        Some(format!("{page}host#h={token}").as_str())
    );
}

#[test]
fn two_links_are_led_to_at_once() {
    let home = tempfile::tempdir().expect("a directory of our own");
    let args = ["--open", "--viewer-token", "open-sesame-open-sesame"];
    let (mut command, told) = desktop(home.path(), &args);
    let mut terminal = Terminal::with(&mut command);
    let given = || std::fs::read_to_string(&told).expect("text");
    let page = given();
    terminal.shows("h help");
    terminal.press("p");
    let panel = given();
    for (link, fragment) in [(page, "#t="), (panel, "#h=")] {
        let rest = link.trim().strip_prefix("http://").expect("a link");
        let (address, path) = rest.split_once('/').expect("a path");
        let connect = || TcpStream::connect(address).expect("it waits for the browser");
        // Browsers connect before they ask.
        let _before = connect();
        let led = Response::to(connect(), "GET", &format!("/{path}"), &[], "");
        let location = led.header("location").unwrap_or_default();
        assert!(led.status == 303 && location.contains(fragment), "{led:?}");
    }
}

#[test]
fn what_is_typed_is_not_shown() {
    let mut seen = Seen::with_keys();
    // Pasted, with marks and without: none of it is a key.
    assert!(seen.terminal.text().contains("\x1b[?2004h"));
    seen.terminal.press("\x1b[200~c\x1b[201~");
    seen.terminal.press("docker run hello\n");
    // It was read before the second of these was drawn.
    seen.terminal.shows("s ago");
    seen.terminal.shows("s ago");
    seen.terminal.press("h");
    seen.terminal.shows("Ctrl-C");
    let text = seen.terminal.text();
    assert!(
        !text.contains("docker") && !text.contains("to copy"),
        "{text}"
    );
}

#[test]
fn the_terminal_is_given_back_on_every_way_out() {
    /// Its name, how to take it, and the code at its end.
    type Way = (&'static str, fn(&mut Terminal), Option<i32>);
    let ways: [Way; 5] = [
        ("Ctrl-C", |terminal| terminal.press("\x03"), Some(0)),
        ("SIGTERM", |terminal| terminal.signal("TERM"), Some(0)),
        ("SIGINT", |terminal| terminal.signal("INT"), Some(0)),
        ("SIGHUP", |terminal| terminal.signal("HUP"), Some(0)),
        ("Ctrl-\\", |terminal| terminal.press("\x1c"), Some(1)),
    ];
    for (name, end, code) in ways {
        let mut seen = Seen::with_keys();
        assert!(!seen.terminal.is_usual(), "{name}: its keys are in use");
        end(&mut seen.terminal);
        assert_eq!(seen.terminal.exited().code(), code, "{name}");
        // It no longer marks what is pasted.
        seen.terminal.shows("\x1b[?2004l");
        assert!(seen.terminal.is_usual(), "{name}");
    }
}

#[test]
fn a_second_signal_stops_at_once() {
    for (name, again) in [("Ctrl-C", "\x03"), ("Ctrl-\\", "\x1c")] {
        let mut seen = Seen::with_keys();
        // A request that does not end holds the daemon up.
        let mut request = seen.connect();
        let head = "PUT /api/topics/main HTTP/1.1\r\nHost: 127.0.0.1\r\nExpect: 100-continue\r\n";
        let token = &seen.token;
        let rest = format!("Authorization: Bearer {token}\r\nContent-Length: 9\r\n\r\n");
        request
            .write_all((head.to_owned() + &rest).as_bytes())
            .unwrap();
        let mut answer = [0; 12];
        request
            .read_exact(&mut answer)
            .expect("it waits for the body");
        assert_eq!(&answer, b"HTTP/1.1 100");
        seen.terminal.press("\x03");
        seen.terminal.shows("stopping");
        // Without a shell, this does not stop it.
        seen.terminal.press("\x1a");
        seen.terminal.press(again);
        assert_eq!(seen.terminal.exited().code(), Some(1), "{name}");
        seen.terminal.shows("stopped at once by a second signal");
        assert!(seen.terminal.is_usual(), "{name}");
    }
}

#[test]
fn a_terminal_that_is_not_wanted_is_left_alone() {
    for args in [&["--no-keys"][..], &["-q"], &["-"]] {
        let mut seen = Seen::with(args);
        let before = format!("{:?}", seen.terminal.modes());
        assert!(seen.terminal.is_usual(), "{args:?}");
        if !args.contains(&"-q") {
            seen.terminal.shows("no devices");
        }
        assert_eq!(format!("{:?}", seen.terminal.modes()), before, "{args:?}");
        assert!(!seen.terminal.text().contains("h help"));
        seen.terminal.press("\x03");
        assert_eq!(seen.terminal.exited().code(), Some(0), "{args:?}");
    }
}

/// A shell with job control, as people have it, that runs these lines.
fn shell(lines: &str) -> (Terminal, tempfile::TempDir) {
    let home = tempfile::tempdir().expect("a directory of our own");
    let daemon = onlooker(home.path(), &[]);
    let mut shell = Command::new("bash");
    shell.args(["-c", &format!("set -m; {lines}"), "bash"]);
    shell.arg(daemon.get_program()).args(daemon.get_args());
    shell
        .current_dir(home.path())
        .env("XDG_RUNTIME_DIR", home.path());
    (Terminal::with(&mut shell), home)
}

#[test]
fn ctrl_z_gives_the_terminal_back_and_fg_takes_it_again() {
    let (mut terminal, _home) =
        shell("\"$@\"; echo your turn; read line; echo \"<$line>\"; fg >/dev/null; echo over");
    terminal.shows("h help");
    terminal.press("h");
    terminal.shows("Ctrl-C");
    terminal.press("\x1a");
    terminal.shows("your turn");
    terminal.press("a line\n");
    terminal.shows("<a line>");
    terminal.shows("Ctrl-C");
    assert!(!terminal.is_usual());
    terminal.press("\x03");
    terminal.shows("over");
    assert!(terminal.is_usual());
    assert_eq!(terminal.exited().code(), Some(0));
}

#[test]
fn what_was_stopped_from_outside_is_drawn_anew() {
    let (mut terminal, _home) = shell(
        "\"$@\" & echo \"it is $!.\"; fg >/dev/null; echo your turn; fg >/dev/null; echo over",
    );
    terminal.shows("it is ");
    let pid = terminal.shows(".");
    terminal.shows("h help");
    terminal.press("h");
    terminal.shows("Ctrl-C");
    let mut kill = Command::new("kill");
    let sent = kill
        .args(["-s", "STOP", pid.trim_end_matches('.')])
        .status();
    assert!(sent.expect("kill is there").success());
    terminal.shows("your turn");
    // The help as well, which has not changed.
    terminal.shows("Ctrl-C");
    terminal.shows("h help");
    terminal.press("\x03");
    terminal.shows("over");
    assert!(terminal.is_usual());
}

#[test]
fn in_the_background_the_terminal_is_the_shells() {
    let (mut terminal, _home) =
        shell("\"$@\" & read line; echo \"<$line>\"; fg >/dev/null; echo over");
    terminal.ready();
    terminal.press("a line\n");
    terminal.shows("<a line>");
    terminal.shows("h help");
    assert!(!terminal.is_usual());
    terminal.press("\x03");
    terminal.shows("over");
    assert!(terminal.is_usual());
}

#[test]
fn what_was_frozen_in_the_background_was_frozen_then() {
    let (mut terminal, _home) = shell("\"$@\" & read line; sleep 1; fg >/dev/null");
    let ready = terminal.ready();
    let port = ready["port"].as_u64().expect("a port");
    let port = u16::try_from(port).expect("a port");
    let connect = || TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    let token = format!("Bearer {}", ready["hostToken"].as_str().expect("a token"));
    let ask = |method, path, body| {
        let headers = [("Authorization", token.as_str())];
        Response::to(connect(), method, path, &headers, body).status
    };
    assert_eq!(ask("PUT", "/api/topics/main", "1"), 201);
    assert_eq!(ask("POST", "/api/freeze", ""), 204);
    terminal.press("\n");
    terminal.shows("frozen: viewers see the state of ");
    let since = terminal.shows("space lets go");
    assert!(!since.contains("just now"), "{since}");
    terminal.press("\x03");
}

#[test]
fn without_a_shell_ctrl_z_does_not_stop_for_ever() {
    let mut seen = Seen::with_keys();
    seen.terminal.press("\x1a");
    seen.terminal.press("h");
    seen.terminal.shows("Ctrl-C");
}

/// A daemon at whatever port it finds, and a home of its own with it.
fn anywhere() -> (Terminal, u16, tempfile::TempDir) {
    let home = tempfile::tempdir().expect("a directory of our own");
    let mut command = Command::new(env!("CARGO_BIN_EXE_onlooker"));
    command
        .args(["--bind", "127.0.0.1", "--json"])
        .current_dir(home.path())
        .env("XDG_RUNTIME_DIR", home.path())
        .env_remove("ONLOOKER_PORT");
    let mut terminal = Terminal::with(&mut command);
    let port = terminal.ready()["port"].as_u64().expect("a port");
    (terminal, port.try_into().expect("a port"), home)
}

/// What a command says that names no port.
fn said(home: &Path, args: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_onlooker"));
    command
        .args(args)
        .current_dir(home)
        .env("XDG_RUNTIME_DIR", home);
    let output = command.output().expect("it runs");
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.code(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}

#[test]
fn the_usual_port_may_be_in_use() {
    // If it cannot be taken, somebody else has it.
    let _taken = std::net::TcpListener::bind(("127.0.0.1", 9876));
    let (terminal, port, home) = anywhere();
    assert!((9877..=9885).contains(&port), "{port}");
    let told =
        format!("9876 is in use, so this daemon is at {port}; other commands need --port {port}");
    assert!(terminal.text().contains(&told));
    // They find it all the same, while there is no other.
    assert_eq!(said(home.path(), &["status", "--health"]).0, Some(0));
    let (code, token) = said(home.path(), &["token"]);
    assert_eq!((code, token.trim().len()), (Some(0), 24), "{token}");
    let (code, named) = said(
        home.path(),
        &["serve", "--port", "9876", "--bind", "127.0.0.1"],
    );
    assert_eq!(code, Some(69), "{named}");
}

#[test]
fn all_ports_may_be_in_use() {
    // An address that no other test listens at.
    let bind = "127.0.0.29";
    // If one cannot be taken, somebody else has it.
    let _taken: Vec<_> = (9876..=9885)
        .map(|port| std::net::TcpListener::bind((bind, port)))
        .collect();
    let home = tempfile::tempdir().expect("a directory of our own");
    let (code, said) = said(home.path(), &["--bind", bind]);
    assert_eq!(code, Some(69), "{said}");
    assert!(said.contains("9876 to 9885 are all in use"), "{said}");
}

#[test]
fn between_two_daemons_nobody_chooses() {
    let mut first = Seen::with(&[]);
    let home = first.home.path();
    let mut second = Terminal::with(&mut onlooker(home, &[]));
    let port = second.ready()["port"].as_u64().expect("a port");
    for args in [
        &["token"][..],
        &["push", "--set", "a=1"],
        &["status"],
        &["qr"],
    ] {
        let (code, said) = said(home, args);
        assert_eq!(code, Some(1), "{said}");
        for port in [u64::from(first.port), port] {
            assert!(
                said.contains(&port.to_string()) && said.contains("--port"),
                "{said}"
            );
        }
    }
    let (code, said) = said(home, &["status", "--port", "1"]);
    assert!(
        code == Some(1) && said.contains(&format!("{port}")),
        "{said}"
    );
    first.terminal.press("\x03");
}
