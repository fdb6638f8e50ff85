//! Whether a viewer is still there, judged by what it takes and what it answers. Nothing here reads
//! a clock: whoever asks passes the time.

use std::time::Duration;

use tokio::time::Instant;

use super::socket::Socket;
use super::taking::{Taking, unacknowledged};
use crate::hub::notices::Away;
use crate::wire::{UNANSWERED, patience};

/// How long a viewer that takes nothing is kept after its close frame.
pub const LINGER: Duration = Duration::from_secs(2);
/// How many bytes the kernels on both sides may hold of what a viewer was sent. Our ping is
/// behind them, and so is its answer.
const KERNELS: u64 = 256 * 1024;
/// A viewer that reads this many bytes a second is slow, but there.
const SLOW: u64 = 4 * 1024;

#[derive(Clone, Copy)]
pub struct Round {
    pub now: Instant,
    /// How often viewers are pinged.
    pub ping: Duration,
    /// How long a viewer may take nothing.
    pub stall: Duration,
}

/// What is known of one viewer's life.
pub struct Pulse {
    taking: Taking,
    next_ping: Instant,
    /// How many bytes it had been sent when it last spoke.
    answered: u64,
    /// Until then it may be busy reading what the kernels hold, and not have come to our ping.
    reading_until: Instant,
}

impl Pulse {
    /// The pulse of a viewer that joins now.
    pub fn new(now: Instant, ping: Duration) -> Pulse {
        Pulse {
            taking: Taking::new(now, 0),
            next_ping: now + ping,
            answered: 0,
            reading_until: now,
        }
    }

    /// Looks at a viewer that has been sent so many bytes; `sending` means that it has yet to take
    /// some. Returns whether it is time to ping it.
    /// Fails with the reason why it has to go: it takes nothing, or does not answer.
    pub fn look(
        &mut self,
        round: &Round,
        socket: &Socket,
        sent: u64,
        sending: bool,
    ) -> Result<bool, Away> {
        let now = round.now;
        self.look_at_reading(now, sent, socket.has_spoken());
        if sending {
            if self.taking.look(now, sent, round.stall, || left(socket)) {
                // Taking what it is sent, however slowly, is as good as an answer.
                socket.heard();
            }
            if now - self.taking.since >= round.stall {
                return Err(Away::Stalled);
            }
        } else {
            let left = self.taking.left;
            self.taking = Taking::new(now, sent);
            self.taking.left = left;
        }
        match self.next_ping <= now {
            true => self.ping(round, socket),
            false => Ok(false),
        }
    }

    fn look_at_reading(&mut self, now: Instant, sent: u64, spoke: bool) {
        if spoke {
            (self.answered, self.reading_until) = (self.taking.sent, now);
        }
        if sent != self.taking.sent {
            let held = (sent - self.answered).min(KERNELS);
            self.reading_until = now + Duration::from_secs(held / SLOW);
        }
    }

    fn ping(&mut self, round: &Round, socket: &Socket) -> Result<bool, Away> {
        let (now, unanswered) = (round.now, socket.unanswered());
        if unanswered >= UNANSWERED {
            // A dead peer is found by the kernel meanwhile (TCP_USER_TIMEOUT).
            if now < self.reading_until {
                self.next_ping = self.reading_until;
            } else if socket.is_deaf() || self.taking.acknowledged(left(socket)) {
                // Our ping is behind what it is still taking, or its answer behind what waits here.
                self.next_ping = now + patience(round.ping, UNANSWERED);
            } else {
                return Err(Away::Silent);
            }
            return Ok(false);
        }
        if unanswered > 0 {
            self.taking.left = left(socket);
        }
        socket.pinged();
        self.next_ping = now + patience(round.ping, socket.unanswered());
        Ok(true)
    }

    /// A close frame is on its way: what it takes from now on is counted afresh.
    pub fn close(&mut self, now: Instant, sent: u64) {
        self.taking = Taking::new(now, sent);
    }

    /// Whether a viewer that was closed a while ago may be hung up on. It is given the rest of
    /// what is in flight for as long as it keeps taking it, but not for ever.
    pub fn is_over(&mut self, round: &Round, closed: Instant, socket: &Socket, sent: u64) -> bool {
        let now = round.now;
        self.taking.look(now, sent, LINGER, || left(socket));
        now - self.taking.since > LINGER || now - closed > round.stall.max(LINGER)
    }
}

fn left(socket: &Socket) -> Option<u32> {
    unacknowledged(socket.wire.tcp())
}
