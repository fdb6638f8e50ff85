//! What people had asked for before they lost their connection: a client that comes back asks for
//! nothing.

use std::collections::HashMap;
use std::mem;

use crate::state::room::RoomName;

/// How many people are remembered at least; twice as many at most.
const REMEMBERED: usize = 2048;

/// The places of the channels, by the room and by what its client calls a person.
type Asked = HashMap<(RoomName, Box<str>), Vec<usize>>;

/// Those who asked last, in two halves, of which the older one is forgotten as a whole.
#[derive(Default)]
pub struct Before {
    young: Asked,
    old: Asked,
}

impl Before {
    /// Somebody asks for a channel.
    pub fn note(&mut self, room: &RoomName, person: &str, channel: usize) {
        let key = (room.clone(), person.into());
        if self.young.len() >= REMEMBERED && !self.young.contains_key(&key) {
            self.old = mem::take(&mut self.young);
        }
        let old = self.old.remove(&key);
        let channels = self
            .young
            .entry(key)
            .or_insert_with(|| old.unwrap_or_default());
        if !channels.contains(&channel) {
            channels.push(channel);
        }
    }

    /// What somebody has asked for; nothing if that is not known.
    pub fn of(&self, room: &RoomName, person: &str) -> Option<Vec<usize>> {
        let key = (room.clone(), person.into());
        let known = self.young.get(&key).or_else(|| self.old.get(&key));
        known.cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_who_asked_last_are_remembered() {
        let room: RoomName = "main/lobby".parse().unwrap();
        let mut before = Before::default();
        before.note(&room, "a", 1);
        before.note(&room, "a", 0);
        before.note(&room, "a", 1);
        assert_eq!(before.of(&room, "a"), Some(vec![1, 0]));
        for person in 0..REMEMBERED {
            before.note(&room, &person.to_string(), 0);
        }
        before.note(&room, "a", 2);
        assert_eq!(before.of(&room, "a"), Some(vec![1, 0, 2]));
        for person in 0..2 * REMEMBERED {
            before.note(&room, &format!("{person}!"), 0);
        }
        assert_eq!(before.of(&room, "a"), None);
        assert!(before.young.len() + before.old.len() <= 2 * REMEMBERED);
    }
}
