//! The thread that writes: one sync for all changes that wait.
//!
//! A commit that fails means *unknown*: its bytes may have reached the disk, or not. So what the
//! file should hold of every topic in it is written before anything else is, and before the
//! writers are answered: what was durable before, or where changes stand all the same, the newest.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use redb::Database;
use tokio::sync::mpsc;

use super::file::{apply, close, put};
use super::place::caught;
use super::{Done, Failing, Job, Ledger, Open, Record, WAITING};
use crate::state::name::TopicName;
use crate::state::topic::Version;

/// The thread's state.
pub(super) struct Writer {
    /// None after a failure, until it could be opened again.
    database: Option<Database>,
    open: Open,
    /// Topics of which the file may hold something else, and what it should hold.
    unknown: BTreeMap<TopicName, (Ledger, Option<Version>)>,
    failing: Arc<Failing>,
}

type Answers = Vec<Result<bool, String>>;

impl Writer {
    pub(super) fn new(database: Database, open: Open, failing: Arc<Failing>) -> Writer {
        Writer {
            database: Some(database),
            open,
            unknown: BTreeMap::new(),
            failing,
        }
    }

    pub(super) fn run(mut self, mut waiting: mpsc::Receiver<Job>) {
        let mut batch = Vec::with_capacity(WAITING);
        // All that waits shares one sync: that is what makes many writers fast.
        while waiting.blocking_recv_many(&mut batch, WAITING) > 0 {
            let mut records = Vec::new();
            let mut closing = None;
            for job in batch.drain(..) {
                match job {
                    Job::Commit(record, done) => records.push((*record, done)),
                    Job::PutBack => {}
                    Job::Close(done) => closing = Some(done),
                }
            }
            self.commit(records);
            self.failing.stalled.store(false, Ordering::Relaxed);
            if let Some(done) = closing {
                self.close();
                // Who hears of it may open the file.
                drop(self);
                let _ = done.send(());
                return;
            }
        }
    }

    fn close(&mut self) {
        let database = self.database.take().filter(|_| self.unknown.is_empty());
        let closed = database.is_some_and(|database| caught(move || close(&database)).is_ok());
        if !closed {
            tracing::warn!(
                "the store could not be closed in order: it may hold other than the last changes (--store)"
            );
        }
    }

    fn commit(&mut self, records: Vec<(Record, Done)>) {
        if records.is_empty() && self.unknown.is_empty() {
            return;
        }
        let (records, done): (Vec<Record>, Vec<Done>) = records.into_iter().unzip();
        let answers = match self.write(&records) {
            Ok(answers) => answers,
            Err(error) => self.fail(&records, &error),
        };
        let failing = !self.unknown.is_empty();
        self.failing.now.store(failing, Ordering::Relaxed);
        for ((record, done), answer) in records.into_iter().zip(done).zip(answers) {
            if answer == Ok(true) {
                record.ledger.keep(record.to);
            }
            // A writer that has gone does not need to know.
            let _ = done.send(answer);
        }
    }

    /// Takes back what could not be kept, or lets it stand, and tries to say so on the disk.
    fn fail(&mut self, records: &[Record], error: &redb::Error) -> Answers {
        let serves = self.failing.serves.load(Ordering::Relaxed);
        for record in records.iter().filter(|record| record.is_current()) {
            let Record { topic, ledger, .. } = record;
            if !serves {
                ledger.lose();
            }
            let should = match serves {
                true => record.to.clone(),
                false => ledger.entry().kept.clone(),
            };
            let should = (ledger.clone(), should);
            self.unknown.insert(topic.clone(), should);
        }
        // When this fails too, it is tried again before the next record, and now and then.
        let _ = self.write(&[]);
        let answer = match serves {
            true => Ok(self.unknown.is_empty()),
            false => Err(error.to_string()),
        };
        vec![answer; records.len()]
    }

    /// One transaction: first what has to be put back, then the records.
    fn write(&mut self, records: &[Record]) -> Result<Answers, redb::Error> {
        // redb may panic on a file that was damaged meanwhile.
        let written = caught(|| self.try_write(records));
        match &written {
            Ok(_) => std::mem::take(&mut self.unknown)
                .into_values()
                .for_each(|(ledger, version)| ledger.keep(version)),
            // After a failed write redb wants the file to be opened anew.
            Err(error) => {
                self.tell_of(error);
                let database = self.database.take();
                let _ = caught(|| {
                    drop(database);
                    Ok(())
                });
            }
        }
        written
    }

    fn tell_of(&self, error: &redb::Error) {
        let last = self.failing.last.lock();
        *last.unwrap_or_else(PoisonError::into_inner) = error.to_string();
        self.failing.count.fetch_add(1, Ordering::Relaxed);
        self.failing.begun.notify_one();
    }

    fn try_write(&mut self, records: &[Record]) -> Result<Answers, redb::Error> {
        let database = match self.database.take() {
            Some(database) => database,
            None => (self.open)()?,
        };
        let transaction = self.database.insert(database).begin_write()?;
        for (topic, (_, should)) in &self.unknown {
            put(&transaction, topic.as_str(), should.as_ref())?;
        }
        let answers = records
            .iter()
            .map(|record| match record.is_current() {
                true => apply(&transaction, record).map(|()| Ok(true)),
                false => Ok(Err("an earlier change could not be kept".to_owned())),
            })
            .collect::<Result<_, redb::Error>>()?;
        transaction.commit()?;
        Ok(answers)
    }
}

impl Record {
    /// Whether what it rests on was not lost.
    fn is_current(&self) -> bool {
        self.generation == self.ledger.generation()
    }
}
