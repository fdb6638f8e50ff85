//! A file that is locked for as long as it is held, also where redb has to open it again: its own
//! lock ends with each of its handles, and another daemon could begin with the file in between.

use std::fs::{File, TryLockError};
use std::io;
use std::sync::Arc;

use redb::backends::FileBackend;
use redb::{Database, DatabaseError, StorageBackend};

use super::errors::IN_USE;

/// A copy is the same one; the lock goes with the last.
#[derive(Clone, Debug)]
pub(super) struct Locked(Arc<FileBackend>);

impl Locked {
    /// A file that is locked, with [`lock`].
    pub fn new(locked: File) -> Result<Locked, redb::Error> {
        Ok(Locked(Arc::new(FileBackend::new(locked)?)))
    }

    /// The database in it, also again after a failure.
    pub fn open(&self) -> Result<Database, DatabaseError> {
        // redb would begin anew in one that somebody has emptied meanwhile.
        match self.0.len()? {
            0 => Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            _ => self.make(),
        }
    }

    /// As [`Locked::open`], or a new one where nothing is in it.
    pub fn make(&self) -> Result<Database, DatabaseError> {
        Database::builder().create_with_backend(self.clone())
    }
}

/// Locks a file, as `try_lock` does it.
pub(super) fn lock(
    file: &File,
    try_lock: impl Fn(&File) -> Result<(), TryLockError>,
) -> Result<(), String> {
    match try_lock(file) {
        Err(TryLockError::WouldBlock) => Err(IN_USE.to_owned()),
        // Where files cannot be locked redb does without, too.
        _ => Ok(()),
    }
}

/// All but its locks, which would be released with it.
impl StorageBackend for Locked {
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
