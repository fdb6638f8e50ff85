//! Topics that survive: a redb file, written by one thread that makes all changes that
//! wait durable with one sync.

mod file;
mod transfer;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use redb::{Database, DatabaseError};
use tokio::sync::{mpsc, oneshot};

pub use transfer::{export, import, parse_line};
use writer::Writer;

use crate::name::TopicName;
use crate::revision::Revision;
use crate::session::Session;

/// How many changes may wait for the thread before writers wait themselves.
const WAITING: usize = 1024;

/// Why the file cannot be used. It is left as it is.
#[derive(Debug, thiserror::Error)]
#[error("{}: {reason}", path.display())]
pub struct StoreError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong, and the way out.
    pub reason: String,
}

/// A topic as it was kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    /// Its name.
    pub topic: TopicName,
    /// Its last revision.
    pub revision: Revision,
    /// Its session.
    pub session: Session,
}

/// A change to be made durable.
#[derive(Clone, Debug)]
pub struct Record {
    /// Whose.
    pub topic: TopicName,
    /// The revision of the change before this one, which has to be durable first; none: it
    /// follows a loss, and brings the whole session.
    pub from: Option<Revision>,
    /// The revision it makes, and the session then; none: the topic is dropped.
    pub to: Option<(Revision, Session)>,
    /// Only these fields differ; none: anything may.
    pub fields: Option<Vec<String>>,
    /// Where the thread says that it is durable.
    pub durable: Durable,
}

/// What is durable of one topic. The thread that writes says so itself and in order: those
/// who wait for an answer may have gone, or hear of a later one first.
#[derive(Clone, Debug, Default)]
pub struct Durable(Arc<Mutex<Option<(Revision, Session)>>>);

impl Durable {
    /// As it was loaded.
    pub fn new(kept: Option<(Revision, Session)>) -> Durable {
        Durable(Arc::new(Mutex::new(kept)))
    }

    /// The last durable revision and its session.
    pub fn get(&self) -> Option<(Revision, Session)> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn set(&self, to: Option<(Revision, Session)>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = to;
    }
}

/// Learns whether a change is durable, or why not.
pub type Done = oneshot::Sender<Result<(), String>>;

/// An order for the thread, answered when it is durable or has failed.
pub enum Job {
    /// Make this durable.
    Commit(Box<Record>, Done),
    /// Close the file and end.
    Close(oneshot::Sender<()>),
}

/// A cheap handle to the thread.
#[derive(Clone)]
pub struct Store(mpsc::Sender<Job>);

/// How the thread gets at the file, also again after the disk was full.
pub(crate) type Open = Box<dyn FnMut() -> Result<Database, DatabaseError> + Send>;

impl Store {
    /// Opens or makes the file, and tells what it holds.
    ///
    /// # Errors
    /// A file that is not ours, damaged, of a newer format or in use is left as it is.
    pub fn open(path: &Path) -> Result<(Store, Vec<Kept>), StoreError> {
        let fail = |reason: String| StoreError {
            path: path.to_owned(),
            reason,
        };
        let database = file::open(path).map_err(fail)?;
        let kept = file::load(&database).map_err(|error| fail(error.to_string()))?;
        let path = path.to_owned();
        Ok((
            Store::start(database, Box::new(move || Database::open(&path))),
            kept,
        ))
    }

    /// The thread on an open file; `open` gets at the file again after a failure.
    pub(crate) fn start(database: Database, open: Open) -> Store {
        let (jobs, waiting) = mpsc::channel(WAITING);
        std::thread::spawn(move || {
            Writer {
                database: Some(database),
                open,
            }
            .run(waiting)
        });
        Store(jobs)
    }

    /// Where jobs are put. A place is reserved before the topic's lock is taken, so that
    /// records are put in the order of their revisions.
    pub fn jobs(&self) -> &mpsc::Sender<Job> {
        &self.0
    }
}

#[cfg(test)]
pub(crate) mod disk;
#[cfg(test)]
mod tests;
