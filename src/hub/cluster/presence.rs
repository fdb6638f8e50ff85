//! Which daemons are there, and what they tell each other.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::broadcast;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use super::super::Hub;
use super::part::Cluster;
use super::said::Said;
use super::told::{ClusterState, Daemon};

/// The subject on which they talk.
const DAEMONS: &str = "daemons";
/// How often each says that it is there.
const PRESENCE: Duration = Duration::from_secs(1);
/// How long the answer of whoever has a viewer may take.
const ANSWER: Duration = Duration::from_secs(1);
impl Hub {
    /// The cluster at a glance; none without one.
    pub fn cluster(&self) -> Option<ClusterState> {
        let cluster = self.0.cluster.as_ref()?;
        let step = cluster.topics.step.borrow().clone();
        let peers = cluster.peers();
        let own = self.own_presence(cluster, &peers.url);
        let others = peers.present(Instant::now()).cloned();
        Some(ClusterState {
            state: match (&step.bucket, &step.error) {
                (Some(_), _) => "connected",
                (None, None) => "connecting",
                (None, Some(_)) => "lost",
            },
            server: step.bucket.and_then(|_| cluster.connection.server()),
            since_ms: step.since_ms,
            error: step.error,
            daemons: std::iter::once(own).chain(others).collect(),
        })
    }

    /// Whether other daemons of the cluster may know topics that this one does not.
    pub fn is_behind(&self) -> bool {
        let cluster = self.0.cluster.as_ref();
        cluster.is_some_and(|cluster| cluster.is_lost())
    }

    /// Where viewers find this daemon, for those of the others that list it.
    pub fn present_as(&self, url: &str) {
        if let Some(cluster) = &self.0.cluster {
            url.clone_into(&mut cluster.peers().url);
        }
    }

    fn own_presence(&self, cluster: &Cluster, url: &str) -> Daemon {
        Daemon {
            id: cluster.id.clone(),
            url: url.to_owned(),
            viewers: self.viewers(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    /// Talks with the other daemons until this one stops.
    pub(in crate::hub) async fn talk(self, cluster: Arc<Cluster>) {
        let stop = self.0.stop.clone();
        let talk = async {
            loop {
                if let Ok(mut heard) = cluster.connection.hear(DAEMONS).await {
                    let hear = async {
                        while let Some(said) = heard.next().await {
                            if let Ok(said) = serde_json::from_slice::<Said>(&said) {
                                self.heard(&cluster, said);
                            }
                        }
                    };
                    tokio::select! {
                        () = hear => {}
                        () = self.be_present(&cluster) => {}
                    }
                }
                sleep(PRESENCE).await;
            }
        };
        stop.run_until_cancelled(talk).await;
        let id = cluster.id.clone();
        self.say(&cluster, &Said::Left { id }).await;
        cluster.connection.finish().await;
    }

    async fn be_present(&self, cluster: &Cluster) {
        let mut tick = interval(PRESENCE);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            let url = cluster.peers().url.clone();
            let Daemon {
                id,
                url,
                viewers,
                version,
            } = self.own_presence(cluster, &url);
            let present = Said::Daemon {
                id,
                url,
                viewers,
                version,
            };
            self.say(cluster, &present).await;
        }
    }

    /// Says something to all daemons, if there is a connection.
    async fn say(&self, cluster: &Cluster, said: &Said) {
        // What waited for a connection would be old news by then.
        if !cluster.connection.link().borrow().connected {
            return;
        }
        let text = serde_json::to_string(said).unwrap_or_default();
        if let Err(error) = cluster.connection.say(DAEMONS, text).await {
            tracing::warn!("the other daemons of the cluster were not told: {error} (--nats)");
        }
    }

    fn heard(&self, cluster: &Cluster, said: Said) {
        if said.from() == cluster.id {
            return;
        }
        let entry = |topic: &str| self.topic(&topic.parse().ok()?);
        match &said {
            Said::Daemon {
                id,
                url,
                viewers,
                version,
            } => {
                let (id, url, version) = (id.clone(), url.clone(), version.clone());
                let daemon = Daemon {
                    id,
                    url,
                    viewers: *viewers,
                    version,
                };
                cluster.peers().meet(daemon, Instant::now());
                self.mark_change();
            }
            Said::Left { id } => {
                cluster.peers().part_from(id);
                self.mark_change();
            }
            Said::Text { topic, text, .. } => {
                if let Some(entry) = entry(topic) {
                    self.try_text(&entry, text.clone());
                }
            }
            Said::Resend { topic, .. } => {
                if let Some(entry) = entry(topic) {
                    self.resend_here(&entry);
                }
            }
            Said::Disconnect { .. } | Said::Disconnected { .. } => {
                // Fails when nobody listens: then there is nobody to disconnect.
                let _ = cluster.said.send(Arc::new(said));
            }
        }
    }

    /// The same for whoever can wait.
    pub(in crate::hub) async fn say_to_others(&self, say: impl FnOnce(String) -> Said) {
        if let Some(cluster) = &self.0.cluster {
            self.say(cluster, &say(cluster.id.clone())).await;
        }
    }

    /// Tells the other daemons something that a host wants of all viewers. Nobody waits for it.
    pub(in crate::hub) fn tell_others(&self, say: impl FnOnce(String) -> Said) {
        if let Some(cluster) = self.0.cluster.clone() {
            let (hub, said) = (self.clone(), say(cluster.id.clone()));
            self.0
                .tasks
                .spawn(async move { hub.say(&cluster, &said).await });
        }
    }

    /// Viewers of this daemon have greater numbers: those of a cluster are told apart by them.
    pub fn first_viewer(&self) -> u64 {
        match &self.0.cluster {
            Some(_) => u64::from(getrandom::u32().unwrap_or_default()) << 16,
            None => 0,
        }
    }

    /// Has a viewer of another daemon disconnected. Returns whether one of them had it.
    pub async fn disconnect_elsewhere(&self, viewer: u64) -> bool {
        let Some(cluster) = &self.0.cluster else {
            return false;
        };
        let mut answers = cluster.said.subscribe();
        let id = cluster.id.clone();
        self.say(cluster, &Said::Disconnect { id, viewer }).await;
        let answered = async {
            loop {
                match answers.recv().await.as_deref() {
                    Ok(Said::Disconnected { viewer: gone, .. }) if *gone == viewer => return true,
                    Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => return false,
                }
            }
        };
        timeout(ANSWER, answered).await.unwrap_or_default()
    }

    /// The viewers that the hosts of other daemons want disconnected; none without a cluster.
    pub fn disconnects(&self) -> Option<Disconnects> {
        let cluster = self.0.cluster.clone()?;
        let said = cluster.said.subscribe();
        Some(Disconnects {
            hub: self.clone(),
            cluster,
            said,
        })
    }

    /// How often races with other daemons were retried, NATS was lost, and how many bytes were sent and
    /// received; none without a cluster.
    pub fn cluster_counts(&self) -> Option<[u64; 4]> {
        let cluster = self.0.cluster.as_ref()?;
        let (sent, received) = cluster.connection.bytes();
        let count = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::Relaxed);
        Some([
            count(&cluster.races),
            count(&cluster.losses),
            sent,
            received,
        ])
    }
}

/// Viewers that the hosts of other daemons want disconnected.
pub struct Disconnects {
    hub: Hub,
    cluster: Arc<Cluster>,
    said: broadcast::Receiver<Arc<Said>>,
}

impl Disconnects {
    /// The next one; none when the daemon stops.
    pub async fn next(&mut self) -> Option<u64> {
        loop {
            match self.said.recv().await.as_deref() {
                Ok(Said::Disconnect { viewer, .. }) => return Some(*viewer),
                Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }

    /// It was there, and is gone.
    pub async fn done(&self, viewer: u64) {
        let id = self.cluster.id.clone();
        let done = Said::Disconnected { id, viewer };
        self.hub.say(&self.cluster, &done).await;
    }
}
