//! The thread that writes: one sync for all changes that wait.
//!
//! A commit that fails means *unknown*: its bytes may have reached the disk, or not. So the
//! durable state of every topic in it is put back before anything else is written, and before
//! the writers are answered.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use redb::Database;
use tokio::sync::mpsc;

use super::file::{apply, close, put};
use super::place::caught;
use super::{Done, Failing, Job, Ledger, Open, Record, WAITING};
use crate::name::TopicName;

/// The thread's state.
pub(super) struct Writer {
    /// None after a failure, until it could be opened again.
    database: Option<Database>,
    open: Open,
    /// Topics of which the disk may hold what was taken back.
    unknown: BTreeMap<TopicName, Ledger>,
    failing: Arc<Failing>,
}

type Answers = Vec<Result<(), String>>;

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
            if let Some(done) = closing {
                self.close();
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
                "the store could not be closed in order: it may hold changes that were taken back (--store)"
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
            Err(error) => self.lose(&records, &error),
        };
        self.tell_of_failure();
        for ((record, done), answer) in records.into_iter().zip(done).zip(answers) {
            if answer.is_ok() {
                record.ledger.keep(record.to);
            }
            // A writer that has gone does not need to know.
            let _ = done.send(answer);
        }
    }

    /// Takes back what could not be kept, and tries to say so on the disk.
    fn lose(&mut self, records: &[Record], error: &redb::Error) -> Answers {
        for Record { topic, ledger, .. } in records.iter().filter(|record| record.is_current()) {
            ledger.lose();
            self.unknown.insert(topic.clone(), ledger.clone());
        }
        // When this fails too, it is tried again before the next record, and now and then.
        let _ = self.write(&[]);
        vec![Err(error.to_string()); records.len()]
    }

    fn tell_of_failure(&self) {
        let now = !self.unknown.is_empty();
        if now && !self.failing.now.swap(true, Ordering::Relaxed) {
            self.failing.begun.notify_one();
        }
        self.failing.now.store(now, Ordering::Relaxed);
    }

    /// One transaction: first what has to be put back, then the records.
    fn write(&mut self, records: &[Record]) -> Result<Answers, redb::Error> {
        // redb may panic on a file that was damaged meanwhile.
        let written = caught(|| self.try_write(records));
        match written {
            Ok(_) => std::mem::take(&mut self.unknown)
                .values()
                .for_each(Ledger::is_put_back),
            // After a failed write redb wants the file to be opened anew.
            Err(_) => {
                let database = self.database.take();
                let _ = caught(|| {
                    drop(database);
                    Ok(())
                });
            }
        }
        written
    }

    fn try_write(&mut self, records: &[Record]) -> Result<Answers, redb::Error> {
        let database = match self.database.take() {
            Some(database) => database,
            None => (self.open)()?,
        };
        let transaction = self.database.insert(database).begin_write()?;
        for (topic, ledger) in &self.unknown {
            let kept = ledger.entry().kept.clone();
            put(&transaction, topic.as_str(), kept.as_ref())?;
        }
        let answers = records
            .iter()
            .map(|record| match record.is_current() {
                true => apply(&transaction, record).map(Ok),
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
