//! What strangers try: silence, slowness, floods. Nobody else may notice.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use onlooker::Server;
use onlooker::{HostToken, Options};
use serde_json::json;
use socket2::{Domain, Socket as Raw, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::harness::{Daemon, LIMIT, Response, Socket, masked, opcode::*};

/// A connection from an address of this machine.
pub fn connect_from(address: [u8; 4], port: u16) -> TcpStream {
    let raw = Raw::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    raw.bind(&SocketAddr::from((address, 0)).into())
        .expect("an address of this machine");
    raw.connect(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into())
        .expect("it listens");
    raw.set_read_timeout(Some(LIMIT)).expect("a socket option");
    raw.into()
}

#[cfg(target_os = "linux")]
#[test]
fn silence_keeps_nobody_out() {
    let limits = ["--max-unauthenticated", "16", "--max-per-address", "64"];
    let daemon = Daemon::with(&limits);
    daemon.put("1");
    let silent = |_| connect_from([127, 0, 0, 2], daemon.port);
    let _silent: Vec<TcpStream> = (0..400).map(silent).collect();
    for address in [[127, 0, 0, 1], [127, 0, 0, 2]] {
        let mut viewer = Socket::open(connect_from(address, daemon.port), "/", &[]);
        assert_eq!(viewer.json()["payload"]["data"], json!(1));
    }
}

#[test]
fn who_is_over_the_limit_of_an_address_gets_no_answer() {
    let daemon = Daemon::with(&["--max-per-address", "2"]);
    let viewers = [daemon.viewer(), daemon.viewer()];
    let refused = Response::to(daemon.connect(), "GET", "/healthz", &[], "");
    assert_eq!(refused.status, 0, "{refused:?}");
    drop(viewers);
    let answered = || Response::to(daemon.connect(), "GET", "/healthz", &[], "").status == 200;
    let deadline = Instant::now() + LIMIT;
    while !answered() {
        assert!(Instant::now() < deadline, "their places are free again");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn an_answer_that_nobody_takes_is_given_up() {
    let limits = ["--max-per-address", "1", "--stall-timeout", "1s"];
    let daemon = Daemon::with(&limits);
    daemon.put(&format!("{:?}", "x".repeat(4 << 20)));
    let stranger = || connect_from([127, 0, 0, 2], daemon.port);
    let mut deaf = stranger();
    let request = b"GET /api/topics/main HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
    deaf.write_all(request).expect("it reads");
    deaf.peek(&mut [0]).expect("an answer");
    let answered = || Response::to(stranger(), "GET", "/healthz", &[], "").status == 200;
    assert!(!answered(), "the only place of the address is taken");
    let deadline = Instant::now() + LIMIT;
    while !answered() {
        assert!(Instant::now() < deadline, "the answer is held for it");
    }
}

#[test]
fn who_takes_nothing_is_closed_whatever_it_pongs() {
    // The viewer also has this long to read 4 MiB once it is being closed.
    let limits = ["--stall-timeout", "3s", "--inbound-frames", "1000000000"];
    let daemon = Daemon::with(&limits);
    daemon.put(&format!("{:?}", "x".repeat(4 << 20)));
    let own = [("Sec-WebSocket-Protocol", "onlooker.v1")];
    let mut deaf = daemon.socket("/", &own);
    assert_eq!(deaf.json()["type"], json!("hello"));
    let deadline = Instant::now() + LIMIT;
    while daemon.log_count("it takes nothing") == 0 {
        assert!(Instant::now() < deadline, "the frame is held for it");
        deaf.send(&masked(FIN | PONG, b""));
        // No flood: what waits to be read would take the time in which the viewer is closed.
        daemon.ask("GET", "/healthz", "");
    }
    assert_eq!(deaf.json()["type"], json!("session_update"));
    assert_eq!(deaf.json()["reason"], json!("busy"));
    assert_eq!(deaf.close_code(), Some(1013));
}

#[test]
fn who_holds_the_most_for_the_longest_is_closed_when_it_is_too_much() {
    let limits = ["--max-session", "4MiB", "--max-in-flight", "8MiB"];
    let daemon = Daemon::with(&[&limits[..], &["--stall-timeout", "1h"]].concat());
    let own = [("Sec-WebSocket-Protocol", "onlooker.v1")];
    let pinned = |count: u32| {
        daemon.put(&format!("[{count},{:?}]", "x".repeat(2_000_000)));
        let mut viewer = daemon.socket("/", &own);
        assert_eq!(viewer.json()["type"], json!("hello"));
        viewer.wait();
        viewer
    };
    let mut viewers: Vec<Socket> = (0..5).map(pinned).collect();
    daemon.logged("too much is in flight");
    assert!(viewers.remove(0).frame().is_none(), "it is cut off");
    for (count, viewer) in (1..).zip(&mut viewers) {
        assert_eq!(viewer.json()["payload"]["data"][0], json!(count));
    }
    assert_eq!(daemon.log_count("too much is in flight"), 1);
}

/// Opens a socket and reads to its end without ever answering; returns how long that took.
async fn silence(port: u16, path: &str) -> Duration {
    let tcp = tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await;
    let mut tcp = tcp.expect("it listens");
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    tcp.write_all(request.as_bytes()).await.expect("it reads");
    let mut first = [0; 12];
    tcp.read_exact(&mut first).await.expect("an answer");
    assert_eq!(&first, b"HTTP/1.1 101");
    let start = tokio::time::Instant::now();
    // A reset is an end too.
    let _ = tcp.read_to_end(&mut Vec::new()).await;
    start.elapsed()
}

/// The clock is not the machine's: it advances when nobody has anything to do.
#[tokio::test(start_paused = true)]
async fn the_silent_are_gone_within_two_pings_and_five_seconds() {
    for ping in [1, 15, 60].map(Duration::from_secs) {
        let mut options = Options {
            bind: Ipv4Addr::LOCALHOST.into(),
            port: 0,
            ..Options::default()
        };
        options.access.host_token = HostToken::LoopbackOnly;
        options.flow.ping = ping;
        let server = Server::start(options).await.expect("it starts");
        for path in ["/", "/sync", "/host"] {
            let gone = silence(server.port(), path).await;
            let expected = 2 * ping..=2 * ping + Duration::from_secs(5);
            assert!(expected.contains(&gone), "{path} at {ping:?}: {gone:?}");
        }
        server.stop().await;
    }
}

#[cfg(target_os = "linux")]
#[test]
fn the_file_limit_is_told_once() {
    let daemon = Daemon::start();
    // What is opened once is open after the first answer.
    daemon.ask("GET", "/healthz", "");
    daemon.limit_files(3);
    // All but three of them wait to be accepted, until those before them are answered.
    let waiting: Vec<_> = (0..15).map(|_| daemon.connect()).collect();
    for tcp in waiting {
        let answer = Response::to(tcp, "GET", "/healthz", &[], "");
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    daemon.logged("no more connections can be accepted");
    assert_eq!(daemon.log_count("no more connections can be accepted"), 1);
}

/// A daemon whose only thread for large changes is taken until this is dropped, and what its
/// client at 127.0.0.2 did.
#[cfg(target_os = "linux")]
fn gone_before_its_large_change_is_done(begin: impl FnOnce(TcpStream) -> TcpStream) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let mut options = Options {
        bind: Ipv4Addr::LOCALHOST.into(),
        port: 0,
        ..Options::default()
    };
    options.access.host_token = HostToken::LoopbackOnly;
    options.limits.per_address = 1;
    let server = runtime.block_on(Server::start(options));
    let server = server.expect("it starts");
    let ask = |from: u8, method: &str, path: &str, body: &str| {
        let tcp = connect_from([127, 0, 0, from], server.port());
        Response::to(tcp, method, path, &[], body).status
    };
    let main = "/api/topics/main";
    let large = format!("{{\"data\":{:?}}}", "x".repeat(1 << 20));
    assert_eq!(ask(3, "PUT", main, &large), 201);
    let (open, opened) = std::sync::mpsc::channel::<()>();
    runtime.spawn_blocking(move || opened.recv());
    let client = begin(connect_from([127, 0, 0, 2], server.port()));
    // It came before this, so it is being worked on.
    assert_eq!(ask(4, "GET", "/healthz", ""), 200);
    drop(client);
    let deadline = Instant::now() + LIMIT;
    while ask(2, "GET", "/healthz", "") != 200 {
        assert!(Instant::now() < deadline, "its end is not noticed");
    }
    drop(open);
    assert_eq!(ask(5, "PATCH", main, r#"{"config":{"other":1}}"#), 200);
    assert_eq!(ask(6, "GET", &format!("{main}/config/other"), ""), 200);
    assert_eq!(ask(7, "GET", &format!("{main}/config/gone"), ""), 404);
    runtime.block_on(server.stop());
}

#[cfg(target_os = "linux")]
#[test]
fn a_large_change_of_a_client_that_is_gone_is_called_off() {
    gone_before_its_large_change_is_done(|mut client| {
        let body = r#"{"config":{"gone":1}}"#;
        let head = "PATCH /api/topics/main HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: ";
        let request = format!("{head}{}\r\n\r\n{body}", body.len());
        client.write_all(request.as_bytes()).expect("it reads");
        client
    });
}

#[cfg(target_os = "linux")]
#[test]
fn a_large_change_of_a_host_that_is_gone_is_called_off() {
    gone_before_its_large_change_is_done(|client| {
        let ours = client.try_clone().expect("a second handle");
        let mut host = Socket::open(client, "/host", &[]);
        let message = br#"{"type":"config_update","payload":{"gone":1}}"#;
        host.send(&masked(FIN | TEXT, message));
        ours
    });
}
