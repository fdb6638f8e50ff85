//! What daemons share, entry by entry: topics, and the rows of rooms.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use super::super::Hub;
use super::super::receipt::WriteError;
use super::part::Cluster;
use super::share::Share;
use super::slots::Slot;
use crate::cluster::{Mark, Record, SharedRow};
use crate::state::revision::Revision;

/// What became of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// It is shown, or was already.
    Shown,
    /// This daemon knows a newer state: the bucket has lost it.
    Older,
}

/// What an entry of a bucket is about: a topic, or a row of a room.
pub(super) trait Shared: Clone + Debug + Ord + Hash + Send + Sync + 'static {
    /// What the entry holds.
    type Record: Recorded;
    /// Who has made a change that is on its way.
    type Maker: Send;
    /// Why there is no change.
    type Denied: From<WriteError> + Send;

    /// Its bucket.
    fn share(cluster: &Cluster) -> &Share<Self, Self::Maker>;
    /// The key of its entry.
    fn key(&self) -> String;
    /// What the entry of a key is about; none for a key that nothing has.
    fn of(key: &str) -> Option<Self>;
    /// Whether this daemon shares it.
    fn is_shared(&self, hub: &Hub) -> bool;
    /// Reads an entry.
    ///
    /// # Errors
    /// Says what is wrong with it.
    fn read(&self, value: &[u8]) -> Result<Self::Record, String>;
    /// Shows what its entry holds. Nothing else changes what is shown.
    fn show(&self, hub: &Hub, record: &Self::Record, maker: Option<Self::Maker>) -> Taken;
    /// Whether it takes long to make a change of it.
    fn is_large(&self, hub: &Hub) -> bool;
    /// Whether the newest state may allow what was refused.
    fn may_pass(denied: &Self::Denied) -> bool;
    /// The same reason, after an attempt of which nothing was heard.
    fn unknown(denied: Self::Denied) -> Self::Denied;
    /// What is shown here, and would be in the bucket if that had lost nothing.
    fn missing(hub: &Hub, held: &BTreeSet<Self>) -> Vec<Self>;
    /// Writes what this daemon shows into a bucket that holds less. Nobody waits for it.
    fn write_back(hub: &Hub, cluster: &Arc<Cluster>, lost: Vec<Self>);
    /// What was deleted long enough ago to be forgotten, and the numbers of the entries.
    fn outdated(hub: &Hub, cluster: &Cluster) -> Vec<(Self, u64)>;
    /// How often that is looked at.
    const OFTEN: Duration;
    /// NATS is back for a while: those are looked after who were left with what they had.
    fn look_after(hub: &Hub);
    /// What becomes of it while NATS is lost, for the log.
    const LOST: &str;
}

/// What an entry holds.
pub(super) trait Recorded: Send + Sync + 'static {
    /// As text.
    fn text(&self) -> String;
    /// When it became what it is.
    fn revision(&self) -> Revision;
    /// Notes the write that makes it.
    fn note(&mut self, mark: Mark);
    /// What is known of an entry that it is in since the write of this number.
    fn slot(&self, number: u64) -> Slot;
}

impl Recorded for Record {
    fn text(&self) -> String {
        self.text()
    }

    fn revision(&self) -> Revision {
        self.revision()
    }

    fn note(&mut self, mark: Mark) {
        self.note(mark);
    }

    fn slot(&self, number: u64) -> Slot {
        Slot {
            number,
            revision: self.revision(),
            deleted: self.held.is_err(),
            recent: self.recent.clone(),
            forgets: self.forgets(),
            unread: None,
        }
    }
}

impl Recorded for SharedRow {
    fn text(&self) -> String {
        self.text()
    }

    fn revision(&self) -> Revision {
        self.updated
    }

    fn note(&mut self, mark: Mark) {
        self.note(mark);
    }

    fn slot(&self, number: u64) -> Slot {
        Slot {
            number,
            revision: self.updated,
            deleted: self.is_deleted,
            recent: self.recent.clone(),
            forgets: self.forgets(),
            unread: None,
        }
    }
}
