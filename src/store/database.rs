//! The open file. Whoever owns it commits to it; a second daemon is kept out.

use std::path::Path;

use redb::{Database, DatabaseError};

use super::errors::caught;
use super::kept::{Kept, Record, StoreError};
use super::place::{self, WENT_BACK};
use super::{put, tables};

/// How the file is opened again after a failed commit.
pub(crate) type Reopen = Box<dyn FnMut() -> Result<Database, DatabaseError> + Send>;

/// An open store.
pub struct Store {
    /// None after a failed commit: redb wants the file to be opened anew.
    database: Option<Database>,
    reopen: Reopen,
}

impl Store {
    /// Opens or creates the file, and returns what it holds. Damage is reported in the log: what
    /// is whole goes on in a new file, and the damaged one is set aside.
    ///
    /// # Errors
    /// A file that is not ours, has a newer format or is in use is left as it is.
    pub fn open(path: &Path) -> Result<(Store, Kept), StoreError> {
        let opened = place::open(path)?;
        for damage in opened.damage() {
            tracing::error!("{}: {damage}", path.display());
        }
        if opened.found.went_back {
            tracing::warn!("{}: {WENT_BACK}", path.display());
        }
        let database = opened.database;
        let begun = caught(|| tables::begin(&database));
        begun.map_err(|error| StoreError::new(path, error))?;
        let locked = opened.locked;
        let store = Store::new(database, Box::new(move || locked.open()));
        Ok((store, opened.found.kept))
    }

    /// A store in a database that is open already.
    pub(crate) fn new(database: Database, reopen: Reopen) -> Store {
        Store {
            database: Some(database),
            reopen,
        }
    }

    /// Makes all records durable, in their order, with one sync. May block for as long as the
    /// disk does.
    ///
    /// # Errors
    /// Nothing is known then: the records may have reached the disk or not. Whatever the file
    /// should hold of their topics has to be committed again, before anything else.
    pub fn commit<'a>(&mut self, records: impl Iterator<Item = Record<'a>>) -> Result<(), String> {
        let committed = caught(|| self.try_commit(records));
        if committed.is_err() {
            let database = self.database.take();
            // Closing a damaged file may fail too.
            let _ = caught(|| {
                drop(database);
                Ok(())
            });
        }
        committed.map_err(|error| error.to_string())
    }

    fn try_commit<'a>(
        &mut self,
        records: impl Iterator<Item = Record<'a>>,
    ) -> Result<(), redb::Error> {
        let database = match self.database.take() {
            Some(database) => database,
            None => (self.reopen)()?,
        };
        let transaction = self.database.insert(database).begin_write()?;
        for record in records {
            put::record(&transaction, record)?;
        }
        Ok(transaction.commit()?)
    }

    /// Marks the file as closed in order, and lets it go. Returns whether that succeeded.
    pub fn close(mut self) -> bool {
        let database = self.database.take();
        database.is_some_and(|database| caught(move || tables::close(&database)).is_ok())
    }
}
