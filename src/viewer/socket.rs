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
    /// Both directions were ended.
    ended: AtomicBool,
    /// It is being closed: what comes from it does not count any more.
    closing: AtomicBool,
    /// The viewer was heard since the shard last asked.
    spoke: AtomicBool,
    /// Nothing is read, whatever it sends.
    deaf: AtomicBool,
}

impl Socket {
    pub fn new(wire: Wire) -> Socket {
        Socket {
            wire,
            blocked: Notify::new(),
            unanswered: AtomicU8::new(0),
            ended: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            spoke: AtomicBool::new(false),
            deaf: AtomicBool::new(false),
        }
    }

    /// Ends both directions, so that the reader notices.
    pub fn hang_up(&self) {
        self.ended.store(true, Ordering::Relaxed);
        self.wire.shutdown(Shutdown::Both);
        // Whoever waits for something else than the socket looks again.
        self.blocked.notify_one();
    }

    /// From now on nothing that comes from it counts.
    pub fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }

    /// Whether it is being closed.
    pub fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }

    /// Whether both directions were ended here.
    pub fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    /// Waits until the socket takes more, or has ended.
    pub async fn writable(&self) -> std::io::Result<()> {
        self.wire.tcp().writable().await
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

    /// From now on nothing is read, or something is again: meanwhile nobody is silent.
    pub fn set_deaf(&self, deaf: bool) {
        self.deaf.store(deaf, Ordering::Relaxed);
        self.heard();
    }

    pub fn is_deaf(&self) -> bool {
        self.deaf.load(Ordering::Relaxed)
    }

    pub fn unanswered(&self) -> u8 {
        self.unanswered.load(Ordering::Relaxed)
    }

    /// Another ping was sent, or should have been.
    pub fn pinged(&self) {
        self.unanswered.fetch_add(1, Ordering::Relaxed);
    }
}
