//! The sources of a topic: how many are attached, and when one was heard of last.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::wire::SourceState;

/// Nothing heard for so long is silence.
const SILENT: Duration = Duration::from_secs(30);

/// Those of a topic, and of the next one of that name: the host of a deleted topic stays
/// attached to the name.
pub struct Sources(Mutex<Attached>);

struct Attached {
    count: usize,
    ever: bool,
    last_heard: Instant,
}

impl Sources {
    pub(super) fn new() -> Sources {
        Sources(Mutex::new(Attached {
            count: 0,
            ever: false,
            last_heard: Instant::now(),
        }))
    }

    /// A host was heard of.
    pub(super) fn touch(&self) {
        self.attached().last_heard = Instant::now();
    }

    pub(super) fn attach(&self) {
        let mut attached = self.attached();
        attached.count += 1;
        attached.ever = true;
    }

    pub(super) fn detach(&self) {
        self.attached().count -= 1;
    }

    pub(super) fn are_attached(&self) -> bool {
        self.attached().count > 0
    }

    /// For how long nothing was heard, and what that means.
    pub(super) fn state(&self) -> (Duration, SourceState) {
        let attached = self.attached();
        let silence = attached.last_heard.elapsed();
        let state = match (attached.count, attached.ever) {
            (1.., _) => SourceState::Alive,
            (0, true) => SourceState::Ended,
            (0, false) if silence < SILENT => SourceState::Alive,
            (0, false) => SourceState::Silent,
        };
        (silence, state)
    }

    fn attached(&self) -> MutexGuard<'_, Attached> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
