//! SIGHUP: when its terminal has gone, the daemon stops in order; a daemon without one reads its
//! configuration and certificate again. A certificate is also read when its file changes.
#![cfg(unix)]

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use rcgen::{CertifiedKey, KeyPair};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::encodings::Tls;
use super::harness::{Block, Daemon, Events, Response, Socket};

const OWN: (&str, &str) = ("Sec-WebSocket-Protocol", "onlooker.v1");
const SESSION: &str = r#"{"data":{},"config":{"speed":1}}"#;

/// A daemon with a file that can be rewritten.
struct House {
    daemon: Daemon,
    folder: TempDir,
    reloads: usize,
}

impl House {
    fn new(configuration: &str) -> House {
        House::prepared(tempfile::tempdir().expect("a directory"), configuration)
    }

    /// In a folder that may already hold something.
    fn prepared(folder: TempDir, configuration: &str) -> House {
        let file = folder.path().join("house.toml");
        fs::write(&file, configuration).expect("written");
        let file = file.to_str().expect("text");
        let daemon = Daemon::with(&["--config", file, "--debounce", "0ms"]);
        House {
            daemon,
            folder,
            reloads: 0,
        }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("house.toml")
    }

    /// Rewrites the file and has it read; returns the line that says what came of it.
    fn reload(&mut self, configuration: &str) -> String {
        fs::write(self.file(), configuration).expect("written");
        self.hang_up("configuration reloaded: ")
    }

    /// Has the file read, and waits for one more line with `text`.
    fn hang_up(&mut self, text: &str) -> String {
        self.daemon.signal("HUP");
        self.reloads += 1;
        self.daemon.logged_again(text, self.reloads)
    }

    /// The answer to a `GET` with this token.
    fn get(&self, path: &str, token: &str) -> Response {
        self.ask("GET", path, token, "")
    }

    fn ask(&self, method: &str, path: &str, token: &str, body: &str) -> Response {
        let bearer = format!("Bearer {token}");
        let headers = [("Authorization", bearer.as_str())];
        Response::to(self.daemon.connect(), method, path, &headers, body)
    }
}

/// The farewell before the close, which our own viewers must get.
fn bye(viewer: &mut Socket) -> Value {
    loop {
        let message = viewer.json();
        if message["type"] == "bye" {
            return message;
        }
    }
}

#[test]
fn a_terminal_that_hangs_up_ends_the_daemon_in_order() {
    let (mut daemon, terminal) = Daemon::on_terminal(&["--qr", "none"]);
    daemon.put(SESSION);
    let mut viewer = daemon.socket("/", &[OWN]);
    let mut plain = daemon.viewer();
    plain.json();
    // From now on nothing can be written there any more.
    drop(terminal);
    daemon.signal("HUP");
    assert_eq!(bye(&mut viewer)["reason"], "stopping");
    // The shell reports it, and then the system does.
    daemon.signal("HUP");
    assert_eq!(viewer.close_code(), Some(1001));
    assert_eq!(plain.close_code(), Some(1001));
    drop((viewer, plain));
    assert_eq!(daemon.exited().code(), Some(0));
}

#[test]
fn a_peer_admitted_by_an_old_token_is_sent_away() {
    let [old, new] = ["one", "two"].map(|name| {
        format!("host_token = \"host-token-{name}\"\nviewer_token = \"viewer-token-{name}\"")
    });
    let mut house = House::new(&old);
    house.daemon.put(SESSION);
    let open = |path: &str, headers| house.daemon.socket(path, headers);
    let mut own = open("/?token=viewer-token-one", &[OWN]);
    let mut sockets = [
        open("/?token=viewer-token-one", &[]),
        open("/?token=host-token-one", &[]),
        open("/sync?token=viewer-token-one", &[]),
    ];
    for socket in &mut sockets {
        socket.json();
    }
    let mut host = open("/host?token=host-token-one", &[]);
    let mut events = Events::open(&house.daemon, "/sync?token=viewer-token-one", &[]);
    events.json();
    let mut slow = house.daemon.connect();
    let head = "PUT /api/topics/main HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer host-token-one\r\nContent-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n";
    slow.write_all(head.as_bytes()).expect("it reads");
    // It was admitted: its body is asked for.
    slow.read_exact(&mut [0; 25]).expect("100 Continue");

    let line = house.reload(&new);
    assert!(line.ends_with(": host_token; viewer_token"), "{line}");
    assert_eq!(house.daemon.log_count("-token-"), 0, "no token is logged");

    let farewell = bye(&mut own);
    assert_eq!(farewell["reason"], "revoked");
    assert!(farewell["retryAfterMs"].is_u64(), "{farewell}");
    assert_eq!(own.close_code(), Some(1008));
    for mut socket in sockets {
        assert_eq!(socket.close_code(), Some(1008));
    }
    assert_eq!(host.close_code(), Some(1008));
    while let Some(block) = events.block() {
        assert!(matches!(block, Block::Comment(_)), "{block:?}");
    }
    let late = Response::to_raw(slow, br#"{"data":9}"#);
    assert_eq!(late.status, 401, "{late:?}");

    assert_eq!(
        house.get("/api/topics/main", "viewer-token-one").status,
        401
    );
    let shown = house.get("/api/topics/main", "viewer-token-two").json();
    assert_eq!(shown["data"]["data"], json!({}), "nobody wrote in between");
    for (token, status) in [("host-token-one", 401), ("host-token-two", 200)] {
        let written = house.ask("PUT", "/api/topics/main", token, SESSION);
        assert_eq!(written.status, status, "{token}");
    }
    house
        .daemon
        .logged("viewer sent away: what let it in holds no more");
    house.daemon.logged("reader of /sync sent away");
    let metrics = house.get("/metrics", "viewer-token-two").body;
    let counted = "onlooker_viewers_sent_away_total{reason=\"revoked\"} 6\n";
    assert!(metrics.contains(counted), "{metrics}");
}

#[test]
fn links_and_the_kept_token_follow() {
    let mut house = House::new("host_token = \"host-token-one\"");
    let kept = house.daemon.home().join("onlooker");
    let kept = kept.join(format!("{}.token", house.daemon.port));
    let code = |house: &House| house.get("/qr.svg", "host-token-two").body;
    let before = code(&house);
    house.reload("host_token = \"host-token-two\"\nviewer_token = \"viewer-token-two\"");
    let status = house.get("/api/status", "viewer-token-two").json();
    let url = status["urls"][0].as_str().expect("a link");
    assert!(url.ends_with("/#t=viewer-token-two"), "{url}");
    assert_ne!(code(&house), before);
    assert_eq!(fs::read_to_string(&kept).expect("kept"), "host-token-two");
    house.reload("host_token = \"none\"");
    assert!(!kept.exists(), "there is no token to keep");
    // A token that was given before is not kept when one has to be made.
    house.reload("");
    let made = fs::read_to_string(&kept).expect("kept");
    assert!(made.len() > 20 && !made.contains("-two"));
    let line = house.reload("allow_host = [\"preview.example\"]");
    assert!(
        line.contains(": allow_host [] → [\"preview.example\"]"),
        "{line}"
    );
    assert_eq!(fs::read_to_string(&kept).expect("kept"), made);
    assert_eq!(
        house.daemon.log_count(" serving "),
        1,
        "the address has not changed"
    );
    house.reload("advertise = \"preview.example\"");
    assert!(
        house
            .daemon
            .logged_again(" serving ", 2)
            .contains("//preview.example:")
    );
}

#[cfg(target_os = "linux")]
#[test]
fn a_hang_up_that_was_ignored_at_the_start_stays_so() {
    let mut daemon = Daemon::ignoring("HUP", &[]);
    daemon.signal("HUP");
    daemon.put(SESSION);
    daemon.signal("TERM");
    assert!(daemon.exited().success());
    daemon.logged("stopping");
    assert_eq!(daemon.log_count("read again"), 0);
}

#[test]
fn a_viewer_that_may_still_watch_stays() {
    let mut house = House::new("host_token = \"host-token-one\"");
    house.daemon.put(SESSION);
    let mut viewer = house.daemon.viewer();
    viewer.json();
    house.reload("host_token = \"host-token-two\"\nallow_origin = [\"https://app.example\"]");
    let path = "/api/topics/main/config";
    let written = house.ask("PATCH", path, "host-token-two", r#"{"speed":2}"#);
    assert_eq!(written.status, 200);
    assert_eq!(viewer.json()["payload"], json!({"speed": 2}));
    // What is no longer allowed is taken from those who have it.
    house.reload("host_token = \"host-token-two\"");
    assert_eq!(viewer.close_code(), Some(1008));
}

#[test]
fn what_is_wrong_changes_nothing() {
    let good = "host_token = \"host-token-one\"";
    let mut house = House::new(good);
    house.daemon.put(SESSION);
    let mut viewer = house.daemon.viewer();
    viewer.json();
    let next = "host_token = \"host-token-two\"\n";
    for (wrong, told) in [
        ("port = ", "house.toml:2: "),
        ("viewer_token = none", ": strings need quotes"),
        ("prot = 1", "unknown key \"prot\""),
        (
            "viewer_token = \"short\"",
            "viewer_token = …: give 8 or more",
        ),
        ("tls_cert = \"no.pem\"", "tls_cert is set without tls_key"),
        ("tls_cert = \"no.pem\"\ntls_key = \"no.key\"", "no.pem: "),
        ("interface = \"no-such-one\"", "no-such-one"),
    ] {
        fs::write(house.file(), format!("{next}{wrong}")).expect("written");
        let line = house.hang_up("configuration not reloaded, everything stays as it was: ");
        assert!(line.contains("warn") && line.contains(told), "{line}");
    }
    fs::remove_file(house.file()).expect("it is there");
    let line = house.hang_up("configuration not reloaded, everything stays as it was: ");
    assert!(line.contains("cannot read the configuration"), "{line}");
    assert_eq!(house.daemon.log_count("host-token"), 0);
    house.daemon.put(SESSION.replace('1', "2").as_str());
    assert_eq!(viewer.json()["payload"], json!({"speed": 2}));
    house.reloads = 0;
    let line = house.reload(good);
    assert!(line.ends_with(": nothing has changed"), "{line}");
}

#[test]
fn what_cannot_be_read_in_a_moment_is_not_read() {
    let (mut house, certificate) = with_certificate();
    let there = |name: &str| house.folder.path().join(name);
    let made = std::process::Command::new("mkfifo")
        .arg(there("fifo"))
        .status();
    assert!(made.expect("mkfifo is there").success());
    let huge = fs::File::create(there("huge")).expect("created");
    huge.set_len(1 << 40).expect("it has holes");
    fs::create_dir(there("folder")).expect("created");
    for (cert, told) in [
        ("fifo", "fifo: is not a regular file"),
        ("folder", "folder: is not a regular file"),
        ("huge", "huge: is over the limit of 1 MiB"),
    ] {
        let wrong = format!("tls_cert = \"{cert}\"\ntls_key = \"a/key.pem\"");
        fs::write(house.file(), wrong).expect("written");
        let line = house.hang_up("configuration not reloaded, everything stays as it was: ");
        assert!(line.contains(told), "{line}");
    }
    let file = house.file();
    let long = fs::File::create(&file).expect("created");
    long.set_len(2 << 20).expect("it has holes");
    let line = house.hang_up("configuration not reloaded, everything stays as it was: ");
    assert!(line.contains("over the limit of 1 MiB"), "{line}");
    fs::remove_file(&file).expect("it is there");
    fs::create_dir(&file).expect("created");
    let line = house.hang_up("configuration not reloaded, everything stays as it was: ");
    assert!(line.to_lowercase().contains("is a directory"), "{line}");
    fs::remove_dir(&file).expect("it is there");
    fs::rename(house.folder.path().join("fifo"), &file).expect("renamed");
    let line = house.hang_up("configuration not reloaded, everything stays as it was: ");
    assert!(
        line.contains("house.toml: is a pipe or device, not a file"),
        "{line}"
    );

    // Nor when it replaces what was read before.
    let place = house.folder.path().join("a/cert.pem");
    fs::rename(house.folder.path().join("huge"), place).expect("renamed");
    let line = house.daemon.logged("; the last good certificate stays");
    assert!(
        line.contains("a/cert.pem: is over the limit of 1 MiB"),
        "{line}"
    );
    assert!(Tls::greets(&house.daemon, certificate.cert.der()));
    house.daemon.signal("TERM");
    assert!(house.daemon.exited().success());
}

#[test]
fn what_needs_a_restart_is_named() {
    let mut house = House::new("max_viewers = 5");
    let line =
        house.reload("max_viewers = 6\nallow_host = [\"a.example\"]\n[fields]\na = \"number\"\n[rooms]\nparties = [\"b\"]");
    let told = ": allow_host [] → [\"a.example\"]; max_viewers 5 → 6 needs a restart; [fields] needs a restart; [rooms] needs a restart";
    assert!(line.ends_with(told), "{line}");
    // It still does; what was taken over is not mentioned again.
    let line = house.reload("max_viewers = 7\nallow_host = [\"a.example\"]");
    assert!(
        line.ends_with(": max_viewers 5 → 7 needs a restart"),
        "{line}"
    );
}

/// A key that the commented file marks as read again, a line that changes it, and how to see that.
type Effect = (&'static str, &'static str, fn(&House) -> bool);

const LOOPBACK: &str = match cfg!(target_os = "linux") {
    true => "interface = \"lo\"",
    false => "interface = \"lo0\"",
};

const EFFECTS: [Effect; 6] = [
    ("advertise", "advertise = \"preview.example\"", |house| {
        let status = house.get("/api/status", "").json();
        status["localIp"] == "preview.example"
    }),
    ("interface", LOOPBACK, |house| {
        house.get("/api/status", "").json()["localIp"] == "127.0.0.1"
    }),
    ("host_token", "host_token = \"host-token-two\"", |house| {
        house.get("/api/viewers", "host-token-two").status == 200
    }),
    ("viewer_token", "viewer_token = \"viewer-token\"", |house| {
        house.get("/api/status", "").status == 401
    }),
    (
        "allow_origin",
        "allow_origin = [\"https://app.example\"]",
        |house| {
            let headers = [("Origin", "https://app.example")];
            let tcp = house.daemon.connect();
            Response::to(tcp, "GET", "/api/status", &headers, "").status == 200
        },
    ),
    (
        "allow_host",
        "allow_host = [\"preview.example\"]",
        |house| {
            let head =
                b"GET /healthz HTTP/1.1\r\nHost: preview.example\r\nConnection: close\r\n\r\n";
            Response::to_raw(house.daemon.connect(), head).status == 200
        },
    ),
];

#[test]
fn every_key_that_is_marked_has_its_effect() {
    let paper = include_str!("../../config/onlooker.toml");
    let lines: Vec<&str> = paper.lines().collect();
    let marked = lines
        .windows(2)
        .filter(|pair| pair[0].ends_with(" · SIGHUP"));
    let key = |pair: &[&str]| {
        pair[1][2..]
            .split(' ')
            .next()
            .unwrap_or_default()
            .to_owned()
    };
    let marked: Vec<String> = marked.map(key).collect();
    let tls = ["tls_cert", "tls_key"].into_iter();
    let tried: Vec<&str> = tls.chain(EFFECTS.iter().map(|(key, ..)| *key)).collect();
    assert_eq!(marked, tried, "the certificate has tests of its own");
    let mut house = House::new("");
    for (key, line, seen) in EFFECTS {
        assert!(!seen(&house), "{key}");
        house.reload(line);
        assert!(seen(&house), "{key}");
    }
}

type Made = CertifiedKey<KeyPair>;

fn made() -> Made {
    rcgen::generate_simple_self_signed(vec!["localhost".into()]).expect("a certificate")
}

fn write(folder: &Path, made: &Made) {
    fs::create_dir_all(folder).expect("a directory");
    fs::write(folder.join("cert.pem"), made.cert.pem()).expect("written");
    fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).expect("written");
}

fn files(folder: &str) -> String {
    format!("tls_cert = \"{folder}/cert.pem\"\ntls_key = \"{folder}/key.pem\"\n")
}

/// A daemon with a certificate in `a`.
fn with_certificate() -> (House, Made) {
    let (folder, first) = (tempfile::tempdir().expect("a directory"), made());
    write(&folder.path().join("a"), &first);
    (House::prepared(folder, &files("a")), first)
}

#[test]
fn a_signal_brings_another_certificate() {
    let (mut house, first) = with_certificate();
    let second = made();
    let mut host = Tls::open(
        &house.daemon,
        first.cert.der(),
        &format!("/host?token={}", house.daemon.token),
    );
    write(&house.folder.path().join("b"), &second);
    let mixed = house.folder.path().join("mixed");
    write(&mixed, &first);
    fs::write(mixed.join("cert.pem"), second.cert.pem()).expect("written");

    let all = "allow_host = [\"a.example\"]\n".to_owned() + &files("mixed");
    fs::write(house.file(), all).expect("written");
    let line = house.hang_up("configuration not reloaded, everything stays as it was: ");
    assert!(
        line.contains("mixed/cert.pem: does not belong to the key "),
        "{line}"
    );
    assert!(line.ends_with("mixed/key.pem"), "{line}");
    for (file, told) in [
        ("cert.pem", "holds no PEM certificate"),
        ("key.pem", "holds no private key in PEM"),
    ] {
        write(&mixed, &first);
        fs::write(mixed.join(file), "garbage").expect("written");
        let line = house.hang_up("configuration not reloaded, everything stays as it was: ");
        assert!(line.ends_with(&format!("mixed/{file}: {told}")), "{line}");
    }
    assert!(Tls::greets(&house.daemon, first.cert.der()));

    house.reloads = 0;
    let line = house.reload(&files("b"));
    assert!(line.ends_with("; the certificate"), "{line}");
    assert!(!line.contains("a.example"), "{line}");
    assert!(Tls::greets(&house.daemon, second.cert.der()));
    assert!(!Tls::greets(&house.daemon, first.cert.der()));
    host.send(r#"{"type":"session_update","payload":{"data":7},"id":1}"#);
    host.wait_for("\"type\":\"ack\"");
}

#[test]
fn a_certificate_that_changes_in_its_file_is_read_again() {
    let (house, first) = with_certificate();
    let (folder, daemon) = (house.folder.path(), &house.daemon);
    let renewed = "the certificate has changed: new connections get it";

    // Only half of it: the two files do not belong together.
    let second = made();
    let fresh = folder.join("fresh");
    write(&fresh, &second);
    fs::rename(fresh.join("cert.pem"), folder.join("a/cert.pem")).expect("renamed");
    let line = daemon.logged("; the last good certificate stays");
    assert!(
        line.contains("warn") && line.contains("a/cert.pem: "),
        "{line}"
    );
    assert!(Tls::greets(daemon, first.cert.der()));
    fs::rename(fresh.join("key.pem"), folder.join("a/key.pem")).expect("renamed");
    daemon.logged_again(renewed, 1);
    assert!(Tls::greets(daemon, second.cert.der()));
    assert_eq!(daemon.log_count("the last good certificate stays"), 1);

    // Written in place.
    let third = made();
    write(&folder.join("a"), &third);
    daemon.logged_again(renewed, 2);
    assert!(Tls::greets(daemon, third.cert.der()));

    // The folder behind a link is swapped, as in a mounted volume.
    let fourth = made();
    write(&folder.join("data"), &fourth);
    fs::rename(folder.join("a"), folder.join("old")).expect("renamed");
    std::os::unix::fs::symlink("data", folder.join("a")).expect("a link");
    daemon.logged_again(renewed, 3);
    assert!(Tls::greets(daemon, fourth.cert.der()));
}
