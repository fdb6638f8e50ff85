//! The two ways to be told over `/sync`.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use serde_json::Value;

use super::{Daemon, Response, Socket};

/// A reader of Server-Sent Events.
pub struct Events {
    stream: BufReader<TcpStream>,
    /// The head of the answer.
    pub head: Response,
    waiting: String,
}

/// What a block of an event stream is.
#[derive(Debug, PartialEq)]
pub enum Block {
    /// What only keeps the stream alive.
    Comment(String),
    /// An `invalidation`.
    Event { id: String, data: Value },
}

impl Events {
    /// Asks for a stream, whatever the answer is.
    pub fn open(daemon: &Daemon, path: &str, headers: &[(&str, &str)]) -> Events {
        let mut tcp = daemon.connect();
        let mut request =
            format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n");
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        tcp.write_all(format!("{request}\r\n").as_bytes()).unwrap();
        let mut stream = BufReader::new(tcp);
        let mut text = String::new();
        while !text.ends_with("\r\n\r\n") {
            assert!(stream.read_line(&mut text).unwrap() > 0, "{text}");
        }
        let mut lines = text.lines();
        let status = lines
            .next()
            .unwrap()
            .split(' ')
            .nth(1)
            .unwrap()
            .parse()
            .unwrap();
        let header = |line: &str| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_ascii_lowercase(), value.trim().to_owned()))
        };
        let headers = lines.filter_map(header).collect();
        let head = Response {
            status,
            headers,
            body: String::new(),
        };
        Events {
            stream,
            head,
            waiting: String::new(),
        }
    }

    /// The next block; none at the end of the stream.
    pub fn block(&mut self) -> Option<Block> {
        while !self.waiting.contains("\n\n") {
            self.chunk()?;
        }
        let (block, rest) = self.waiting.split_once("\n\n").unwrap();
        let (block, rest) = (block.to_owned(), rest.to_owned());
        self.waiting = rest;
        Some(Block::parse(&block))
    }

    fn chunk(&mut self) -> Option<()> {
        let mut size = String::new();
        self.stream.read_line(&mut size).expect("in time");
        let size = usize::from_str_radix(size.trim_end(), 16)
            .ok()
            .filter(|size| *size > 0)?;
        let mut bytes = vec![0; size + 2];
        self.stream.read_exact(&mut bytes).ok()?;
        self.waiting
            .push_str(std::str::from_utf8(&bytes[..size]).expect("text"));
        Some(())
    }

    /// The next event's data, comments aside.
    pub fn json(&mut self) -> Value {
        loop {
            if let Block::Event { data, .. } = self.block().expect("an event, not the end") {
                return data;
            }
        }
    }
}

impl Block {
    fn parse(text: &str) -> Block {
        if let Some(comment) = text.strip_prefix(':') {
            return Block::Comment(comment.trim().to_owned());
        }
        let field = |name: &str| {
            let line = text
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.unwrap_or_else(|| panic!("{name} is not in {text:?}"))
                .trim()
                .to_owned()
        };
        assert_eq!(field("event"), "invalidation");
        Block::Event {
            id: field("id"),
            data: serde_json::from_str(&field("data")).unwrap(),
        }
    }
}

/// Either way to be told.
pub enum Told {
    Socket(Socket),
    Events(Events),
}

/// Both ways, each opened when its turn comes.
pub const BOTH: [fn(&Daemon, &str) -> Told; 2] = [Told::socket, Told::events];

impl Told {
    /// By a WebSocket.
    pub fn socket(daemon: &Daemon, path: &str) -> Told {
        Told::Socket(daemon.socket(path, &[]))
    }

    /// By Server-Sent Events.
    pub fn events(daemon: &Daemon, path: &str) -> Told {
        Told::Events(Events::open(daemon, path, &[]))
    }

    /// The next event.
    pub fn json(&mut self) -> Value {
        match self {
            Told::Socket(socket) => socket.json(),
            Told::Events(events) => events.json(),
        }
    }
}

/// The revision in an event or an answer.
pub fn revision(event: &Value) -> u64 {
    event["revision"]
        .as_str()
        .and_then(|text| text.parse().ok())
        .expect("a revision in a string")
}

/// A number that looks random and is the same in every run.
pub fn rand(seed: u64) -> u64 {
    let mut x = seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x ^= x >> 31;
    x = x.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x ^ x >> 27
}
