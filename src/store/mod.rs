//! Topics that survive: a redb file, which is checked when it is opened, and committed to by one
//! owner. Nothing of redb leaves this room.

mod beside;
mod database;
mod errors;
mod head;
mod kept;
mod look;
mod medium;
mod origins;
mod place;
mod rows;
mod salvage;
mod tables;
mod transfer;

pub use database::Store;
pub use kept::{Record, StoreError, StoredTopic};
pub use look::{Found, check};
pub use place::WENT_BACK;
#[cfg(fuzzing)]
pub use rows::Damage;
pub use transfer::{export, import, parse_line};

#[cfg(test)]
pub(crate) mod disk;
#[cfg(test)]
#[path = "faults/tests.rs"]
mod faults;
#[cfg(test)]
mod tests;
