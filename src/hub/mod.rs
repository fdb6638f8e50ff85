//! Topics by name, the channel to the viewers, and the tasks that flush.

mod cell;
mod sources;
#[cfg(test)]
mod tests;
mod text;
mod write;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::{Semaphore, broadcast, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use cell::{Catchup, Cell, Life};
pub use sources::{Place, Presence, SourceGuard};
pub use text::{Delivered, Delivery, Text};

use crate::fields::Whitelist;
use crate::frame::Frame;
use crate::json::LARGE;
use crate::name::TopicName;
use crate::options::{Flow, Limits, Options};
use crate::protocol::Problem;
use crate::revision::Revision;
use crate::session::Session;
use crate::store::{Job, Kept, Ledger, Store};
use crate::topic::{Change, Refusal, Rules, Topic, Writer};
use sources::Sources;
use write::{Permit, Retired};

type Topics = BTreeMap<TopicName, Arc<Cell>>;

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
    /// The places of the hosts' own texts in the channel.
    texts: Arc<Semaphore>,
    /// The largest revision of a topic that has ended: the next one of its name goes on from it.
    floor: AtomicU64,
    default_topic: TopicName,
    rules: Rules,
    flow: Flow,
    limits: Limits,
    counts: Counts,
    store: Option<Store>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// What has happened since the start.
#[derive(Default)]
pub struct Counts {
    viewers: AtomicU64,
    writes: AtomicU64,
    refusals: AtomicU64,
    flushes: AtomicU64,
}

impl Counts {
    /// Viewers that ever connected.
    pub fn viewers(&self) -> u64 {
        self.viewers.load(Ordering::Relaxed)
    }

    /// Changes that were accepted.
    pub fn writes(&self) -> u64 {
        self.writes.load(Ordering::Relaxed)
    }

    /// Changes that were refused.
    pub fn refusals(&self) -> u64 {
        self.refusals.load(Ordering::Relaxed)
    }

    /// Flushes to the viewers.
    pub fn flushes(&self) -> u64 {
        self.flushes.load(Ordering::Relaxed)
    }
}

/// What every shard of viewers hears.
#[derive(Clone)]
pub enum Event {
    /// Changes leave for the viewers.
    Flush(Arc<Flushed>),
    /// A host's own text for the viewers of a topic.
    Text(Arc<Text>),
    /// The whole session once more, for every viewer of a topic.
    Again(Arc<Cell>),
    /// The topic was deleted.
    Gone(Arc<Cell>),
}

/// What every reader of `/sync` hears: a topic can be fetched at this revision.
#[derive(Clone, Debug)]
pub struct Invalidated {
    /// Which one.
    pub topic: TopicName,
    /// At least this revision.
    pub revision: Revision,
    /// Who wrote, if all that changed is of one that named itself.
    pub source_id: Option<String>,
}

/// One flush of one topic.
pub struct Flushed {
    /// Whose.
    pub cell: Arc<Cell>,
    /// Viewers at this revision need exactly `frame`.
    pub from: Revision,
    /// Where they are after it.
    pub to: Revision,
    /// Nothing when only a refusal was announced.
    pub frame: Option<Arc<Frame>>,
    /// Who wrote, if all of it is of one that named itself.
    pub source_id: Option<String>,
}

/// How a change is to be written.
#[derive(Clone, Debug, Default)]
pub struct WriteOptions {
    /// The name the writer gives itself.
    pub writer: Arc<Writer>,
    /// Only if nothing has changed since this revision.
    pub if_match: Option<Revision>,
    /// Only if the topic exists already.
    pub existing: bool,
}

/// A change that was accepted.
#[derive(Clone, Debug)]
pub struct Receipt {
    /// The revision of this change; of an earlier one, if that had made the session so already.
    pub revision: Revision,
    /// Where only fields were written: the revision of the last change of any of them.
    pub touched: Revision,
    /// Whether there was no session before.
    pub created: bool,
    /// The session now.
    pub session: Session,
}

/// Why a change was not accepted.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum WriteError {
    /// The session cannot become so.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The topic is at another revision than the writer believed.
    #[error("the topic is at revision {0} by now: fetch it and try again")]
    Stale(Revision),
    /// There is no such topic.
    #[error("there is no topic {0:?}")]
    NoTopic(String),
    /// No more topics fit.
    #[error("there are {0} topics already (--max-topics)")]
    Full(usize),
    /// The change could not be kept, so it was taken back.
    #[error("the change could not be kept, so it was taken back: {0} (--store)")]
    Store(String),
    /// The daemon stops.
    #[error("the daemon is stopping")]
    Stopping,
}

impl WriteError {
    /// As HTTP and the host socket answer it.
    pub fn problem(&self) -> Problem {
        let (status, title) = match self {
            WriteError::Refused(Refusal::TooLarge(_)) => (413, "Content Too Large"),
            WriteError::Refused(_) => (422, "Unprocessable Content"),
            WriteError::Stale(_) => (412, "Precondition Failed"),
            WriteError::NoTopic(_) => (404, "Not Found"),
            WriteError::Store(_) => (507, "Insufficient Storage"),
            WriteError::Full(_) | WriteError::Stopping => (503, "Service Unavailable"),
        };
        let mut problem = Problem::new(status, title, self.to_string());
        match self {
            WriteError::Refused(Refusal::Fields(faults)) => problem.errors.clone_from(faults),
            WriteError::Stale(revision) => problem.revision = Some(revision.to_string()),
            _ => {}
        }
        problem
    }
}

impl Hub {
    /// A hub that holds the default topic, still without a session. Its flushers end on `stop`
    /// after a last flush, and are waited for through `tasks`. With a `store` it begins with
    /// what that has kept.
    pub fn new(
        options: &Options,
        store: Option<(Store, Vec<Kept>)>,
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
            counts: Counts::default(),
            store: None,
            tasks,
            stop,
        };
        let (store, kept) = store.map_or((None, Vec::new()), |(store, kept)| (Some(store), kept));
        let hub = Hub(Arc::new(Inner { store, ..inner }));
        hub.restore(kept);
        if hub.0.store.is_some() {
            hub.0.tasks.spawn(hub.clone().put_back());
        }
        hub
    }

    fn restore(&self, kept: Vec<Kept>) {
        let mut topics = self.topics_mut();
        for Kept { topic, version } in kept {
            let ledger = self
                .0
                .store
                .is_some()
                .then(|| Ledger::new(Some(version.clone())));
            let restored = Topic::restore(topic.as_str(), self.0.rules.clone(), version);
            self.insert(
                &mut topics,
                topic,
                restored,
                Arc::new(Sources::new()),
                ledger,
            );
        }
        if !topics.contains_key(&self.0.default_topic) {
            self.insert_empty(&mut topics, &self.0.default_topic, Arc::new(Sources::new()));
        }
    }

    /// After a failed commit the disk may hold what was taken back: puts that right as soon as
    /// it can be.
    async fn put_back(self) {
        const AGAIN: Duration = Duration::from_secs(1);
        let Some(store) = &self.0.store else { return };
        let mend = async {
            loop {
                store.fails().await;
                while store.is_failing() {
                    tokio::time::sleep(AGAIN).await;
                    // The thread ends after everything else.
                    let _ = store.jobs().send(Job::PutBack).await;
                }
            }
        };
        self.0.stop.run_until_cancelled(mend).await;
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
    pub fn topics(&self) -> Vec<Arc<Cell>> {
        self.0
            .topics
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .cloned()
            .collect()
    }

    /// One topic.
    pub fn topic(&self, name: &TopicName) -> Option<Arc<Cell>> {
        self.0
            .topics
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(name)
            .cloned()
    }

    /// Hears all that concerns viewers from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.0.events.subscribe()
    }

    /// Hears of all flushes from now on.
    pub fn invalidations(&self) -> broadcast::Receiver<Invalidated> {
        self.0.invalidated.subscribe()
    }

    /// Is marked whenever topics, revisions or the count of viewers may differ.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.0.changes.subscribe()
    }

    /// What has happened since the start.
    pub fn counts(&self) -> &Counts {
        &self.0.counts
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
    pub fn enter(&self, cell: &Arc<Cell>) -> Option<Presence> {
        Some(Presence::new(self.place()?, cell.clone()))
    }

    /// Counts a source that may change a topic, which need not exist yet, until the value is
    /// dropped.
    ///
    /// # Errors
    /// When there are too many topics already.
    pub fn attach(&self, name: &TopicName) -> Result<SourceGuard, WriteError> {
        let mut topics = self.topics_mut();
        let cell = self.open(&mut topics, name)?;
        let sources = cell.sources.clone();
        Ok(SourceGuard::new(self.clone(), name.clone(), sources))
    }

    /// Writes a change: all of it or nothing of it.
    ///
    /// # Errors
    /// Says why nothing changed.
    pub async fn write(
        &self,
        name: &TopicName,
        change: Change,
        options: WriteOptions,
    ) -> Result<Receipt, WriteError> {
        let change = Arc::new((change, options));
        let (cell, written) = loop {
            if self.0.stop.is_cancelled() {
                return Err(WriteError::Stopping);
            }
            let cell = self.to_write(name, &change.1)?;
            let written = self.write_durably(&cell, &change).await;
            let gone = matches!(written, Err(WriteError::NoTopic(_)));
            if !gone || *cell.life.borrow() == Life::Live {
                break (cell, written);
            }
            // Deleted in between: the name stands for another topic then, or for none.
            let waited = cell.until(|life| life != Life::Leaving);
            self.0.stop.run_until_cancelled(waited).await;
        };
        let counts = &self.0.counts;
        match written {
            Ok(_) => counts.writes.fetch_add(1, Ordering::Relaxed),
            Err(_) => counts.refusals.fetch_add(1, Ordering::Relaxed),
        };
        if written.is_err() {
            self.forget_if_unused(name);
        }
        if self.0.flow.debounce.is_zero() {
            self.flush(&cell).await;
        }
        self.0.changes.send_replace(());
        written
    }

    /// Tells those who fetch for themselves that a write to a topic was refused before it came
    /// to be a change.
    pub async fn announce(&self, name: &TopicName) {
        let Some(cell) = self.topic(name) else { return };
        // Without a place in the store's queue the daemon is stopping.
        let Ok(permit) = self.permit().await else {
            return;
        };
        cell.announce(permit);
        if self.0.flow.debounce.is_zero() {
            self.flush(&cell).await;
        }
    }

    fn to_write(&self, name: &TopicName, options: &WriteOptions) -> Result<Arc<Cell>, WriteError> {
        match self.topic(name) {
            Some(cell) => Ok(cell),
            None if options.existing || options.if_match.is_some() => {
                Err(WriteError::NoTopic(name.to_string()))
            }
            None => self.open(&mut self.topics_mut(), name),
        }
    }

    async fn write_durably(
        &self,
        cell: &Arc<Cell>,
        change: &Arc<(Change, WriteOptions)>,
    ) -> Result<Receipt, WriteError> {
        let permit = self.permit().await?;
        let written = if cell.is_large(&change.0) {
            let (cell, change) = (cell.clone(), change.clone());
            let write = move || cell.write(&change.0, &change.1, permit);
            // Ends early only with the daemon.
            let written = tokio::task::spawn_blocking(write).await;
            written.map_err(|_| WriteError::Stopping)?
        } else {
            cell.write(&change.0, &change.1, permit)
        };
        let (receipt, commit) = written?;
        if let Some(commit) = commit {
            commit.done().await?;
        }
        Ok(receipt)
    }

    /// Waits for a place in the store's queue, if there is a store.
    async fn permit(&self) -> Result<Option<Permit>, WriteError> {
        let Some(store) = &self.0.store else {
            return Ok(None);
        };
        let permit = store.jobs().clone().reserve_owned().await;
        permit.map(Some).map_err(|_| WriteError::Stopping)
    }

    /// Closes the store, when nobody writes any more.
    pub async fn close_store(&self) {
        let Some(store) = &self.0.store else { return };
        let (done, closed) = oneshot::channel();
        if store.jobs().send(Job::Close(done)).await.is_ok() {
            // An error means that the thread has ended, which is as good.
            let _ = closed.await;
        }
    }

    /// Drops a topic, if nothing has changed since the revision that is `expected`; its viewers
    /// are closed. The default topic stays, without a session. Tells whether there was a session
    /// to drop. With a store nothing changes until the store has forgotten it.
    ///
    /// # Errors
    /// When it has changed, or when the store cannot forget it.
    pub async fn delete(
        &self,
        name: &TopicName,
        expected: Option<Revision>,
    ) -> Result<bool, WriteError> {
        loop {
            let permit = self.permit().await?;
            let Some(cell) = self.topic(name) else {
                return Ok(false);
            };
            match cell.retire(expected, permit) {
                Ok(Retired::Empty) => return Ok(false),
                Ok(Retired::Now) => _ = self.end(&cell),
                Ok(Retired::With(commit)) => {
                    let hub = self.clone();
                    // Who asked for it may go away meanwhile.
                    let gone = self.0.tasks.spawn(async move {
                        let kept = commit.done().await;
                        match kept {
                            Ok(()) => _ = hub.end(&cell),
                            Err(_) => cell.stay(),
                        }
                        kept
                    });
                    gone.await.map_err(|_| WriteError::Stopping)??;
                }
                Err(WriteError::NoTopic(_)) => {
                    cell.until(|life| life != Life::Leaving).await;
                    continue;
                }
                Err(error) => return Err(error),
            }
            return Ok(true);
        }
    }

    /// Ends a topic that has to. Its name goes on where it is the default one, or a host is
    /// attached. Tells whether it has ended.
    fn end(&self, cell: &Arc<Cell>) -> bool {
        let mut topics = self.topics_mut();
        let Some(reached) = cell.end() else {
            return false;
        };
        self.0.floor.fetch_max(reached.get(), Ordering::Relaxed);
        let name = cell.name();
        if topics.get(name).is_some_and(|now| Arc::ptr_eq(now, cell)) {
            topics.remove(name);
            if *name == self.0.default_topic || cell.sources.are_attached() {
                self.insert_empty(&mut topics, name, cell.sources.clone());
            }
        }
        drop(topics);
        self.send(Event::Gone(cell.clone()));
        true
    }

    /// A topic without a session is there for those who wait for one.
    fn forget_if_unused(&self, name: &TopicName) {
        if *name == self.0.default_topic {
            return;
        }
        let unused = |cell: &Arc<Cell>| cell.session().is_none() && cell.viewers() == 0;
        if !self.topic(name).is_some_and(|cell| unused(&cell)) {
            return;
        }
        let mut topics = self.topics_mut();
        if topics.get(name).is_some_and(|cell| cell.end_if_unused()) {
            topics.remove(name);
        }
    }

    /// Sends a host's own text to the viewers of a topic. Waits while too many texts are on
    /// their way to the shards.
    pub async fn broadcast(&self, cell: &Arc<Cell>, text: String) -> Delivery {
        // Never closed.
        let permit = self.0.texts.clone().acquire_owned().await;
        self.send_text(cell, text, permit.ok())
    }

    /// The same where nobody can wait: without a place the text is not sent.
    pub fn try_broadcast(&self, cell: &Arc<Cell>, text: String) -> usize {
        match self.0.texts.clone().try_acquire_owned() {
            Ok(permit) => {
                self.send_text(cell, text, Some(permit));
                cell.viewers()
            }
            Err(_) => 0,
        }
    }

    fn send_text(
        &self,
        cell: &Arc<Cell>,
        text: String,
        permit: Option<tokio::sync::OwnedSemaphorePermit>,
    ) -> Delivery {
        cell.sources.touch();
        let (text, delivery) = Text::new(cell, text, permit);
        self.send(Event::Text(text));
        delivery
    }

    /// Sends the whole session to every viewer of a topic once more, and tells to how many.
    pub fn send_again(&self, cell: &Arc<Cell>) -> usize {
        cell.resend();
        self.send(Event::Again(cell.clone()));
        cell.viewers()
    }

    fn send(&self, event: Event) {
        // Nobody listens: then there is nobody to tell.
        let _ = self.0.events.send(event);
        self.0.changes.send_replace(());
    }

    async fn flush(&self, cell: &Arc<Cell>) {
        // A flush that is leaving may hold the lock for long: it is not asked for then.
        if !cell.is_flushing() && cell.waiting_len() <= LARGE {
            return self.flush_now(cell);
        }
        let (hub, cell) = (self.clone(), cell.clone());
        // Ends early only with the daemon.
        let _ = tokio::task::spawn_blocking(move || hub.flush_now(&cell)).await;
    }

    fn flush_now(&self, cell: &Arc<Cell>) {
        let _order = cell.order();
        let Some(flushed) = cell.flush() else { return };
        self.0.counts.flushes.fetch_add(1, Ordering::Relaxed);
        // Nobody listens: then there is nobody to tell.
        let _ = self.0.invalidated.send(Invalidated {
            topic: cell.name().clone(),
            revision: flushed.to,
            source_id: flushed.source_id.clone(),
        });
        self.send(Event::Flush(Arc::new(flushed)));
    }

    fn topics_mut(&self) -> std::sync::RwLockWriteGuard<'_, Topics> {
        self.0
            .topics
            .write()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The topic of a name, which may have to be made.
    fn open(&self, topics: &mut Topics, name: &TopicName) -> Result<Arc<Cell>, WriteError> {
        if let Some(cell) = topics.get(name) {
            return Ok(cell.clone());
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
    ) -> Arc<Cell> {
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
    ) -> Arc<Cell> {
        let cell = Cell::new(name.clone(), topic, &self.0.flow, sources, ledger);
        let cell = Arc::new(cell);
        topics.insert(name, cell.clone());
        let flusher = self.clone().flush_when_due(cell.clone());
        self.0.tasks.spawn(flusher);
        cell
    }

    /// One topic's flusher: ends with the topic, or with the daemon after a last flush.
    async fn flush_when_due(self, cell: Arc<Cell>) {
        loop {
            tokio::select! {
                () = cell.due() => {}
                () = self.0.stop.cancelled() => break,
                () = cell.ended() => return,
            }
            if cell.is_ghost() && self.end(&cell) {
                return;
            }
            self.flush(&cell).await;
        }
        self.flush(&cell).await;
    }
}

/// Shown as how long ago, in whole milliseconds.
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
