//! What goes to the thread that keeps changes, and what comes back.

use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};

use super::durability::Generation;
use super::entry::TopicEntry;
use super::health::{Health, wait_for};
use super::receipt::WriteError;
use super::rooms::RowsHandedOver;
use crate::store::TopicRecord;

/// An order for the thread.
pub(super) enum Job {
    /// Make this durable, and tell everybody.
    Keep(Box<HandedOver>),
    /// Make these rows durable, and tell everybody.
    Rows(Box<RowsHandedOver>),
    /// Make the file hold what it should, where a commit failed and that is not known.
    PutBack,
    /// Close the file, end, and say so.
    Close(oneshot::Sender<()>),
}

/// A change on its way to the disk.
pub(super) struct HandedOver {
    pub entry: Arc<TopicEntry>,
    pub record: TopicRecord,
    pub generation: Generation,
    pub intent: Intent,
    /// The writer may have gone.
    pub answer: oneshot::Sender<Outcome>,
}

/// What a change is for, which says what follows from its outcome.
#[derive(Clone, Copy, Debug)]
pub(super) enum Intent {
    /// A write, for a host at an address; whether it made the topic's first session.
    Write { made: bool, address: Option<IpAddr> },
    /// A deletion, for a host at an address.
    Delete { address: Option<IpAddr> },
    /// A new revision for the same session.
    Announce,
}

/// What has become of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is durable.
    Kept,
    /// It stands, but is not durable yet.
    Unkept,
    /// It was taken back, for this reason.
    Lost(String),
}

/// A place in the thread's queue. It is taken before the topic's lock, so that changes are
/// queued in the order of their revisions without anybody waiting under the lock.
pub(super) struct Permit {
    pub place: mpsc::OwnedPermit<Job>,
    pub health: watch::Sender<Health>,
}

/// The outcome of a change, for whoever waits for it.
pub(super) struct Promise(oneshot::Receiver<Outcome>);

impl Permit {
    /// Queues a change, under the lock of its topic.
    pub fn send(
        self,
        entry: Arc<TopicEntry>,
        record: TopicRecord,
        generation: Generation,
        intent: Intent,
    ) -> Promise {
        let (answer, promise) = oneshot::channel();
        let handed_over = HandedOver {
            entry,
            record,
            generation,
            intent,
            answer,
        };
        wait_for(&self.health);
        self.place.send(Job::Keep(Box::new(handed_over)));
        Promise(promise)
    }

    /// Queues rows, under the lock of their room.
    pub fn send_rows(self, rows: RowsHandedOver) {
        wait_for(&self.health);
        self.place.send(Job::Rows(Box::new(rows)));
    }
}

impl Promise {
    /// Waits until the change is durable, or stands without being so. Returns which.
    ///
    /// # Errors
    /// It could not be kept, and was taken back.
    pub async fn outcome(self) -> Result<bool, WriteError> {
        let ended = |_| Outcome::Lost("the store has ended".to_owned());
        match self.0.await.unwrap_or_else(ended) {
            Outcome::Kept => Ok(true),
            Outcome::Unkept => Ok(false),
            Outcome::Lost(reason) => Err(WriteError::Store(reason)),
        }
    }
}
