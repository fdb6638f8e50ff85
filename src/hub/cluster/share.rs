//! What is known of one bucket, and who is about to write into it.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, OwnedMutexGuard, watch};
use tokio::time::Instant;

use super::super::clock::unix_micros;
use super::slots::Slots;
use crate::cluster::{Bucket, Mark};

/// How many entries can be written at a time. Those of one number wait for each other.
const TURNS: usize = 256;

/// What is known of a bucket's entries, each under a key, and who makes the changes that are on their
/// way into it.
pub(super) struct Share<Key, Maker> {
    pub name: String,
    pub step: watch::Sender<Step>,
    /// Somebody has reason to believe that NATS is lost.
    pub doubt: Notify,
    slots: Mutex<Slots<Key>>,
    turns: Vec<Arc<tokio::sync::Mutex<()>>>,
    makers: Mutex<HashMap<Mark, Maker>>,
}

/// Whether what the bucket holds is known.
#[derive(Clone)]
pub(super) struct Step {
    /// The bucket; none while NATS is lost.
    pub bucket: Option<Arc<Bucket>>,
    /// Since when that is so.
    pub since: Instant,
    /// The same by the clock on the wall, in milliseconds since 1970.
    pub since_ms: u64,
    /// Why NATS is lost; none at first.
    pub error: Option<String>,
}

impl Default for Step {
    fn default() -> Step {
        Step {
            bucket: None,
            since: Instant::now(),
            since_ms: unix_micros() / 1000,
            error: None,
        }
    }
}

impl<Key: Hash, Maker> Share<Key, Maker> {
    /// Nothing is known yet of the bucket of this name.
    pub fn new(name: String) -> Share<Key, Maker> {
        Share {
            name,
            step: watch::Sender::default(),
            doubt: Notify::new(),
            slots: Mutex::new(Slots::new()),
            turns: std::iter::repeat_with(Default::default)
                .take(TURNS)
                .collect(),
            makers: Mutex::default(),
        }
    }

    /// Waits for its turn: of several who write one entry only one can win.
    pub async fn turn(&self, key: &Key) -> OwnedMutexGuard<()> {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        let turn = hasher.finish() % TURNS as u64;
        let turn = self.turns[usize::try_from(turn).unwrap_or_default()].clone();
        turn.lock_owned().await
    }

    pub fn makers(&self) -> MutexGuard<'_, HashMap<Mark, Maker>> {
        self.makers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn slots(&self) -> MutexGuard<'_, Slots<Key>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
