//! Topics by name: how one comes to be listed, and how it goes.

use std::net::IpAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, RwLockReadGuard, RwLockWriteGuard};

use super::entry::TopicEntry;
use super::job::{Intent, Outcome};
use super::life::{Life, Turn};
use super::receipt::WriteError;
use super::sources::Sources;
use super::{Event, Hub, Topics, log};
use crate::state::name::TopicName;
use crate::state::revision::Revision;
use crate::state::topic::Topic;

impl Hub {
    /// All topics, by name; some may wait for their first session.
    pub fn topics(&self) -> Vec<Arc<TopicEntry>> {
        self.listed().values().cloned().collect()
    }

    /// One topic.
    pub fn topic(&self, name: &TopicName) -> Option<Arc<TopicEntry>> {
        self.listed().get(name).cloned()
    }

    fn listed(&self) -> RwLockReadGuard<'_, Topics> {
        let topics = self.0.topics.read();
        topics.unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn topics_mut(&self) -> RwLockWriteGuard<'_, Topics> {
        let topics = self.0.topics.write();
        topics.unwrap_or_else(PoisonError::into_inner)
    }

    /// The topic of a name, listed for somebody who waits for its first session if need be.
    pub(super) fn open(
        &self,
        topics: &mut Topics,
        name: &TopicName,
    ) -> Result<Arc<TopicEntry>, WriteError> {
        if let Some(entry) = topics.get(name) {
            return Ok(entry.clone());
        }
        self.has_room(topics)?;
        let entry = self.unlisted(name, self.sources(name));
        self.list(topics, &entry);
        Ok(entry)
    }

    pub(super) fn has_room(&self, topics: &Topics) -> Result<(), WriteError> {
        // Those that show rooms are as many as there may be rooms.
        let are_hosts = |name: &&TopicName| self.shown_room(name).is_none();
        match topics.keys().filter(are_hosts).count() < self.0.limits.topics {
            true => Ok(()),
            false => Err(WriteError::Full(self.0.limits.topics)),
        }
    }

    /// A topic that does not exist yet for anybody else.
    pub(super) fn unlisted(&self, name: &TopicName, sources: Arc<Sources>) -> Arc<TopicEntry> {
        let topic = Topic::new(name.as_str(), self.0.rules.clone(), self.floor());
        // What shows a room shows what is durable, and what is relayed is kept elsewhere.
        let is_own = self.shown_room(name).is_none() && self.relay(name).is_none();
        let is_kept = self.0.jobs.is_some() && is_own;
        let durability = is_kept.then(Default::default);
        let entry = TopicEntry::new(name.clone(), topic, durability, &self.0.flow, sources);
        entry.join_the_others(self.is_frozen());
        Arc::new(entry)
    }

    /// From now on it exists.
    pub(super) fn list(&self, topics: &mut Topics, entry: &Arc<TopicEntry>) {
        entry.begin();
        entry.join_the_others(self.is_frozen());
        topics.insert(entry.name().clone(), entry.clone());
        let flusher = self.clone().flush_when_due(entry.clone());
        self.0.tasks.spawn(flusher);
    }

    /// The largest revision of a topic that has ended: the next one of its name goes on from it.
    pub(super) fn floor(&self) -> Revision {
        let floor = self.0.floor.load(Ordering::Relaxed);
        Revision::new(floor).unwrap_or_default()
    }

    /// Takes a topic that has ended off the list. Its name goes on with an empty one where it is
    /// the default, or a source is attached; returns whether it does.
    pub(super) fn unlist(&self, topics: &mut Topics, entry: &TopicEntry) -> bool {
        let (name, reached) = (entry.name(), entry.state().topic.revision());
        if self.relay(name).is_none() {
            self.0.floor.fetch_max(reached.get(), Ordering::Relaxed);
        }
        topics.remove(name);
        let goes_on = *name == self.0.default_topic || entry.sources.are_attached();
        if goes_on {
            let next = self.unlisted(name, entry.sources.clone());
            self.list(topics, &next);
        }
        goes_on
    }

    /// Forgets a topic without a session, unless somebody waits for one.
    pub(super) fn forget_if_unused(&self, name: &TopicName) {
        let is_unused = |entry: &Arc<TopicEntry>| entry.life() == Life::Empty && !entry.is_used();
        if *name == self.0.default_topic || !self.topic(name).as_ref().is_some_and(is_unused) {
            return;
        }
        let mut topics = self.topics_mut();
        let entry = topics.get(name).cloned();
        if let Some(entry) = entry.filter(|entry| entry.end_if_unused()) {
            self.unlist(&mut topics, &entry);
        }
    }

    /// Ends a topic whose deletion is kept, or need not be.
    pub(super) fn end(&self, entry: &Arc<TopicEntry>, address: Option<IpAddr>) {
        let viewers = entry.viewers();
        let mut topics = self.topics_mut();
        if !entry.turn(&entry.state(), Turn::Deleted) {
            return;
        }
        self.unlist(&mut topics, entry);
        drop(topics);
        self.send(Event::Deleted(entry.clone()));
        log::deleted(entry.name(), viewers, address);
    }

    /// Takes back what the store has lost. A topic may end with its first session.
    pub(super) fn lose(&self, entry: &Arc<TopicEntry>) {
        let mut topics = self.topics_mut();
        if !entry.lose() {
            drop(topics);
            return self.forget_if_unused(entry.name());
        }
        let is_missed = self.unlist(&mut topics, entry) || entry.viewers() > 0;
        drop(topics);
        self.send(Event::Deleted(entry.clone()));
        if is_missed {
            log::lost(entry.name());
        }
    }

    /// Does all that follows from the outcome of a change. No writer's future is needed for it.
    pub(super) fn settle(&self, entry: &Arc<TopicEntry>, intent: Intent, outcome: &Outcome) {
        let (counts, stands) = (&self.0.counts, !matches!(outcome, Outcome::Lost(_)));
        match intent {
            Intent::Write { made, address } if stands => {
                counts.writes.fetch_add(1, Ordering::Relaxed);
                if made {
                    log::made(entry.name(), address);
                }
            }
            Intent::Write { .. } => _ = counts.refusals.fetch_add(1, Ordering::Relaxed),
            Intent::Delete { address } if stands => self.end(entry, address),
            // A deletion that was lost has been called off with the changes before it.
            Intent::Delete { .. } | Intent::Announce => {}
        }
        self.mark_change();
    }
}
