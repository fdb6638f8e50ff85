//! What redb works on, held by us as well: a file stays locked even while redb has to open it
//! again, for redb's own lock ends with each of its handles, and another daemon could take the file
//! in between.

use std::fs::{File, TryLockError};
use std::io;
use std::sync::Arc;

use redb::backends::{FileBackend, InMemoryBackend};
use redb::{Database, DatabaseError, StorageBackend};

use super::errors::IN_USE;

/// A cheap handle to what redb reads and writes.
#[derive(Debug)]
pub(super) struct Medium<B>(Arc<B>);

/// A file; its lock is released with the last handle.
pub(super) type Locked = Medium<FileBackend>;

impl<B> Clone for Medium<B> {
    fn clone(&self) -> Medium<B> {
        Medium(self.0.clone())
    }
}

impl Medium<InMemoryBackend> {
    /// A copy of a file, to which redb may write.
    pub fn copy(file: &[u8]) -> io::Result<Medium<InMemoryBackend>> {
        let memory = InMemoryBackend::new();
        memory.set_len(file.len() as u64)?;
        memory.write(0, file)?;
        Ok(Medium(Arc::new(memory)))
    }
}

impl Locked {
    /// Around a file that was locked by [`lock`].
    pub fn new(locked: File) -> Result<Locked, redb::Error> {
        Ok(Medium(Arc::new(FileBackend::new(locked)?)))
    }

    /// Opens the database in it, again if need be.
    pub fn open(&self) -> Result<Database, DatabaseError> {
        // redb would start a new database if somebody has emptied the file meanwhile.
        match self.0.len()? {
            0 => Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            _ => self.make(),
        }
    }

    /// Opens the database in it, or creates one in an empty file.
    pub fn make(&self) -> Result<Database, DatabaseError> {
        Database::builder().create_with_backend(self.clone())
    }
}

/// Locks a file by `try_lock`.
pub(super) fn lock(
    file: &File,
    try_lock: impl Fn(&File) -> Result<(), TryLockError>,
) -> Result<(), String> {
    match try_lock(file) {
        Err(TryLockError::WouldBlock) => Err(IN_USE.to_owned()),
        // Some file systems cannot lock; redb does without as well.
        _ => Ok(()),
    }
}

/// Everything but redb's own lock, which would be released with each handle.
impl<B: StorageBackend> StorageBackend for Medium<B> {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write(offset, data)
    }
}
