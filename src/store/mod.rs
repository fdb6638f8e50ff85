//! Topics and rooms that survive: a redb file, which is checked when it is opened, and committed to by one
//! owner. Nothing of redb leaves this folder.

mod beside;
mod damage;
mod database;
mod entries;
mod errors;
mod head;
mod kept;
mod line;
mod look;
mod medium;
mod origins;
mod place;
mod prepare;
mod put;
mod rooms;
mod salvage;
mod sealed;
mod tables;
mod topics;
mod transfer;

#[cfg(fuzzing)]
pub use damage::Damage;
pub use database::Store;
pub use kept::{
    Kept, Record, RowRecord, RowsRecord, StoreError, StoredRoom, StoredTopic, TopicRecord,
};
#[cfg(fuzzing)]
pub use line::GivenRow;
pub use line::{Line, parse_line};
pub use look::{Found, check};
pub use place::WENT_BACK;
pub use transfer::{export, import};

#[cfg(test)]
pub(crate) mod disk;
#[cfg(test)]
#[path = "faults/tests.rs"]
mod faults;
#[cfg(test)]
mod tests;
