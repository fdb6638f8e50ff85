//! How a hub begins: with what the store has kept, if there is one.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::{Semaphore, broadcast, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::clock::{changed_at, credible, unix_micros};
use super::cluster::Cluster;
use super::durability::Durability;
use super::entry::TopicEntry;
use super::job::{Job, Permit};
use super::keeper::Keeper;
use super::options::{HubOptions, StoreFailure};
use super::relay::Relay;
use super::rooms::Rooms;
use super::{Hub, Inner, QUEUE, Topics};
use crate::state::fields::Whitelist;
use crate::state::name::TopicName;
use crate::state::topic::{Rules, Topic};
use crate::store::{Kept, Store, StoredTopic};

/// How many large changes are applied at a time.
pub(super) const LARGE_CHANGES: usize = 2;

impl Hub {
    /// A hub that holds the default topic, still without a session. Its flushers end on `stop`
    /// after a last flush, and are waited for through `tasks`. With a `store` it begins with
    /// what that has kept.
    pub fn new(
        options: &HubOptions,
        store: Option<(Store, Kept)>,
        tasks: TaskTracker,
        stop: CancellationToken,
    ) -> Hub {
        Hub::begin(options, store, None, (tasks, stop))
    }

    /// The same, for a daemon that shares its topics with the others of a cluster.
    pub fn in_cluster(
        options: &HubOptions,
        cluster: Cluster,
        tasks: TaskTracker,
        stop: CancellationToken,
    ) -> Hub {
        let cluster = Arc::new(cluster);
        let hub = Hub::begin(options, None, Some(cluster.clone()), (tasks, stop));
        hub.share(&cluster);
        hub.0.tasks.spawn(hub.clone().talk(cluster));
        hub
    }

    fn begin(
        options: &HubOptions,
        store: Option<(Store, Kept)>,
        cluster: Option<Arc<Cluster>>,
        (tasks, stop): (TaskTracker, CancellationToken),
    ) -> Hub {
        let (store, kept) = store.unzip();
        let (jobs, queue) = mpsc::channel(QUEUE);
        let jobs = store.is_some().then_some(jobs);
        let hub = Hub(Arc::new(Inner::new(options, jobs, cluster, (tasks, stop))));
        if let Some(store) = store {
            let serves = options.store_failure == StoreFailure::Serve;
            Keeper::start(store, serves, &hub, queue);
            hub.0.tasks.spawn(hub.clone().watch_store());
        }
        let kept = kept.unwrap_or_default();
        hub.restore(kept.topics);
        hub.restore_rooms(kept.rooms);
        if !hub.channels().is_empty() {
            hub.0.tasks.spawn(hub.clone().sweep_rooms());
            hub.0.tasks.spawn(hub.clone().follow_rooms());
        }
        let (notices, stop) = (hub.0.notices.clone(), hub.0.stop.clone());
        hub.0.tasks.spawn(async move { notices.sum_up(stop).await });
        hub
    }

    fn restore(&self, kept: Vec<StoredTopic>) {
        let mut topics = self.topics_mut();
        // Without randomness a restart under a clock that is behind is a little less safe.
        let leap = getrandom::u32().unwrap_or_default() >> 2;
        for kept in kept {
            if self.relay(&kept.topic).is_some() {
                tracing::warn!(topic = %kept.topic, "this topic is relayed now: what was kept of it stays in the file, unseen (--store)");
                continue;
            }
            if self.shown_room(&kept.topic).is_some() {
                tracing::warn!(topic = %kept.topic, "a topic of this name shows a room now: what was kept of it stays in the file, unseen (--store)");
                continue;
            }
            self.restore_one(&mut topics, kept, leap.into());
        }
        let name = &self.0.default_topic;
        if !topics.contains_key(name) {
            let entry = self.unlisted(name, self.sources(name));
            self.list(&mut topics, &entry);
        }
    }

    fn restore_one(&self, topics: &mut Topics, kept: StoredTopic, leap: u64) {
        let StoredTopic {
            topic: name,
            mut version,
            is_last,
        } = kept;
        let revision = credible(version.revision);
        if revision != version.revision {
            tracing::warn!(topic = %name, kept = %version.revision, "a wrong clock made its revision: it begins anew");
            version.revision = revision;
        }
        let mut topic = Topic::restore(name.as_str(), self.0.rules.clone(), version, leap);
        let whole = topic.drop_ignored(unix_micros());
        if !is_last {
            topic.outrun(unix_micros());
        }
        let durability = topic.version().map(Durability::restored);
        let sources = self.sources(&name);
        let entry = TopicEntry::new(name, topic, durability, &self.0.flow, sources);
        entry.state().changed = changed_at(revision);
        let entry = Arc::new(entry);
        if whole || !is_last {
            self.keep_restored(&entry, whole);
        }
        self.list(topics, &entry);
    }

    /// What differs from the file is written to it, before anything else of this topic.
    fn keep_restored(&self, entry: &Arc<TopicEntry>, whole: bool) {
        let place = self.0.jobs.clone().map(mpsc::Sender::try_reserve_owned);
        match place {
            Some(Ok(place)) => {
                let health = self.0.health.clone();
                entry.keep_restored(Permit { place, health }, whole);
            }
            _ => {
                tracing::warn!(topic = %entry.name(), "the file keeps it as it was until it changes (--store)")
            }
        }
    }
}

impl Inner {
    fn new(
        options: &HubOptions,
        jobs: Option<mpsc::Sender<Job>>,
        cluster: Option<Arc<Cluster>>,
        (tasks, stop): (TaskTracker, CancellationToken),
    ) -> Inner {
        let declared = options.fields.clone().map(Whitelist::Declared);
        let capacity = options.flow.capacity;
        let news = watch::Sender::default();
        Inner {
            topics: Default::default(),
            events: broadcast::channel(capacity).0,
            invalidated: broadcast::channel(capacity).0,
            changes: watch::channel(()).0,
            viewers: Default::default(),
            places: Default::default(),
            large: Arc::new(Semaphore::new(LARGE_CHANGES)),
            texts: Arc::new(Semaphore::new(capacity / 2)),
            floor: Default::default(),
            id: cluster
                .as_ref()
                .map_or_else(random_id, |cluster| cluster.id().to_owned()),
            default_topic: options.topic.clone(),
            relays: relays(options, &news),
            rules: Rules {
                whitelist: declared.unwrap_or_else(Whitelist::learning),
                ignore: options.ignore.clone(),
                max_session: options.limits.session,
            },
            flow: options.flow.clone(),
            limits: options.limits.clone(),
            rooms: Rooms::new(options),
            counts: Arc::default(),
            notices: Arc::default(),
            jobs,
            health: watch::Sender::default(),
            store_failure: options.store_failure,
            cluster,
            failure: Default::default(),
            frozen: Default::default(),
            news,
            tasks,
            stop,
        }
    }
}

fn relays(options: &HubOptions, news: &watch::Sender<()>) -> BTreeMap<TopicName, Arc<Relay>> {
    let relays = options.relays.iter();
    relays
        .map(|(topic, url)| (topic.clone(), Arc::new(Relay::new(url, news.clone()))))
        .collect()
}

/// Another one at each start. Without randomness the time has to do.
fn random_id() -> String {
    format!(
        "{:016x}",
        getrandom::u64().unwrap_or_else(|_| unix_micros())
    )
}
