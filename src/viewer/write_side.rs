//! One viewer's write side: what it is sent, in which order, and when it is given up.

use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::protocol::frame::coding::Control;

use super::held::Held;
use super::kernel::{LOOKS, unacknowledged};
use super::link::Link;
use super::outbox::Outbox;
use super::reader::LINGER;
use super::{NewViewer, ViewerInfo};
use crate::access::ViewerPass;
use crate::hub::notices::{Away, Notices};
use crate::hub::{Catchup, Presence, millis};
use crate::state::revision::Revision;
use crate::wire::frame::{Encoding, Frame, close as close_frame, control};
use crate::wire::{Own, SERVER, close};
use crate::wire::{UNANSWERED, patience};

/// How often our own viewers hear that the link is alive.
pub const HEARTBEAT: Duration = Duration::from_secs(5);

/// One viewer as its shard has it.
pub struct Viewer {
    /// Its socket.
    pub link: Arc<Link>,
    /// That it may watch.
    pub pass: ViewerPass,
    /// Its topic, and its place among the viewers.
    pub presence: Presence,
    /// Where it is.
    pub revision: Option<Revision>,
    /// How often its topic had been sent again when it was last brought to now.
    pub resends: u64,
    /// How it wants its messages.
    pub encoding: Encoding,
    /// Whether it speaks `onlooker.v1`.
    pub own: bool,
    /// What is on its way.
    pub outbox: Outbox,
    /// Since when nothing but a close may be sent.
    pub closing: Option<Instant>,
    /// When it is pinged again.
    pub next_ping: Instant,
    taking: Taking,
    backlog: Backlog,
    /// Its place in its topic's list.
    pub place: usize,
    since: Instant,
    bytes: u64,
    /// Unique while the daemon runs.
    pub id: u64,
    address: SocketAddr,
    device: Box<str>,
    _admission: Arc<dyn Send + Sync>,
}

/// What the kernels on both sides may hold of what a viewer was sent, in bytes. Our ping is
/// behind that, and so is its answer.
const KERNELS: u64 = 256 * 1024;
/// A viewer that reads this many bytes a second is slow, and there.
const SLOW: u64 = 4 * 1024;

/// What is on its way to a viewer though it has left us.
struct Backlog {
    /// How much it had been sent when it last spoke.
    answered: u64,
    /// How much it had been sent at the last look.
    sent: u64,
    /// Until then it may be reading without coming to our ping.
    until: Instant,
}

/// Whether a viewer takes what it is sent.
struct Taking {
    /// What it had taken.
    bytes: u64,
    /// When it took the last of them, as far as was looked.
    since: Instant,
    /// When it was looked what it has acknowledged.
    looked: Instant,
    /// What it had not, by then.
    left: Option<u32>,
}

impl Backlog {
    fn look(&mut self, now: Instant, sent: u64, spoke: bool) {
        if spoke {
            (self.answered, self.until) = (self.sent, now);
        }
        if sent != self.sent {
            let held = (sent - self.answered).min(KERNELS);
            self.until = now + Duration::from_secs(held / SLOW);
        }
        self.sent = sent;
    }
}

impl Taking {
    fn new(now: Instant, bytes: u64) -> Taking {
        Taking {
            bytes,
            since: now,
            looked: now,
            left: None,
        }
    }

    /// Whether anything was taken since the last look, though not all. `left` tells what is not
    /// acknowledged; it is asked a few times within `stall`.
    fn look(
        &mut self,
        now: Instant,
        bytes: u64,
        stall: Duration,
        left: impl FnOnce() -> Option<u32>,
    ) -> bool {
        if bytes != self.bytes {
            *self = Taking::new(now, bytes);
            return true;
        }
        if now - self.looked < stall / LOOKS {
            return false;
        }
        self.looked = now;
        let first = self.left.is_none();
        let less = self.acknowledged(left());
        if less || (first && self.left.is_some()) {
            self.since = now;
        }
        less
    }

    /// Whether less is left than there was.
    fn acknowledged(&mut self, left: Option<u32>) -> bool {
        let before = std::mem::replace(&mut self.left, left);
        before.zip(left).is_some_and(|(before, left)| left < before)
    }
}

impl Viewer {
    /// A viewer that has joined at a time, and what arrived of it by then. `place`: in the list
    /// of its topic's viewers.
    pub fn new(
        new: NewViewer,
        id: u64,
        since: Instant,
        place: usize,
        held: &Arc<Held>,
    ) -> (Viewer, Bytes) {
        let resends = new.presence.entry().resends();
        let viewer = Viewer {
            resends,
            link: Arc::new(Link::new(new.wire)),
            pass: new.pass,
            presence: new.presence,
            revision: new.since,
            encoding: new.encoding,
            own: new.own,
            outbox: Outbox::new(held.clone()),
            closing: None,
            next_ping: since,
            taking: Taking::new(since, 0),
            backlog: Backlog {
                answered: 0,
                sent: 0,
                until: since,
            },
            place,
            since,
            bytes: 0,
            id,
            address: new.address,
            device: new.device,
            _admission: new.admission,
        };
        (viewer, new.early)
    }

    /// Sends shared bytes, if nothing is in flight.
    pub fn send(&mut self, bytes: &Bytes) {
        let sent = self.outbox.send(self.link.wire(), bytes);
        self.account(sent.map(Option::unwrap_or_default));
    }

    /// Sends shared bytes, or nothing of them if the socket takes nothing; tells whether it
    /// took some.
    pub fn offer(&mut self, bytes: &Bytes) -> bool {
        let sent = self.outbox.offer(self.link.wire(), bytes);
        let taken = matches!(sent, Ok(Some(_)));
        self.account(sent.map(Option::unwrap_or_default));
        taken
    }

    /// Sends a host's own text, or lets it wait; false where there is no room for it.
    pub fn send_text(&mut self, bytes: &Bytes) -> bool {
        if self.outbox.is_busy() {
            return self.outbox.push_text(bytes);
        }
        self.send(bytes);
        true
    }

    /// Sends a large frame that has been encoded. One that closes is sent it whatever comes;
    /// tells whether more may follow now.
    pub fn encoded(&mut self, revision: Option<Revision>, frame: &Frame) -> bool {
        let bytes = frame.bytes(self.encoding);
        self.outbox.encoded();
        if self.closing.is_some() {
            self.send(bytes);
        } else if self.offer(bytes) {
            self.revision = revision;
        }
        !self.outbox.is_busy()
    }

    /// Sends what waits.
    pub fn pump(&mut self) {
        let sent = self.outbox.pump(self.link.wire());
        self.account(sent);
        if self.closing.is_some() && self.outbox.is_empty() {
            self.link.shutdown(Shutdown::Write);
        }
    }

    fn account(&mut self, sent: std::io::Result<usize>) {
        match sent {
            Ok(sent) => {
                self.bytes += sent as u64;
                if self.outbox.is_busy() {
                    self.link.blocked.notify_one();
                }
            }
            // The reader learns of it and says that the viewer is gone.
            Err(_) => self.link.shutdown(Shutdown::Both),
        }
    }

    /// Our own viewers are told what follows.
    pub fn greet(&mut self, catchup: &Catchup) {
        if !self.own {
            return;
        }
        let hello = Own::Hello {
            protocol: 1,
            server: SERVER,
            topic: self.presence.entry().name().to_string(),
            revision: catchup.revision.unwrap_or_default().to_string(),
            resumed: catchup.resumed,
            heartbeat_ms: millis(HEARTBEAT),
        };
        let bytes = Frame::json(hello.text()).bytes(self.encoding).clone();
        self.send(&bytes);
    }

    /// Gives it up if it takes nothing for as long as `stall`, or does not answer; asks again
    /// when it is time. `retry_after_ms`: when it may come back. Tells why it was given up.
    pub fn look(
        &mut self,
        now: Instant,
        ping: Duration,
        stall: Duration,
        retry_after_ms: u64,
    ) -> Option<Away> {
        if let Some(since) = self.closing {
            // To the end of what is in flight, as long as it takes of it; but not for ever.
            let left = || unacknowledged(self.link.wire().tcp());
            self.taking.look(now, self.bytes, LINGER, left);
            if now - self.taking.since > LINGER || now - since > stall.max(LINGER) {
                self.link.shutdown(Shutdown::Both);
            }
            return None;
        }
        self.backlog.look(now, self.bytes, self.link.has_spoken());
        if self.outbox.is_sending() {
            let left = || unacknowledged(self.link.wire().tcp());
            if self.taking.look(now, self.bytes, stall, left) {
                // Taking it, however slowly, is as good as an answer.
                self.link.heard();
            }
            if now - self.taking.since >= stall {
                self.leave("busy", close::TRY_LATER, retry_after_ms);
                return Some(Away::Stalled);
            }
        } else {
            let left = self.taking.left;
            self.taking = Taking::new(now, self.bytes);
            self.taking.left = left;
        }
        match self.next_ping <= now {
            true => self.ping(now, ping),
            false => None,
        }
    }

    fn ping(&mut self, now: Instant, ping: Duration) -> Option<Away> {
        if self.link.unanswered() >= UNANSWERED {
            // A dead one is found by the kernel meanwhile (TCP_USER_TIMEOUT).
            if now < self.backlog.until {
                self.next_ping = self.backlog.until;
                return None;
            }
            if self
                .taking
                .acknowledged(unacknowledged(self.link.wire().tcp()))
            {
                // Our ping is behind what it is taking still.
                self.next_ping = now + patience(ping, UNANSWERED);
                return None;
            }
            self.closing = Some(now);
            self.link.shutdown(Shutdown::Both);
            return Some(Away::Silent);
        }
        if self.link.unanswered() > 0 {
            self.taking.left = unacknowledged(self.link.wire().tcp());
        }
        self.link.pinged();
        self.next_ping = now + patience(ping, self.link.unanswered());
        if !self.outbox.is_busy() {
            self.send(&control(Control::Ping, &[]));
        }
        None
    }

    /// Counts it among those who are sent away, and says so.
    pub fn tell(&self, away: Away, notices: &Notices) {
        let address = self.address.ip().to_canonical();
        if notices.sent_away(away, address) {
            let topic = self.presence.entry().name();
            let (device, reason) = (&*self.device, away.label());
            tracing::info!(%address, %topic, id = self.id, device, %reason, "viewer sent away: {}", away.text());
        }
    }

    /// Says why, closes, and tells when to come back.
    pub fn leave(&mut self, reason: &'static str, code: u16, retry_after_ms: u64) {
        if self.own && self.closing.is_none() {
            let bye = Frame::json(
                Own::Bye {
                    reason,
                    retry_after_ms,
                }
                .text(),
            );
            let bytes = bye.bytes(self.encoding).clone();
            self.send_text(&bytes);
        }
        self.close(close_frame(code));
    }

    /// The last frame; nothing follows it (RFC 6455 §5.5.1).
    pub fn close(&mut self, bytes: Bytes) {
        if self.closing.is_none() {
            let now = Instant::now();
            self.closing = Some(now);
            self.taking = Taking::new(now, self.bytes);
            self.outbox.push_close(bytes);
        }
        self.pump();
    }

    /// Ends it in the middle of what it is being sent, and keeps nothing of that.
    pub fn cut_off(&mut self) {
        self.closing.get_or_insert_with(Instant::now);
        self.outbox.clear();
        self.link.shutdown(Shutdown::Both);
    }

    /// For the list of viewers.
    pub fn info(&self) -> ViewerInfo {
        let entry = self.presence.entry();
        ViewerInfo {
            id: self.id,
            topic: entry.name().to_string(),
            device: self.device.to_string(),
            address: self.address.ip().to_string(),
            connected_ms: millis(self.since.elapsed()),
            revision: self.revision.map(|revision| revision.to_string()),
            current: self.revision == entry.session().map(|(revision, _)| revision),
            bytes: self.bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_is_not_stalled() {
        let second = Duration::from_secs(1);
        let start = Instant::now();
        let mut taking = Taking::new(start, 0);
        // Looks once a second, and tells for how long nothing was taken.
        let mut at = |seconds: std::ops::RangeInclusive<u32>, bytes, left: Option<u32>| {
            let end = start + *seconds.end() * second;
            for seconds in seconds {
                taking.look(start + seconds * second, bytes, 20 * second, || left);
            }
            end - taking.since
        };
        assert_eq!(at(0..=19, 0, None), 19 * second);
        assert_eq!(at(20..=20, 1, None), Duration::ZERO, "a byte is enough");
        assert_eq!(at(21..=40, 1, None), 20 * second);
        assert_eq!(at(41..=41, 2, None), Duration::ZERO);
        assert_eq!(at(42..=61, 2, Some(65_536)), 15 * second);
        assert_eq!(at(62..=71, 2, Some(65_535)), 5 * second, "here too");
        assert_eq!(at(72..=86, 2, Some(65_535)), 20 * second);
    }
}
