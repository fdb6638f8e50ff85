//! Those who may change a topic and those who watch it, counted while they are there.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::{Hub, TopicEntry};
use crate::state::name::TopicName;
use crate::wire::SourceState;
use crate::wire::frame::Encoding;

/// Nothing heard for so long is silence.
const SILENT: Duration = Duration::from_secs(30);

/// The sources of a topic, and of the next one of that name: a deleted topic's host stays
/// attached to the name.
pub struct Sources(Mutex<Heard>);

struct Heard {
    attached: usize,
    ever_attached: bool,
    last: Instant,
}

impl Sources {
    pub(super) fn new() -> Sources {
        Sources(Mutex::new(Heard {
            attached: 0,
            ever_attached: false,
            last: Instant::now(),
        }))
    }

    /// A host was heard of.
    pub(super) fn touch(&self) {
        self.heard().last = Instant::now();
    }

    pub(super) fn are_attached(&self) -> bool {
        self.heard().attached > 0
    }

    /// For how long nothing was heard, and what that means.
    pub(super) fn state(&self) -> (Duration, SourceState) {
        let heard = self.heard();
        let silence = heard.last.elapsed();
        let state = match (heard.attached, heard.ever_attached) {
            (1.., _) => SourceState::Alive,
            (0, true) => SourceState::Ended,
            (0, false) if silence < SILENT => SourceState::Alive,
            (0, false) => SourceState::Silent,
        };
        (silence, state)
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A source that may change its topic, counted while this lives.
pub struct SourceGuard {
    hub: Hub,
    name: TopicName,
    sources: Arc<Sources>,
}

impl SourceGuard {
    pub(super) fn new(hub: Hub, name: TopicName, sources: Arc<Sources>) -> SourceGuard {
        let mut heard = sources.heard();
        heard.attached += 1;
        heard.ever_attached = true;
        drop(heard);
        SourceGuard { hub, name, sources }
    }
}

impl Drop for SourceGuard {
    fn drop(&mut self) {
        self.sources.heard().attached -= 1;
        self.hub.forget_if_unused(&self.name);
    }
}

/// A place among those who watch, viewers and readers of `/sync` alike, taken while this lives.
pub struct Place(Hub);

impl Place {
    /// None when `limit` places are taken.
    pub(super) fn new(hub: &Hub, limit: usize) -> Option<Place> {
        let free = |taken: usize| (taken < limit).then_some(taken + 1);
        let places = &hub.0.places;
        places
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, free)
            .ok()?;
        Some(Place(hub.clone()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.0.places.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A connected viewer, counted while this lives.
pub struct Presence {
    entry: Arc<TopicEntry>,
    place: Place,
    encoding: Option<Encoding>,
}

impl Presence {
    pub(super) fn new(place: Place, entry: Arc<TopicEntry>) -> Presence {
        let inner = &place.0.0;
        entry.viewers.fetch_add(1, Ordering::Relaxed);
        inner.viewers.fetch_add(1, Ordering::Relaxed);
        inner.counts.viewers.fetch_add(1, Ordering::Relaxed);
        inner.changes.send_replace(());
        Presence {
            entry,
            place,
            encoding: None,
        }
    }

    /// From now on what is sent to the topic's viewers is encoded for this one before it leaves.
    pub fn receives(&mut self, encoding: Encoding) {
        self.entry.encodings.add(encoding);
        let before = self.encoding.replace(encoding);
        before
            .into_iter()
            .for_each(|before| self.entry.encodings.remove(before));
    }

    /// What the viewer watches.
    pub fn entry(&self) -> &Arc<TopicEntry> {
        &self.entry
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        let hub = &self.place.0;
        self.encoding
            .into_iter()
            .for_each(|encoding| self.entry.encodings.remove(encoding));
        self.entry.viewers.fetch_sub(1, Ordering::Relaxed);
        hub.0.viewers.fetch_sub(1, Ordering::Relaxed);
        hub.forget_if_unused(self.entry.name());
        hub.0.changes.send_replace(());
    }
}
