//! In step with the bucket: all it holds is taken, then all that is written. Whenever that ends,
//! it begins anew, whatever the bucket is by then.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::super::Hub;
use super::super::clock::unix_micros;
use super::part::Cluster;
use super::share::Step;
use super::shared::{Shared, Taken};
use crate::cluster::{Bucket, Entry, Look, RowKey, Watch};
use crate::state::json::LARGE;
use crate::state::name::TopicName;

/// How often the bucket is asked how far it has come.
const LOOK: Duration = Duration::from_secs(2);
/// So many questions without an answer, and NATS is taken to be lost.
const UNANSWERED: u32 = 2;
/// How long the next of what a bucket holds may take.
const READ: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(250);
impl Hub {
    /// Stays in step with what daemons share until this one stops.
    pub(in crate::hub) fn share(&self, cluster: &Arc<Cluster>) {
        let tasks = &self.0.tasks;
        tasks.spawn(self.clone().keep_in_step::<TopicName>(cluster.clone()));
        if !self.channels().is_empty() {
            tasks.spawn(self.clone().keep_in_step::<RowKey>(cluster.clone()));
        }
    }

    async fn keep_in_step<Of: Shared>(self, cluster: Arc<Cluster>) {
        let stop = self.0.stop.clone();
        let keep = async {
            loop {
                let error = match self.stay_in_step::<Of>(&cluster).await {
                    Ok(()) => "the connection broke off".to_owned(),
                    Err(error) => error,
                };
                self.lose_step::<Of>(&cluster, error);
                sleep(PAUSE).await;
            }
        };
        stop.run_until_cancelled(keep).await;
    }

    /// Ends when the connection is lost.
    async fn stay_in_step<Of: Shared>(&self, cluster: &Arc<Cluster>) -> Result<(), String> {
        let connects = cluster.connected().await?;
        let share = Of::share(cluster);
        let bucket = Bucket::open(cluster.connection.clone(), &share.name).await?;
        let look = bucket.look().await?;
        share.slots().begin();
        let mut watch = bucket.watch().await?;
        let (held, mut lost) = self.read_all::<Of>(cluster, &mut watch, &look).await?;
        let bucket = Arc::new(bucket);
        self.find_step::<Of>(cluster, &bucket, &look);
        lost.extend(Of::missing(self, &held));
        self.write_back(cluster, lost);
        let seen = AtomicU64::new(look.last);
        let mut link = cluster.connection.link();
        let lost = link.wait_for(|link| !link.connected || link.connects != connects);
        tokio::select! {
            _ = lost => Ok(()),
            error = self.follow::<Of>(cluster, &mut watch, &seen) => Err(error),
            error = check(&bucket, &look, &seen) => Err(error),
            () = self.forget_deleted::<Of>(cluster, &bucket) => Ok(()),
            () = self.look_after::<Of>() => Ok(()),
            () = share.doubt.notified() => Err("JetStream does not answer".to_owned()),
        }
    }

    /// Takes all that the bucket holds. Returns what that is, and of what it holds an older state.
    async fn read_all<Of: Shared>(
        &self,
        cluster: &Arc<Cluster>,
        watch: &mut Watch,
        look: &Look,
    ) -> Result<(BTreeSet<Of>, Vec<Of>), String> {
        let (mut held, mut older) = (BTreeSet::new(), Vec::new());
        let mut pending = look.entries;
        while pending > 0 {
            let next = timeout(READ, watch.next()).await;
            let entry = next.map_err(|_| "the bucket does not answer".to_owned())??;
            pending = entry.pending;
            held.extend(Of::of(&entry.key));
            older.extend(self.take_entry(cluster, entry).await);
        }
        Ok((held, older))
    }

    /// Takes what is written.
    async fn follow<Of: Shared>(
        &self,
        cluster: &Arc<Cluster>,
        watch: &mut Watch,
        seen: &AtomicU64,
    ) -> String {
        loop {
            let entry = match watch.next().await {
                Ok(entry) => entry,
                Err(error) => return error,
            };
            seen.fetch_max(entry.number, Ordering::Relaxed);
            let lost: Option<Of> = self.take_entry(cluster, entry).await;
            self.write_back(cluster, lost.into_iter().collect());
        }
    }

    /// Takes an entry; a large one on a blocking thread. Returns what it is about if this daemon knows a
    /// newer state.
    async fn take_entry<Of: Shared>(&self, cluster: &Arc<Cluster>, entry: Entry) -> Option<Of> {
        let key = Of::of(&entry.key)?;
        let (hub, part) = (self.clone(), cluster.clone());
        let large = entry
            .value
            .as_ref()
            .is_some_and(|value| value.len() > LARGE);
        let of = key.clone();
        let take = move || hub.take(&part, &of, &entry);
        let taken = match large {
            true => self.0.tasks.spawn_blocking(take).await.ok(),
            false => Some(take()),
        };
        (taken == Some(Taken::Older)).then_some(key)
    }

    /// Writes what this daemon knows into a bucket that holds less.
    fn write_back<Of: Shared>(&self, cluster: &Arc<Cluster>, lost: Vec<Of>) {
        if !lost.is_empty() {
            let (name, count) = (&Of::share(cluster).name, lost.len());
            tracing::info!(
                "the bucket {name:?} has lost newer states, {count} in all: they are written back"
            );
            Of::write_back(self, cluster, lost);
        }
    }

    /// By now this daemon knows what others had been shown meanwhile, or nobody does.
    async fn look_after<Of: Shared>(&self) {
        sleep(LOOK).await;
        Of::look_after(self);
        std::future::pending().await
    }

    /// Makes room in the bucket.
    async fn forget_deleted<Of: Shared>(&self, cluster: &Cluster, bucket: &Bucket) {
        let share = Of::share(cluster);
        loop {
            for (of, number) in Of::outdated(self, cluster) {
                // What is not forgotten now is forgotten the next time.
                if bucket.forget(&of.key(), number).await {
                    share.slots().clear_at(&of, number);
                }
            }
            sleep(Of::OFTEN).await;
        }
    }
}

/// The state of the step, and who is told.
impl Hub {
    fn find_step<Of: Shared>(&self, cluster: &Cluster, bucket: &Arc<Bucket>, look: &Look) {
        let share = Of::share(cluster);
        let before = share.step.send_replace(Step {
            bucket: Some(bucket.clone()),
            ..Step::default()
        });
        let server = cluster.connection.server().unwrap_or_default();
        let (name, replicas) = (&share.name, look.replicas);
        let replica = if replicas == 1 { "replica" } else { "replicas" };
        match before.error {
            Some(_) => tracing::warn!(
                "NATS is back after {} s: at {server}, bucket {name:?}",
                before.since.elapsed().as_secs()
            ),
            None => tracing::info!(
                "in the cluster of NATS at {server}, bucket {name:?} with {replicas} {replica}"
            ),
        }
        self.tell_step();
    }

    fn lose_step<Of: Shared>(&self, cluster: &Cluster, error: String) {
        let mut was_there = false;
        let is_news = Of::share(cluster).step.send_if_modified(|step| {
            was_there = step.bucket.is_some();
            let is_news = was_there || step.error.is_none();
            if is_news {
                (step.since, step.since_ms) = (Instant::now(), unix_micros() / 1000);
            }
            step.bucket = None;
            step.error = Some(error.clone());
            is_news
        });
        if is_news && !self.0.stop.is_cancelled() {
            // Both buckets are lost with it, most of the time.
            if Of::share(cluster).name == cluster.topics.name {
                cluster.losses.fetch_add(1, Ordering::Relaxed);
            }
            match was_there {
                true => tracing::error!(
                    "NATS is lost ({error}): {}, until it is back (--nats)",
                    Of::LOST
                ),
                false => tracing::error!(
                    "not in the cluster ({error}): {}, until this is mended; it is tried again all the time (--nats)",
                    Of::LOST
                ),
            }
            self.tell_step();
        }
    }

    fn tell_step(&self) {
        self.0.news.send_replace(());
        self.mark_change();
    }
}

impl Cluster {
    /// Waits for a connection. Returns how many there have been.
    async fn connected(&self) -> Result<u64, String> {
        let mut link = self.connection.link();
        let connected = timeout(READ, link.wait_for(|link| link.connected)).await;
        let connects = connected.ok().and_then(|link| Some(link.ok()?.connects));
        connects.ok_or_else(|| self.connection.why_not())
    }
}

/// Whether the bucket is there, is the same, and the watch keeps up with it. Returns what is not so.
async fn check(bucket: &Bucket, first: &Look, seen: &AtomicU64) -> String {
    let (mut unanswered, mut behind, mut past) = (0, None, 0);
    loop {
        sleep(LOOK).await;
        let so_far = seen.load(Ordering::Relaxed);
        let look = match bucket.look().await {
            Ok(look) => look,
            Err(error) => {
                unanswered += 1;
                match unanswered < UNANSWERED {
                    true => continue,
                    false => return format!("JetStream does not answer: {error}"),
                }
            }
        };
        unanswered = 0;
        if look.made != first.made {
            return "the bucket was replaced".to_owned();
        }
        // The watch may be ahead of the leader, but not for so long.
        if look.last < past {
            return "the bucket has gone back".to_owned();
        }
        past = so_far;
        if behind == Some(so_far) {
            return "the watch of the bucket is stuck".to_owned();
        }
        behind = (so_far < look.last).then_some(so_far);
    }
}
