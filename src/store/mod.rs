//! Topics that survive: a redb file, written by one thread that makes all changes that
//! wait durable with one sync.

mod beside;
mod file;
mod ledger;
mod locked;
mod origins;
mod overlay;
mod place;
mod rows;
mod salvage;
mod transfer;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use redb::{Database, DatabaseError};
use tokio::sync::{Notify, mpsc, oneshot};

pub use ledger::{Ledger, LedgerEntry};
pub use place::{Found, WENT_BACK};
pub use rows::Damage;
pub use transfer::{check, export, import, parse_line};
use writer::Writer;

use crate::state::name::TopicName;
use crate::state::session::FieldName;
use crate::state::topic::Version;

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

impl StoreError {
    fn new(path: &Path, reason: String) -> StoreError {
        let path = path.to_owned();
        StoreError { path, reason }
    }
}

fn open(path: &Path) -> Result<place::Opened, StoreError> {
    place::open(path).map_err(|reason| StoreError::new(path, reason))
}

/// What becomes of changes that the store cannot keep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StoreFailure {
    /// They are taken back, and their writers told.
    #[default]
    Refuse,
    /// They stand, and are kept when that can be done again.
    Serve,
}

/// A topic as it was kept.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredTopic {
    /// Its name.
    pub topic: TopicName,
    /// Its last state.
    pub version: Version,
    /// Whether nothing later can have been shown: the file was closed in order.
    pub is_last: bool,
}

/// A change to be made durable.
#[derive(Clone, Debug)]
pub struct Record {
    /// Whose.
    pub topic: TopicName,
    /// The state it makes; none: the topic is dropped.
    pub to: Option<Version>,
    /// Only these fields differ from the record before; none: anything may.
    pub fields: Option<Vec<FieldName>>,
    /// The ledger's generation when it was made: with an older one it rests on a lost change.
    pub generation: u64,
    /// Where the thread writes what became of it.
    pub ledger: Ledger,
}

/// Learns whether a change is durable; or stands without being so; or why it was taken back.
pub type Done = oneshot::Sender<Result<bool, String>>;

/// An order for the thread, answered when it is durable or has failed.
pub enum Job {
    /// Make this durable.
    Commit(Box<Record>, Done),
    /// Make the file hold what it should, where a commit failed and that is not known.
    PutBack,
    /// Close the file and end.
    Close(oneshot::Sender<()>),
}

/// A cheap handle to the thread.
#[derive(Clone)]
pub struct Store {
    jobs: mpsc::Sender<Job>,
    failing: Arc<Failing>,
}

/// What is known of commits that failed.
#[derive(Debug, Default)]
struct Failing {
    /// Whether changes stand that could not be kept.
    serves: AtomicBool,
    /// Whether the file may hold something else than it should.
    now: AtomicBool,
    /// Whether the disk has not answered for long.
    stalled: AtomicBool,
    begun: Notify,
    count: AtomicU64,
    last: Mutex<String>,
}

/// How the thread gets at the file, also again after the disk was full.
pub(crate) type Open = Box<dyn FnMut() -> Result<Database, DatabaseError> + Send>;

impl Store {
    /// Opens or makes the file, and tells what it holds. What is damaged is said in the log: the
    /// rest goes on in a new file, and the damaged one is set aside.
    ///
    /// # Errors
    /// A file that is not ours, of a newer format or in use is left as it is.
    pub fn open(path: &Path) -> Result<(Store, Vec<StoredTopic>), StoreError> {
        let opened = open(path)?;
        for damage in opened.damage() {
            tracing::error!("{}: {damage}", path.display());
        }
        if opened.found.went_back {
            tracing::warn!("{}: {WENT_BACK}", path.display());
        }
        let database = opened.database;
        let begun = place::caught(|| file::begin(&database));
        begun.map_err(|error| StoreError::new(path, error.to_string()))?;
        let locked = opened.locked;
        let store = Store::start(database, Box::new(move || locked.open()));
        Ok((store, opened.found.kept))
    }

    /// The thread on an open file; `open` gets at the file again after a failure.
    pub(crate) fn start(database: Database, open: Open) -> Store {
        let (jobs, waiting) = mpsc::channel(WAITING);
        let failing = Arc::<Failing>::default();
        let writer = Writer::new(database, open, failing.clone());
        std::thread::spawn(move || writer.run(waiting));
        Store { jobs, failing }
    }

    /// From now on changes that cannot be kept stand; or are taken back, as they are at first.
    pub fn on_failure(&self, then: StoreFailure) {
        let serves = then == StoreFailure::Serve;
        self.failing.serves.store(serves, Ordering::Relaxed);
    }

    /// Waits until a commit has failed, or takes long.
    pub fn fails(&self) -> impl Future<Output = ()> {
        self.failing.begun.notified()
    }

    /// Whether the file may still hold something else than it should, or the disk does not answer.
    pub fn is_failing(&self) -> bool {
        self.failing.now.load(Ordering::Relaxed) || self.has_stalled()
    }

    /// Whether the disk does not answer.
    pub fn has_stalled(&self) -> bool {
        self.failing.stalled.load(Ordering::Relaxed)
    }

    /// A change has waited for the disk for long. It has stalled until the thread comes back from
    /// it.
    pub fn stall(&self) {
        self.failing.stalled.store(true, Ordering::Relaxed);
        self.failing.begun.notify_one();
    }

    /// How many commits have failed.
    pub fn errors(&self) -> u64 {
        self.failing.count.load(Ordering::Relaxed)
    }

    /// Why the last of them did.
    pub fn last_error(&self) -> String {
        let last = self.failing.last.lock();
        last.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Where jobs are put. A place is reserved before the topic's lock is taken, so that
    /// records are put in the order of their revisions.
    pub fn jobs(&self) -> &mpsc::Sender<Job> {
        &self.jobs
    }
}

#[cfg(test)]
pub(crate) mod disk;
#[cfg(test)]
#[path = "faults/tests.rs"]
mod faults;
#[cfg(test)]
mod tests;
