//! When changes leave, and what a viewer lacks.

use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, PoisonError, TryLockError};

use tokio::time::{Instant, sleep_until};

use super::authors::Authors;
use super::entry::State;
use super::{Event, Flushed, Hub, Invalidated, TopicEntry};
use crate::state::json::LARGE;
use crate::state::name::TopicName;
use crate::state::revision::Revision;
use crate::state::topic::Update;
use crate::wire::Resumed;
use crate::wire::frame::{Encoding, Frame};

/// What brings a viewer to now.
pub struct Catchup {
    /// The frame to send; none when there is nothing to send.
    pub frame: Option<Arc<Frame>>,
    /// Where the viewer is after it; none while there is no session.
    pub revision: Option<Revision>,
    /// How that came about.
    pub resumed: Resumed,
}

impl Hub {
    pub(super) async fn flush(&self, entry: &Arc<TopicEntry>) {
        if entry.has_ended() {
            return;
        }
        // A flush that is leaving may hold the lock for long: it is not asked for then.
        if !entry.is_flushing() && entry.waiting_len() <= LARGE {
            return self.flush_now(entry);
        }
        let (hub, entry) = (self.clone(), entry.clone());
        // Ends early only with the daemon.
        let _ = tokio::task::spawn_blocking(move || hub.flush_now(&entry)).await;
    }

    fn flush_now(&self, entry: &Arc<TopicEntry>) {
        let _order = entry.order();
        let Some(flushed) = entry.flush() else { return };
        self.0.counts.flushes.fetch_add(1, Ordering::Relaxed);
        // Nobody listens: then there is nobody to tell.
        let _ = self.0.invalidated.send(Invalidated {
            topic: entry.name().clone(),
            revision: flushed.to,
            source_id: flushed.source_id.clone(),
        });
        self.send(Event::Flush(Arc::new(flushed)));
    }

    /// One topic's flusher: ends with the topic, or with the daemon after a last flush.
    pub(super) async fn flush_when_due(self, entry: Arc<TopicEntry>) {
        loop {
            tokio::select! {
                () = entry.due() => {}
                () = self.0.stop.cancelled() => break,
                () = entry.ended() => return,
            }
            self.flush(&entry).await;
        }
        self.flush(&entry).await;
    }
}

impl TopicEntry {
    /// The one rule, as a frame that is made once for everybody at that revision.
    pub fn since(&self, revision: Option<Revision>) -> Catchup {
        let mut state = self.state();
        let shown = state.topic.shown().map(|shown| shown.revision);
        let update = state.topic.since(revision);
        let resumed = match (&update, shown) {
            (Some(Update::Delta { .. }), _) => Resumed::Delta,
            (None, Some(_)) => Resumed::Current,
            _ => Resumed::Snapshot,
        };
        Catchup {
            frame: update.map(|update| state.frame(&self.name, update)),
            revision: shown,
            resumed,
        }
    }

    /// Takes what waits, and encodes what all viewers will need of it.
    pub(super) fn flush(self: &Arc<TopicEntry>) -> Option<Flushed> {
        let mut state = self.state();
        state.debounce.flushed();
        let flush = state.topic.flush()?;
        let frame = flush.update.map(|update| state.frame(&self.name, update));
        state.last_push = Some(Instant::now());
        // Who wrote what is still to come is among them.
        let left = match state.topic.is_all_shown() {
            true => Authors::Nobody,
            false => Authors::Several,
        };
        let authors = std::mem::replace(&mut state.authors, left);
        drop(state);
        if let Some(frame) = frame.as_ref().filter(|_| self.viewers() > 0) {
            frame.bytes(Encoding::default());
        }
        Some(Flushed {
            entry: self.clone(),
            from: flush.from,
            to: flush.to,
            frame,
            source_id: authors.name(),
        })
    }

    /// Flushes leave one after the other while this is held.
    pub(super) fn order(&self) -> MutexGuard<'_, ()> {
        self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a flush is leaving, which may take a while.
    pub(super) fn is_flushing(&self) -> bool {
        matches!(self.order.try_lock(), Err(TryLockError::WouldBlock))
    }

    /// About how many bytes wait to be flushed.
    pub(super) fn waiting_len(&self) -> usize {
        self.state().topic.waiting_len()
    }

    /// Waits until changes are due to leave.
    pub(super) async fn due(&self) {
        loop {
            let deadline = self.state().debounce.deadline();
            match deadline.map(|deadline| self.epoch + deadline) {
                Some(deadline) if deadline <= Instant::now() => return,
                Some(deadline) => sleep_until(deadline).await,
                None => self.changed.notified().await,
            }
        }
    }
}

impl State {
    fn frame(&mut self, name: &TopicName, update: Update) -> Arc<Frame> {
        let Update::Snapshot(version) = &update else {
            return Arc::new(Frame::update(name, update));
        };
        match &self.snapshot {
            Some((made, frame)) if *made == version.revision => frame.clone(),
            _ => {
                let revision = version.revision;
                let frame = Arc::new(Frame::update(name, update));
                self.snapshot = Some((revision, frame.clone()));
                frame
            }
        }
    }
}
