//! The read side of one of a room's people. What it asks for is done here, so that no shard waits
//! for it; and while too many replies wait, nothing more is read.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::command::Command;
use crate::hub::rooms::Seat;
use crate::viewer::inbound::{Inbound, Signal};
use crate::viewer::reader::{LINGER_BYTES, read};
use crate::viewer::socket::Socket;
use crate::wire::close;

pub struct Reader {
    /// The person's key in its shard.
    pub key: usize,
    pub socket: Arc<Socket>,
    pub seat: Arc<Seat>,
    pub inbound: Inbound,
    pub shard: mpsc::Sender<Command>,
    /// The moment from which the time for the budget is counted.
    pub start: Instant,
    /// How long the person may take what is in flight once it is closed.
    pub goodbye: Duration,
    /// The socket was full when the shard last wrote.
    pub blocked: bool,
    /// What it holds of a message that is still arriving.
    pub unfinished: Share,
}

/// A part of what may be held for all people together, in bytes.
pub struct Share {
    total: Arc<AtomicUsize>,
    most: usize,
    own: usize,
}

impl Share {
    /// Nothing yet of a total.
    pub fn new(total: &Arc<AtomicUsize>, most: usize) -> Share {
        let (total, own) = (total.clone(), 0);
        Share { total, most, own }
    }

    /// Holds so many bytes; returns whether all shares together are within the limit.
    fn set(&mut self, own: usize) -> bool {
        let before = std::mem::replace(&mut self.own, own);
        // Wraps around where it gets less.
        let change = own.wrapping_sub(before);
        let total = self
            .total
            .fetch_add(change, Ordering::Relaxed)
            .wrapping_add(change);
        total <= self.most || own <= before
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.set(0);
    }
}

impl Reader {
    /// Reads until the socket ends. `early` is what arrived behind the request.
    pub async fn run(&mut self, early: &mut [u8]) {
        // What is rarely awaited is boxed, so that who waits is small.
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
        let haste = self.haste();
        while let Ok(mut bytes) = haste.meanwhile(self.arrived()).await {
            if !bytes.is_empty() && Box::pin(self.take(&mut bytes)).await {
                return true;
            }
        }
        false
    }

    fn haste(&self) -> Haste {
        Haste {
            key: self.key,
            seat: self.seat.clone(),
            shard: self.shard.clone(),
        }
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
            self.tell(Command::Pump(self.key)).await;
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
        let mut signals = self.inbound.feed(bytes, self.start.elapsed(), pings);
        if !self.unfinished.set(self.inbound.unfinished()) {
            signals.push(Signal::Fail(close::TRY_LATER));
        }
        for signal in signals {
            match signal {
                Signal::Text(text) => closed |= !self.hear(Some(&text)).await,
                Signal::Binary => closed |= !self.hear(None).await,
                signal => {
                    closed |= !matches!(signal, Signal::Ping(_));
                    self.tell(Command::Heard(self.key, signal)).await;
                }
            }
        }
        closed
    }

    /// Does what a message asks for, once there is room for the reply; false when the socket has
    /// ended before that. Without a text the message was a binary one.
    async fn hear(&mut self, text: Option<&str>) -> bool {
        self.socket.set_deaf(true);
        let goes_on = self.do_asked(text).await;
        self.socket.set_deaf(false);
        goes_on
    }

    async fn do_asked(&mut self, text: Option<&str>) -> bool {
        let haste = self.haste();
        while !self.seat.has_room() {
            if !self.blocked {
                let freed = async {
                    tokio::select! {
                        () = self.seat.drained() => {}
                        () = self.socket.blocked.notified() => self.blocked = true,
                    }
                };
                haste.meanwhile(freed).await;
            }
            if self.socket.has_ended() {
                return false;
            }
            if std::mem::take(&mut self.blocked) {
                // Nothing is read, but what waits for this person has to leave.
                let writable = haste.meanwhile(self.socket.writable()).await;
                self.tell(Command::Pump(self.key)).await;
                if writable.is_err() {
                    return false;
                }
            }
        }
        if self.socket.is_closing() {
            // It was sent away, or what let it in is revoked.
            return false;
        }
        match text {
            Some(text) => haste.meanwhile(self.seat.hear(text)).await,
            None => self.seat.hear_binary(),
        }
        self.tell(Command::Pump(self.key)).await;
        true
    }

    /// Boxed before it is awaited: who waits has no room for a command.
    fn tell(&self, command: Command) -> Pin<Box<impl Future<Output = ()>>> {
        // Fails when the shard has ended: then it has hung up on its people.
        Box::pin(async move { _ = self.shard.send(command).await })
    }
}

/// Has a person's replies sent in time, whatever its reader waits for.
struct Haste {
    key: usize,
    seat: Arc<Seat>,
    shard: mpsc::Sender<Command>,
}

impl Haste {
    async fn meanwhile<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                () = self.seat.overdue() => {
                    self.seat.hurry();
                    let _ = Box::pin(self.shard.send(Command::Pump(self.key))).await;
                }
            }
        }
    }
}
