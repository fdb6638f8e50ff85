//! A room stays for as long as somebody uses it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::entry::RoomEntry;
use crate::hub::Hub;

/// Keeps a room, whether it has rows or not, while this lives.
pub struct RoomUse {
    hub: Hub,
    room: Arc<RoomEntry>,
}

impl RoomUse {
    /// Under the lock of the rooms' list, so that the room is not forgotten in between.
    pub(super) fn new(hub: &Hub, room: &Arc<RoomEntry>) -> RoomUse {
        room.users.fetch_add(1, Ordering::Relaxed);
        RoomUse {
            hub: hub.clone(),
            room: room.clone(),
        }
    }

    /// The room.
    pub fn room(&self) -> &Arc<RoomEntry> {
        &self.room
    }

    /// The hub that it belongs to.
    pub(super) fn hub(&self) -> &Hub {
        &self.hub
    }
}

impl Drop for RoomUse {
    fn drop(&mut self) {
        self.room.users.fetch_sub(1, Ordering::Relaxed);
        self.hub.forget_room_if_unused(&self.room);
        self.hub.mark_change();
    }
}
