//! What the hub tells the viewers, by way of their shards, and those who fetch for themselves.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::{OwnedSemaphorePermit, broadcast};

use super::cluster::Said;
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
    /// Every viewer of a topic is to be sent the whole session again.
    Resend(Arc<TopicEntry>),
    /// The topic was deleted.
    Deleted(Arc<TopicEntry>),
}

/// What every client of `/sync` hears: a topic can be fetched at this revision.
#[derive(Clone, Debug)]
pub struct Invalidated {
    /// The topic.
    pub topic: TopicName,
    /// At least this revision.
    pub revision: Revision,
    /// Who made the changes, if all of them come from one writer that gave its name.
    pub source_id: Option<String>,
}

/// One flush of one topic.
pub struct Flushed {
    /// The topic.
    pub entry: Arc<TopicEntry>,
    /// Viewers at this revision need exactly `frame`.
    pub from: Revision,
    /// The revision that `frame` brings them to.
    pub to: Revision,
    /// None when only a refusal was announced.
    pub frame: Option<Arc<Frame>>,
    /// Who made the changes, if all of them come from one writer that gave its name.
    pub source_id: Option<String>,
}

impl Event {
    /// The topic that it concerns.
    pub fn entry(&self) -> &Arc<TopicEntry> {
        match self {
            Event::Flush(flushed) => &flushed.entry,
            Event::Text(text) => &text.entry,
            Event::Resend(entry) | Event::Deleted(entry) => entry,
        }
    }

    /// The message that it carries.
    pub fn frame(&self) -> Option<&Arc<Frame>> {
        match self {
            Event::Flush(flushed) => flushed.frame.as_ref(),
            Event::Text(text) => Some(&text.frame),
            Event::Resend(_) | Event::Deleted(_) => None,
        }
    }
}

impl Hub {
    /// Hears everything that concerns viewers from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.0.events.subscribe()
    }

    /// Hears of all flushes from now on.
    pub fn invalidations(&self) -> broadcast::Receiver<Invalidated> {
        self.0.invalidated.subscribe()
    }

    /// Sends a host's own text to the viewers of a topic. Waits while too many texts are on their
    /// way to the shards.
    pub async fn broadcast(&self, entry: &Arc<TopicEntry>, text: String) -> Delivery {
        self.say_to_others(said(entry, &text)).await;
        // Fails only when the semaphore is closed, which it never is.
        let permit = self.0.texts.clone().acquire_owned().await.ok();
        let (text, delivery) = self.text(entry, text, permit);
        if !text.frame.is_large() {
            self.send_text(text);
        } else {
            let hub = self.clone();
            // Fails only with the daemon.
            let _ = tokio::task::spawn_blocking(move || hub.send_text(text)).await;
        }
        delivery
    }

    /// The same for callers that cannot wait: when too many texts are on their way, this one is
    /// not sent. A large text is encoded on the caller's thread. Returns how many viewers the
    /// topic has if it was sent, otherwise 0.
    pub fn try_broadcast(&self, entry: &Arc<TopicEntry>, text: String) -> usize {
        if self.0.texts.available_permits() > 0 {
            self.tell_others(said(entry, &text));
        }
        self.try_text(entry, text)
    }

    /// The same for this daemon's viewers alone.
    pub(super) fn try_text(&self, entry: &Arc<TopicEntry>, text: String) -> usize {
        match self.0.texts.clone().try_acquire_owned() {
            Ok(permit) => {
                self.send_text(self.text(entry, text, Some(permit)).0);
                entry.viewers()
            }
            Err(_) => {
                self.0.counts.pass_over(entry.viewers());
                0
            }
        }
    }

    fn text(
        &self,
        entry: &Arc<TopicEntry>,
        text: String,
        permit: Option<OwnedSemaphorePermit>,
    ) -> (Arc<Text>, Delivery) {
        entry.sources.touch();
        Text::new(entry, text, permit, &self.0.counts)
    }

    fn send_text(&self, text: Arc<Text>) {
        text.entry.encodings.encode(&text.frame);
        self.send(Event::Text(text));
    }

    /// Sends the whole session to every viewer of a topic again. Returns how many there are.
    pub fn resend_all(&self, entry: &Arc<TopicEntry>) -> usize {
        self.tell_others(|id| Said::Resend {
            id,
            topic: entry.name().to_string(),
        });
        self.resend_here(entry)
    }

    /// The same for this daemon's viewers alone.
    pub(super) fn resend_here(&self, entry: &Arc<TopicEntry>) -> usize {
        entry.resends.fetch_add(1, Ordering::Relaxed);
        self.send(Event::Resend(entry.clone()));
        entry.viewers()
    }

    pub(super) fn send(&self, event: Event) {
        // Fails when nobody listens: then there is nobody to tell.
        let _ = self.0.events.send(event);
        self.mark_change();
    }
}

/// A host's own text, for the daemons of a cluster.
fn said(entry: &TopicEntry, text: &str) -> impl FnOnce(String) -> Said {
    |id| Said::Text {
        id,
        topic: entry.name().to_string(),
        text: text.to_owned(),
    }
}
