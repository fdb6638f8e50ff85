//! Which channels are shown as topics.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use crate::state::room::{Channel, RoomName};

/// Which topics show rooms.
pub struct Shown {
    /// The channels that are shown, by their places.
    pub channels: Vec<usize>,
    /// Held while a room is made a topic of: what is older never comes after what is newer.
    pub turn: Arc<tokio::sync::Mutex<()>>,
    /// Rooms that were too large, and of which that has been said.
    pub warned: Mutex<BTreeSet<RoomName>>,
}

impl Shown {
    pub fn new<'a>(channels: impl Iterator<Item = &'a Channel>) -> Shown {
        let shown = channels.enumerate().filter(|(_, channel)| channel.show);
        Shown {
            channels: shown.map(|(place, _)| place).collect(),
            turn: Arc::default(),
            warned: Mutex::default(),
        }
    }
}
