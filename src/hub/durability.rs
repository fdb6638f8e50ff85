//! What is known of one topic's durability, as a pure state machine.
//!
//! Changes are handed over in the order of their revisions, and come back in that order: kept,
//! standing though they could not be kept, or lost. A loss takes back everything that was handed
//! over since the last change that was kept, for each change rests on the one before. That is
//! what the generation tells: a record of an older one rests on a lost change, and must not be
//! written.

use crate::state::revision::Revision;
use crate::state::topic::{Origins, Version};

/// One topic's, beside its state and under the same lock.
#[derive(Debug, Default)]
pub(super) struct Durability {
    generation: Generation,
    /// The revision that was handed over last.
    last: Revision,
    /// What the file should hold, as far as that is decided; none: nothing.
    durable: Option<Version>,
    /// Whether the file may hold something else: a commit failed, and `durable` has not been put
    /// back yet.
    unsure: bool,
}

/// How often changes of a topic were lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Generation(u64);

impl Durability {
    /// Of a topic as it was loaded.
    pub fn restored(version: Version) -> Durability {
        Durability {
            last: version.revision,
            durable: Some(version),
            ..Durability::default()
        }
    }

    /// What the file should hold.
    pub fn durable(&self) -> Option<&Version> {
        self.durable.as_ref()
    }

    /// Whether a revision is durable for certain.
    pub fn holds(&self, revision: Revision) -> bool {
        let durable = self.durable.as_ref();
        !self.unsure && durable.is_some_and(|durable| durable.revision == revision)
    }

    /// A change is handed over: to this state; none: a deletion.
    pub fn hand_over(&mut self, to: Option<&Version>) -> Generation {
        self.last = to.map_or(self.last, |to| to.revision);
        self.generation
    }

    /// Whether nothing was lost since a change was handed over.
    pub fn is_current(&self, generation: Generation) -> bool {
        self.generation == generation
    }

    /// This was committed.
    pub fn keep(&mut self, version: Option<Version>) {
        (self.durable, self.unsure) = (version, false);
    }

    /// The commit failed, and the change stands all the same: the file should hold it.
    pub fn stand(&mut self, version: Option<Version>) {
        (self.durable, self.unsure) = (version, true);
    }

    /// The commit failed, and the change is taken back, with all that were handed over after it.
    /// The durable state takes the next revision, so that whoever was shown a lost one is shown
    /// this.
    pub fn lose(&mut self) -> (Revision, Option<Version>) {
        self.last = self.last.next(0);
        self.generation.0 += 1;
        self.unsure = true;
        if let Some(durable) = &mut self.durable {
            durable.revision = self.last;
            // Somebody may know a lost value, which is newer than what the kept one was written
            // under: without a writer's revision it counts at the topic's.
            durable.origins = Origins::new_sync();
        }
        (self.last, self.durable.clone())
    }

    /// The file holds what it should again.
    pub fn put_back(&mut self) {
        self.unsure = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::json::Json;
    use crate::state::session::Session;

    fn version(revision: u64, text: &str) -> Version {
        let json = Json::parse(text.as_bytes()).expect("JSON");
        Version {
            revision: Revision::new(revision).expect("a revision"),
            session: Session::from_json(&json, "x").expect("a session"),
            origins: Origins::new_sync(),
        }
    }

    fn revision(number: u64) -> Revision {
        Revision::new(number).expect("a revision")
    }

    #[test]
    fn what_is_kept_is_held_until_a_commit_fails() {
        let mut durability = Durability::default();
        assert!(!durability.holds(revision(5)));
        durability.hand_over(Some(&version(5, "[1]")));
        assert!(!durability.holds(revision(5)), "it is on its way");
        durability.keep(Some(version(5, "[1]")));
        assert!(durability.holds(revision(5)));
        durability.hand_over(Some(&version(6, "[2]")));
        assert!(durability.holds(revision(5)) && !durability.holds(revision(6)));
        durability.keep(None);
        assert_eq!(durability.durable(), None);
    }

    #[test]
    fn a_loss_takes_back_all_that_rests_on_it() {
        let mut durability = Durability::restored(version(5, "[1]"));
        let first = durability.hand_over(Some(&version(8, "[2]")));
        let second = durability.hand_over(Some(&version(9, "[3]")));
        let (last, back) = durability.lose();
        assert_eq!(last, revision(10), "greater than all that were lost");
        assert_eq!(back, Some(version(10, "[1]")));
        assert!(!durability.is_current(first) && !durability.is_current(second));
        let next = durability.hand_over(Some(&version(11, "[4]")));
        assert!(durability.is_current(next));
    }

    #[test]
    fn a_lost_deletion_leaves_the_session_under_a_new_revision() {
        let mut durability = Durability::restored(version(5, "[1]"));
        let deletion = durability.hand_over(None);
        let (last, back) = durability.lose();
        assert_eq!((last, back), (revision(6), Some(version(6, "[1]"))));
        assert!(!durability.is_current(deletion));
    }

    #[test]
    fn a_lost_first_session_leaves_nothing() {
        let mut durability = Durability::default();
        durability.hand_over(Some(&version(5, "[1]")));
        assert_eq!(durability.lose(), (revision(6), None));
    }

    #[test]
    fn after_a_failed_commit_nothing_is_certain_until_it_is_put_back() {
        let mut durability = Durability::restored(version(5, "[1]"));
        durability.hand_over(Some(&version(6, "[2]")));
        durability.lose();
        assert!(!durability.holds(revision(7)), "the disk may hold [2]");
        durability.put_back();
        assert!(durability.holds(revision(7)));
    }

    #[test]
    fn what_stands_is_what_the_file_should_hold() {
        let mut durability = Durability::restored(version(5, "[1]"));
        let standing = durability.hand_over(Some(&version(6, "[2]")));
        durability.stand(Some(version(6, "[2]")));
        assert!(durability.is_current(standing), "nothing is lost");
        assert_eq!(durability.durable(), Some(&version(6, "[2]")));
        assert!(!durability.holds(revision(6)));
        durability.put_back();
        assert!(durability.holds(revision(6)));
    }

    #[test]
    fn names_of_writers_are_gone_with_a_loss() {
        use crate::state::topic::Origin;
        let mut kept = version(5, r#"{"config":{"a":1}}"#);
        let origin = Origin {
            revision: kept.revision,
            writer: Default::default(),
        };
        kept.origins.insert_mut("a".into(), origin);
        let mut durability = Durability::restored(kept);
        durability.hand_over(Some(&version(6, "[2]")));
        let (_, back) = durability.lose();
        assert_eq!(back.map(|back| back.origins.size()), Some(0));
    }
}
