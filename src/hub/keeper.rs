//! The thread that makes changes durable, and what follows from it.
//!
//! A commit that fails means *unknown*: its bytes may have reached the disk, or not. So what the
//! file should hold of every topic in it is committed before anything else is, and before the
//! writers are answered: what was durable before, or where changes stand all the same, the newest.
//! Nobody's future does any of this work: a writer that goes away changes nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};

use super::durability::Durability;
use super::entry::TopicEntry;
use super::health::Health;
use super::job::{HandedOver, Job, Outcome};
use super::{Hub, Inner, QUEUE};
use crate::state::name::TopicName;
use crate::store::{Record, Store};

/// The thread's state.
pub(super) struct Keeper {
    store: Store,
    /// Whether changes stand that cannot be kept.
    serves: bool,
    health: watch::Sender<Health>,
    /// Topics of which the file may hold something else than it should.
    unsure: BTreeMap<TopicName, Arc<TopicEntry>>,
    /// Weak, or the thread would keep alive what it serves.
    hub: Weak<Inner>,
}

impl Keeper {
    /// Starts the thread. It ends when it is told to close the file, or when nobody can give it
    /// orders any more.
    pub fn start(store: Store, serves: bool, hub: &Hub, jobs: mpsc::Receiver<Job>) {
        let keeper = Keeper {
            store,
            serves,
            health: hub.0.health.clone(),
            unsure: BTreeMap::new(),
            hub: Arc::downgrade(&hub.0),
        };
        let runtime = Handle::current();
        std::thread::spawn(move || {
            // A topic that ends may be followed by one that needs a flusher.
            let _runtime = runtime.enter();
            keeper.run(jobs);
        });
    }

    fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        let (mut batch, mut closing) = (Vec::with_capacity(QUEUE), None);
        // All that waits shares one sync: that is what makes many writers fast.
        while jobs.blocking_recv_many(&mut batch, QUEUE) > 0 {
            let mut changes = Vec::new();
            for job in batch.drain(..) {
                match job {
                    Job::Keep(change) => changes.push(*change),
                    Job::PutBack => {}
                    Job::Close(done) => {
                        closing = Some(done);
                        // Whoever has a place in the queue may still use it.
                        jobs.close();
                    }
                }
            }
            let count = changes.len() as u64;
            self.keep(changes);
            self.health.send_modify(|health| health.settle(count));
        }
        if let Some(done) = closing {
            self.close();
            // Whoever hears of it may open the file.
            let _ = done.send(());
        }
    }

    fn close(self) {
        if !self.unsure.is_empty() || !self.store.close() {
            tracing::warn!(
                "the store could not be closed in order: it may not hold the last changes (--store)"
            );
        }
    }

    fn keep(&mut self, changes: Vec<HandedOver>) {
        if changes.is_empty() && self.unsure.is_empty() {
            return;
        }
        let changes = changes.into_iter();
        let (changes, stale): (Vec<_>, Vec<_>) = changes.partition(HandedOver::is_current);
        let outcome = match self.commit(&changes) {
            Ok(()) => Outcome::Kept,
            Err(error) => self.fail(&changes, error),
        };
        let unsure = !self.unsure.is_empty();
        self.health.send_modify(|health| health.unsure = unsure);
        for change in changes {
            self.settle(change, outcome.clone());
        }
        for change in stale {
            let reason = "an earlier change could not be kept".to_owned();
            self.settle(change, Outcome::Lost(reason));
        }
    }

    /// One transaction: first what has to be put back, then the changes.
    fn commit(&mut self, changes: &[HandedOver]) -> Result<(), String> {
        let put_back: Vec<Record> = self.unsure.values().map(should_hold).collect();
        let records = changes.iter().map(|change| &change.record);
        let committed = self.store.commit(put_back.iter().chain(records));
        match &committed {
            Ok(()) => {
                let certain = std::mem::take(&mut self.unsure);
                for entry in certain.values() {
                    entry.durability(Durability::put_back);
                }
                for HandedOver { entry, record, .. } in changes {
                    entry.durability(|known| known.keep(record.to.clone()));
                }
            }
            Err(error) => self.health.send_modify(|health| {
                health.errors += 1;
                health.last_error.clone_from(error);
            }),
        }
        committed
    }

    /// Takes back what could not be kept, or lets it stand, and tries to have the file say so.
    fn fail(&mut self, changes: &[HandedOver], error: String) -> Outcome {
        let hub = self.hub.upgrade().map(Hub);
        for change in changes {
            let HandedOver { entry, record, .. } = change;
            match &hub {
                _ if self.serves => entry.durability(|known| known.stand(record.to.clone())),
                // The first change of a topic in this batch takes back the others.
                Some(hub) if change.is_current() => hub.lose(entry),
                _ => {}
            }
            self.unsure.insert(entry.name().clone(), entry.clone());
        }
        // When this fails too, it is tried again before the next change, and every second.
        let put_back = self.commit(&[]);
        match self.serves {
            true if put_back.is_ok() => Outcome::Kept,
            true => Outcome::Unkept,
            false => Outcome::Lost(error),
        }
    }

    /// All that follows from an outcome, whether or not its writer is still there to hear of it.
    fn settle(&self, change: HandedOver, outcome: Outcome) {
        if let Some(hub) = self.hub.upgrade().map(Hub) {
            hub.settle(&change.entry, change.intent, &outcome);
        }
        // A writer that has gone does not need to know.
        let _ = change.answer.send(outcome);
    }
}

impl HandedOver {
    /// Whether it rests on no lost change.
    fn is_current(&self) -> bool {
        let entry = &self.entry;
        entry.durability(|known| known.is_current(self.generation))
    }
}

/// What the file should hold of a topic.
fn should_hold(entry: &Arc<TopicEntry>) -> Record {
    Record {
        topic: entry.name().clone(),
        to: entry.durability(|known| known.durable().cloned()),
        fields: None,
    }
}
