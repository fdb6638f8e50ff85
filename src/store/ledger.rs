//! What the store has of one topic: shared by the topic, which hands its changes over, and the
//! thread, which says what became of them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::state::revision::Revision;
use crate::state::topic::{Origins, Version};

/// A handle to it; a copy is the same one.
#[derive(Clone, Debug, Default)]
pub struct Ledger(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    entry: Mutex<LedgerEntry>,
    /// As in the entry, to be read without the lock.
    generation: AtomicU64,
    changed: Notify,
}

/// What is written in a ledger.
#[derive(Debug, Default)]
pub struct LedgerEntry {
    /// How often changes were lost. A record of an older generation rests on one of them.
    pub generation: u64,
    /// The revision that was handed over last.
    pub last: Revision,
    /// What is durable, in the thread's own words; none: the topic is not kept. After a loss
    /// it has a revision of its own, greater than all that were lost.
    pub kept: Option<Version>,
    /// Whether the disk may hold something else: changes were lost, and `kept` has not been put
    /// back yet.
    pub unsure: bool,
}

impl Ledger {
    /// Of a topic as it was loaded.
    pub fn new(kept: Version) -> Ledger {
        let ledger = Ledger::default();
        *ledger.entry() = LedgerEntry {
            last: kept.revision,
            kept: Some(kept),
            ..LedgerEntry::default()
        };
        ledger
    }

    /// The entry, which stays as it is for as long as this is held. A topic that changes and
    /// hands over under it cannot build on what is being lost.
    pub fn entry(&self) -> MutexGuard<'_, LedgerEntry> {
        self.0.entry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How often changes were lost.
    pub fn generation(&self) -> u64 {
        self.0.generation.load(Ordering::Acquire)
    }

    /// Waits until changes are durable, or lost.
    pub fn changed(&self) -> impl Future<Output = ()> {
        self.0.changed.notified()
    }

    /// This is durable now.
    pub(super) fn keep(&self, version: Option<Version>) {
        let mut entry = self.entry();
        (entry.kept, entry.unsure) = (version, false);
        self.0.changed.notify_one();
    }

    /// What was handed over since `kept` is lost: the durable state takes the next revision.
    pub(super) fn lose(&self) {
        let mut entry = self.entry();
        entry.last = entry.last.next(0);
        entry.generation += 1;
        entry.unsure = true;
        let revision = entry.last;
        if let Some(kept) = &mut entry.kept {
            kept.revision = revision;
            // Some may know a lost value, which is newer than what the kept one was written
            // under: without a writer's revision it counts at the topic's.
            kept.origins = Origins::new_sync();
        }
        self.0.generation.store(entry.generation, Ordering::Release);
        self.0.changed.notify_one();
    }
}
