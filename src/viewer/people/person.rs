//! One of a room's people as its shard has it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::access::{HostPass, ViewerPass};
use crate::hub::millis;
use crate::hub::notices::{Away, Notices};
use crate::hub::rooms::{RowsTold, Seat, Telling};
use crate::viewer::ViewerInfo;
use crate::viewer::held::Held;
use crate::viewer::line::{Line, Peer};
use crate::viewer::wire::Wire;
use crate::wire::close;

/// One whose upgrade has been answered.
pub struct NewPerson {
    /// Its connection.
    pub wire: Wire,
    /// What arrived behind the request.
    pub early: Bytes,
    /// That it may watch.
    pub pass: ViewerPass,
    /// That it may do what hosts may, if it may.
    pub host: Option<HostPass>,
    /// Its place in the room.
    pub seat: Arc<Seat>,
    /// Who is at the other end.
    pub peer: Peer,
}

/// So many bytes are sent to one in a turn: all of a large table would keep others waiting.
const TURN: u64 = 64 * 1024;

pub struct Person {
    pub line: Line,
    pub seat: Arc<Seat>,
    /// Its place in its room's list.
    pub place: usize,
    /// It is to have another turn.
    pub is_hungry: bool,
    pass: ViewerPass,
    host: Option<HostPass>,
    telling: Telling,
    /// It may have to be healed first. Once that is over it stays so, and its seat, which takes a
    /// lock, is not asked again.
    comes_back: bool,
}

impl Person {
    /// One that joined at a time, and what has arrived from it.
    pub fn new(
        new: NewPerson,
        id: u64,
        times: (Instant, Duration),
        place: usize,
        held: &Arc<Held>,
    ) -> (Person, Bytes) {
        let person = Person {
            line: Line::new(id, new.wire, new.peer, times, held),
            telling: Telling::new(new.seat.room()),
            comes_back: true,
            seat: new.seat,
            place,
            is_hungry: false,
            pass: new.pass,
            host: new.host,
        };
        (person, new.early)
    }

    pub fn is_revoked(&self) -> bool {
        let host = self.host.as_ref();
        self.pass.revoked().is_cancelled() || host.is_some_and(|host| host.revoked().is_cancelled())
    }

    /// Sends it shared bytes, if they are exactly what it lacks, or whatever it lacks. Returns
    /// whether it needs another turn.
    pub fn offer(&mut self, told: &[Arc<RowsTold>], bytes: Option<&Bytes>) -> bool {
        if self.line.is_closing() || self.line.outbox.is_busy() || self.is_hungry {
            return false;
        }
        let (Some(first), Some(last)) = (told.first(), told.last()) else {
            return false;
        };
        self.comes_back = self.comes_back && self.seat.comes_back();
        match bytes {
            Some(bytes) if self.telling.is_at(first.from) && !self.comes_back => {
                if self.line.send(bytes, true) {
                    self.telling.reach(last.to);
                }
            }
            _ if self.telling.is_at(last.to) => {}
            _ => return self.pump(),
        }
        false
    }

    /// Sends what waits, then what it lacks, for as long as its socket takes it and it is its turn.
    /// Returns whether it needs another one now.
    pub fn pump(&mut self) -> bool {
        self.line.pump();
        let end = self.line.bytes + TURN;
        while !self.is_hungry && !self.line.is_closing() && !self.line.outbox.is_busy() {
            let Some(piece) = self.telling.next(&self.seat) else {
                return false;
            };
            if !self.line.send(&piece, false) {
                // Its socket has ended.
                return false;
            }
            if self.line.bytes >= end {
                self.is_hungry = true;
                return true;
            }
        }
        false
    }

    /// Sends it away, unless it is closed already, and counts it.
    pub fn send_away(&mut self, away: Away, notices: &Notices) {
        let was_open = !self.line.is_closing();
        match away {
            Away::Kicked | Away::Revoked | Away::Deleted => {
                self.line.close_with(close::POLICY, away.label());
            }
            Away::Stalled => self.line.close_with(close::TRY_LATER, away.label()),
            Away::Silent | Away::InFlight | Away::Flood | Away::Protocol => {
                self.line.cut_off(away.label());
            }
        }
        if was_open {
            self.report(away, notices);
        }
    }

    /// Closes it with the code of the rule that it broke.
    pub fn fail(&mut self, code: u16, notices: &Notices) {
        let away = Away::of(code);
        if !self.line.is_closing() {
            self.report(away, notices);
        }
        self.line.close_with(code, away.label());
    }

    fn report(&self, away: Away, notices: &Notices) {
        let room = self.seat.room().name();
        self.line.report(away, notices, "person", room.topic());
    }

    pub fn info(&self) -> ViewerInfo {
        let room = self.seat.room();
        let (
            Line {
                id,
                peer,
                since,
                bytes,
                ..
            },
            reached,
        ) = (&self.line, self.telling.reached());
        ViewerInfo {
            id: *id,
            topic: room.name().topic().to_string(),
            room: Some(room.name().to_string()),
            device: peer.device.to_string(),
            address: peer.address.to_string(),
            connected_ms: millis(since.elapsed()),
            revision: Some(reached.to_string()),
            current: reached == room.book().head(),
            behind_ms: 0,
            bytes: *bytes,
        }
    }
}
