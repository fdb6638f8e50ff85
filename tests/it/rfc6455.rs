//! RFC 6455 at the viewer socket, frame by frame: what is allowed passes, and anything else is
//! closed with exactly the code that the RFC names.

use super::harness::{Daemon, Frame, LIMIT, Response, Socket, masked, opcode::*};

/// What a viewer is answered.
#[derive(Clone, Copy, Debug)]
enum Gets {
    /// A close frame with this code, then the end. 1005 is a close frame without a code.
    Close(u16),
    /// These pongs; the connection stays.
    Pongs(&'static [&'static [u8]]),
    /// Nothing; the connection stays.
    Nothing,
}

use Gets::{Close, Nothing, Pongs};

type Case = (&'static str, Vec<u8>, Gets);

fn run(cases: Vec<Case>) {
    let daemon = Daemon::start();
    let failed: Vec<String> = cases
        .into_iter()
        .filter_map(|case| check(&daemon, case).err())
        .collect();
    assert!(
        failed.is_empty(),
        "{} cases:\n{}",
        failed.len(),
        failed.join("\n")
    );
}

fn check(daemon: &Daemon, (name, bytes, gets): Case) -> Result<(), String> {
    let mut viewer = daemon.viewer();
    viewer.send(&bytes);
    let (expected, found) = match gets {
        Close(code) => (
            Some(Frame {
                first: FIN | CLOSE,
                payload: code_payload(code),
            }),
            closing(&mut viewer),
        ),
        Pongs(pongs) => {
            let all: Vec<Frame> = pongs.iter().map(|payload| pong(payload)).collect();
            let got: Vec<Frame> = all.iter().map_while(|_| viewer.frame()).collect();
            if got != all {
                return Err(format!("{name}: expected {all:?}, got {got:?}"));
            }
            (Some(pong(b"alive")), alive(&mut viewer))
        }
        Nothing => (Some(pong(b"alive")), alive(&mut viewer)),
    };
    if expected == found {
        Ok(())
    } else {
        Err(format!("{name}: expected {expected:?}, got {found:?}"))
    }
}

/// The close frame, if nothing comes after it.
fn closing(viewer: &mut Socket) -> Option<Frame> {
    let frame = viewer.frame();
    let after = viewer.frame();
    if after.is_none() { frame } else { after }
}

fn alive(viewer: &mut Socket) -> Option<Frame> {
    viewer.send(&masked(FIN | PING, b"alive"));
    viewer.frame()
}

fn pong(payload: &[u8]) -> Frame {
    Frame {
        first: FIN | PONG,
        payload: payload.to_vec(),
    }
}

fn code_payload(code: u16) -> Vec<u8> {
    if code == 1005 {
        Vec::new()
    } else {
        code.to_be_bytes().to_vec()
    }
}

/// Frames, one after another.
fn seq(frames: &[(u8, &[u8])]) -> Vec<u8> {
    frames
        .iter()
        .flat_map(|(first, payload)| masked(*first, payload))
        .collect()
}

fn one(first: u8, payload: &[u8]) -> Vec<u8> {
    masked(first, payload)
}

/// A close frame with a code and a reason.
fn close(code: u16, reason: &[u8]) -> Vec<u8> {
    one(FIN | CLOSE, &[&code.to_be_bytes(), reason].concat())
}

const MASK: [u8; 4] = [0; 4];

#[test]
#[rustfmt::skip]
fn frames_have_exactly_the_allowed_bits() {
    run(vec![
        ("text", one(FIN | TEXT, b"hello"), Nothing),
        ("empty text", one(FIN | TEXT, b""), Nothing),
        ("binary", one(FIN | BINARY, &[0xff, 0]), Nothing),
        ("rsv1 on text without deflate", one(FIN | 0x40 | TEXT, b"x"), Close(1002)),
        ("rsv2", one(FIN | 0x20 | TEXT, b"x"), Close(1002)),
        ("rsv3", one(FIN | 0x10 | TEXT, b"x"), Close(1002)),
        ("all reserved bits", one(FIN | 0x70 | BINARY, b""), Close(1002)),
        ("rsv1 on a ping", one(FIN | 0x40 | PING, b""), Close(1002)),
        ("rsv2 on a close", one(FIN | 0x20 | CLOSE, b""), Close(1002)),
        ("opcode 3", one(FIN | 0x3, b""), Close(1002)),
        ("opcode 4", one(FIN | 0x4, b"x"), Close(1002)),
        ("opcode 5", one(FIN | 0x5, b""), Close(1002)),
        ("opcode 6", one(FIN | 0x6, b"x"), Close(1002)),
        ("opcode 7", one(FIN | 0x7, b"x"), Close(1002)),
        ("opcode b", one(FIN | 0xb, b""), Close(1002)),
        ("opcode c", one(FIN | 0xc, b""), Close(1002)),
        ("opcode d", one(FIN | 0xd, b"x"), Close(1002)),
        ("opcode e", one(FIN | 0xe, b""), Close(1002)),
        ("opcode f", one(FIN | 0xf, b"x"), Close(1002)),
        ("unmasked text", vec![FIN | TEXT, 1, b'x'], Close(1002)),
        ("unmasked empty text", vec![FIN | TEXT, 0], Close(1002)),
        ("unmasked ping", vec![FIN | PING, 0], Close(1002)),
        ("unmasked close", vec![FIN | CLOSE, 2, 3, 232], Close(1002)),
    ]);
}

#[test]
#[rustfmt::skip]
fn lengths_are_minimal_and_bounded() {
    let head = |first: u8, marker: u8, length: &[u8]| [&[first, 0x80 | marker][..], length, &MASK].concat();
    let budget = 64 * 1024;
    run(vec![
        ("125 bytes", one(FIN | TEXT, &[b'x'; 125]), Nothing),
        ("126 bytes", one(FIN | TEXT, &[b'x'; 126]), Nothing),
        ("127 bytes", one(FIN | TEXT, &[b'x'; 127]), Nothing),
        ("60000 bytes", one(FIN | TEXT, &[b'x'; 60_000]), Nothing),
        ("16-bit length of 125", head(FIN | TEXT, 126, &[0, 125]), Close(1002)),
        ("16-bit length of 0", head(FIN | TEXT, 126, &[0, 0]), Close(1002)),
        ("64-bit length of 65535", head(FIN | BINARY, 127, &65535_u64.to_be_bytes()), Close(1002)),
        ("64-bit length of 1", head(FIN | BINARY, 127, &1_u64.to_be_bytes()), Close(1002)),
        ("64-bit length with the high bit", head(FIN | TEXT, 127, &(1_u64 << 63).to_be_bytes()), Close(1002)),
        ("64-bit length of 2^64 - 1", head(FIN | TEXT, 127, &u64::MAX.to_be_bytes()), Close(1002)),
        ("64-bit length of 2^63 - 1", head(FIN | TEXT, 127, &(u64::MAX >> 1).to_be_bytes()), Close(1009)),
        ("64 KiB and one byte", head(FIN | BINARY, 127, &(budget + 1_u64).to_be_bytes()), Close(1009)),
        ("64 KiB and one byte in two frames", [one(BINARY, &[0; 65535]), head(FIN | CONTINUE, 2, &[])].concat(), Close(1009)),
    ]);
}

#[test]
#[rustfmt::skip]
fn control_frames_are_short_and_whole() {
    run(vec![
        ("ping", one(FIN | PING, b"payload"), Pongs(&[b"payload"])),
        ("empty ping", one(FIN | PING, b""), Pongs(&[b""])),
        ("binary ping", one(FIN | PING, &[0, 0xff, 0xc0]), Pongs(&[&[0, 0xff, 0xc0]])),
        ("longest ping", one(FIN | PING, &[b'p'; 125]), Pongs(&[&[b'p'; 125]])),
        ("ping of 126 bytes", one(FIN | PING, &[0; 126]), Close(1002)),
        ("close of 126 bytes", one(FIN | CLOSE, &[3; 126]), Close(1002)),
        ("pong of 126 bytes", one(FIN | PONG, &[0; 126]), Close(1002)),
        ("ping in fragments", one(PING, b"x"), Close(1002)),
        ("close in fragments", one(CLOSE, &[3, 232]), Close(1002)),
        ("pong in fragments", one(PONG, b""), Close(1002)),
        ("pong that nobody asked for", one(FIN | PONG, b"x"), Nothing),
        ("empty pong", one(FIN | PONG, b""), Nothing),
        ("ping between two others", seq(&[(FIN | PONG, b"x"), (FIN | PING, b"y"), (FIN | PONG, b"z")]), Pongs(&[b"y"])),
    ]);
}

#[test]
#[rustfmt::skip]
fn fragments_make_one_message() {
    run(vec![
        ("two fragments", seq(&[(TEXT, b"a"), (FIN | CONTINUE, b"b")]), Nothing),
        ("empty fragments", seq(&[(TEXT, b""), (CONTINUE, b""), (FIN | CONTINUE, b"")]), Nothing),
        ("a ping between fragments", seq(&[(TEXT, b"a"), (FIN | PING, b"p"), (FIN | CONTINUE, b"b")]), Pongs(&[b"p"])),
        ("a pong between fragments", seq(&[(BINARY, b"a"), (FIN | PONG, b""), (FIN | CONTINUE, b"b")]), Nothing),
        ("a close between fragments", [one(TEXT, b"a"), close(1000, b"")].concat(), Close(1000)),
        ("continuation of nothing", one(FIN | CONTINUE, b"x"), Close(1002)),
        ("unfinished continuation of nothing", one(CONTINUE, b"x"), Close(1002)),
        ("continuation after the end", seq(&[(TEXT, b"a"), (FIN | CONTINUE, b"b"), (FIN | CONTINUE, b"c")]), Close(1002)),
        ("text within text", seq(&[(TEXT, b"a"), (FIN | TEXT, b"b")]), Close(1002)),
        ("binary within text", seq(&[(TEXT, b"a"), (BINARY, b"b")]), Close(1002)),
        ("rsv1 on a continuation", seq(&[(TEXT, b"a"), (FIN | 0x40 | CONTINUE, b"b")]), Close(1002)),
    ]);
}

#[test]
#[rustfmt::skip]
fn text_is_utf8() {
    let whole = "κόσμε 🎈".as_bytes();
    let byte_by_byte: Vec<u8> = whole.iter().enumerate().flat_map(|(at, byte)| {
        let first = if at == 0 { TEXT } else { CONTINUE };
        one(if at == whole.len() - 1 { FIN | first } else { first }, &[*byte])
    }).collect();
    run(vec![
        ("good text", one(FIN | TEXT, whole), Nothing),
        ("characters cut anywhere", byte_by_byte, Nothing),
        ("a ping within a character", seq(&[(TEXT, &[0xce]), (FIN | PING, b"p"), (FIN | CONTINUE, &[0xba])]), Pongs(&[b"p"])),
        ("a byte that never occurs", one(FIN | TEXT, &[0xff]), Close(1007)),
        ("overlong slash", one(FIN | TEXT, &[0xc0, 0xaf]), Close(1007)),
        ("surrogate", one(FIN | TEXT, &[0xed, 0xa0, 0x80]), Close(1007)),
        ("beyond unicode", one(FIN | TEXT, &[0xf4, 0x90, 0x80, 0x80]), Close(1007)),
        ("cut at the end", one(FIN | TEXT, &[b'a', 0xce]), Close(1007)),
        ("cut at the end of the fragments", seq(&[(TEXT, &[0xce]), (FIN | CONTINUE, b"")]), Close(1007)),
        ("broken over fragments", seq(&[(TEXT, &[0xce]), (CONTINUE, &[0xce])]), Close(1007)),
        ("binary is anything", one(FIN | BINARY, &[0xff, 0xc0, 0xaf]), Nothing),
    ]);
}

#[test]
#[rustfmt::skip]
fn closing_codes() {
    let mut cases = vec![
        ("empty", one(FIN | CLOSE, b""), Close(1005)),
        ("one byte", one(FIN | CLOSE, &[3]), Close(1002)),
        ("a reason", close(1000, b"done"), Close(1000)),
        ("the longest reason", close(1000, &[b'r'; 123]), Close(1000)),
        ("a reason that is not UTF-8", close(1000, &[0xff]), Close(1007)),
        ("a reason that is cut", close(1000, &[0xce]), Close(1007)),
        ("text after close", [close(1000, b""), one(FIN | TEXT, b"x")].concat(), Close(1000)),
        ("ping after close", [close(1000, b""), one(FIN | PING, b"x")].concat(), Close(1000)),
        ("garbage after close", [close(1001, b""), vec![0xff; 64]].concat(), Close(1001)),
        ("a second close", [close(1000, b""), close(1001, b"")].concat(), Close(1000)),
    ];
    for good in [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999] {
        cases.push(("a good code", close(good, b""), Close(good)));
    }
    for bad in [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535] {
        cases.push(("a bad code", close(bad, b""), Close(1002)));
    }
    run(cases);
}

#[test]
#[rustfmt::skip]
fn a_viewer_has_a_budget() {
    let times = |count: usize, first: u8, payload: &[u8]| one(first, payload).repeat(count);
    let half = vec![0; 32 * 1024];
    run(vec![
        ("99 frames", times(99, FIN | TEXT, b""), Nothing),
        ("101 texts", times(101, FIN | TEXT, b""), Close(1008)),
        ("101 pongs", times(101, FIN | PONG, b""), Close(1008)),
        ("101 empty fragments", [one(TEXT, b""), times(100, CONTINUE, b"")].concat(), Close(1008)),
        ("64 KiB in two messages", times(2, FIN | BINARY, &half[..32 * 1024 - 8]), Nothing),
        ("more than 64 KiB in three messages", times(3, FIN | BINARY, &half), Close(1008)),
    ]);
}

#[test]
fn a_flood_of_pings_is_cut_off() {
    let daemon = Daemon::start();
    let mut viewer = daemon.viewer();
    viewer.send(&masked(FIN | PING, b"x").repeat(500));
    let mut pongs = 0;
    let last = loop {
        match viewer.frame().expect("a close before the end") {
            frame if frame == pong(b"x") => pongs += 1,
            frame => break frame,
        }
    };
    assert_eq!(
        last,
        Frame {
            first: FIN | CLOSE,
            payload: code_payload(1008)
        }
    );
    assert!(pongs <= 100, "{pongs}");
    assert_eq!(viewer.frame(), None);
}

#[test]
fn a_frame_may_arrive_byte_by_byte() {
    let daemon = Daemon::start();
    let mut viewer = daemon.viewer();
    let bytes = [
        masked(TEXT, "é".as_bytes()),
        masked(FIN | PING, b"drop"),
        masked(FIN | CONTINUE, &[b'x'; 300]),
    ]
    .concat();
    for byte in bytes {
        viewer.send(&[byte]);
    }
    assert_eq!(viewer.frame(), Some(pong(b"drop")));
    assert_eq!(alive(&mut viewer), Some(pong(b"alive")));
}

#[test]
fn frames_may_follow_the_upgrade_in_one_packet() {
    let daemon = Daemon::start();
    let mut tcp = daemon.connect();
    let mut bytes = upgrade(|_| ()).into_bytes();
    bytes.extend(masked(FIN | PING, b"early"));
    std::io::Write::write_all(&mut tcp, &bytes).unwrap();
    let mut answer = Vec::new();
    let mut byte = [0];
    while !answer.ends_with(b"\x8a\x05early") {
        assert_eq!(
            std::io::Read::read(&mut tcp, &mut byte).unwrap(),
            1,
            "{}",
            String::from_utf8_lossy(&answer)
        );
        answer.push(byte[0]);
    }
    assert!(answer.starts_with(b"HTTP/1.1 101"));
}

/// A good upgrade with some of its lines changed.
fn upgrade(change: impl Fn(&mut Vec<String>)) -> String {
    let mut lines: Vec<String> = [
        "GET / HTTP/1.1",
        "Host: 127.0.0.1",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ]
    .map(str::to_owned)
    .to_vec();
    change(&mut lines);
    lines.join("\r\n") + "\r\n\r\n"
}

const HOST: usize = 1;
const CONNECTION: usize = 2;
const VERSION: usize = 4;
const KEY: usize = 5;

#[test]
#[rustfmt::skip]
fn an_upgrade_is_checked_whole() {
    let line = |at: usize, text: &str| upgrade(|lines| lines[at] = text.to_owned());
    let without = |at: usize| upgrade(|lines| drop(lines.remove(at)));
    let twice = |at: usize| upgrade(|lines| lines.push(lines[at].clone()));
    let more = |text: &str| upgrade(|lines| lines.push(text.to_owned()));
    let cases: Vec<(&str, String, &[u16])> = vec![
        ("as it should be", upgrade(|_| ()), &[101]),
        ("any case", upgrade(|lines| { lines[2] = "connection: keep-alive, UPGRADE".into(); lines[3] = "upgrade: WebSocket".into(); }), &[101]),
        ("an unknown subprotocol", more("Sec-WebSocket-Protocol: chat"), &[101]),
        ("POST", line(0, "POST / HTTP/1.1"), &[400, 401, 405]),
        ("HEAD", line(0, "HEAD / HTTP/1.1"), &[400, 405]),
        ("HTTP/1.0", line(0, "GET / HTTP/1.0"), &[400, 426, 505]),
        ("no version", without(VERSION), &[400, 426]),
        ("version 8", line(VERSION, "Sec-WebSocket-Version: 8"), &[400, 426]),
        ("no key", without(KEY), &[400]),
        ("a short key", line(KEY, "Sec-WebSocket-Key: c2hvcnQ="), &[400]),
        ("a key that is not base64", line(KEY, "Sec-WebSocket-Key: !!!!!!!!!!!!!!!!!!!!!!=="), &[400]),
        ("a doubled key", twice(KEY), &[400]),
        ("no host", without(HOST), &[400]),
        ("a doubled host", twice(HOST), &[400]),
        ("a malformed host", line(HOST, "Host: a b"), &[400]),
        ("a foreign host", line(HOST, "Host: evil.example"), &[421]),
        ("a foreign origin", more("Origin: http://evil.example"), &[403]),
        ("the origin null", more("Origin: null"), &[403]),
        ("the same origin", more("Origin: http://127.0.0.1:9876"), &[101]),
        ("an unknown path", line(0, "GET /nowhere HTTP/1.1"), &[404]),
        ("not an HTTP request", "\u{1}\u{2}\u{3}\r\n\r\n".to_owned(), &[400, 0]),
        ("upgrade to something else", upgrade(|lines| lines[3] = "Upgrade: h2c".into()), &[200, 400]),
        ("no connection header", without(CONNECTION), &[200, 400, 426]),
        ("words without a comma", line(CONNECTION, "Connection: keep upgrade"), &[400]),
    ];
    let daemon = Daemon::start();
    let wrong = cases.into_iter().filter_map(|(name, request, allowed)| {
        let status = Response::to_raw(daemon.connect(), &closing_after(&request)).status;
        (!allowed.contains(&status)).then(|| format!("{name}: expected {allowed:?}, got {status}"))
    });
    let wrong: Vec<String> = wrong.collect();
    assert!(wrong.is_empty(), "{}\n(each within {LIMIT:?})", wrong.join("\n"));
}

/// The connection outlives an answer that is not an upgrade: this request ends it.
fn closing_after(request: &str) -> Vec<u8> {
    format!("{request}GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        .into_bytes()
}
