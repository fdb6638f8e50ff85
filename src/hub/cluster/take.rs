//! The one way into what is shared: what the bucket holds is shown.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::time::Instant;

use super::super::Hub;
use super::super::authors::Authors;
use super::super::clock::changed_at;
use super::super::entry::TopicEntry;
use super::super::receipt::WriteError;
use super::part::{Cluster, Maker};
use super::shared::{Recorded, Shared, Taken};
use super::slots::Slot;
use crate::cluster::{Entry, Held, Record};
use crate::state::name::TopicName;
use crate::state::revision::Revision;
use crate::state::topic::Arrival;

impl Hub {
    /// Takes an entry as the bucket holds it.
    pub(super) fn take<Of: Shared>(&self, cluster: &Cluster, of: &Of, entry: &Entry) -> Taken {
        let share = Of::share(cluster);
        if !share.slots().is_news(of, entry.number) || !of.is_shared(self) {
            return Taken::Shown;
        }
        let Some(value) = &entry.value else {
            let number = entry.number;
            let slot = Slot {
                number,
                ..Slot::default()
            };
            share.slots().set(of, slot);
            return Taken::Older;
        };
        match of.read(value) {
            Ok(record) => self.take_record(cluster, of, entry.number, &record),
            Err(error) => {
                let (name, key) = (&share.name, &entry.key);
                let error = format!(
                    "what the bucket {name:?} holds under {key:?} cannot be read, and is left as it is: {error}"
                );
                tracing::error!("{error} (--nats-bucket)");
                let slot = Slot {
                    number: entry.number,
                    unread: Some(error),
                    ..Slot::default()
                };
                share.slots().set(of, slot);
                Taken::Shown
            }
        }
    }

    /// Takes a record as it is in the bucket since the write of this number.
    pub(super) fn take_record<Of: Shared>(
        &self,
        cluster: &Cluster,
        of: &Of,
        number: u64,
        record: &Of::Record,
    ) -> Taken {
        let (share, slot) = (Of::share(cluster), record.slot(number));
        let last = slot.recent.last();
        let maker = last.and_then(|(_, mark)| share.makers().remove(mark));
        let taken = of.show(self, record, maker);
        // After the state: whoever drafts takes the number first, and then the state.
        let mut slots = share.slots();
        if slots.is_news(of, number) {
            slots.set(of, slot);
        }
        taken
    }

    /// Shows a topic as the bucket holds it.
    pub(super) fn take_topic(
        &self,
        topic: &TopicName,
        record: &Record,
        maker: Option<Maker>,
    ) -> Taken {
        match &record.held {
            Ok(held) => self.take_held(topic, held, record, maker),
            Err(deleted) => self.take_deletion(topic, *deleted, maker),
        }
    }

    fn take_held(
        &self,
        topic: &TopicName,
        held: &Held,
        record: &Record,
        maker: Option<Maker>,
    ) -> Taken {
        let entry = match self.shared_entry(topic) {
            Ok(entry) => entry,
            Err(error) => {
                let cluster = self.0.cluster.as_ref();
                if cluster.is_some_and(|cluster| !cluster.left_out.swap(true, Ordering::Relaxed)) {
                    tracing::error!(%topic, "another daemon has made it, and others may follow, but here {error}");
                }
                return Taken::Shown;
            }
        };
        let arrival = Arrival {
            version: held.version.clone(),
            structural: Some(held.structural),
            known: record
                .recent
                .iter()
                .map(|(revision, _)| *revision)
                .collect(),
            fields: None,
        };
        let taken = entry.take(arrival, maker);
        self.mark_change();
        taken
    }

    fn take_deletion(&self, topic: &TopicName, deleted: Revision, maker: Option<Maker>) -> Taken {
        let Some(entry) = self.topic(topic) else {
            return Taken::Shown;
        };
        {
            let state = entry.state();
            if state.topic.session().is_none() {
                return Taken::Shown;
            }
            if state.topic.revision() > deleted {
                return Taken::Older;
            }
        }
        let address = maker.and_then(|maker| maker.options.address);
        if entry.retire(None, address, None).is_ok() {
            self.0.floor.fetch_max(deleted.get(), Ordering::Relaxed);
            self.end(&entry, address);
        }
        Taken::Shown
    }

    /// The topic of this name, which another daemon may just have made.
    fn shared_entry(&self, topic: &TopicName) -> Result<Arc<TopicEntry>, WriteError> {
        let mut topics = self.topics_mut();
        if let Some(entry) = topics.get(topic) {
            return Ok(entry.clone());
        }
        self.has_room(&topics)?;
        let entry = self.unlisted(topic, self.sources(topic));
        self.list(&mut topics, &entry);
        Ok(entry)
    }
}

impl TopicEntry {
    fn take(&self, arrival: Arrival, maker: Option<Maker>) -> Taken {
        self.sources.touch();
        let mut state = self.state();
        let (before, after) = (state.topic.revision(), arrival.version.revision);
        let is_first = state.topic.session().is_none();
        if !is_first && after <= before {
            return match after < before {
                true => Taken::Older,
                false => Taken::Shown,
            };
        }
        state.topic.follow(arrival);
        let replaced = match maker {
            Some(Maker { options, found }) => {
                state.tell_accepted(&options, &found, after);
                self.note(&mut state, &options)
            }
            None => {
                let replaced = self.note(&mut state, &Default::default());
                state.authors = Authors::Several;
                if is_first {
                    state.changed = changed_at(after).or(Some(Instant::now()));
                }
                replaced
            }
        };
        drop(state);
        drop(replaced);
        Taken::Shown
    }
}
