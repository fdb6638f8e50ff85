//! Rooms by name, their people and hosts, and how what somebody changes gets to the others.
//!
//! ```text
//!  Seat::hear ─► Hub::act ─► Book::write ── under the room's lock ──► queue ─► Keeper ─► store
//!     ▲             │ (or the room's host is asked)   (with a store)              │
//!     │             ▼                                                             ▼
//!  the reply ◄─ its slot in the mail ◄────────────── Book::keep, RowsTold to the shards
//! ```
//!
//! In a cluster, rows go to its bucket instead, each for itself, and are shown when they are there: see
//! `hub::cluster`.
//!
//! What a person is sent is decided when its socket can take it, by [`Telling`]: the replies to its
//! actions in their order, and the rows that changed since the time that it has reached.

mod asker;
mod before;
mod entry;
mod handed;
mod host_line;
mod hosts;
mod interest;
mod interests;
mod keep;
mod line;
mod listed;
mod names;
mod reply;
mod seat;
mod show;
mod shown;
mod sweep;
mod telling;
#[cfg(test)]
mod tests;
mod told;
mod usage;
mod whole;
mod write;

pub use asker::Asker;
pub use entry::RoomEntry;
pub(super) use handed::{RowKeys, RowsHandedOver};
pub use host_line::HostLine;
pub(super) use hosts::Question;
pub use interest::Interest;
pub(super) use listed::Rooms;
pub use reply::{Answer, Denied};
pub(super) use reply::{Done, Reply};
pub use seat::{PATIENCE, Seat, Sitter};
pub use telling::{Rows, Telling};
pub use told::RowsTold;
pub use whole::RowMaker;
pub(super) use whole::{Answered, Whole};
pub(super) use write::{Wanted, fresh_id};
