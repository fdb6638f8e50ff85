//! Strangers at the door do not keep a viewer waiting.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

use super::harness::{Daemon, Response};

/// Whether the peer has not ended the connection, nor said anything.
fn is_open(tcp: &TcpStream) -> bool {
    tcp.set_nonblocking(true).expect("a socket option");
    let peeked = tcp.peek(&mut [0]);
    tcp.set_nonblocking(false).expect("a socket option");
    peeked.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

/// Reads until the peer ends the connection.
fn ends(mut tcp: TcpStream) {
    let mut rest = Vec::new();
    // A reset is an end too; a timeout is not.
    if let Err(error) = tcp.read_to_end(&mut rest) {
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
    }
}

#[test]
fn half_open_requests_are_given_up() {
    let daemon = Daemon::start();
    daemon.put("{\"data\":1}");
    let half = |_| {
        let mut tcp = daemon.connect();
        tcp.write_all(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ")
            .unwrap();
        tcp
    };
    let strangers: Vec<TcpStream> = (0..200).map(half).collect();
    daemon.viewer().json();
    assert!(strangers.iter().any(is_open), "the viewer waited for them");
    strangers.into_iter().for_each(ends);
}

#[test]
fn noise_is_no_request() {
    let daemon = Daemon::start();
    daemon.put("{\"data\":1}");
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut noise = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    for _ in 0..20 {
        let bytes: Vec<u8> = (0..4096).map(|_| noise()).collect();
        let status = Response::to_raw(daemon.connect(), &bytes).status;
        assert!(status == 0 || (400..500).contains(&status), "{status}");
    }
    daemon.viewer().json();
}

#[test]
fn a_long_head_is_refused() {
    let daemon = Daemon::start();
    let request = format!(
        "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Long: {}\r\n\r\n",
        "x".repeat(20_000)
    );
    let status = Response::to_raw(daemon.connect(), request.as_bytes()).status;
    assert!(matches!(status, 0 | 400 | 431), "{status}");
}

/// The status of a request that addresses the daemon by this name.
fn called(daemon: &Daemon, host: &str) -> u16 {
    let request = format!("GET /api/topics HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    Response::to_raw(daemon.connect(), request.as_bytes()).status
}

#[test]
fn only_its_own_name_of_the_network_is_answered() {
    let daemon = Daemon::with(&["--allow-host", "preview.local"]);
    let machine = gethostname::gethostname().to_string_lossy().into_owned();
    let label = machine.split('.').next().unwrap_or_default();
    let local = format!("{label}.local");
    for own in [machine.as_str(), &local, "preview.local"] {
        assert_eq!(called(&daemon, own), 200, "{own}");
    }
    for other in ["evil.local", "local", &format!("evil.{local}")] {
        assert_eq!(called(&daemon, other), 421, "{other}");
    }
}
