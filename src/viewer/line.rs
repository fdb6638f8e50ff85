//! The write side of one connection, whatever it shows: what is in flight, pings, and its end.

use std::net::{IpAddr, Shutdown};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::protocol::frame::coding::Control;

use super::held::Held;
use super::outbox::Outbox;
use super::pulse::{Pulse, Round};
use super::socket::Socket;
use super::wire::Wire;
use crate::hub::notices::{Away, Notices};
use crate::wire::frame::{close as close_frame, control};

/// Who is at the other end.
pub struct Peer {
    /// Where it connects from.
    pub address: IpAddr,
    /// What kind of device it is, according to its user agent.
    pub device: Box<str>,
    /// Its connection, in the log.
    pub span: tracing::Span,
    /// Its place in the count of its address, given back when this is dropped.
    pub _admission: Arc<dyn Send + Sync>,
}

/// One connection as its shard has it.
pub struct Line {
    /// Unique while the daemon runs.
    pub id: u64,
    pub socket: Arc<Socket>,
    pub outbox: Outbox,
    pub peer: Peer,
    /// When it began.
    pub since: Instant,
    /// How many bytes it was sent.
    pub bytes: u64,
    /// Set once it is closed: then nothing more is sent to it.
    closing: Option<Closing>,
    pulse: Pulse,
}

/// A connection's end.
struct Closing {
    since: Instant,
    /// For the log.
    why: &'static str,
}

impl Line {
    /// A line that begins at a time, and is pinged this often.
    pub fn new(
        id: u64,
        wire: Wire,
        peer: Peer,
        (since, ping): (Instant, Duration),
        held: &Arc<Held>,
    ) -> Line {
        Line {
            id,
            socket: Arc::new(Socket::new(wire)),
            outbox: Outbox::new(held.clone()),
            peer,
            since,
            bytes: 0,
            closing: None,
            pulse: Pulse::new(since, ping),
        }
    }

    pub fn is_closing(&self) -> bool {
        self.closing.is_some()
    }

    /// Sends shared bytes, if nothing is in flight. What is sent `apart` is given up if the socket
    /// is full. Returns whether it was sent.
    pub fn send(&mut self, bytes: &Bytes, apart: bool) -> bool {
        let sent = self.outbox.send(&self.socket.wire, bytes, apart);
        let taken = matches!(sent, Ok(Some(_)));
        self.account(sent.map(Option::unwrap_or_default));
        taken
    }

    pub fn pong(&mut self, payload: &[u8]) {
        // Nothing follows a close frame (RFC 6455 §5.5.1).
        if self.closing.is_none() {
            self.outbox.push_pong(control(Control::Pong, payload));
        }
    }

    pub fn pump(&mut self) {
        let sent = self.outbox.pump(&self.socket.wire);
        self.account(sent);
        if self.closing.is_some() && self.outbox.is_empty() {
            self.socket.wire.shutdown(Shutdown::Write);
        }
    }

    fn account(&mut self, sent: std::io::Result<usize>) {
        match sent {
            Ok(sent) => {
                self.bytes += sent as u64;
                if self.outbox.is_sending() {
                    self.socket.blocked.notify_one();
                }
            }
            // The reader notices, and says that the peer is gone.
            Err(_) => self.socket.hang_up(),
        }
    }

    /// Pings it when it is time. Tells why it has to go, if it does: it takes nothing, or does
    /// not answer.
    pub fn look(&mut self, round: &Round) -> Option<Away> {
        if let Some(Closing { since, .. }) = self.closing {
            let (pulse, socket) = (&mut self.pulse, &self.socket);
            if pulse.is_over(round, since, socket, self.bytes) {
                socket.hang_up();
            }
            return None;
        }
        let sending = self.outbox.is_sending();
        match self.pulse.look(round, &self.socket, self.bytes, sending) {
            Ok(true) => _ = self.send(&control(Control::Ping, &[]), false),
            Ok(false) => {}
            Err(away) => return Some(away),
        }
        None
    }

    /// Closes it with a code, and says in the log why.
    pub fn close_with(&mut self, code: u16, why: &'static str) {
        self.close(close_frame(code), why);
    }

    /// The last frame; nothing follows it (RFC 6455 §5.5.1).
    pub fn close(&mut self, bytes: Bytes, why: &'static str) {
        if self.closing.is_none() {
            let since = Instant::now();
            self.closing = Some(Closing { since, why });
            self.socket.close();
            self.pulse.close(since, self.bytes);
            self.outbox.push_close(bytes);
        }
        self.pump();
    }

    /// Ends it in the middle of what it is being sent, of which nothing is kept.
    pub fn cut_off(&mut self, why: &'static str) {
        let since = Instant::now();
        self.closing.get_or_insert(Closing { since, why });
        self.socket.close();
        self.outbox.clear();
        self.socket.hang_up();
    }

    /// Counts that it was sent away from something of this name, and logs it.
    pub fn report(&self, away: Away, notices: &Notices, what: &str, topic: &dyn std::fmt::Display) {
        let address = self.peer.address.to_canonical();
        if notices.sent_away(away, address) {
            let (device, reason) = (&*self.peer.device, away.label());
            tracing::info!(parent: &self.peer.span, %address, %topic, id = self.id, device, %reason, "{what} sent away: {}", away.text());
        }
    }

    /// Tells the log that its socket has ended.
    pub fn gone(&self, what: &str) {
        let why = self.closing.as_ref().map_or("disconnected", |end| end.why);
        let bytes = self.bytes;
        tracing::debug!(parent: &self.peer.span, id = self.id, why, bytes, "{what} left");
    }
}
