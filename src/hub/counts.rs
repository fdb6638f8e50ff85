//! What has happened since the start.

use std::sync::atomic::{AtomicU64, Ordering};

/// What has happened since the start.
#[derive(Default)]
pub struct Counts {
    pub(super) viewers: AtomicU64,
    pub(super) writes: AtomicU64,
    pub(super) refusals: AtomicU64,
    pub(super) flushes: AtomicU64,
    pub(super) actions: AtomicU64,
    pub(super) refused_actions: AtomicU64,
    passed_over: AtomicU64,
}

impl Counts {
    /// Viewers that ever connected.
    pub fn viewers(&self) -> u64 {
        self.viewers.load(Ordering::Relaxed)
    }

    /// Changes that were accepted.
    pub fn writes(&self) -> u64 {
        self.writes.load(Ordering::Relaxed)
    }

    /// Changes that were refused.
    pub fn refusals(&self) -> u64 {
        self.refusals.load(Ordering::Relaxed)
    }

    /// Flushes to the viewers.
    pub fn flushes(&self) -> u64 {
        self.flushes.load(Ordering::Relaxed)
    }

    /// Actions in rooms that were done, and what rooms' hosts wrote unasked.
    pub fn actions(&self) -> u64 {
        self.actions.load(Ordering::Relaxed)
    }

    /// Actions in rooms that were refused.
    pub fn refused_actions(&self) -> u64 {
        self.refused_actions.load(Ordering::Relaxed)
    }

    /// Hosts' texts that could not be given to a viewer, counted once per viewer.
    pub fn passed_over(&self) -> u64 {
        self.passed_over.load(Ordering::Relaxed)
    }

    /// Counts the viewers that could not be given a text.
    pub(super) fn pass_over(&self, viewers: usize) {
        self.passed_over
            .fetch_add(viewers as u64, Ordering::Relaxed);
    }
}
