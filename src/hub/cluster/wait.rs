//! Nobody goes back in time: whoever comes from a daemon that was ahead waits until this one has caught up.

use std::time::Duration;

use tokio::time::timeout;

use super::super::Hub;
use super::super::clock::unix_micros;
use crate::state::name::TopicName;
use crate::state::revision::Revision;

/// How long it waits at most.
const PATIENCE: Duration = Duration::from_secs(2);
/// No daemon can be further ahead, in microseconds: such a revision is made up.
const AHEAD: u64 = 60_000_000;

impl Hub {
    /// Waits until a topic has come to a revision that a viewer has seen at another daemon of the cluster.
    pub async fn reach(&self, topic: &TopicName, revision: Option<Revision>) {
        let is_ahead = |revision: &Revision| revision.get() < unix_micros().saturating_add(AHEAD);
        let Some(revision) = revision.filter(is_ahead) else {
            return;
        };
        let Some(cluster) = self.cluster_of(topic).filter(|_| !self.is_frozen()) else {
            return;
        };
        let mut changes = self.changes();
        let reached = async {
            while !self.has_reached(topic, revision) {
                if changes.changed().await.is_err() {
                    return;
                }
            }
        };
        if timeout(PATIENCE / 2, reached).await.is_err() {
            // Either the newer state is lost, and a snapshot of an older one has to do; or this daemon has
            // lost NATS and does not know it yet.
            let asked = timeout(PATIENCE / 2, self.ask_newest(cluster, topic)).await;
            if asked != Ok(true) {
                // Until then, what is sent would be decided as if it had not.
                let mut step = cluster.topics.step.subscribe();
                cluster.topics.doubt.notify_one();
                let lost = step.wait_for(|step| step.bucket.is_none());
                let _ = timeout(PATIENCE / 2, lost).await;
            }
        }
    }

    fn has_reached(&self, topic: &TopicName, revision: Revision) -> bool {
        let entry = self.topic(topic);
        entry.is_some_and(|entry| entry.revision() >= revision)
    }
}
