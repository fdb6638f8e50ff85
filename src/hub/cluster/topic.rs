//! Topics, as what daemons share.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::super::clock::unix_micros;
use super::super::receipt::WriteError;
use super::super::{Event, Hub};
use super::part::{Cluster, Maker};
use super::share::Share;
use super::shared::{Shared, Taken};
use crate::cluster::{Record, key_of, topic_of};
use crate::state::json::LARGE;
use crate::state::name::TopicName;
use crate::state::revision::Revision;
use crate::state::session::Session;

/// How long a deleted topic is remembered, in microseconds: a daemon that was away for longer may bring
/// it back.
const REMEMBERED: u64 = 24 * 60 * 60 * 1_000_000;

impl Shared for TopicName {
    type Record = Record;
    type Maker = Maker;
    type Denied = WriteError;
    const OFTEN: Duration = Duration::from_secs(60 * 60);
    const LOST: &str = "viewers keep what they see, and writes are refused with 503";

    fn share(cluster: &Cluster) -> &Share<TopicName, Maker> {
        &cluster.topics
    }

    fn key(&self) -> String {
        key_of(self)
    }

    fn of(key: &str) -> Option<TopicName> {
        topic_of(key)
    }

    fn is_shared(&self, hub: &Hub) -> bool {
        hub.is_shared(self)
    }

    fn read(&self, value: &[u8]) -> Result<Record, String> {
        Record::parse(value, self)
    }

    fn show(&self, hub: &Hub, record: &Record, maker: Option<Maker>) -> Taken {
        hub.take_topic(self, record, maker)
    }

    fn is_large(&self, hub: &Hub) -> bool {
        let length = hub.topic(self);
        let length = length.and_then(|entry| entry.state().topic.session().map(Session::text_len));
        length.is_some_and(|length| length > LARGE)
    }

    fn may_pass(denied: &WriteError) -> bool {
        matches!(denied, WriteError::Stale(_) | WriteError::NoTopic(_))
    }

    fn unknown(denied: WriteError) -> WriteError {
        match denied {
            WriteError::Cluster(reason) | WriteError::Unknown(reason) => {
                WriteError::Unknown(reason)
            }
            other => WriteError::Unknown(other.to_string()),
        }
    }

    fn missing(hub: &Hub, held: &BTreeSet<TopicName>) -> Vec<TopicName> {
        let shown = hub.topics().into_iter().filter(|entry| {
            let is_shown = entry.state().topic.session().is_some();
            is_shown && !held.contains(entry.name()) && hub.is_shared(entry.name())
        });
        shown.map(|entry| entry.name().clone()).collect()
    }

    fn write_back(hub: &Hub, cluster: &Arc<Cluster>, lost: Vec<TopicName>) {
        for topic in lost {
            hub.write_topic_back(cluster, &topic);
        }
    }

    fn look_after(hub: &Hub) {
        for entry in hub.topics() {
            hub.send(Event::Resend(entry));
        }
    }

    fn outdated(_: &Hub, cluster: &Cluster) -> Vec<(TopicName, u64)> {
        let old = Revision::new(unix_micros().saturating_sub(REMEMBERED));
        let slots = cluster.topics.slots();
        slots.deleted_before(old.unwrap_or_default())
    }
}
