//! Those who may change a topic and those who watch it, counted while they are there.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Hub;
use super::entry::{TopicEntry, count};
use super::receipt::WriteError;
use super::sources::{Elsewhere, Sources};
use crate::state::name::TopicName;
use crate::wire::frame::Encoding;

/// A source that may change the topics of a name, one after the other, counted while this lives.
pub struct SourceGuard {
    hub: Hub,
    name: TopicName,
    sources: Arc<Sources>,
    /// It goes in order: whoever writes once and leaves is not missed.
    left: bool,
}

/// A place among those who watch, viewers and readers of `/sync` alike, taken while this lives.
pub struct Place {
    hub: Hub,
    is_taken: bool,
}

/// A connected viewer, counted while this lives.
pub struct Presence {
    entry: Arc<TopicEntry>,
    place: Place,
    encoding: Option<Encoding>,
    is_behind: bool,
    is_counted: bool,
}

impl Hub {
    /// Takes one of the places of those who watch until the value is dropped; none when all
    /// are taken.
    pub fn place(&self) -> Option<Place> {
        let limit = self.0.limits.viewers;
        let free = |taken: usize| (taken < limit).then_some(taken + 1);
        let places = &self.0.places;
        let taken = places.fetch_update(Ordering::Relaxed, Ordering::Relaxed, free);
        taken.is_ok().then(|| self.taken())
    }

    /// Takes a place even if all are taken, for a viewer whose older connection gives up its own.
    pub fn place_of_its_own(&self) -> Place {
        self.0.places.fetch_add(1, Ordering::Relaxed);
        self.taken()
    }

    fn taken(&self) -> Place {
        Place {
            hub: self.clone(),
            is_taken: true,
        }
    }

    /// Counts a viewer of a topic until the value is dropped. The topic may have ended: then the
    /// viewer is to be told so.
    pub fn enter(&self, entry: &Arc<TopicEntry>, place: Place) -> Presence {
        let mut presence = self.enter_uncounted(entry, place);
        self.0.counts.viewers.fetch_add(1, Ordering::Relaxed);
        presence.set_counted(true);
        presence
    }

    /// The same for a host that looks on at its own topic, and is no viewer.
    pub fn enter_uncounted(&self, entry: &Arc<TopicEntry>, place: Place) -> Presence {
        entry.count_watching(true);
        Presence {
            entry: entry.clone(),
            place,
            encoding: None,
            is_behind: false,
            is_counted: false,
        }
    }

    /// The sources of a new topic.
    pub(super) fn sources(&self, name: &TopicName) -> Arc<Sources> {
        let elsewhere = match (self.relay(name), self.cluster_of(name)) {
            (Some(relay), _) => Elsewhere::Upstream(relay.clone()),
            (_, Some(cluster)) => Elsewhere::Cluster(cluster.clone()),
            _ => Elsewhere::Nowhere,
        };
        let (place, news) = (self.place_of(name), self.0.news.clone());
        Arc::new(Sources::new(elsewhere, place, news))
    }

    /// Counts a source that may change a topic, which need not exist yet, until the value is
    /// dropped. When the topic is deleted, the source is attached to the next one of the name.
    ///
    /// # Errors
    /// When there are too many topics already.
    pub fn attach(&self, name: &TopicName) -> Result<SourceGuard, WriteError> {
        self.may_be_written(name)?;
        self.attach_source(name)
    }

    /// The same, whoever else may write it.
    pub(super) fn attach_source(&self, name: &TopicName) -> Result<SourceGuard, WriteError> {
        let mut topics = self.topics_mut();
        let entry = self.open(&mut topics, name)?;
        let sources = entry.sources.clone();
        // Under the lock of the topics, so that it does not end unused in between.
        sources.attach();
        Ok(SourceGuard {
            hub: self.clone(),
            name: name.clone(),
            sources,
            left: false,
        })
    }
}

impl SourceGuard {
    /// Ends in order. A source that is only dropped has been lost.
    pub fn leave(mut self) {
        self.left = true;
    }
}

impl Presence {
    /// From now on what is sent to the topic's viewers is encoded for this one before it leaves.
    pub fn receives(&mut self, encoding: Encoding) {
        self.entry.encodings.add(encoding);
        if let Some(before) = self.encoding.replace(encoding) {
            self.entry.encodings.remove(before);
        }
    }

    /// It has missed a flush because it took nothing, or was sent what it lacked.
    pub fn set_behind(&mut self, behind: bool) {
        let behind = behind && self.is_counted;
        if self.is_behind != behind {
            self.is_behind = behind;
            self.entry.count_behind(behind);
        }
    }

    /// Whether it counts as a viewer.
    pub fn is_counted(&self) -> bool {
        self.is_counted
    }

    /// It is a viewer no more, although it is still connected: it does not count, and its place is
    /// free.
    pub fn retire(&mut self) {
        self.set_counted(false);
        self.place.free();
    }

    fn set_counted(&mut self, counts: bool) {
        if self.is_counted != counts {
            self.set_behind(false);
            self.is_counted = counts;
            let hub = &self.place.hub;
            self.entry.count_viewer(counts);
            count(&hub.0.viewers, counts);
            hub.mark_change();
        }
    }

    /// What the viewer watches.
    pub fn entry(&self) -> &Arc<TopicEntry> {
        &self.entry
    }
}

impl Drop for SourceGuard {
    fn drop(&mut self) {
        // A daemon that stops says so itself.
        let left = self.left || self.hub.0.stop.is_cancelled();
        self.sources.detach(left);
        self.hub.forget_if_unused(&self.name);
    }
}

impl Place {
    fn free(&mut self) {
        if std::mem::take(&mut self.is_taken) {
            self.hub.0.places.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.free();
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        if let Some(encoding) = self.encoding {
            self.entry.encodings.remove(encoding);
        }
        self.set_counted(false);
        self.entry.count_watching(false);
        self.place.hub.forget_if_unused(self.entry.name());
        self.place.hub.mark_change();
    }
}
