//! Topics by name, the channel to the viewers, and the tasks that flush.

mod change;
mod counts;
mod encodings;
mod entry;
mod events;
mod failure;
mod flush;
mod log;
pub mod notices;
mod options;
mod receipt;
mod sources;
#[cfg(test)]
mod tests;
mod text;
mod write;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::{Semaphore, broadcast, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use counts::Counts;
pub use entry::{Life, TopicEntry};
pub use events::{Event, Flushed, Invalidated};
pub use failure::{Failure, not_kept_since};
pub use flush::Catchup;
pub use options::{Flow, HubOptions, Limits, MIN_CAPACITY};
pub use receipt::{Deleted, Receipt, WriteError, WriteOptions};
pub use sources::{Place, Presence, SourceGuard};
pub use text::{Delivered, Delivery, Text};

use crate::state::fields::Whitelist;
use crate::state::name::TopicName;
use crate::state::revision::Revision;
use crate::state::topic::{Rules, Topic};
use crate::store::{Job, Ledger, Record, Store, StoreFailure, StoredTopic};
use entry::{believable, unix_micros};
use notices::Notices;
use sources::Sources;

/// How many large changes are applied at a time.
const LARGE_CHANGES: usize = 2;

type Topics = BTreeMap<TopicName, Arc<TopicEntry>>;

/// A cheap handle to everything that is shown.
#[derive(Clone)]
pub struct Hub(Arc<Inner>);

struct Inner {
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
    /// The largest revision of a topic that has ended: the next one of its name goes on from it.
    floor: AtomicU64,
    default_topic: TopicName,
    rules: Rules,
    flow: Flow,
    limits: Limits,
    counts: Arc<Counts>,
    notices: Arc<Notices>,
    store: Option<Store>,
    store_failure: StoreFailure,
    failure: Mutex<Option<Failure>>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Hub {
    /// A hub that holds the default topic, still without a session. Its flushers end on `stop`
    /// after a last flush, and are waited for through `tasks`. With a `store` it begins with
    /// what that has kept.
    pub fn new(
        options: &HubOptions,
        store: Option<(Store, Vec<StoredTopic>)>,
        tasks: TaskTracker,
        stop: CancellationToken,
    ) -> Hub {
        let whitelist = options
            .fields
            .clone()
            .map_or_else(Whitelist::learning, Whitelist::Declared);
        let inner = Inner {
            topics: RwLock::default(),
            events: broadcast::channel(options.flow.capacity).0,
            invalidated: broadcast::channel(options.flow.capacity).0,
            changes: watch::channel(()).0,
            viewers: AtomicUsize::new(0),
            places: AtomicUsize::new(0),
            large: Arc::new(Semaphore::new(LARGE_CHANGES)),
            texts: Arc::new(Semaphore::new(options.flow.capacity / 2)),
            floor: AtomicU64::new(0),
            default_topic: options.topic.clone(),
            rules: Rules {
                whitelist,
                ignore: options.ignore.clone(),
                max_session: options.limits.session,
            },
            flow: options.flow.clone(),
            limits: options.limits.clone(),
            counts: Arc::default(),
            notices: Arc::default(),
            store: None,
            store_failure: options.store_failure,
            failure: Mutex::default(),
            tasks,
            stop,
        };
        let (store, kept) = store.map_or((None, Vec::new()), |(store, kept)| (Some(store), kept));
        if let Some(store) = &store {
            store.on_failure(options.store_failure);
        }
        let hub = Hub(Arc::new(Inner { store, ..inner }));
        hub.restore(kept);
        let (notices, stop) = (hub.0.notices.clone(), hub.0.stop.clone());
        hub.0.tasks.spawn(async move { notices.sum_up(stop).await });
        if hub.0.store.is_some() {
            hub.0.tasks.spawn(hub.clone().put_back());
        }
        hub
    }

    fn restore(&self, kept: Vec<StoredTopic>) {
        let mut topics = self.topics_mut();
        // Without randomness a restart under a clock that is behind is a little less safe.
        let leap = getrandom::u32().unwrap_or_default() >> 2;
        for kept in kept {
            self.restore_one(&mut topics, kept, leap.into());
        }
        if !topics.contains_key(&self.0.default_topic) {
            self.insert_empty(&mut topics, &self.0.default_topic, Arc::new(Sources::new()));
        }
    }

    fn restore_one(&self, topics: &mut Topics, kept: StoredTopic, leap: u64) {
        let StoredTopic {
            topic,
            mut version,
            is_last,
        } = kept;
        let revision = believable(version.revision);
        if revision != version.revision {
            tracing::warn!(%topic, kept = %version.revision, "a wrong clock made its revision: it begins anew");
            version.revision = revision;
        }
        let mut restored = Topic::restore(topic.as_str(), self.0.rules.clone(), version, leap);
        let whole = restored.drop_ignored(unix_micros());
        if !is_last {
            restored.outrun(unix_micros());
        }
        let ledger = restored.version().map(Ledger::new);
        let ledger = ledger.filter(|_| self.0.store.is_some());
        if whole || !is_last {
            self.keep_restored(&topic, &restored, ledger.as_ref(), whole);
        }
        self.insert(topics, topic, restored, Arc::new(Sources::new()), ledger);
    }

    /// What differs from the file is written to it, before anything else of this topic.
    fn keep_restored(&self, name: &TopicName, topic: &Topic, ledger: Option<&Ledger>, whole: bool) {
        let (Some(store), Some(ledger)) = (&self.0.store, ledger) else {
            return;
        };
        let record = Record {
            topic: name.clone(),
            to: topic.version(),
            fields: (!whole).then(Vec::new),
            generation: 0,
            ledger: ledger.clone(),
        };
        let (done, _) = oneshot::channel();
        let job = Job::Commit(Box::new(record), done);
        if store.jobs().try_send(job).is_err() {
            tracing::warn!(topic = %name, "the file keeps it as it was until it changes (--store)");
        }
    }

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

    /// All topics, by name; some may wait for their first session.
    pub fn topics(&self) -> Vec<Arc<TopicEntry>> {
        self.0
            .topics
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .cloned()
            .collect()
    }

    /// One topic.
    pub fn topic(&self, name: &TopicName) -> Option<Arc<TopicEntry>> {
        self.0
            .topics
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(name)
            .cloned()
    }

    /// Is marked whenever topics, revisions or the count of viewers may differ.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.0.changes.subscribe()
    }

    /// Marks [`Hub::changes`]: something around the topics is another.
    pub fn mark_change(&self) {
        self.0.changes.send_replace(());
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

    /// Takes one of the places of those who watch until the value is dropped; none when all
    /// are taken.
    pub fn place(&self) -> Option<Place> {
        Place::new(self, self.0.limits.viewers)
    }

    /// Counts a viewer of a topic until the value is dropped; none when all places are taken.
    pub fn enter(&self, entry: &Arc<TopicEntry>) -> Option<Presence> {
        Some(Presence::new(self.place()?, entry.clone()))
    }

    /// Counts a source that may change a topic, which need not exist yet, until the value is
    /// dropped.
    ///
    /// # Errors
    /// When there are too many topics already.
    pub fn attach(&self, name: &TopicName) -> Result<SourceGuard, WriteError> {
        let mut topics = self.topics_mut();
        let entry = self.open(&mut topics, name)?;
        let sources = entry.sources.clone();
        Ok(SourceGuard::new(self.clone(), name.clone(), sources))
    }

    /// Ends a topic that has to. Its name goes on where it is the default one, or a host is
    /// attached. Tells whether it has ended.
    fn end(&self, entry: &Arc<TopicEntry>) -> bool {
        let mut topics = self.topics_mut();
        let Some(reached) = entry.end() else {
            return false;
        };
        self.0.floor.fetch_max(reached.get(), Ordering::Relaxed);
        let name = entry.name();
        if topics.get(name).is_some_and(|now| Arc::ptr_eq(now, entry)) {
            topics.remove(name);
            if *name == self.0.default_topic || entry.sources.are_attached() {
                self.insert_empty(&mut topics, name, entry.sources.clone());
            }
        }
        drop(topics);
        self.send(Event::Deleted(entry.clone()));
        true
    }

    /// A topic without a session is there for those who wait for one.
    fn forget_if_unused(&self, name: &TopicName) {
        if *name == self.0.default_topic {
            return;
        }
        let unused = |entry: &Arc<TopicEntry>| entry.session().is_none() && entry.viewers() == 0;
        if !self.topic(name).is_some_and(|entry| unused(&entry)) {
            return;
        }
        let mut topics = self.topics_mut();
        if let Some(reached) = topics.get(name).and_then(|entry| entry.end_if_unused()) {
            self.0.floor.fetch_max(reached.get(), Ordering::Relaxed);
            topics.remove(name);
        }
    }

    fn topics_mut(&self) -> std::sync::RwLockWriteGuard<'_, Topics> {
        self.0
            .topics
            .write()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The topic of a name, which may have to be made.
    fn open(&self, topics: &mut Topics, name: &TopicName) -> Result<Arc<TopicEntry>, WriteError> {
        if let Some(entry) = topics.get(name) {
            return Ok(entry.clone());
        }
        if topics.len() >= self.0.limits.topics {
            return Err(WriteError::Full(self.0.limits.topics));
        }
        Ok(self.insert_empty(topics, name, Arc::new(Sources::new())))
    }

    fn insert_empty(
        &self,
        topics: &mut Topics,
        name: &TopicName,
        sources: Arc<Sources>,
    ) -> Arc<TopicEntry> {
        let floor = Revision::new(self.0.floor.load(Ordering::Relaxed)).unwrap_or_default();
        let topic = Topic::new(name.as_str(), self.0.rules.clone(), floor);
        let ledger = self.0.store.is_some().then(Ledger::default);
        self.insert(topics, name.clone(), topic, sources, ledger)
    }

    fn insert(
        &self,
        topics: &mut Topics,
        name: TopicName,
        topic: Topic,
        sources: Arc<Sources>,
        ledger: Option<Ledger>,
    ) -> Arc<TopicEntry> {
        let entry = TopicEntry::new(name.clone(), topic, &self.0.flow, sources, ledger);
        let entry = Arc::new(entry);
        topics.insert(name, entry.clone());
        let flusher = self.clone().flush_when_due(entry.clone());
        self.0.tasks.spawn(flusher);
        entry
    }
}

/// Shown as how long ago, in whole milliseconds.
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
