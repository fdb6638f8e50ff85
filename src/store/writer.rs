//! The thread that writes: one sync for all changes that wait.

use redb::Database;
use tokio::sync::mpsc;

use super::file::apply;
use super::{Done, Job, Open, Record, WAITING};

/// The thread's state.
pub(super) struct Writer {
    /// None after a failure, until it could be opened again.
    pub(super) database: Option<Database>,
    pub(super) open: Open,
}

impl Writer {
    pub(super) fn run(mut self, mut waiting: mpsc::Receiver<Job>) {
        let mut batch = Vec::with_capacity(WAITING);
        // All that waits shares one sync: that is what makes many writers fast.
        while waiting.blocking_recv_many(&mut batch, WAITING) > 0 {
            let mut records = Vec::new();
            let mut closing = None;
            for job in batch.drain(..) {
                match job {
                    Job::Commit(record, done) => records.push((record, done)),
                    Job::Close(done) => closing = Some(done),
                }
            }
            self.commit(records);
            if let Some(done) = closing {
                self.database = None;
                let _ = done.send(());
                return;
            }
        }
    }

    fn commit(&mut self, records: Vec<(Box<Record>, Done)>) {
        if records.is_empty() {
            return;
        }
        let written = self.write(records.iter().map(|(record, _)| &**record));
        if written.is_err() {
            // After a failed write redb wants the file to be opened anew.
            self.database = None;
        }
        let answers = written.unwrap_or_else(|error| vec![Err(error.to_string()); records.len()]);
        for ((record, done), answer) in records.into_iter().zip(answers) {
            if answer.is_ok() {
                record.durable.set(record.to);
            }
            // A writer that has gone does not need to know.
            let _ = done.send(answer);
        }
    }

    fn write<'a>(
        &mut self,
        records: impl Iterator<Item = &'a Record>,
    ) -> Result<Vec<Result<(), String>>, redb::Error> {
        let database = match self.database.take() {
            Some(database) => database,
            None => (self.open)()?,
        };
        let transaction = self.database.insert(database).begin_write()?;
        let answers = records
            .map(|record| apply(&transaction, record))
            .collect::<Result<_, _>>()?;
        transaction.commit()?;
        Ok(answers)
    }
}
