//! Rooms: rows that several people edit. A room has a table for each declared channel, and one
//! clock for all of them.

mod action;
mod book;
mod channel;
mod name;
mod row;
mod table;

pub use action::{Action, Edit, Refused, refused};
pub use book::{Arrived, Book, Bounds, RowsChange};
pub use channel::{Actions, Channel, Columns, TIMES, Writers};
pub use name::{LONGEST_PARTY, RoomError, RoomName, check_channel, is_party};
pub use row::{Row, RowId, spelled};
