//! What is on its way to one viewer: at most one piece in flight, and not much behind it.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use bytes::Bytes;

use super::held::{Held, Piece};
use super::wire::Wire;

/// How many of a host's own texts may wait for a slow viewer, where those that came together count
/// as one. More are dropped, and whoever sent them is told.
const TEXTS: usize = 64;
/// How many bytes those texts may have.
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
    /// The socket took nothing. When it does, what is newest by then is sent.
    Full,
    /// A large frame is being encoded elsewhere.
    Encoding,
    /// The socket has taken so many bytes of it.
    Sending {
        piece: Piece,
        sent: usize,
        apart: bool,
    },
}

#[derive(Default)]
struct Behind {
    /// The answer to the latest ping; older ones need no answer (RFC 6455 §5.5.3).
    pong: Option<Bytes>,
    texts: VecDeque<Piece>,
    text_bytes: usize,
    /// The last frame.
    close: Option<Bytes>,
}

impl Outbox {
    /// An empty outbox. What it cannot send at once is counted in `held`.
    pub fn new(held: Arc<Held>) -> Outbox {
        Outbox {
            held,
            flight: Flight::Empty,
            behind: None,
        }
    }

    /// Whether anything in it has been given up, because too much is held for all viewers.
    pub fn is_given_up(&self) -> bool {
        let mut texts = self.behind.iter().flat_map(|behind| &behind.texts);
        matches!(&self.flight, Flight::Sending { piece, .. } if piece.is_given_up())
            || texts.any(Piece::is_given_up)
    }

    pub fn clear(&mut self) {
        (self.flight, self.behind) = (Flight::Empty, None);
    }

    /// Whether something is in flight. Updates wait meanwhile, and are merged by `since`.
    pub fn is_busy(&self) -> bool {
        !matches!(self.flight, Flight::Empty)
    }

    /// Whether the viewer has yet to take what it is being sent.
    pub fn is_sending(&self) -> bool {
        matches!(self.flight, Flight::Sending { .. } | Flight::Full)
    }

    /// What keeps an update from being sent, for the log.
    pub fn obstacle(&self) -> &'static str {
        match self.flight {
            Flight::Empty => "nothing",
            Flight::Full => "its socket is full",
            Flight::Encoding => "its frame is being encoded",
            Flight::Sending { .. } => "it has not taken the last frame yet",
        }
    }

    /// A large frame is being encoded. Nothing else is sent before it.
    pub fn expect_encoded(&mut self) {
        self.flight = Flight::Encoding;
    }

    /// The large frame has been encoded.
    pub fn encoded(&mut self) {
        self.flight = Flight::Empty;
    }

    /// Sends at once if nothing is in flight. Returns how many bytes the socket took; `None` if
    /// something is in flight, and nothing was done.
    ///
    /// What is sent `apart` is an update, which may be outdated by the time that the socket has
    /// room: it is not queued in the kernel behind anything else, and if the socket takes nothing
    /// of it, it is dropped, which is `None` too.
    pub fn send(&mut self, wire: &Wire, bytes: &Bytes, apart: bool) -> io::Result<Option<usize>> {
        if self.is_busy() {
            return Ok(None);
        }
        let sent = write(wire, bytes, apart)?;
        if apart && sent == 0 {
            self.flight = Flight::Full;
            return Ok(None);
        }
        if sent < bytes.len() || !wire.is_flushed() {
            let piece = self.held.hold(bytes.clone());
            self.flight = Flight::Sending { piece, sent, apart };
        }
        Ok(Some(sent))
    }

    /// Keeps a host's own text behind what is in flight. Returns whether there was room.
    pub fn push_text(&mut self, bytes: &Bytes) -> bool {
        let behind = self.behind.get_or_insert_default();
        let room = behind.texts.len() < TEXTS && behind.text_bytes + bytes.len() <= TEXT_BYTES;
        if room {
            behind.text_bytes += bytes.len();
            behind.texts.push_back(self.held.hold(bytes.clone()));
        }
        room
    }

    /// Keeps the answer to a ping. It replaces an older answer that has not left yet.
    pub fn push_pong(&mut self, bytes: Bytes) {
        self.behind.get_or_insert_default().pong = Some(bytes);
    }

    pub fn push_close(&mut self, bytes: Bytes) {
        self.behind.get_or_insert_default().close = Some(bytes);
    }

    /// Sends as much as the socket takes, beginning with what is in flight. Returns how many bytes
    /// that was.
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
            total += self.send(wire, &bytes, false)?.unwrap_or_default();
        }
    }

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

/// Writes as much as the socket takes now, which may be nothing.
fn write(wire: &Wire, bytes: &[u8], apart: bool) -> io::Result<usize> {
    match wire.try_write(bytes, apart) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
        result => result,
    }
}
