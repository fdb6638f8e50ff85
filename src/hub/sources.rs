//! The sources of a topic: how many are attached, and when one was heard of last.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::cluster::Cluster;
use super::relay::Relay;
use crate::wire::{Lost, ShownState, SourceState};

/// Nothing heard for so long is silence.
const SILENT: Duration = Duration::from_secs(30);

/// Those of a topic, and of the next one of that name: the host of a deleted topic stays
/// attached to the name.
pub struct Sources {
    attached: Mutex<Attached>,
    elsewhere: Elsewhere,
    /// This daemon's topic, in the way of a state.
    place: String,
    /// Marked when what heartbeats say of them is different.
    news: watch::Sender<()>,
}

/// From where else the topic changes.
pub(super) enum Elsewhere {
    /// From nowhere.
    Nowhere,
    /// From this upstream.
    Upstream(Arc<Relay>),
    /// From the other daemons of this cluster.
    Cluster(Arc<Cluster>),
}

struct Attached {
    count: usize,
    /// The last one of them broke off, and nobody has been heard of since.
    lost: bool,
    last_heard: Instant,
}

impl Sources {
    pub(super) fn new(elsewhere: Elsewhere, place: String, news: watch::Sender<()>) -> Sources {
        let attached = Mutex::new(Attached {
            count: 0,
            lost: false,
            last_heard: Instant::now(),
        });
        Sources {
            attached,
            elsewhere,
            place,
            news,
        }
    }

    /// A host was heard of.
    pub(super) fn touch(&self) {
        let mut attached = self.attached();
        attached.last_heard = Instant::now();
        // What is shown is of another host by now.
        self.set_lost(&mut attached, false);
    }

    pub(super) fn attach(&self) {
        let mut attached = self.attached();
        attached.count += 1;
        self.set_lost(&mut attached, false);
    }

    /// One is attached no more: it has `left` in order, or broke off.
    pub(super) fn detach(&self, left: bool) {
        let mut attached = self.attached();
        attached.count -= 1;
        let is_missed = attached.count == 0 && !left;
        self.set_lost(&mut attached, is_missed);
    }

    fn set_lost(&self, attached: &mut Attached, lost: bool) {
        if attached.lost != lost {
            attached.lost = lost;
            self.news.send_replace(());
        }
    }

    pub(super) fn are_attached(&self) -> bool {
        self.attached().count > 0
    }

    /// For how long nothing was heard, and what that means.
    pub(super) fn state(&self) -> (Duration, SourceState) {
        if let Elsewhere::Upstream(relay) = &self.elsewhere {
            return relay.host();
        }
        let attached = self.attached();
        let silence = attached.last_heard.elapsed();
        let state = match (attached.count, attached.lost) {
            _ if self.is_nats_lost() => SourceState::Silent,
            (1.., _) => SourceState::Alive,
            (0, true) => SourceState::Ended,
            (0, false) if silence < SILENT => SourceState::Alive,
            (0, false) => SourceState::Silent,
        };
        (silence, state)
    }

    /// Whether the cluster's other daemons may know a newer state.
    pub(super) fn is_nats_lost(&self) -> bool {
        matches!(&self.elsewhere, Elsewhere::Cluster(cluster) if cluster.is_lost())
    }

    /// What those who watch are told of where else the topic changes.
    pub(super) fn shown(&self) -> ShownState {
        match &self.elsewhere {
            Elsewhere::Upstream(relay) => relay.shown(&self.place),
            _ => ShownState {
                lost: self.is_nats_lost().then_some(Lost::Nats),
                ..ShownState::default()
            },
        }
    }

    /// This daemon's topic, in the way of a state.
    pub(super) fn place(&self) -> &str {
        &self.place
    }

    fn attached(&self) -> MutexGuard<'_, Attached> {
        self.attached.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
