//! The socket as its two owners share it: the shard writes, the reader reads.

use std::net::Shutdown;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use tokio::sync::Notify;

use super::wire::Wire;

/// One viewer's socket and what reader and shard tell each other by it.
pub struct Link {
    wire: Wire,
    /// Pings sent since anything was heard.
    unanswered: AtomicU8,
    /// The viewer itself was heard since the shard last asked.
    spoke: AtomicBool,
    /// The shard waits for the socket to take more.
    pub(super) blocked: Notify,
}

impl Link {
    /// Shares a socket.
    pub fn new(wire: Wire) -> Link {
        Link {
            wire,
            unanswered: AtomicU8::new(0),
            spoke: AtomicBool::new(false),
            blocked: Notify::new(),
        }
    }

    /// The socket.
    pub fn wire(&self) -> &Wire {
        &self.wire
    }

    /// Ends the sending half, or both, so that the reader learns of it.
    pub fn shutdown(&self, how: Shutdown) {
        self.wire.shutdown(how);
    }

    /// The viewer was heard of.
    pub fn heard(&self) {
        self.unanswered.store(0, Ordering::Relaxed);
    }

    /// The viewer itself was heard.
    pub fn spoke(&self) {
        self.spoke.store(true, Ordering::Relaxed);
        self.heard();
    }

    /// Whether it was, since this was last asked.
    pub fn has_spoken(&self) -> bool {
        self.spoke.swap(false, Ordering::Relaxed)
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
