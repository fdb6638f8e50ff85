//! One of a room's people, or its host, who waits for what it is told.

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use tokio_tungstenite::tungstenite::{self, Message, WebSocket};

use crate::room::{REFUSAL, SUCCESS, SYNC_NOTHING, SYNCED, UPDATE, todo};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long pairs rest between two actions.
const REST: Duration = Duration::from_millis(2);
/// What rows of pairs are called, so that they are nobody else's.
const PAIRS: usize = 900_000;

/// A connection.
pub struct Person {
    socket: WebSocket<TcpStream>,
}

impl Person {
    pub fn come(address: SocketAddr, path: &str) -> Result<Person> {
        let tcp = TcpStream::connect(address)?;
        tcp.set_nodelay(true)?;
        tcp.set_read_timeout(Some(PATIENCE))?;
        let (socket, _) = tungstenite::client(format!("ws://{address}/{path}"), tcp)
            .map_err(|error| anyhow!("{path}: {error}"))?;
        Ok(Person { socket })
    }

    pub fn say(&mut self, text: String) -> Result<()> {
        Ok(self.socket.send(Message::text(text))?)
    }

    /// Waits for the message that begins so.
    pub fn hear(&mut self, begin: &str) -> Result<String> {
        loop {
            let Message::Text(text) = self.socket.read()? else {
                continue;
            };
            if text.starts_with(begin) {
                return Ok(text.as_str().to_owned());
            }
            if text.starts_with(REFUSAL) {
                bail!("it is refused: {text}");
            }
        }
    }

    /// Says something, and waits for the message that begins so; tells how long that took.
    pub fn ask(&mut self, text: String, begin: &str) -> Result<(Duration, String)> {
        let start = Instant::now();
        self.say(text)?;
        let heard = self.hear(begin)?;
        Ok((start.elapsed(), heard))
    }

    /// How long a ping takes.
    pub fn ping(&mut self) -> Result<Duration> {
        let start = Instant::now();
        self.socket.send(Message::Ping("".into()))?;
        while !matches!(self.socket.read()?, Message::Pong(_)) {}
        Ok(start.elapsed())
    }
}

/// Two of a room's people: one changes a row over and over, both time it.
pub struct Pair {
    stop: Arc<AtomicBool>,
    acts: thread::JoinHandle<Result<Vec<Duration>>>,
}

impl Pair {
    pub fn start(address: SocketAddr, path: &str) -> Result<Pair> {
        let [mut one, mut other] = [Person::come(address, path)?, Person::come(address, path)?];
        for person in [&mut one, &mut other] {
            person.ask(SYNC_NOTHING.to_owned(), SYNCED)?;
        }
        one.ask(todo("create", PAIRS, 0), SUCCESS)?;
        other.hear(UPDATE)?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let acts = thread::spawn(move || {
            let (mut times, mut number) = (Vec::new(), 0);
            while !stopped.load(Ordering::Relaxed) {
                number += 1;
                let start = Instant::now();
                one.ask(todo("update", PAIRS, number), SUCCESS)?;
                other.hear(UPDATE)?;
                times.push(start.elapsed());
                thread::sleep(REST);
            }
            one.ask(todo("delete", PAIRS, 0), SUCCESS)?;
            Ok(times)
        });
        Ok(Pair { stop, acts })
    }

    /// Ends it; how long each took until both had heard of it, the quickest first.
    pub fn times(self) -> Result<Vec<Duration>> {
        self.stop.store(true, Ordering::Relaxed);
        let times = self.acts.join();
        let mut times = times.map_err(|_| anyhow!("a pair panicked"))??;
        times.sort();
        times.first().context("a pair did nothing")?;
        Ok(times)
    }
}
