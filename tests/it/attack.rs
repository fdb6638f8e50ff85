//! What strangers try: silence, slowness, floods. Nobody else is to feel it.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Instant;

use serde_json::json;
use socket2::{Domain, Socket as Raw, Type};

use super::harness::{Daemon, LIMIT, Response, Socket};

/// A connection from an address of this machine.
fn connect_from(address: [u8; 4], daemon: &Daemon) -> TcpStream {
    let raw = Raw::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    raw.bind(&SocketAddr::from((address, 0)).into())
        .expect("an address of this machine");
    raw.connect(&SocketAddr::from((Ipv4Addr::LOCALHOST, daemon.port)).into())
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
    let silent = |_| connect_from([127, 0, 0, 2], &daemon);
    let _silent: Vec<TcpStream> = (0..400).map(silent).collect();
    for address in [[127, 0, 0, 1], [127, 0, 0, 2]] {
        let mut viewer = Socket::open(connect_from(address, &daemon), "/", &[]);
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
    let stranger = || connect_from([127, 0, 0, 2], &daemon);
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
