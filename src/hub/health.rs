//! How the store fares: what waits for it, and what it could not do.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::sleep;

/// How long a disk may take before that is logged, in ticks.
const PATIENCE: u32 = 5;
/// How often the store is looked at, and how often what failed is tried again.
pub(super) const TICK: Duration = Duration::from_secs(1);

/// Written to by whoever hands changes over and by the thread that keeps them.
#[derive(Debug, Default)]
pub(super) struct Health {
    handed_over: AtomicU64,
    settled: AtomicU64,
    /// Commits that failed, and why the last of them did.
    errors: AtomicU64,
    last_error: Mutex<String>,
    /// Whether the file may hold something else than it should.
    unsure: AtomicBool,
    /// Whether the disk does not answer.
    stalled: AtomicBool,
    /// Work has begun, all of it is done, or a commit has failed.
    news: Notify,
}

impl Health {
    /// A change is on its way to the thread.
    pub fn hand_over(&self) {
        let before = self.handed_over.fetch_add(1, Ordering::SeqCst);
        if before == self.settled.load(Ordering::SeqCst) {
            self.news.notify_one();
        }
    }

    /// The thread is back from the disk: so many changes are settled.
    pub fn settle(&self, count: u64) {
        self.stalled.store(false, Ordering::Relaxed);
        self.settled.fetch_add(count, Ordering::SeqCst);
        if !self.is_busy() {
            self.news.notify_one();
        }
    }

    /// A commit has failed.
    pub fn fail(&self, error: String) {
        let last = self.last_error.lock();
        *last.unwrap_or_else(PoisonError::into_inner) = error;
        self.errors.fetch_add(1, Ordering::Relaxed);
        self.news.notify_one();
    }

    /// Whether the file may hold something else than it should.
    pub fn set_unsure(&self, unsure: bool) {
        self.unsure.store(unsure, Ordering::Relaxed);
    }

    /// Whether changes wait for the disk.
    pub fn is_busy(&self) -> bool {
        self.handed_over.load(Ordering::SeqCst) != self.settled.load(Ordering::SeqCst)
    }

    /// Whether the file may hold something else than it should, or the disk does not answer.
    pub fn is_failing(&self) -> bool {
        self.unsure.load(Ordering::Relaxed) || self.has_stalled()
    }

    /// Whether the disk does not answer.
    pub fn has_stalled(&self) -> bool {
        self.stalled.load(Ordering::Relaxed)
    }

    /// How many commits have failed.
    pub fn errors(&self) -> u64 {
        self.errors.load(Ordering::Relaxed)
    }

    /// What is wrong, in words.
    pub fn reason(&self) -> String {
        if self.has_stalled() {
            return "the disk of the store does not answer".to_owned();
        }
        let last = self.last_error.lock();
        last.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until a commit fails, after so many that have, or takes longer than it may.
    pub async fn fails(&self, known: u64) {
        let mut silent = 0;
        while self.errors() == known && !self.is_failing() {
            let settled = self.settled.load(Ordering::SeqCst);
            if !self.is_busy() {
                silent = 0;
                self.news.notified().await;
                continue;
            }
            tokio::select! {
                () = sleep(TICK) => silent += 1,
                () = self.news.notified() => {}
            }
            if self.settled.load(Ordering::SeqCst) != settled {
                silent = 0;
            }
            self.stalled.store(silent >= PATIENCE, Ordering::Relaxed);
        }
    }
}
