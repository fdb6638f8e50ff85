//! A viewer's socket as its shard, which writes, and its reader share it.

use std::net::Shutdown;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use tokio::sync::Notify;

use super::wire::Wire;

/// A viewer's socket, and what its shard and its reader tell each other without a message.
pub struct Socket {
    pub wire: Wire,
    /// The socket took only part of what it was given: the reader is to watch for more room.
    pub blocked: Notify,
    /// How many pings were sent since anything was heard.
    unanswered: AtomicU8,
    /// The viewer was heard since the shard last asked.
    spoke: AtomicBool,
}

impl Socket {
    pub fn new(wire: Wire) -> Socket {
        Socket {
            wire,
            blocked: Notify::new(),
            unanswered: AtomicU8::new(0),
            spoke: AtomicBool::new(false),
        }
    }

    /// Ends both directions, so that the reader notices.
    pub fn hang_up(&self) {
        self.wire.shutdown(Shutdown::Both);
    }

    /// There was a sign of life: pings count as answered.
    pub fn heard(&self) {
        self.unanswered.store(0, Ordering::Relaxed);
    }

    /// The viewer itself has sent something.
    pub fn spoke(&self) {
        self.spoke.store(true, Ordering::Relaxed);
        self.heard();
    }

    /// Whether the viewer has sent anything since this was last asked.
    pub fn has_spoken(&self) -> bool {
        self.spoke.swap(false, Ordering::Relaxed)
    }

    pub fn unanswered(&self) -> u8 {
        self.unanswered.load(Ordering::Relaxed)
    }

    /// Another ping was sent, or should have been.
    pub fn pinged(&self) {
        self.unanswered.fetch_add(1, Ordering::Relaxed);
    }
}
