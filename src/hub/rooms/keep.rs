//! What becomes of rows once they are durable, or need not be.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;

use super::entry::RoomEntry;
use super::handed::{RowsHandedOver, RowsIntent};
use super::line::ActionLine;
use super::reply::{Denied, Done};
use super::told::RowsTold;
use crate::hub::Hub;
use crate::hub::job::Outcome;
use crate::state::json::LARGE;
use crate::state::room::{Book, RowsChange};
use crate::wire::frame::{Encoding, Frame};
use crate::wire::room::{ROWS_END, update};

impl RowsHandedOver {
    /// All that follows from an outcome.
    pub fn settle(self, hub: &Hub, outcome: &Outcome) {
        match (self.intent, outcome) {
            (RowsIntent::Change(_, reply), Outcome::Lost(reason)) => {
                hub.refuse(&self.room, reply, Denied::Unkept(reason.clone()));
            }
            (intent, _) => {
                let mut book = self.room.book();
                let line = intent.keep(hub, &self.room, &mut book);
                drop(book);
                drop(line);
            }
        }
        hub.mark_change();
    }
}

impl RowsIntent {
    /// From now on the rows may be shown, under the lock of their room: then those who hear of it
    /// hear of one change after the other.
    /// Returns the line for the log, which has to wait for the end of the lock.
    pub fn keep(
        self,
        hub: &Hub,
        room: &Arc<RoomEntry>,
        book: &mut Book,
    ) -> Option<Box<ActionLine>> {
        let RowsIntent::Change(change, mut reply) = self else {
            return None;
        };
        let before = book.size();
        let (from, to) = book.keep(&change);
        hub.count_size(before, book.size());
        hub.0.counts.actions.fetch_add(1, Ordering::Relaxed);
        let done = Done {
            channel: change.channel,
            rows: change.rows.iter().map(|row| row.id.clone()).collect(),
            from,
            to,
        };
        if let Some(line) = &mut reply.line {
            line.done(change.rows.len());
        }
        // One who was told that it took too long is told of the rows as all others are.
        let by = reply.answer.send(Ok(done)).ok().and(reply.by);
        hub.tell_rows(room, book, &change, (from, by));
        reply.line
    }
}

/// The message for those who lack just these rows.
fn frame(book: &Book, change: &RowsChange) -> Option<Bytes> {
    let size: usize = change.rows.iter().map(|row| row.size()).sum();
    if change.rows.is_empty() || size > LARGE {
        return None;
    }
    let (name, _) = book.channels().get_index(change.channel)?;
    let mut text = update(name);
    for (place, row) in change.rows.iter().enumerate() {
        text.push_str(if place > 0 { "," } else { "" });
        row.write(&mut text);
    }
    text.push_str(ROWS_END);
    Some(Frame::json(text).bytes(Encoding::default()).clone())
}

impl Hub {
    /// The rows of a room take another size.
    pub(in crate::hub) fn count_size(&self, before: usize, after: usize) {
        let size = &self.0.rooms.size;
        match after >= before {
            true => size.fetch_add(after - before, Ordering::Relaxed),
            false => size.fetch_sub(before - after, Ordering::Relaxed),
        };
    }

    /// Rows have changed behind a place, by somebody who has a reply, or by somebody else.
    pub(in crate::hub) fn tell_rows(
        &self,
        room: &Arc<RoomEntry>,
        book: &Book,
        change: &RowsChange,
        (from, by): (u64, Option<u64>),
    ) {
        let frame = frame(book, change);
        self.tell_people(RowsTold {
            room: room.clone(),
            by,
            from,
            to: book.head(),
            frame,
        });
    }

    fn tell_people(&self, told: RowsTold) {
        // Fails while there are no shards.
        let _ = self.0.rooms.told.send(Arc::new(told));
    }

    /// One of a room's people has a reply.
    pub(in crate::hub) fn wake(&self, room: &Arc<RoomEntry>, by: Option<u64>) {
        if by.is_some() {
            let head = room.book().head();
            let (from, to, frame) = (head, head, None);
            self.tell_people(RowsTold {
                room: room.clone(),
                by,
                from,
                to,
                frame,
            });
        }
    }
}
