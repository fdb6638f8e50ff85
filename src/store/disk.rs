//! A disk that can be full, slow, or fail once, for tests.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use redb::backends::InMemoryBackend;
use redb::{Database, DatabaseError, StorageBackend};

use super::{Kept, Store, prepare, tables};

/// Its contents outlive the stores on it.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    file: Arc<InMemoryBackend>,
    mood: Arc<(Mutex<Mood>, Condvar)>,
}

#[derive(Debug, Default)]
struct Mood {
    full: bool,
    held: bool,
    /// After so many syncs one fails, although its bytes have arrived.
    fails_after: Option<u32>,
}

impl Disk {
    /// A store on this disk, and what it holds.
    pub fn store(&self) -> Result<(Store, Kept), redb::Error> {
        let database = self.open()?;
        prepare::prepare(&database)?;
        let (closed, entries) = tables::read(&database)?;
        let (mut kept, damage) = entries.read();
        assert_eq!(damage, []);
        kept.set_last(closed);
        tables::begin(&database)?;
        let disk = self.clone();
        let store = Store::new(database, Box::new(move || disk.open()));
        Ok((store, kept))
    }

    /// From now on it is full, or has room again.
    pub fn set_full(&self, full: bool) {
        self.set(|mood| mood.full = full);
    }

    /// From now on nothing is synced, until it is released.
    pub fn hold(&self, held: bool) {
        self.set(|mood| mood.held = held);
    }

    /// After so many syncs one fails, although its bytes have arrived.
    pub fn fail_after(&self, syncs: u32) {
        self.set(|mood| mood.fails_after = Some(syncs));
    }

    /// The disk as a killed process leaves it: what was written is there, synced or not.
    pub fn after_kill(&self) -> io::Result<Disk> {
        let copy = Disk::default();
        let bytes = loop {
            let mut bytes = vec![0; usize::try_from(self.file.len()?).unwrap_or_default()];
            // It may shrink in between.
            if self.file.read(0, &mut bytes).is_ok() {
                break bytes;
            }
        };
        copy.file.set_len(bytes.len() as u64)?;
        copy.file.write(0, &bytes)?;
        Ok(copy)
    }

    fn set(&self, change: impl FnOnce(&mut Mood)) {
        change(&mut self.mood());
        self.mood.1.notify_all();
    }

    fn mood(&self) -> MutexGuard<'_, Mood> {
        self.mood.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self) -> Result<Database, DatabaseError> {
        Database::builder().create_with_backend(self.clone())
    }

    fn room(&self) -> io::Result<()> {
        match self.mood().full {
            true => Err(io::ErrorKind::StorageFull.into()),
            false => Ok(()),
        }
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.room()?;
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        let mood = self.mood.1.wait_while(self.mood(), |mood| mood.held);
        let mut mood = mood.unwrap_or_else(PoisonError::into_inner);
        mood.fails_after = match mood.fails_after {
            Some(0) => {
                mood.fails_after = None;
                return Err(io::Error::other("this sync fails"));
            }
            other => other.map(|left| left - 1),
        };
        drop(mood);
        self.room()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.room()?;
        self.file.write(offset, data)
    }
}
