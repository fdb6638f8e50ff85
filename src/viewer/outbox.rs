//! What is on its way to one viewer: at most one piece in flight, and little behind it.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use bytes::Bytes;

use super::held::{Held, Piece};
use super::wire::Wire;

/// How many of a host's own texts wait for a slow viewer, those that came together counting as
/// one; more are dropped, and whoever sent them is told.
const TEXTS: usize = 64;
/// How many bytes of them.
const TEXT_BYTES: usize = 1024 * 1024;

/// What is on its way, and what waits behind it.
pub struct Outbox {
    held: Arc<Held>,
    flight: Flight,
    /// Rarely there, so that an idle viewer is small.
    behind: Option<Box<Behind>>,
}

#[derive(Default)]
enum Flight {
    #[default]
    Empty,
    /// The socket takes nothing: what is the newest when it does is sent then.
    Full,
    /// A large frame is being encoded elsewhere.
    Encoding,
    Sending {
        piece: Piece,
        sent: usize,
        apart: bool,
    },
}

#[derive(Default)]
struct Behind {
    /// The answer to the latest ping; older ones need none (RFC 6455 §5.5.3).
    pong: Option<Bytes>,
    texts: VecDeque<Piece>,
    text_bytes: usize,
    /// Nothing follows it.
    close: Option<Bytes>,
}

impl Outbox {
    /// An empty one; what it cannot send at once is counted there.
    pub fn new(held: Arc<Held>) -> Outbox {
        Outbox {
            held,
            flight: Flight::Empty,
            behind: None,
        }
    }

    /// Whether anything in it is too much to be kept any longer.
    pub fn is_given_up(&self) -> bool {
        let mut texts = self.behind.iter().flat_map(|behind| &behind.texts);
        matches!(&self.flight, Flight::Sending { piece, .. } if piece.is_given_up())
            || texts.any(Piece::is_given_up)
    }

    /// Lets go of everything.
    pub fn clear(&mut self) {
        (self.flight, self.behind) = (Flight::Empty, None);
    }

    /// Whether something is in flight: then updates wait, and are merged by `since`.
    pub fn is_busy(&self) -> bool {
        !matches!(self.flight, Flight::Empty)
    }

    /// Whether the viewer has not taken all that it is being sent.
    pub fn is_sending(&self) -> bool {
        matches!(self.flight, Flight::Sending { .. } | Flight::Full)
    }

    /// A large frame is being encoded; nothing else is sent before it.
    pub fn expect_encoded(&mut self) {
        self.flight = Flight::Encoding;
    }

    /// The large frame is ready to be sent.
    pub fn encoded(&mut self) {
        self.flight = Flight::Empty;
    }

    /// Sends now if nothing is in flight. Tells how many bytes the socket took; `None` when
    /// something is in flight and nothing was done.
    pub fn send(&mut self, wire: &Wire, bytes: &Bytes) -> io::Result<Option<usize>> {
        if self.is_busy() {
            return Ok(None);
        }
        let sent = write(wire, bytes, false)?;
        self.hold_rest(wire, bytes, sent, false);
        Ok(Some(sent))
    }

    /// As [`Outbox::send`], for what may be newer later: it does not wait in the kernel behind
    /// anything else, and when the socket takes nothing of it, it is not kept: `None` then too.
    pub fn offer(&mut self, wire: &Wire, bytes: &Bytes) -> io::Result<Option<usize>> {
        if self.is_busy() {
            return Ok(None);
        }
        let sent = write(wire, bytes, true)?;
        if sent == 0 {
            self.flight = Flight::Full;
            return Ok(None);
        }
        self.hold_rest(wire, bytes, sent, true);
        Ok(Some(sent))
    }

    fn hold_rest(&mut self, wire: &Wire, bytes: &Bytes, sent: usize, apart: bool) {
        if sent < bytes.len() || !wire.is_flushed() {
            self.flight = Flight::Sending {
                piece: self.held.hold(bytes.clone()),
                sent,
                apart,
            };
        }
    }

    /// A host's own text waits behind what is in flight, if there is room; tells whether.
    pub fn push_text(&mut self, bytes: &Bytes) -> bool {
        let behind = self.behind.get_or_insert_default();
        let room = behind.texts.len() < TEXTS && behind.text_bytes + bytes.len() <= TEXT_BYTES;
        if room {
            behind.text_bytes += bytes.len();
            behind.texts.push_back(self.held.hold(bytes.clone()));
        }
        room
    }

    /// The answer to a ping, which replaces an older one that has not left yet.
    pub fn push_pong(&mut self, bytes: Bytes) {
        self.behind.get_or_insert_default().pong = Some(bytes);
    }

    /// The last thing to send.
    pub fn push_close(&mut self, bytes: Bytes) {
        self.behind.get_or_insert_default().close = Some(bytes);
    }

    /// Sends as much as the socket takes, the rest in flight first. Tells how many bytes that was.
    pub fn pump(&mut self, wire: &Wire) -> io::Result<usize> {
        let mut total = 0;
        loop {
            match &mut self.flight {
                Flight::Encoding => return Ok(total),
                Flight::Sending { piece, sent, apart } => {
                    let more = write(wire, &piece[*sent..], *apart)?;
                    (*sent, total) = (*sent + more, total + more);
                    if *sent < piece.len() || !wire.is_flushed() {
                        return Ok(total);
                    }
                }
                Flight::Empty | Flight::Full => {}
            }
            self.flight = Flight::Empty;
            let Some(bytes) = self.next() else {
                return Ok(total);
            };
            total += self.send(wire, &bytes)?.unwrap_or_default();
        }
    }

    /// Whether nothing at all is left to send.
    pub fn is_empty(&self) -> bool {
        !self.is_busy() && self.behind.is_none()
    }

    fn next(&mut self) -> Option<Bytes> {
        let behind = self.behind.as_mut()?;
        if let Some(pong) = behind.pong.take() {
            return Some(pong);
        }
        if let Some(text) = behind.texts.pop_front() {
            behind.text_bytes -= text.len();
            return Some(text.clone());
        }
        let close = behind.close.take();
        if close.is_none() {
            self.behind = None;
        }
        close
    }
}

/// As much as the socket takes now, which may be nothing.
fn write(wire: &Wire, bytes: &[u8], apart: bool) -> io::Result<usize> {
    match wire.try_write(bytes, apart) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
        result => result,
    }
}
