//! Topics by name, the channel to the viewers, the tasks that flush, and the thread that makes
//! changes durable.
//!
//! ```text
//!  writer ─► write ─► TopicEntry::write ── under the topic's lock ──► queue ─► Keeper ─► store
//!    ▲          accepted or refused            (with a store)                    │
//!    └────────────── the outcome, if it is still there to hear of it ◄───────────┤
//!                                       kept · put back · lost: TopicEntry, Hub ◄┘
//! ```

mod authors;
mod change;
mod clock;
pub mod cluster;
mod counts;
mod durability;
mod encodings;
mod entry;
mod events;
mod explain;
mod failure;
mod flush;
mod follow;
mod freeze;
mod health;
mod job;
mod keeper;
mod latest;
mod life;
mod log;
pub mod notices;
mod options;
mod presence;
mod receipt;
mod relay;
pub mod rooms;
mod sources;
mod start;
#[cfg(test)]
mod tests;
mod text;
mod told;
mod topics;
mod verbose;
mod write;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, RwLock};

use tokio::sync::{Semaphore, broadcast, mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use clock::millis;
pub use counts::Counts;
pub use entry::TopicEntry;
pub use events::{Event, Invalidated};
pub use failure::{Failure, not_kept_since, time_of_day};
pub use flush::Catchup;
pub use follow::Follower;
pub use options::{Flow, HubOptions, Limits, MIN_CAPACITY, RoomOptions, StoreFailure};
pub use presence::{Place, Presence, SourceGuard};
pub use receipt::{Deleted, Receipt, WriteError, WriteOptions};
pub use relay::{Relay, RelayState};
pub use text::{Delivery, Text};

use crate::state::name::TopicName;
use crate::state::topic::Rules;
use cluster::Cluster;
use health::Health;
use job::Job;
use notices::Notices;
use rooms::Rooms;

/// How many changes may wait for the store before writers wait themselves.
const QUEUE: usize = 1024;

type Topics = BTreeMap<TopicName, Arc<TopicEntry>>;

/// A cheap handle to everything that is shown.
#[derive(Clone)]
pub struct Hub(Arc<Inner>);

struct Inner {
    /// Its lock is taken before a topic's, never after.
    topics: RwLock<Topics>,
    events: broadcast::Sender<Event>,
    /// Apart from the viewers' events: a slow reader of `/sync` keeps no frame, and no host
    /// waiting.
    invalidated: broadcast::Sender<Invalidated>,
    changes: watch::Sender<()>,
    viewers: AtomicUsize,
    /// How many viewers and readers of `/sync` there are.
    places: AtomicUsize,
    /// Large changes take much memory while they are applied: so many at a time.
    large: Arc<Semaphore>,
    /// The places of the hosts' own texts in the channel.
    texts: Arc<Semaphore>,
    floor: AtomicU64,
    /// This daemon, in the way of a state.
    id: String,
    default_topic: TopicName,
    /// The topics that are relayed.
    relays: BTreeMap<TopicName, Arc<Relay>>,
    rules: Rules,
    flow: Flow,
    limits: Limits,
    rooms: Rooms,
    counts: Arc<Counts>,
    notices: Arc<Notices>,
    /// The queue of the thread that keeps changes; none without a store.
    jobs: Option<mpsc::Sender<Job>>,
    health: watch::Sender<Health>,
    store_failure: StoreFailure,
    /// None without a cluster.
    cluster: Option<Arc<Cluster>>,
    failure: watch::Sender<Option<Failure>>,
    /// Marked when heartbeats have news that should not wait.
    news: watch::Sender<()>,
    /// Since when viewers are shown no changes.
    frozen: watch::Sender<Option<Instant>>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Hub {
    /// The topic that is meant where none is named.
    pub fn default_topic(&self) -> &TopicName {
        &self.0.default_topic
    }

    /// What a stranger cannot exceed.
    pub fn limits(&self) -> &Limits {
        &self.0.limits
    }

    /// When changes leave, and how.
    pub fn flow(&self) -> &Flow {
        &self.0.flow
    }

    /// Is marked whenever topics, revisions or the count of viewers may differ.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.0.changes.subscribe()
    }

    /// Marks [`Hub::changes`]: something around the topics has changed.
    pub fn mark_change(&self) {
        self.0.changes.send_replace(());
    }

    /// Is marked when heartbeats have news that should not wait: viewers are frozen or let go, a
    /// source is lost or another has come.
    pub fn news(&self) -> watch::Receiver<()> {
        self.0.news.subscribe()
    }

    /// What has happened since the start.
    pub fn counts(&self) -> &Counts {
        &self.0.counts
    }

    /// What strangers bring about.
    pub fn notices(&self) -> &Notices {
        &self.0.notices
    }

    /// How many viewers are connected.
    pub fn viewers(&self) -> usize {
        self.0.viewers.load(Ordering::Relaxed)
    }
}
