//! The socket as its two owners share it: the shard writes, the reader reads.

use std::io;
use std::net::Shutdown;
use std::sync::atomic::{AtomicU8, Ordering};

use socket2::SockRef;
use tokio::io::{Interest, Ready};
use tokio::net::TcpStream;
use tokio::sync::Notify;

/// A connected byte stream that is read and written without waiting.
pub enum Wire {
    /// TCP.
    Plain(TcpStream),
}

/// One viewer's socket and what reader and shard tell each other by it.
pub struct Link {
    wire: Wire,
    /// Pings sent since anything was heard.
    unanswered: AtomicU8,
    /// The shard waits for the socket to take more.
    pub(super) blocked: Notify,
}

impl Wire {
    fn tcp(&self) -> &TcpStream {
        match self {
            Wire::Plain(tcp) => tcp,
        }
    }

    /// As much as the socket takes now.
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Wire::Plain(tcp) => tcp.try_write(bytes),
        }
    }

    /// As much as has arrived; 0 at the end.
    pub fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Wire::Plain(tcp) => tcp.try_read(buffer),
        }
    }

    /// Waits until the socket can be read, or written too.
    pub async fn ready(&self, interest: Interest) -> io::Result<Ready> {
        self.tcp().ready(interest).await
    }
}

impl Link {
    /// Shares a socket.
    pub fn new(wire: Wire) -> Link {
        Link {
            wire,
            unanswered: AtomicU8::new(0),
            blocked: Notify::new(),
        }
    }

    /// The socket.
    pub fn wire(&self) -> &Wire {
        &self.wire
    }

    /// Ends the sending half, or both, so that the reader learns of it.
    pub fn shutdown(&self, how: Shutdown) {
        // A socket that is gone already needs no end.
        let _ = SockRef::from(self.wire.tcp()).shutdown(how);
    }

    /// The viewer was heard of.
    pub fn heard(&self) {
        self.unanswered.store(0, Ordering::Relaxed);
    }

    /// How many pings it has left unanswered.
    pub fn unanswered(&self) -> u8 {
        self.unanswered.load(Ordering::Relaxed)
    }

    /// Another ping went out, or should have.
    pub fn pinged(&self) {
        self.unanswered.fetch_add(1, Ordering::Relaxed);
    }
}
