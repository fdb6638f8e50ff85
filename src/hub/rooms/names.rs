//! Rooms by name: how one comes to be listed, and how it goes.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use indexmap::IndexMap;
use tokio::sync::broadcast;

use super::entry::RoomEntry;
use super::told::RowsTold;
use super::usage::RoomUse;
use crate::hub::Hub;
use crate::hub::receipt::WriteError;
use crate::state::room::{Book, Bounds, Channel, RoomName};
use crate::store::StoredRoom;

impl Hub {
    /// Hears of everything that concerns rooms' people from now on.
    pub fn rows_told(&self) -> broadcast::Receiver<Arc<RowsTold>> {
        self.0.rooms.told.subscribe()
    }

    /// The channels of every room, as they are declared.
    pub fn channels(&self) -> &IndexMap<String, Channel> {
        &self.0.rooms.channels
    }

    /// The parties that may have rooms.
    pub fn parties(&self) -> &[String] {
        &self.0.rooms.parties
    }

    /// Whether a party may have rooms.
    pub fn has_party(&self, party: &str) -> bool {
        self.0.rooms.parties.iter().any(|known| known == party)
    }

    /// The entity tag of a room's rows as they are at a place in its order. Each daemon of a cluster has
    /// an order of its own.
    pub fn rows_tag(&self, head: u64) -> String {
        match &self.0.cluster {
            Some(cluster) => format!("\"{head}-{}\"", cluster.id()),
            None => format!("\"{head}\""),
        }
    }

    /// How many bytes the rows of all rooms take, the deleted ones among them.
    pub fn rows_size(&self) -> usize {
        self.0.rooms.size.load(Ordering::Relaxed)
    }

    /// All rooms that somebody uses or that have rows, by name.
    pub fn rooms(&self) -> Vec<Arc<RoomEntry>> {
        self.0.rooms.listed().values().cloned().collect()
    }

    /// One room, if somebody uses it or it has rows.
    pub fn room(&self, name: &RoomName) -> Option<Arc<RoomEntry>> {
        self.0.rooms.listed().get(name).cloned()
    }

    /// A room for somebody who uses it until the value is dropped.
    ///
    /// # Errors
    /// When there are too many rooms already.
    pub fn use_room(&self, name: &RoomName) -> Result<RoomUse, WriteError> {
        let mut listed = self.0.rooms.listed_mut();
        if let Some(room) = listed.get(name) {
            return Ok(RoomUse::new(self, room));
        }
        let most = self.0.limits.rooms;
        if listed.len() >= most {
            return Err(WriteError::Rooms(most));
        }
        let floor = self.0.rooms.floor.load(Ordering::Relaxed);
        let room = Arc::new(RoomEntry::new(name.clone(), self.new_book(floor)));
        listed.insert(name.clone(), room.clone());
        Ok(RoomUse::new(self, &room))
    }

    /// An empty book, whose clock goes on from a time.
    fn new_book(&self, last: u64) -> Book {
        let limits = &self.0.limits;
        let bounds = Bounds {
            rows: limits.rows,
            row: limits.row,
        };
        let book = Book::new(self.0.rooms.channels.clone(), bounds, last);
        match self.0.cluster {
            Some(_) => book.shared(),
            None => book,
        }
    }

    /// Forgets a room without rows that nobody uses.
    pub(in crate::hub) fn forget_room_if_unused(&self, room: &RoomEntry) {
        if !room.is_unused() {
            return;
        }
        let mut listed = self.0.rooms.listed_mut();
        // Somebody may have come meanwhile.
        if let Some(room) = listed.get(room.name()).filter(|room| room.is_unused()) {
            let last = room.book().last();
            self.0.rooms.floor.fetch_max(last, Ordering::Relaxed);
            let name = room.name().clone();
            listed.remove(&name);
        }
    }

    /// Puts back what the store has kept. Rows that fit no declared channel stay in the file.
    pub(in crate::hub) fn restore_rooms(&self, kept: Vec<StoredRoom>) {
        for StoredRoom { room, last, rows } in kept {
            let mut book = self.new_book(last);
            let place = |channel: &str| {
                let places = self.0.rooms.channels.get_index_of(channel);
                places.filter(|_| self.has_party(room.party()))
            };
            let is_put = |(channel, row): &(String, _)| {
                place(channel).is_some_and(|place| book.restore(place, row))
            };
            let all = rows.len();
            let left = all - rows.iter().map(is_put).filter(|put| *put).count();
            if left > 0 {
                tracing::warn!(%room, "rows that fit no declared party, channel or id stay in the file: {left} (--store)");
            }
            if book.is_empty() {
                let floor = &self.0.rooms.floor;
                floor.fetch_max(book.last(), Ordering::Relaxed);
            } else {
                self.0.rooms.size.fetch_add(book.size(), Ordering::Relaxed);
                let entry = Arc::new(RoomEntry::new(room.clone(), book));
                self.0.rooms.listed_mut().insert(room, entry);
            }
        }
    }
}
