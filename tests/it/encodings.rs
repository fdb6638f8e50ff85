//! One frame, four encodings: JSON or MessagePack, plain or deflated. And TLS around any of them.

use std::io::{Read, Write};
use std::sync::Arc;

use flate2::{Decompress, FlushDecompress};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::{Value, json};

use crate::harness::{Daemon, Socket, masked, opcode};

const DEFLATE: (&str, &str) = (
    "Sec-WebSocket-Extensions",
    "permessage-deflate; client_max_window_bits",
);
const MSGPACK: (&str, &str) = ("Sec-WebSocket-Protocol", "onlooker.v1.msgpack");
/// A final text frame with permessage-deflate's bit set.
const COMPRESSED_TEXT: u8 = opcode::FIN | opcode::TEXT | 0x40;

fn with_text(length: usize) -> Daemon {
    let daemon = Daemon::with(&["--debounce", "0ms"]);
    daemon.put(&format!(
        r#"{{"data":"{}","config":{{"speed":1}}}}"#,
        "lorem ipsum ".repeat(length / 12)
    ));
    daemon
}

/// RFC 7692 §7.2.2.
fn inflated(payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(1 << 20);
    let whole = [payload, &[0, 0, 0xff, 0xff]].concat();
    Decompress::new(false)
        .decompress_vec(&whole, &mut out, FlushDecompress::Sync)
        .expect("it inflates");
    out
}

#[test]
fn deflate_is_agreed_on_when_it_can_be_kept() {
    let daemon = with_text(12);
    let agreed = |offer: &str| {
        let socket = daemon.socket("/", &[("Sec-WebSocket-Extensions", offer)]);
        socket
            .upgrade
            .header("sec-websocket-extensions")
            .map(str::to_owned)
    };
    let yes = Some(
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover".to_owned(),
    );
    let accepted = [
        "permessage-deflate",
        "permessage-deflate; client_max_window_bits",
        "permessage-deflate; client_max_window_bits=12; server_no_context_takeover",
        "permessage-deflate; server_max_window_bits=9, permessage-deflate",
        "x-webkit-deflate-frame, permessage-deflate",
        "Permessage-Deflate; Client_Max_Window_Bits; SERVER_NO_CONTEXT_TAKEOVER",
    ];
    for offer in accepted {
        assert_eq!(agreed(offer), yes, "{offer}");
    }
    let with_window = yes.map(|yes| yes + "; server_max_window_bits=15");
    for offer in [
        "permessage-deflate; server_max_window_bits=15",
        "permessage-deflate; Server_Max_Window_Bits=\"15\"; client_max_window_bits",
        "permessage-deflate; server_max_window_bits=9, permessage-deflate; server_max_window_bits=15",
    ] {
        assert_eq!(agreed(offer), with_window, "{offer}");
    }
    let declined = [
        "permessage-deflate; server_max_window_bits=9",
        "permessage-deflate; server_max_window_bits",
        "permessage-deflate; unknown",
        "permessage-deflate; client_max_window_bits=16",
        "permessage-deflate; client_no_context_takeover; Client_No_Context_Takeover",
        "permessage-deflate; server_max_window_bits=\"15",
        "permessage-deflate; server_no_context_takeover=1",
        "x-other",
    ];
    for offer in declined {
        assert_eq!(agreed(offer), None, "{offer}");
    }
}

#[test]
fn a_deflated_frame_is_the_plain_one() {
    let daemon = with_text(100_000);
    let plain = daemon.viewer().text().expect("a snapshot");
    let mut viewer = daemon.socket("/", &[DEFLATE]);
    let frame = viewer.frame().expect("a snapshot");
    assert_eq!(frame.first, COMPRESSED_TEXT);
    assert!(
        frame.payload.len() < plain.len() / 20,
        "{} of {} bytes",
        frame.payload.len(),
        plain.len()
    );
    assert_eq!(
        String::from_utf8(inflated(&frame.payload)).expect("text"),
        plain
    );
    // A small frame is not worth compressing.
    daemon.ask("PATCH", "/api/topics/main/config", r#"{"speed":2}"#);
    assert_eq!(viewer.json()["payload"], json!({ "speed": 2 }));
}

#[test]
fn compressed_messages_of_viewers_are_dropped_unopened() {
    let daemon = with_text(12);
    let mut viewer = daemon.socket("/", &[DEFLATE]);
    viewer.json();
    // Less than 64 KiB that would inflate to 64 MiB; and it is cut short.
    let mut bomb = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    bomb.write_all(&vec![b'x'; 64 << 20]).expect("memory");
    let bomb = &bomb.finish().expect("memory")[..60_000];
    viewer.send(&masked(COMPRESSED_TEXT, bomb));
    daemon.ask("PATCH", "/api/topics/main/config", r#"{"speed":2}"#);
    assert_eq!(
        viewer.json()["payload"],
        json!({ "speed": 2 }),
        "the viewer is still there"
    );
}

#[test]
fn a_compressed_message_that_was_not_agreed_on_breaks_the_protocol() {
    let daemon = with_text(12);
    let mut viewer = daemon.viewer();
    viewer.json();
    viewer.send(&masked(COMPRESSED_TEXT, b"x"));
    assert_eq!(viewer.close_code(), Some(1002));
    let mut viewer = daemon.socket("/", &[DEFLATE]);
    viewer.json();
    viewer.send(&masked(opcode::FIN | opcode::PING | 0x40, b""));
    assert_eq!(viewer.close_code(), Some(1002));
}

fn unpacked(socket: &mut Socket) -> Value {
    let frame = socket.frame().expect("a message");
    assert_eq!(frame.first & 0x0f, opcode::BINARY);
    let payload = if frame.first & 0x40 == 0 {
        frame.payload
    } else {
        inflated(&frame.payload)
    };
    rmp_serde::from_slice(&payload).expect("MessagePack")
}

#[test]
fn messagepack_says_the_same() {
    let daemon = Daemon::with(&["--debounce", "0ms"]);
    let session = r#"{"name":"é","data":[0,-1,255,65536,4294967296,-9007199254740991,18446744073709551615,1.5,true,null,"x",{"a":[]}],"config":{"speed":1}}"#;
    daemon.put(session);
    for extension in [&[MSGPACK][..], &[MSGPACK, DEFLATE]] {
        let mut viewer = daemon.socket("/", extension);
        assert_eq!(
            viewer.upgrade.header("sec-websocket-protocol"),
            Some("onlooker.v1.msgpack")
        );
        assert_eq!(unpacked(&mut viewer)["type"], "hello");
        let snapshot = unpacked(&mut viewer);
        let expected: Value = serde_json::from_str(session).expect("JSON");
        assert_eq!(snapshot["type"], "session_update");
        // Numbers are compared by value: only JSON keeps their digits.
        assert_eq!(
            snapshot["payload"]["data"].to_string(),
            expected["data"].to_string()
        );
        assert_eq!(snapshot["payload"]["name"], "é");
    }
}

#[test]
fn tls_carries_the_same() {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).expect("a certificate");
    let folder = tempfile::tempdir().expect("a directory");
    let file = |name: &str, text: String| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path.to_str().expect("text").to_owned()
    };
    let (cert, key) = (
        file("cert.pem", made.cert.pem()),
        file("key.pem", made.signing_key.serialize_pem()),
    );
    let daemon = Daemon::with(&["--tls-cert", &cert, "--tls-key", &key, "--debounce", "0ms"]);
    let mut host = Tls::open(
        &daemon,
        made.cert.der(),
        &format!("/host?token={}", daemon.token),
    );
    let large = "x".repeat(3_000_000);
    host.send(&format!(
        r#"{{"type":"session_update","payload":{{"data":"{large}"}},"id":1}}"#
    ));
    host.wait_for("\"type\":\"ack\"");
    let mut viewer = Tls::open(&daemon, made.cert.der(), "/");
    let snapshot = viewer.wait_for("\"metadata\":{}}}");
    assert!(snapshot.contains(&large), "all of a large frame arrives");
    host.send(r#"{"type":"session_update","payload":{"data":7},"id":2}"#);
    viewer.wait_for("\"data\":7");
}

/// A WebSocket over TLS, read as one stream of bytes.
pub struct Tls(StreamOwned<ClientConnection, std::net::TcpStream>);

impl Tls {
    pub fn open(daemon: &Daemon, trusted: &CertificateDer<'static>, path: &str) -> Tls {
        Tls::over(daemon.connect(), trusted, path)
    }

    pub fn over(tcp: std::net::TcpStream, trusted: &CertificateDer<'static>, path: &str) -> Tls {
        let mut tls = Tls::connect(tcp, trusted);
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        tls.0.write_all(request.as_bytes()).expect("it reads");
        assert!(tls.wait_for("\r\n\r\n").starts_with("HTTP/1.1 101"));
        tls
    }

    /// Whether the daemon presents this certificate.
    pub fn greets(daemon: &Daemon, trusted: &CertificateDer<'static>) -> bool {
        let mut tls = Tls::connect(daemon.connect(), trusted);
        let StreamOwned { conn, sock } = &mut tls.0;
        conn.complete_io(sock).is_ok()
    }

    fn connect(tcp: std::net::TcpStream, trusted: &CertificateDer<'static>) -> Tls {
        let mut roots = RootCertStore::empty();
        roots.add(trusted.clone()).expect("a certificate");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions");
        let config = Arc::new(config.with_root_certificates(roots).with_no_client_auth());
        let session = ClientConnection::new(config, "localhost".try_into().expect("a name"))
            .expect("a session");
        Tls(StreamOwned::new(session, tcp))
    }

    pub fn send(&mut self, text: &str) {
        self.0
            .write_all(&masked(opcode::FIN | opcode::TEXT, text.as_bytes()))
            .expect("it reads");
    }

    /// Everything up to and including the chunk in which `text` ends.
    pub fn wait_for(&mut self, text: &str) -> String {
        let mut seen = String::new();
        let mut chunk = [0; 16 * 1024];
        while !seen.contains(text) {
            let read = self.0.read(&mut chunk).expect("more in time");
            assert_ne!(read, 0, "the connection ended");
            seen.push_str(&String::from_utf8_lossy(&chunk[..read]));
        }
        seen
    }
}
