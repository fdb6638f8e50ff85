//! All entries of a file, and what they say together.

use super::damage::Damage;
use super::kept::Kept;
use super::rooms::Rooms;
use super::topics::Topics;

/// What is in a file, entry by entry.
#[derive(Clone, Debug, Default)]
pub(super) struct Entries {
    /// Whether there are tables of ours in it at all.
    pub is_ours: bool,
    /// Those of topics.
    pub topics: Topics,
    /// Those of rooms.
    pub rooms: Rooms,
}

impl Entries {
    /// What is whole, and what is damaged.
    pub fn read(&self) -> (Kept, Vec<Damage>) {
        let mut damage = Vec::new();
        let kept = Kept {
            topics: self.topics.read(&mut damage),
            rooms: self.rooms.read(&mut damage),
        };
        (kept, damage)
    }
}
