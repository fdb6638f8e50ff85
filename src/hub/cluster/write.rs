//! The ways into a shared topic: writes, deletions, refusals; and what was lost is written back.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::super::Hub;
use super::super::change::{Write, receipt};
use super::super::clock::unix_micros;
use super::super::entry::TopicEntry;
use super::super::job::{Intent, Outcome};
use super::super::receipt::{Deleted, Found, Receipt, WriteError, WriteOptions};
use super::part::{Cluster, Maker};
use super::put::{Made, Make};
use super::slots::Slot;
use crate::cluster::{Held, Record};
use crate::state::name::TopicName;
use crate::state::revision::Revision;
use crate::state::topic::Draft;

impl Hub {
    /// The cluster, if a topic is shared with its daemons. What shows a room is made of its rows here.
    pub(in crate::hub) fn cluster_of(&self, topic: &TopicName) -> Option<&Arc<Cluster>> {
        let cluster = self.0.cluster.as_ref();
        cluster.filter(|_| self.shown_room(topic).is_none())
    }

    /// Whether the daemon is one of a cluster.
    pub(in crate::hub) fn is_in_cluster(&self) -> bool {
        self.0.cluster.is_some()
    }

    /// Whether a topic is shared with the daemons of a cluster.
    pub(super) fn is_shared(&self, topic: &TopicName) -> bool {
        self.cluster_of(topic).is_some()
    }

    /// Writes a change, whether or not somebody still waits for it.
    pub(in crate::hub) async fn write_shared(
        &self,
        cluster: &Arc<Cluster>,
        name: &TopicName,
        write: &Arc<Write>,
    ) -> Result<Receipt, WriteError> {
        let (hub, topic, what) = (self.clone(), name.clone(), write.clone());
        let make = move |slot: &Slot| {
            let entry = hub.to_write(&topic, &what.options)?;
            entry.draft(&what, slot)
        };
        let written = self.finish(cluster, name, Arc::new(make)).await;
        match &written {
            Ok(receipt) => {
                let (made, address) = (receipt.created, write.options.address);
                if let Some(entry) = self.topic(name) {
                    self.settle(&entry, Intent::Write { made, address }, &Outcome::Kept);
                }
            }
            Err(WriteError::Refused(_)) => self.announce_shared(cluster, name),
            Err(_) => {}
        }
        written
    }

    /// Deletes a topic for all daemons.
    pub(in crate::hub) async fn delete_shared(
        &self,
        cluster: &Arc<Cluster>,
        name: &TopicName,
        expected: Option<Revision>,
        address: Option<IpAddr>,
    ) -> Result<Deleted, WriteError> {
        let (hub, topic) = (self.clone(), name.clone());
        let make = move |slot: &Slot| {
            let no_topic = || WriteError::NoTopic(topic.to_string());
            let entry = hub.topic(&topic).ok_or_else(no_topic)?;
            let deleted = entry.draft_deletion(expected, slot)?;
            let options = WriteOptions {
                address,
                ..WriteOptions::default()
            };
            Ok(Made {
                record: Record {
                    held: Err(deleted),
                    recent: slot.recent.clone(),
                },
                maker: Some(Maker {
                    options,
                    found: Found::Nothing(Vec::new()),
                }),
                answer: Deleted::Gone,
            })
        };
        match self.finish(cluster, name, Arc::new(make)).await {
            Err(WriteError::NoTopic(_)) => Ok(Deleted::Nothing),
            ended => ended,
        }
    }

    /// Gives the session a new revision, so that whoever shows what was refused fetches the truth. Nobody
    /// waits for that.
    pub(in crate::hub) fn announce_shared(&self, cluster: &Arc<Cluster>, name: &TopicName) {
        let write_anew = |held: Held, slot: &Slot| {
            let mut held = held;
            let now = unix_micros().max(slot.revision.next(0).get());
            held.version.revision = held.version.revision.next(now);
            Some(held)
        };
        self.put_present(cluster, name, write_anew);
    }

    /// Writes what this daemon knows of a topic into a bucket that holds less.
    pub(super) fn write_topic_back(&self, cluster: &Arc<Cluster>, name: &TopicName) {
        let if_newer = |held: Held, slot: &Slot| {
            let is_newer = slot.number == 0 || held.version.revision > slot.revision;
            is_newer.then_some(held)
        };
        self.put_present(cluster, name, if_newer);
    }

    fn put_present(
        &self,
        cluster: &Arc<Cluster>,
        name: &TopicName,
        change: impl Fn(Held, &Slot) -> Option<Held> + Send + Sync + 'static,
    ) {
        let (hub, topic) = (self.clone(), name.clone());
        let make = move |slot: &Slot| {
            let no_topic = || WriteError::NoTopic(topic.to_string());
            let entry = hub.topic(&topic).ok_or_else(no_topic)?;
            let held = entry.state().topic.held();
            let held = held.map(|(version, structural)| Held {
                version,
                structural,
            });
            let held = held
                .and_then(|held| change(held, slot))
                .ok_or_else(no_topic)?;
            Ok(Made {
                record: Record {
                    held: Ok(held),
                    recent: slot.recent.clone(),
                },
                maker: None,
                answer: (),
            })
        };
        let (hub, cluster, name) = (self.clone(), cluster.clone(), name.clone());
        self.0.tasks.spawn(async move {
            let stop = hub.0.stop.clone();
            let put = hub.put(&cluster, &name, Arc::new(make));
            match stop.run_until_cancelled(put).await {
                Some(Ok(())) => tracing::debug!(topic = %name, "its present state was written"),
                // There is nothing to write.
                None | Some(Err(WriteError::NoTopic(_))) => {}
                Some(Err(error)) => {
                    tracing::warn!(topic = %name, "it could not be written: {error}")
                }
            }
        });
    }

    /// Writes to the end, also when nobody waits for it any more.
    async fn finish<T: Send + 'static>(
        &self,
        cluster: &Arc<Cluster>,
        name: &TopicName,
        make: Make<TopicName, T>,
    ) -> Result<T, WriteError> {
        let (hub, cluster, name) = (self.clone(), cluster.clone(), name.clone());
        let put = async move { hub.put(&cluster, &name, make).await };
        // Ends early only with the daemon.
        self.0
            .tasks
            .spawn(put)
            .await
            .map_err(|_| WriteError::Stopping)?
    }
}

impl TopicEntry {
    /// What a change makes of the newest state that is known.
    fn draft(&self, write: &Write, slot: &Slot) -> Result<Made<TopicName, Receipt>, WriteError> {
        let Write { change, options } = write;
        self.warn_of_rounding(change);
        let base = {
            let state = self.state();
            self.may_write(&state, options)?;
            state.topic.base()
        };
        let applied = base.apply(change, &AtomicBool::new(false));
        let now = unix_micros().max(slot.revision.next(0).get());
        let state = self.state();
        self.may_write(&state, options)?;
        let created = state.topic.session().is_none();
        let draft = state.topic.draft(change, applied, now, &options.writer)?;
        drop(state);
        let Draft {
            version,
            structural,
            written,
        } = draft;
        let (receipt, _) = receipt(written, &version, created);
        Ok(Made {
            record: Record {
                held: Ok(Held {
                    version,
                    structural,
                }),
                recent: slot.recent.clone(),
            },
            maker: Some(Maker {
                options: options.clone(),
                found: receipt.found.clone(),
            }),
            answer: receipt,
        })
    }

    /// The revision under which the topic would be deleted.
    fn draft_deletion(
        &self,
        expected: Option<Revision>,
        slot: &Slot,
    ) -> Result<Revision, WriteError> {
        let state = self.state();
        self.may_change(&state, expected)?;
        match state.topic.session() {
            Some(_) => {
                let now = unix_micros().max(slot.revision.next(0).get());
                Ok(state.topic.revision().next(now))
            }
            None => Err(WriteError::NoTopic(self.name().to_string())),
        }
    }
}
