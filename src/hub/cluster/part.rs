//! A daemon's part in a cluster.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::broadcast;
use tokio::time::Instant;

use super::super::clock::unix_micros;
use super::super::receipt::{Found, WriteOptions};
use super::super::rooms::RowMaker;
use super::peers::Peers;
use super::said::Said;
use super::share::Share;
use crate::cluster::{Bucket, Connection, Mark, RowKey};
use crate::state::name::TopicName;

/// How soon after a try the next one tells something else.
const OFTEN: Duration = Duration::from_millis(250);

/// Who has made a change that is on its way to the bucket.
pub(super) struct Maker {
    pub options: WriteOptions,
    pub found: Found,
}

/// The daemon's part in a cluster.
pub struct Cluster {
    pub(super) connection: Arc<Connection>,
    /// What the other daemons know this one by.
    pub(super) id: String,
    pub(super) topics: Share<TopicName, Maker>,
    /// Of which nothing is asked where there are no rooms.
    pub(super) rows: Share<RowKey, RowMaker>,
    next_mark: AtomicU32,
    next_number: AtomicU64,
    peers: Mutex<Peers>,
    pub(super) said: broadcast::Sender<Arc<Said>>,
    /// Whether it was said that not all topics of the bucket fit.
    pub(super) left_out: AtomicBool,
    /// Whether the bucket had a leader, when that was tried last.
    led: tokio::sync::Mutex<Option<(Instant, bool)>>,
    pub(super) races: AtomicU64,
    pub(super) losses: AtomicU64,
}

impl Cluster {
    /// A part in the cluster that the daemons of this bucket form.
    pub fn new(connection: Connection, bucket: &str) -> Cluster {
        // Without randomness two daemons may be taken for one, and a lost answer for somebody else's.
        let id = getrandom::u64().unwrap_or_default();
        Cluster {
            connection: Arc::new(connection),
            id: format!("{id:016x}"),
            topics: Share::new(bucket.to_owned()),
            rows: Share::new(format!("{bucket}-rooms")),
            // Daemons differ in the last digits of the ids that they make.
            next_number: AtomicU64::new(id % 1000),
            next_mark: AtomicU32::new(getrandom::u32().unwrap_or_default()),
            peers: Mutex::default(),
            said: broadcast::channel(64).0,
            left_out: AtomicBool::new(false),
            led: Default::default(),
            races: AtomicU64::new(0),
            losses: AtomicU64::new(0),
        }
    }

    /// A number that nobody else makes, hardly ever: the time, and three digits of this daemon's.
    pub(super) fn fresh_number(&self) -> u64 {
        let now = unix_micros() / 1000 * 1000;
        let next = |last: u64| (last + 1000).max(now + last % 1000);
        let last = self
            .next_number
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| {
                Some(next(last))
            });
        next(last.unwrap_or_default())
    }

    pub(super) fn mark(&self) -> Mark {
        self.next_mark.fetch_add(1, Ordering::Relaxed)
    }

    /// Whether a bucket has a leader, and this daemon reaches it. It is tried a few times a second at
    /// most, whoever wants to know.
    pub(super) async fn is_led(&self, bucket: &Bucket) -> bool {
        let mut last = self.led.lock().await;
        if let Some((tried, led)) = *last
            && tried.elapsed() < OFTEN
        {
            return led;
        }
        let led = bucket.is_led().await;
        *last = Some((Instant::now(), led));
        led
    }

    /// Whether nothing is heard of the bucket.
    pub fn is_lost(&self) -> bool {
        self.topics.step.borrow().bucket.is_none()
    }

    /// What the other daemons know this one by.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The other daemons.
    pub(super) fn peers(&self) -> MutexGuard<'_, Peers> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
