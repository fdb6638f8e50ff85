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
use super::rooms::{RoomEntry, RowKeys, RowsHandedOver};
use super::{Hub, Inner, QUEUE};
use crate::state::name::TopicName;
use crate::state::room::RoomName;
use crate::store::{Record, RowsRecord, Store, TopicRecord};

/// The thread's state.
pub(super) struct Keeper {
    store: Store,
    /// Whether changes stand that cannot be kept.
    serves: bool,
    health: watch::Sender<Health>,
    /// Topics of which the file may hold something else than it should.
    unsure: BTreeMap<TopicName, Arc<TopicEntry>>,
    /// And rows.
    unsure_rows: BTreeMap<RoomName, (Arc<RoomEntry>, RowKeys)>,
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
            unsure_rows: BTreeMap::new(),
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
        let (mut waiting, mut closing) = (Vec::with_capacity(QUEUE), None);
        // All that waits shares one sync: that is what makes many writers fast.
        while jobs.blocking_recv_many(&mut waiting, QUEUE) > 0 {
            let mut batch = Batch::default();
            for job in waiting.drain(..) {
                match job {
                    Job::Keep(change) => batch.changes.push(*change),
                    Job::Rows(rows) => batch.rows.push(*rows),
                    Job::PutBack => {}
                    Job::Close(done) => {
                        closing = Some(done);
                        // Whoever has a place in the queue may still use it.
                        jobs.close();
                    }
                }
            }
            let count = batch.len();
            self.keep(batch);
            self.health.send_modify(|health| health.settle(count));
        }
        if let Some(done) = closing {
            self.close();
            // Whoever hears of it may open the file.
            let _ = done.send(());
        }
    }

    fn close(self) {
        if self.is_unsure() || !self.store.close() {
            tracing::warn!(
                "the store could not be closed in order: it may not hold the last changes (--store)"
            );
        }
    }

    /// Whether the file may hold something else than it should.
    fn is_unsure(&self) -> bool {
        !self.unsure.is_empty() || !self.unsure_rows.is_empty()
    }

    fn keep(&mut self, batch: Batch) {
        if batch.len() == 0 && !self.is_unsure() {
            return;
        }
        let (mut batch, stale) = batch.partition();
        let outcome = match self.commit(&batch) {
            Ok(()) => Outcome::Kept,
            Err(error) => self.fail(&mut batch, error),
        };
        let unsure = self.is_unsure();
        self.health.send_modify(|health| health.unsure = unsure);
        self.settle(batch, &outcome);
        let reason = "an earlier change could not be kept".to_owned();
        self.settle(stale, &Outcome::Lost(reason));
    }

    /// One transaction: first what has to be put back, then the changes.
    fn commit(&mut self, batch: &Batch) -> Result<(), String> {
        let put_back: Vec<TopicRecord> = self.unsure.values().map(should_hold).collect();
        let unsure_rows = self.unsure_rows.values();
        let rows = unsure_rows.map(|(room, keys)| room.should_hold(keys));
        let rows = rows.chain(batch.rows.iter().map(|rows| rows.record()));
        let rows: Vec<RowsRecord> = rows.filter(|record| !record.rows.is_empty()).collect();
        let records = batch.changes.iter().map(|change| &change.record);
        let records = put_back.iter().chain(records).map(Record::Topic);
        let committed = self
            .store
            .commit(records.chain(rows.iter().map(Record::Rows)));
        match &committed {
            Ok(()) => {
                self.unsure_rows.clear();
                let certain = std::mem::take(&mut self.unsure);
                for entry in certain.values() {
                    entry.durability(Durability::put_back);
                }
                for HandedOver { entry, record, .. } in &batch.changes {
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
    fn fail(&mut self, batch: &mut Batch, error: String) -> Outcome {
        let hub = self.hub.upgrade().map(Hub);
        for change in &batch.changes {
            let HandedOver { entry, record, .. } = change;
            match &hub {
                _ if self.serves => entry.durability(|known| known.stand(record.to.clone())),
                // The first change of a topic in this batch takes back the others.
                Some(hub) if change.is_current() => hub.lose(entry),
                _ => {}
            }
            self.unsure.insert(entry.name().clone(), entry.clone());
        }
        self.fail_rows(batch);
        // When this fails too, it is tried again before the next change, and every second.
        let put_back = self.commit(&Batch::default());
        match self.serves {
            true if put_back.is_ok() => Outcome::Kept,
            true => Outcome::Unkept,
            false => Outcome::Lost(error),
        }
    }

    fn fail_rows(&mut self, batch: &mut Batch) {
        for rows in &batch.rows {
            let (room, keys) = (rows.room.clone(), RowKeys::default());
            let unsure = self.unsure_rows.entry(room.name().clone());
            let (of, unsure) = unsure.or_insert_with(|| (room.clone(), keys));
            // A room that was forgotten meanwhile was empty, as the next one of its name begins.
            *of = room;
            unsure.extend(rows.keys());
            if !self.serves && rows.is_change() && rows.is_current() {
                rows.room.book().lose();
            }
        }
        if self.serves {
            // What stands is what the file should hold from now on.
            let rows = std::mem::take(&mut batch.rows);
            let standing = Batch {
                rows,
                ..Batch::default()
            };
            self.settle(standing, &Outcome::Unkept);
        }
    }

    /// All that follows from an outcome, whether or not its writers are still there to hear of it.
    fn settle(&self, batch: Batch, outcome: &Outcome) {
        let hub = self.hub.upgrade().map(Hub);
        for change in batch.changes {
            if let Some(hub) = &hub {
                hub.settle(&change.entry, change.intent, outcome);
            }
            // A writer that has gone does not need to know.
            let _ = change.answer.send(outcome.clone());
        }
        if let Some(hub) = &hub {
            batch
                .rows
                .into_iter()
                .for_each(|rows| rows.settle(hub, outcome));
        }
    }
}

/// What shares one sync.
#[derive(Default)]
struct Batch {
    changes: Vec<HandedOver>,
    rows: Vec<RowsHandedOver>,
}

impl Batch {
    fn len(&self) -> u64 {
        (self.changes.len() + self.rows.len()) as u64
    }

    /// Apart from what rests on something that was lost.
    fn partition(self) -> (Batch, Batch) {
        let (changes, stale) = self.changes.into_iter().partition(HandedOver::is_current);
        let (rows, stale_rows) = self.rows.into_iter().partition(RowsHandedOver::is_current);
        let stale = Batch {
            changes: stale,
            rows: stale_rows,
        };
        (Batch { changes, rows }, stale)
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
fn should_hold(entry: &Arc<TopicEntry>) -> TopicRecord {
    TopicRecord {
        topic: entry.name().clone(),
        to: entry.durability(|known| known.durable().cloned()),
        fields: None,
    }
}
