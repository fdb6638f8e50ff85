//! What leaves the hub: flushes, texts, and the ends of topics; and what has happened.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{OwnedSemaphorePermit, broadcast};

use super::{Delivery, Hub, Text, TopicEntry};
use crate::state::name::TopicName;
use crate::state::revision::Revision;
use crate::wire::frame::Frame;

/// What every shard of viewers hears.
#[derive(Clone)]
pub enum Event {
    /// Changes leave for the viewers.
    Flush(Arc<Flushed>),
    /// A host's own text for the viewers of a topic.
    Text(Arc<Text>),
    /// The whole session once more, for every viewer of a topic.
    Resend(Arc<TopicEntry>),
    /// The topic was deleted.
    Deleted(Arc<TopicEntry>),
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
    pub entry: Arc<TopicEntry>,
    /// Viewers at this revision need exactly `frame`.
    pub from: Revision,
    /// Where they are after it.
    pub to: Revision,
    /// Nothing when only a refusal was announced.
    pub frame: Option<Arc<Frame>>,
    /// Who wrote, if all of it is of one that named itself.
    pub source_id: Option<String>,
}

/// What has happened since the start.
#[derive(Default)]
pub struct Counts {
    pub(super) viewers: AtomicU64,
    pub(super) writes: AtomicU64,
    pub(super) refusals: AtomicU64,
    pub(super) flushes: AtomicU64,
    pub(super) passed_over: AtomicU64,
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

    /// So many viewers could not be given a text.
    pub(super) fn pass_over(&self, viewers: usize) {
        self.passed_over
            .fetch_add(viewers as u64, Ordering::Relaxed);
    }

    /// Hosts' texts that a viewer could not be given, by viewer.
    pub fn passed_over(&self) -> u64 {
        self.passed_over.load(Ordering::Relaxed)
    }
}

impl Hub {
    /// Hears all that concerns viewers from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.0.events.subscribe()
    }

    /// Hears of all flushes from now on.
    pub fn invalidations(&self) -> broadcast::Receiver<Invalidated> {
        self.0.invalidated.subscribe()
    }

    /// Sends a host's own text to the viewers of a topic. Waits while too many texts are on
    /// their way to the shards.
    pub async fn broadcast(&self, entry: &Arc<TopicEntry>, text: String) -> Delivery {
        // Never closed.
        let permit = self.0.texts.clone().acquire_owned().await;
        self.send_text(entry, text, permit.ok())
    }

    /// The same where nobody can wait: without a place the text is not sent.
    pub fn try_broadcast(&self, entry: &Arc<TopicEntry>, text: String) -> usize {
        match self.0.texts.clone().try_acquire_owned() {
            Ok(permit) => {
                self.send_text(entry, text, Some(permit));
                entry.viewers()
            }
            Err(_) => {
                self.0.counts.pass_over(entry.viewers());
                0
            }
        }
    }

    fn send_text(
        &self,
        entry: &Arc<TopicEntry>,
        text: String,
        permit: Option<OwnedSemaphorePermit>,
    ) -> Delivery {
        entry.sources.touch();
        let (text, delivery) = Text::new(entry, text, permit, &self.0.counts);
        self.send(Event::Text(text));
        delivery
    }

    /// Sends the whole session to every viewer of a topic once more, and tells to how many.
    pub fn resend_all(&self, entry: &Arc<TopicEntry>) -> usize {
        entry.resend();
        self.send(Event::Resend(entry.clone()));
        entry.viewers()
    }

    pub(super) fn send(&self, event: Event) {
        // Nobody listens: then there is nobody to tell.
        let _ = self.0.events.send(event);
        self.0.changes.send_replace(());
    }
}
