//! What is known of the bucket's entries. Pure.

use std::collections::HashMap;
use std::hash::Hash;

use crate::cluster::Mark;
use crate::state::revision::Revision;

/// What is known of all entries.
#[derive(Debug)]
pub struct Slots<Key>(HashMap<Key, Slot>);

/// What is known of one entry; nothing at first.
#[derive(Clone, Debug, Default)]
pub struct Slot {
    /// The bucket's number of its last write; 0: it was never written.
    pub number: u64,
    /// The revision of what it holds, or under which it was deleted.
    pub revision: Revision,
    /// Whether it holds something that was deleted.
    pub deleted: bool,
    /// The last writes.
    pub recent: Vec<(Revision, Mark)>,
    /// Whether there may have been more.
    pub forgets: bool,
    /// Why it cannot be read. It is left as it is then: a newer program may read it.
    pub unread: Option<String>,
}

impl<Key> Slots<Key> {
    /// Nothing is known.
    pub fn new() -> Slots<Key> {
        Slots(HashMap::new())
    }
}

impl<Key: Clone + Eq + Hash> Slots<Key> {
    /// All is read anew: the bucket may be another one, or have gone back, and then its numbers mean
    /// something else.
    pub fn begin(&mut self) {
        self.0.clear();
    }

    /// What is known of an entry.
    pub fn get(&self, key: &Key) -> Slot {
        self.0.get(key).cloned().unwrap_or_default()
    }

    /// Whether a write is news.
    pub fn is_news(&self, key: &Key, number: u64) -> bool {
        self.0.get(key).is_none_or(|slot| slot.number < number)
    }

    /// An entry is so.
    pub fn set(&mut self, key: &Key, slot: Slot) {
        self.0.insert(key.clone(), slot);
    }

    /// There is no such entry.
    pub fn clear(&mut self, key: &Key) {
        self.0.remove(key);
    }

    /// The entry of this number is no more.
    pub fn clear_at(&mut self, key: &Key, number: u64) {
        if self.get(key).number == number {
            self.clear(key);
        }
    }

    /// What was deleted before this revision, and the numbers of the entries.
    pub fn deleted_before(&self, revision: Revision) -> Vec<(Key, u64)> {
        let old = self.0.iter();
        let old = old.filter(|(_, slot)| slot.deleted && slot.revision < revision);
        old.map(|(key, slot)| (key.clone(), slot.number)).collect()
    }
}

impl Slot {
    /// The revision of the write with this mark, if it is among the last.
    pub fn revision_of(&self, mark: Mark) -> Option<Revision> {
        let mut recent = self.recent.iter().rev();
        recent
            .find(|(_, of)| *of == mark)
            .map(|(revision, _)| *revision)
    }

    /// Whether a write of this revision would still be among the last.
    pub fn remembers(&self, revision: Revision) -> bool {
        let mut recent = self.recent.iter();
        !self.forgets || recent.next().is_none_or(|(oldest, _)| *oldest <= revision)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_full_list_may_lack_a_write() {
        let number = |number| Revision::new(number).expect("a revision");
        let slot = |forgets| Slot {
            recent: vec![(number(5), 1), (number(9), 2)],
            forgets,
            ..Slot::default()
        };
        // Drafted before the write that has won, and after nothing.
        assert!(slot(false).remembers(number(4)));
        assert!(!slot(true).remembers(number(4)));
        assert!(slot(true).remembers(number(6)));
        assert_eq!(slot(true).revision_of(2), Some(number(9)));
        assert_eq!(slot(true).revision_of(3), None);
    }
}
