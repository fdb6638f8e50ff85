//! Topics by name, the channel to the viewers, and the tasks that flush.

mod cell;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use cell::{Catchup, Cell, Presence, SourceGuard};

use crate::fields::Whitelist;
use crate::frame::Frame;
use crate::name::TopicName;
use crate::options::{Flow, Limits, Options};
use crate::protocol::Problem;
use crate::revision::Revision;
use crate::session::Session;
use crate::store::{Job, Kept, Store};
use crate::topic::{Change, Refusal, Rules, Topic, Writer};

type Topics = BTreeMap<TopicName, Arc<Cell>>;

/// A cheap handle to everything that is shown.
#[derive(Clone)]
pub struct Hub(Arc<Inner>);

struct Inner {
    topics: RwLock<Topics>,
    events: broadcast::Sender<Event>,
    changes: watch::Sender<()>,
    viewers: AtomicUsize,
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

/// What every shard of viewers and every `/sync` reader hears.
#[derive(Clone)]
pub enum Event {
    /// Changes leave for the viewers.
    Flush(Arc<Flushed>),
    /// A host's own text for the viewers of a topic.
    Text(Arc<Cell>, Arc<Frame>),
    /// The whole session once more, for every viewer of a topic.
    Again(Arc<Cell>),
    /// The topic was deleted.
    Gone(Arc<Cell>),
}

/// One flush of one topic.
pub struct Flushed {
    /// Whose.
    pub cell: Arc<Cell>,
    /// Viewers at this revision need exactly `frame`.
    pub from: Revision,
    /// Where they are after it.
    pub to: Revision,
    /// Nothing when every change was taken back.
    pub frame: Option<Arc<Frame>>,
    /// Who wrote last, if it named itself.
    pub source_id: Option<String>,
}

/// How a change is to be written.
#[derive(Clone, Debug, Default)]
pub struct WriteOptions {
    /// The name the writer gives itself.
    pub writer: Writer,
    /// Only if the topic still is at this revision.
    pub if_match: Option<Revision>,
    /// Only if the topic exists already.
    pub existing: bool,
}

/// A change that was accepted.
#[derive(Clone, Debug)]
pub struct Receipt {
    /// The topic's revision now.
    pub revision: Revision,
    /// Whether the session differs from before.
    pub changed: bool,
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
            changes: watch::channel(()).0,
            viewers: AtomicUsize::new(0),
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
        let mut topics = hub.topics_mut();
        for Kept {
            topic,
            revision,
            session,
        } in kept
        {
            let rules = hub.0.rules.clone();
            let restored = Topic::restore(topic.as_str(), rules, session, revision);
            hub.insert(&mut topics, topic, restored);
        }
        if !topics.contains_key(&options.topic) {
            hub.insert_empty(&mut topics, options.topic.clone());
        }
        drop(topics);
        hub
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

    /// Counts a viewer of a topic until the value is dropped; none when the limit is reached.
    pub fn enter(&self, cell: &Arc<Cell>) -> Option<Presence> {
        let limit = self.0.limits.viewers;
        let free = |viewers: usize| (viewers < limit).then_some(viewers + 1);
        self.0
            .viewers
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, free)
            .ok()?;
        self.0.counts.viewers.fetch_add(1, Ordering::Relaxed);
        Some(Presence::new(self.clone(), cell.clone()))
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
        if self.0.stop.is_cancelled() {
            return Err(WriteError::Stopping);
        }
        let (cell, written) = loop {
            let cell = self.to_write(name, &options)?;
            let written = self.write_durably(&cell, change.clone(), &options).await;
            match written {
                // Deleted in between: the name stands for another topic by now, or for none.
                Err(WriteError::NoTopic(_)) if cell.ended().is_cancelled() => {
                    if self.0.stop.is_cancelled() {
                        return Err(WriteError::Stopping);
                    }
                }
                written => break (cell, written),
            }
        };
        let counts = &self.0.counts;
        let count = if written.is_ok() {
            &counts.writes
        } else {
            &counts.refusals
        };
        count.fetch_add(1, Ordering::Relaxed);
        if cell.flushes_at_once() {
            self.flush(&cell);
        }
        self.0.changes.send_replace(());
        written
    }

    fn to_write(&self, name: &TopicName, options: &WriteOptions) -> Result<Arc<Cell>, WriteError> {
        match self.topic(name) {
            Some(cell) => Ok(cell),
            None if options.existing || options.if_match.is_some() => {
                Err(WriteError::NoTopic(name.to_string()))
            }
            None => self.open(name),
        }
    }

    async fn write_durably(
        &self,
        cell: &Cell,
        change: Change,
        options: &WriteOptions,
    ) -> Result<Receipt, WriteError> {
        let permit = self.permit().await?;
        let (receipt, commit) = cell.write(change, options, permit)?;
        if let Some(commit) = commit {
            cell.committed(commit).await?;
        }
        Ok(receipt)
    }

    /// Waits for a place in the store's queue, if there is a store.
    async fn permit(&self) -> Result<Option<mpsc::Permit<'_, Job>>, WriteError> {
        match &self.0.store {
            Some(store) => store
                .jobs()
                .reserve()
                .await
                .map(Some)
                .map_err(|_| WriteError::Stopping),
            None => Ok(None),
        }
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

    /// Makes sure there is such a topic, so that viewers can wait for its first session.
    ///
    /// # Errors
    /// When there are too many already.
    pub fn open(&self, name: &TopicName) -> Result<Arc<Cell>, WriteError> {
        let mut topics = self.topics_mut();
        if let Some(cell) = topics.get(name) {
            return Ok(cell.clone());
        }
        if topics.len() >= self.0.limits.topics {
            return Err(WriteError::Full(self.0.limits.topics));
        }
        Ok(self.insert_empty(&mut topics, name.clone()))
    }

    /// Drops a topic, if it still is at the revision that is `expected`; its viewers are
    /// closed. The default topic stays, without a session. Tells whether there was a session
    /// to drop.
    ///
    /// # Errors
    /// When it is at another revision by now, or when the store cannot forget it: then it is
    /// there again, as it was kept.
    pub async fn delete(
        &self,
        name: &TopicName,
        expected: Option<Revision>,
    ) -> Result<bool, WriteError> {
        let permit = self.permit().await?;
        let (cell, commit) = {
            let mut topics = self.topics_mut();
            let known = topics.get(name).filter(|cell| cell.session().is_some());
            let Some(cell) = known.cloned() else {
                return Ok(false);
            };
            let commit = cell.retire(expected, permit)?;
            topics.remove(name);
            if *name == self.0.default_topic {
                self.insert_empty(&mut topics, name.clone());
            }
            (cell, commit)
        };
        self.send(Event::Gone(cell.clone()));
        let Some(commit) = commit else {
            return Ok(true);
        };
        if let Err(error) = cell.committed(commit).await {
            self.bring_back(&cell);
            return Err(error);
        }
        Ok(true)
    }

    /// A topic that the store could not forget is there again, as the store has it.
    fn bring_back(&self, cell: &Cell) {
        let Some((revision, session)) = cell.durable() else {
            return;
        };
        let mut topics = self.topics_mut();
        let name = cell.name();
        if topics
            .get(name)
            .is_none_or(|other| other.session().is_none())
        {
            let rules = self.0.rules.clone();
            let topic = Topic::restore(name.as_str(), rules, session, revision);
            self.insert(&mut topics, name.clone(), topic);
        }
    }

    /// Sends a host's own text to the viewers of a topic, and tells to how many.
    pub fn broadcast(&self, cell: &Arc<Cell>, text: String) -> usize {
        cell.touch();
        self.send(Event::Text(cell.clone(), Arc::new(Frame::verbatim(text))));
        cell.viewers()
    }

    /// Sends the whole session to every viewer of a topic once more, and tells to how many.
    pub fn send_again(&self, cell: &Arc<Cell>) -> usize {
        self.send(Event::Again(cell.clone()));
        cell.viewers()
    }

    fn send(&self, event: Event) {
        // Nobody listens: then there is nobody to tell.
        let _ = self.0.events.send(event);
        self.0.changes.send_replace(());
    }

    fn flush(&self, cell: &Arc<Cell>) {
        if let Some(flushed) = cell.flush() {
            self.0.counts.flushes.fetch_add(1, Ordering::Relaxed);
            self.send(Event::Flush(Arc::new(flushed)));
        }
    }

    fn topics_mut(&self) -> std::sync::RwLockWriteGuard<'_, Topics> {
        self.0
            .topics
            .write()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn insert_empty(&self, topics: &mut Topics, name: TopicName) -> Arc<Cell> {
        let topic = Topic::new(name.as_str(), self.0.rules.clone());
        self.insert(topics, name, topic)
    }

    fn insert(&self, topics: &mut Topics, name: TopicName, topic: Topic) -> Arc<Cell> {
        let ended = self.0.stop.child_token();
        let cell = Arc::new(Cell::new(name.clone(), topic, &self.0.flow, ended));
        topics.insert(name, cell.clone());
        let flusher = self.clone().flush_when_due(cell.clone());
        self.0.tasks.spawn(flusher);
        cell
    }

    /// One topic's flusher: ends with the topic or with the daemon, after a last flush.
    async fn flush_when_due(self, cell: Arc<Cell>) {
        while let Some(wait) = cell.next_deadline().await {
            let pause = tokio::time::sleep_until(wait);
            let ended = cell.ended().run_until_cancelled(pause).await.is_none();
            if cell.is_due() && !ended {
                self.flush(&cell);
            }
        }
        self.flush(&cell);
    }
}

/// Shown as how long ago, in whole milliseconds.
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
