//! The read side of one viewer: no buffer between reads, and nothing to do but tell the shard.

use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::command::Command;
use super::inbound::{Inbound, Signal};
use super::socket::Socket;

/// How much a viewer may still send after the close frame.
pub const LINGER_BYTES: usize = 1024 * 1024;

pub struct Reader {
    /// The viewer's key in its shard.
    pub key: usize,
    pub socket: Arc<Socket>,
    pub inbound: Inbound,
    pub shard: mpsc::Sender<Command>,
    /// The moment from which the time for the viewer's budget is counted.
    pub start: Instant,
    /// How long the viewer may take what is in flight once it is closed.
    pub goodbye: Duration,
    /// The socket was full when the shard last wrote.
    pub blocked: bool,
}

impl Reader {
    /// Reads until the socket ends. `early` is what arrived behind the request.
    pub async fn run(&mut self, early: &mut [u8]) {
        // What is rarely awaited is boxed, so that an idle viewer is small.
        let closed = !early.is_empty() && Box::pin(self.take(early)).await;
        if closed || self.read().await {
            // Unread bytes would make the kernel answer with a reset, which can overtake the
            // close frame.
            let discard = tokio::time::timeout(self.goodbye, self.discard());
            let _ = Box::pin(discard).await;
            self.socket.hang_up();
        }
        self.tell(Command::Gone(self.key)).await;
    }

    /// Reads until the socket ends (false) or either side closes (true).
    async fn read(&mut self) -> bool {
        while let Ok(mut bytes) = self.arrived().await {
            if !bytes.is_empty() && Box::pin(self.take(&mut bytes)).await {
                return true;
            }
        }
        false
    }

    async fn discard(&mut self) {
        let mut left = LINGER_BYTES;
        while left > 0
            && let Ok(bytes) = self.arrived().await
        {
            left = left.saturating_sub(bytes.len());
        }
    }

    /// What has arrived, which may be nothing. While the socket is `blocked`, waits for room in
    /// it too, and tells the shard of that.
    async fn arrived(&mut self) -> io::Result<Vec<u8>> {
        let wanted = self.blocked;
        let ready = tokio::select! {
            ready = poll_fn(|context| self.socket.wire.poll_ready(wanted, context)) => ready?,
            () = self.socket.blocked.notified() => {
                self.blocked = true;
                return Ok(Vec::new());
            }
        };
        if wanted && ready.is_writable() {
            self.blocked = false;
            self.tell(Command::Writable(self.key)).await;
        }
        match ready.is_readable() {
            true => read(&self.socket),
            false => Ok(Vec::new()),
        }
    }

    /// Handles what arrived; true when nothing after it counts.
    async fn take(&mut self, bytes: &mut [u8]) -> bool {
        let pings = self.socket.unanswered();
        self.socket.spoke();
        let mut closed = false;
        for signal in self.inbound.feed(bytes, self.start.elapsed(), pings) {
            closed |= !matches!(signal, Signal::Ping(_));
            self.tell(Command::Heard(self.key, signal)).await;
        }
        closed
    }

    /// Boxed before it is awaited: an idle viewer has no room for a command.
    fn tell(&self, command: Command) -> Pin<Box<impl Future<Output = ()>>> {
        // Fails when the shard has ended: then it has hung up on its viewers.
        Box::pin(async move { _ = self.shard.send(command).await })
    }
}

/// Not async, so that the buffer is on the stack and not in an idle viewer.
pub fn read(socket: &Socket) -> io::Result<Vec<u8>> {
    let mut buffer = [0; 4096];
    match socket.wire.try_read(&mut buffer) {
        Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
        Ok(length) => Ok(buffer[..length].to_vec()),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}
