//! The read side of one viewer: no buffer between reads, nothing but signals to the shard.

use std::future::poll_fn;
use std::io;
use std::net::Shutdown;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::inbound::{Inbound, Signal};
use super::link::Link;
use super::shard::Command;

/// How long a socket that takes nothing may linger after the close frame, and how much it may
/// still send.
pub const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 1024 * 1024;

/// What one look at the socket found.
enum Read {
    Some(Vec<u8>),
    Nothing,
    Ended,
}

/// The reader of one viewer.
pub struct Reader {
    /// Which viewer of the shard this is.
    pub key: usize,
    /// Its socket.
    pub link: Arc<Link>,
    /// What it sends.
    pub inbound: Inbound,
    /// To its shard.
    pub shard: mpsc::Sender<Command>,
    /// The moment that times are counted from.
    pub start: Instant,
    /// How long it may take what is in flight, once it is closed.
    pub goodbye: Duration,
}

impl Reader {
    /// Reads until the socket ends, and tells the shard. `early` is what arrived behind the request.
    pub async fn run(&mut self, early: &mut [u8]) {
        // What is rarely waited for is boxed, so that an idle viewer is small.
        let over = !early.is_empty() && Box::pin(self.take(early)).await;
        if over || self.read().await {
            // Unread bytes would make the kernel answer with a reset, which can overtake the close frame.
            let discard = tokio::time::timeout(self.goodbye, self.discard());
            let _ = Box::pin(discard).await;
            self.link.shutdown(Shutdown::Both);
        }
        let _ = Box::pin(self.shard.send(Command::Gone(self.key))).await;
    }

    /// Reads to the end (false) or to a close in either direction (true).
    async fn read(&mut self) -> bool {
        let mut blocked = false;
        loop {
            match self.wait(&mut blocked).await {
                Ok(true) => {}
                Ok(false) => continue,
                Err(_) => return false,
            }
            match read(&self.link) {
                Read::Some(mut bytes) => {
                    if Box::pin(self.take(&mut bytes)).await {
                        return true;
                    }
                }
                Read::Nothing => {}
                Read::Ended => return false,
            }
        }
    }

    /// Waits for bytes (true), or tells the shard that a socket it found full takes more (false).
    async fn wait(&self, blocked: &mut bool) -> io::Result<bool> {
        let wanted = *blocked;
        let ready = tokio::select! {
            ready = poll_fn(|context| self.link.wire().poll_ready(wanted, context)) => ready?,
            () = self.link.blocked.notified() => {
                *blocked = true;
                return Ok(false);
            }
        };
        if *blocked && ready.is_writable() {
            *blocked = false;
            let _ = Box::pin(self.shard.send(Command::Writable(self.key))).await;
        }
        Ok(ready.is_readable())
    }

    /// Handles what arrived; true when nothing more counts.
    async fn take(&mut self, bytes: &mut [u8]) -> bool {
        let pings = self.link.unanswered();
        self.link.spoke();
        for signal in self.inbound.feed(bytes, self.start.elapsed(), pings) {
            let (command, over) = match signal {
                Signal::Ping(payload) => (Command::Pong(self.key, payload), false),
                Signal::Close(code) => (Command::Close(self.key, code), true),
                Signal::Fail(code) => (Command::Fail(self.key, code), true),
            };
            if self.shard.send(command).await.is_err() || over {
                return true;
            }
        }
        false
    }

    async fn discard(&self) {
        let mut left = LINGER_BYTES;
        let mut blocked = false;
        while left > 0 && self.wait(&mut blocked).await.is_ok() {
            match read(&self.link) {
                Read::Some(bytes) => left = left.saturating_sub(bytes.len()),
                Read::Nothing => {}
                Read::Ended => return,
            }
        }
    }
}

/// Not async, so that the buffer is on the stack and not in an idle viewer.
fn read(link: &Link) -> Read {
    let mut buffer = [0; 4096];
    match link.wire().try_read(&mut buffer) {
        Ok(0) => Read::Ended,
        Ok(length) => Read::Some(buffer[..length].to_vec()),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Read::Nothing,
        Err(_) => Read::Ended,
    }
}
