//! A disk that can be full, for tests.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use redb::backends::InMemoryBackend;
use redb::{Database, DatabaseError, StorageBackend};

use super::{Store, file};

/// Its file stays when it is closed.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    file: Arc<InMemoryBackend>,
    full: Arc<AtomicBool>,
}

impl Disk {
    /// A store on this disk.
    pub fn store(&self) -> Result<Store, redb::Error> {
        let database = self.open()?;
        file::prepare(&database)?;
        let disk = self.clone();
        Ok(Store::start(database, Box::new(move || disk.open())))
    }

    /// From now on it is full, or has room again.
    pub fn set_full(&self, full: bool) {
        self.full.store(full, Ordering::Relaxed);
    }

    fn open(&self) -> Result<Database, DatabaseError> {
        Database::builder().create_with_backend(self.clone())
    }

    fn room(&self) -> io::Result<()> {
        match self.full.load(Ordering::Relaxed) {
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
        self.room()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.room()?;
        self.file.write(offset, data)
    }
}
