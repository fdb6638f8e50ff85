//! What one of a room's people is told next. It is decided piece by piece, whenever its socket can
//! take one: rows that changed meanwhile are told once, as they are by then, and none is ever told
//! older than before.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use super::entry::RoomEntry;
use super::reply::Done;
use super::seat::{Due, Seat, Wish};
use crate::state::room::{Book, Row, RowId};
use crate::wire::frame;
use crate::wire::room::{Asked, ROWS_END, success, sync, update};

/// How many bytes of rows are put into a piece.
const PIECE: usize = if cfg!(test) { 512 } else { 64 * 1024 };

/// How far one person has been told, and what it is being told.
pub struct Telling {
    /// It has been told of all changes up to this time.
    reached: u64,
    messages: VecDeque<Message>,
    /// The time that it has reached when all messages are told.
    goal: Option<u64>,
    /// It is its wishes' turn, even if rows have changed again.
    is_brought: bool,
}

/// A message of rows, which may be told in several pieces.
struct Message {
    begin: Option<String>,
    rows: Which,
    is_first: bool,
    needs_comma: bool,
}

/// Which rows of a channel, by the place of the channel.
enum Which {
    /// The live or the deleted ones that became so after a time and up to another.
    Between(usize, bool, u64, u64),
    /// Both.
    Changed(usize, u64, u64),
    /// These.
    These(std::vec::IntoIter<Arc<Row>>),
}

/// What comes next.
enum Planned {
    /// Messages of rows, which wait now.
    Rows,
    /// A whole message.
    Said(String),
    Nothing,
}

impl Telling {
    /// Of somebody who comes now.
    pub fn new(room: &RoomEntry) -> Telling {
        Telling {
            reached: room.book().head(),
            messages: VecDeque::new(),
            goal: None,
            is_brought: false,
        }
    }

    /// Whether it needs exactly the changes after this time.
    pub fn is_at(&self, time: u64) -> bool {
        self.messages.is_empty() && self.goal.is_none() && self.reached == time
    }

    /// It was told of all changes up to this time.
    pub fn reach(&mut self, time: u64) {
        self.reached = time;
    }

    /// The time that it has reached.
    pub fn reached(&self) -> u64 {
        self.reached
    }

    /// The next piece, which is one WebSocket frame.
    pub fn next(&mut self, seat: &Seat) -> Option<Bytes> {
        loop {
            if let Some(message) = self.messages.front_mut() {
                let (piece, is_last) = message.next(&seat.room().book());
                if is_last {
                    self.messages.pop_front();
                }
                return Some(piece);
            }
            if let Some(goal) = self.goal.take() {
                (self.reached, self.is_brought) = (goal, true);
            }
            match self.plan(seat) {
                Planned::Rows => {}
                Planned::Said(message) => return Some(frame::text(&message)),
                Planned::Nothing => return None,
            }
        }
    }

    /// The rows of an action as they are now. Where they have changed again, that is told with all
    /// that has changed besides, and before.
    fn reply(&mut self, book: &Book, asked: &Asked, done: &Done) {
        if done.from == self.reached {
            self.reached = done.to;
        }
        let rows = done.rows.iter();
        let rows = rows.filter_map(|id| book.table(done.channel).get(id).cloned());
        let rows: Vec<Arc<Row>> = rows.collect();
        if rows.iter().any(|row| row.order > self.reached) {
            self.bring(book, book.head());
        }
        let rows = Which::These(rows.into_iter());
        self.messages.push_back(Message::new(success(asked), rows));
    }

    /// Plans what comes next. An answer is given under the lock of the book: whoever sees the rows
    /// of an action there sees its reply too.
    fn plan(&mut self, seat: &Seat) -> Planned {
        let book = seat.room().book();
        let (head, is_brought) = (book.head(), std::mem::take(&mut self.is_brought));
        let lacks = self.reached < head;
        if lacks {
            seat.heal_first();
        }
        if let Some(wish) = seat.next_healing() {
            self.grant(&book, &wish);
            return Planned::Rows;
        }
        let due = if is_brought { self.reached } else { head };
        match seat.next_reply(self.reached, due) {
            Some(Due::Said(message)) => return Planned::Said(message),
            Some(Due::Done(asked, done)) => self.reply(&book, &asked, &done),
            Some(Due::After(time)) => self.bring(&book, time),
            None => match seat.next_wish_if(!lacks || is_brought) {
                Some(wish) => self.grant(&book, &wish),
                None if lacks => self.bring(&book, head),
                None => return Planned::Nothing,
            },
        }
        Planned::Rows
    }

    /// The rows that it lacks up to a time, of each channel in one message: whoever keeps the latest
    /// time of a message has all that is before it.
    fn bring(&mut self, book: &Book, to: u64) {
        for (channel, name) in book.channels().keys().enumerate() {
            if book
                .table(channel)
                .changed(self.reached, to)
                .next()
                .is_some()
            {
                let rows = Which::Changed(channel, self.reached, to);
                self.messages.push_back(Message::new(update(name), rows));
            }
        }
        self.goal = Some(to);
    }

    /// The rows that it asked for, and which were deleted since it had them.
    fn grant(&mut self, book: &Book, wish: &Wish) {
        let Some((name, _)) = book.channels().get_index(wish.channel) else {
            return;
        };
        let from = wish.from.and_then(|from| book.behind(from));
        let after = from.unwrap_or_default();
        let rows = Which::Between(wish.channel, false, after, self.reached);
        self.messages.push_back(Message::new(sync(name), rows));
        if from.is_some() || wish.heals {
            let mut deleted = book.table(wish.channel).between(true, after, self.reached);
            if deleted.next().is_some() {
                let rows = Which::Between(wish.channel, true, after, self.reached);
                self.messages.push_back(Message::new(update(name), rows));
            }
        }
    }
}

impl Message {
    fn new(begin: String, rows: Which) -> Message {
        Message {
            begin: Some(begin),
            rows,
            is_first: true,
            needs_comma: false,
        }
    }

    /// The next piece, and whether it is the last one.
    fn next(&mut self, book: &Book) -> (Bytes, bool) {
        let mut text = self.begin.take().unwrap_or_default();
        let is_last = self.fill(book, &mut text);
        if is_last {
            text.push_str(ROWS_END);
        }
        let is_first = std::mem::replace(&mut self.is_first, false);
        (frame::piece(&text, is_first, is_last), is_last)
    }

    /// Appends rows, as many as fit; returns whether there are no more.
    fn fill(&mut self, book: &Book, text: &mut String) -> bool {
        let Message {
            rows, needs_comma, ..
        } = self;
        let mut push = |row: &Arc<Row>| {
            if std::mem::replace(needs_comma, true) {
                text.push(',');
            }
            row.write(text);
            text.len() < PIECE
        };
        match rows {
            Which::These(rows) => rows.all(|row| push(&row)),
            Which::Between(channel, deleted, after, to) => {
                let mut rows = book.table(*channel).between(*deleted, *after, *to);
                rows.all(|row| {
                    *after = row.order;
                    push(row)
                })
            }
            Which::Changed(channel, after, to) => {
                let mut rows = book.table(*channel).changed(*after, *to);
                rows.all(|row| {
                    *after = row.order;
                    push(row)
                })
            }
        }
    }
}

/// The rows of a channel at one time, to be read piece by piece.
pub struct Rows {
    rows: Vec<Arc<Row>>,
    to: u64,
}

impl Rows {
    /// The live ones, or all that changed at a time or later.
    pub fn new(room: &RoomEntry, channel: usize, from: Option<u64>) -> Rows {
        let book = room.book();
        let (table, to) = (book.table(channel), book.head());
        let rows = match from.and_then(|from| book.behind(from)) {
            Some(after) => table.changed(after, to).cloned().collect(),
            None => table.live().cloned().collect(),
        };
        Rows { rows, to }
    }

    /// These rows as they are now.
    pub fn of(room: &RoomEntry, channel: usize, ids: &[RowId]) -> Rows {
        let book = room.book();
        let rows = ids.iter().filter_map(|id| book.table(channel).get(id));
        let (rows, to) = (rows.cloned().collect(), book.head());
        Rows { rows, to }
    }

    /// The time of the last change of the room that they include.
    pub fn to(&self) -> u64 {
        self.to
    }

    /// Their text, without the brackets around all of them.
    pub fn pieces(self) -> impl Iterator<Item = Bytes> + Send {
        let (mut rows, mut comma) = (self.rows.into_iter(), "");
        std::iter::from_fn(move || {
            let mut text = String::new();
            while text.len() < PIECE
                && let Some(row) = rows.next()
            {
                text.push_str(std::mem::replace(&mut comma, ","));
                row.write(&mut text);
            }
            (!text.is_empty()).then(|| text.into())
        })
    }
}
