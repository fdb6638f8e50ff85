//! What is on its way to one viewer: at most one piece in flight, and little behind it.

use std::collections::VecDeque;
use std::io;

use bytes::Bytes;

use super::wire::Wire;

/// How many of a host's own texts wait for a slow viewer, those that came together counting as
/// one; more are dropped, and whoever sent them is told.
const TEXTS: usize = 64;
/// How many bytes of them.
const TEXT_BYTES: usize = 1024 * 1024;

/// What is on its way, and what waits behind it.
#[derive(Default)]
pub struct Outbox {
    flight: Flight,
    /// Rarely there, so that an idle viewer is small.
    behind: Option<Box<Behind>>,
}

#[derive(Default)]
enum Flight {
    #[default]
    Empty,
    /// A large frame is being encoded elsewhere.
    Encoding,
    Sending {
        bytes: Bytes,
        sent: usize,
    },
}

#[derive(Default)]
struct Behind {
    /// The answer to the latest ping; older ones need none (RFC 6455 §5.5.3).
    pong: Option<Bytes>,
    texts: VecDeque<Bytes>,
    text_bytes: usize,
    /// Nothing follows it.
    close: Option<Bytes>,
}

impl Outbox {
    /// Whether something is in flight: then updates wait, and are merged by `since`.
    pub fn is_busy(&self) -> bool {
        !matches!(self.flight, Flight::Empty)
    }

    /// Whether the viewer has not taken all that it is being sent.
    pub fn is_sending(&self) -> bool {
        matches!(self.flight, Flight::Sending { .. })
    }

    /// A large frame is being encoded; it will be sent by [`Outbox::encoded`].
    pub fn expect_encoded(&mut self) {
        self.flight = Flight::Encoding;
    }

    /// The large frame is ready.
    pub fn encoded(&mut self, bytes: Bytes) {
        self.flight = Flight::Sending { bytes, sent: 0 };
    }

    /// Sends now if nothing is in flight. Tells how many bytes the socket took; `None` when
    /// something is in flight and nothing was done.
    pub fn send(&mut self, wire: &Wire, bytes: &Bytes) -> io::Result<Option<usize>> {
        if self.is_busy() {
            return Ok(None);
        }
        let sent = write(wire, bytes)?;
        if sent < bytes.len() || !wire.is_flushed() {
            self.flight = Flight::Sending {
                bytes: bytes.clone(),
                sent,
            };
        }
        Ok(Some(sent))
    }

    /// A host's own text waits behind what is in flight, if there is room; tells whether.
    pub fn push_text(&mut self, bytes: &Bytes) -> bool {
        let behind = self.behind.get_or_insert_default();
        let room = behind.texts.len() < TEXTS && behind.text_bytes + bytes.len() <= TEXT_BYTES;
        if room {
            behind.text_bytes += bytes.len();
            behind.texts.push_back(bytes.clone());
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
                Flight::Sending { bytes, sent } => {
                    let more = write(wire, &bytes[*sent..])?;
                    (*sent, total) = (*sent + more, total + more);
                    if *sent < bytes.len() || !wire.is_flushed() {
                        return Ok(total);
                    }
                }
                Flight::Empty => {}
            }
            self.flight = match self.next() {
                Some(bytes) => Flight::Sending { bytes, sent: 0 },
                None => Flight::Empty,
            };
            if !self.is_busy() {
                return Ok(total);
            }
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
            return Some(text);
        }
        let close = behind.close.take();
        if close.is_none() {
            self.behind = None;
        }
        close
    }
}

/// As much as the socket takes now, which may be nothing.
fn write(wire: &Wire, bytes: &[u8]) -> io::Result<usize> {
    match wire.try_write(bytes) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
        result => result,
    }
}
