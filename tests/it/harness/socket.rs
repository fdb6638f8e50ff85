//! A WebSocket seen as frames, without a library between.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};

use serde_json::Value;

use super::Response;

/// First bytes of frames: FIN and the opcode.
pub mod opcode {
    pub const CONTINUE: u8 = 0x0;
    pub const TEXT: u8 = 0x1;
    pub const BINARY: u8 = 0x2;
    pub const CLOSE: u8 = 0x8;
    pub const PING: u8 = 0x9;
    pub const PONG: u8 = 0xa;
    pub const FIN: u8 = 0x80;
}

/// One frame as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// FIN, reserved bits and opcode.
    pub first: u8,
    /// Never masked: it is from a server.
    pub payload: Vec<u8>,
}

/// A connection after its 101.
pub struct Socket {
    tcp: TcpStream,
    /// The head of the 101.
    pub upgrade: Response,
}

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
/// What RFC 6455 §1.3 computes from that key.
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

impl Socket {
    /// Upgrades, or says what the answer was.
    pub fn try_open(
        mut tcp: TcpStream,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<Socket, Response> {
        let mut request = format!(
            "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n"
        );
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str("\r\n");
        // A daemon that stops ends connections at any moment: that is answered by 0.
        let _ = tcp.write_all(request.as_bytes());
        let upgrade = read_head(&mut tcp);
        match upgrade.status {
            101 => Ok(Socket { tcp, upgrade }),
            _ => Err(upgrade),
        }
    }

    /// Upgrades.
    pub fn open(tcp: TcpStream, path: &str, headers: &[(&str, &str)]) -> Socket {
        let socket =
            Socket::try_open(tcp, path, headers).unwrap_or_else(|refused| panic!("{refused:?}"));
        assert_eq!(socket.upgrade.header("sec-websocket-accept"), Some(ACCEPT));
        socket
    }

    /// Sends bytes as they are. A peer that has closed already is no error here: what it
    /// said before is what counts.
    pub fn send(&mut self, bytes: &[u8]) {
        let _ = self.tcp.write_all(bytes);
    }

    /// The next frame; none at the end of the connection.
    pub fn frame(&mut self) -> Option<Frame> {
        let mut head = [0; 2];
        self.fill(&mut head)?;
        assert_eq!(head[1] & 0x80, 0, "a server's frame is never masked");
        let length = match head[1] {
            126 => self.number::<2>()?,
            127 => self.number::<8>()?,
            short => u64::from(short),
        };
        let mut payload = vec![0; usize::try_from(length).expect("it fits")];
        self.fill(&mut payload)?;
        Some(Frame {
            first: head[0],
            payload,
        })
    }

    /// The next message that is not a ping, as text; none at a close or the end.
    pub fn text(&mut self) -> Option<String> {
        loop {
            let frame = self.frame()?;
            match frame.first {
                0x81 => return Some(String::from_utf8(frame.payload).expect("text is UTF-8")),
                0x88 => return None,
                0x89 => self.send(&masked(opcode::FIN | opcode::PONG, &frame.payload)),
                other => panic!("an unexpected frame: {other:#x} {:?}", frame.payload),
            }
        }
    }

    /// The next text message, in however many frames it comes; none at a close or the end. What is
    /// asked with a ping is answered.
    pub fn message(&mut self) -> Option<String> {
        let mut text = Vec::new();
        loop {
            let frame = self.frame()?;
            match (frame.first & 0x7f, text.is_empty()) {
                (opcode::TEXT, true) | (opcode::CONTINUE, false) => {
                    text.extend(frame.payload);
                    if frame.first & opcode::FIN != 0 {
                        return Some(String::from_utf8(text).expect("text is UTF-8"));
                    }
                }
                (opcode::CLOSE, _) => return None,
                (opcode::PING, _) => self.send(&masked(opcode::FIN | opcode::PONG, &frame.payload)),
                (other, _) => panic!("an unexpected frame: {other:#x} {:?}", frame.payload),
            }
        }
    }

    /// The next message as JSON.
    pub fn json(&mut self) -> Value {
        let text = self.text().expect("a message, not the end");
        serde_json::from_str(&text).expect("every message is JSON")
    }

    /// The code of the close frame that comes next, pings aside; none when the connection
    /// ends without one. Nothing may follow it.
    pub fn close_code(&mut self) -> Option<u16> {
        loop {
            let frame = self.frame()?;
            match frame.first {
                0x88 => {
                    assert_eq!(self.frame(), None, "nothing follows a close");
                    let code = frame.payload.get(..2);
                    return code
                        .map(|code| u16::from_be_bytes([code[0], code[1]]))
                        .or(Some(1005));
                }
                0x89 => {}
                _ => panic!("expected a close, got {frame:?}"),
            }
        }
    }

    /// Another handle to the connection, so that a second thread can speak.
    pub fn another(&self) -> Socket {
        Socket {
            tcp: self.tcp.try_clone().expect("another handle"),
            upgrade: Response::parse(""),
        }
    }

    /// Waits until something has arrived, and leaves it there.
    pub fn wait(&self) {
        self.tcp.peek(&mut [0]).expect("something in time");
    }

    /// Ends the connection without a word.
    pub fn abort(self) {
        let _ = self.tcp.shutdown(Shutdown::Both);
    }

    fn number<const N: usize>(&mut self) -> Option<u64> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Some(
            bytes
                .iter()
                .fold(0, |number, byte| number << 8 | u64::from(*byte)),
        )
    }

    fn fill(&mut self, buffer: &mut [u8]) -> Option<()> {
        match self.tcp.read_exact(buffer) {
            Ok(()) => Some(()),
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset
                ) =>
            {
                None
            }
            Err(error) => panic!("waited too long for a frame: {error}"),
        }
    }
}

/// One byte at a time, so that nothing after the head is taken.
fn read_head(tcp: &mut TcpStream) -> Response {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match tcp.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            Ok(_) => break,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
            Err(error) => panic!("no answer in time: {error}"),
        }
    }
    Response::parse(&String::from_utf8_lossy(&head))
}

/// A client's frame of any length.
pub fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0x12, 0x34, 0x56, 0x78];
    let mut bytes = vec![first];
    match payload.len() {
        short @ 0..126 => bytes.push(0x80 | short as u8),
        medium @ 126..65536 => {
            bytes.push(0x80 | 126);
            bytes.extend((medium as u16).to_be_bytes());
        }
        long => {
            bytes.push(0x80 | 127);
            bytes.extend((long as u64).to_be_bytes());
        }
    }
    bytes.extend(MASK);
    bytes.extend(
        payload
            .iter()
            .zip(MASK.iter().cycle())
            .map(|(byte, mask)| byte ^ mask),
    );
    bytes
}
