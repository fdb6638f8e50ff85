//! When changes leave for the viewers, and what one viewer lacks.

use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, PoisonError, TryLockError};

use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep_until};

use super::authors::Authors;
use super::entry::State;
use super::events::{Event, Flushed, Invalidated};
use super::life::Life;
use super::{Hub, TopicEntry};
use crate::state::json::LARGE;
use crate::state::name::TopicName;
use crate::state::revision::Revision;
use crate::state::topic::Update;
use crate::wire::Resumed;
use crate::wire::frame::Frame;

/// What brings a viewer up to date.
pub struct Catchup {
    /// The frame to send, if the viewer lacks anything.
    pub frame: Option<Arc<Frame>>,
    /// The revision that the viewer is then at; none while there is no session.
    pub revision: Option<Revision>,
    /// Whether that takes a delta, a snapshot or nothing.
    pub resumed: Resumed,
}

impl Hub {
    pub(super) async fn flush(&self, entry: &Arc<TopicEntry>) {
        if entry.has_ended() {
            return;
        }
        if !self.flush_at_once(entry) {
            let (hub, entry) = (self.clone(), entry.clone());
            // Fails only with the daemon.
            let _ = spawn_blocking(move || hub.flush_in_order(&entry, &entry.order())).await;
        }
    }

    /// Without a debounce, what is small leaves before its writer is answered. The rest is the
    /// flusher's, who has been woken: a writer does not wait for encodings.
    pub(super) fn flush_for_writer(&self, entry: &Arc<TopicEntry>) {
        if self.0.flow.debounce.is_zero() && !entry.has_ended() {
            self.flush_at_once(entry);
        }
    }

    /// Flushes, unless that may take long: what waits is large, or a large flush is leaving.
    fn flush_at_once(&self, entry: &Arc<TopicEntry>) -> bool {
        let order = match entry.order.try_lock() {
            Ok(order) => order,
            Err(TryLockError::Poisoned(order)) => order.into_inner(),
            Err(TryLockError::WouldBlock) => return false,
        };
        let at_once = entry.state().topic.waiting_len() <= LARGE;
        if at_once {
            self.flush_in_order(entry, &order);
        }
        at_once
    }

    fn flush_in_order(&self, entry: &Arc<TopicEntry>, _order: &MutexGuard<'_, ()>) {
        let Some(flushed) = entry.flush() else { return };
        self.0.counts.flushes.fetch_add(1, Ordering::Relaxed);
        // Fails when nobody listens: then there is nobody to tell.
        let _ = self.0.invalidated.send(Invalidated {
            topic: entry.name().clone(),
            revision: flushed.to,
            source_id: flushed.source_id.clone(),
        });
        if let Some(frame) = &flushed.frame {
            entry.encodings.encode(frame);
        }
        self.tell_sent(&flushed);
        tracing::trace!(
            topic = %entry.name(),
            from = %flushed.from,
            to = %flushed.to,
            viewers = entry.viewers(),
            "flush"
        );
        self.send(Event::Flush(Arc::new(flushed)));
    }

    /// One topic's flusher. It ends with the topic, or with the daemon after a last flush.
    pub(super) async fn flush_when_due(self, entry: Arc<TopicEntry>) {
        loop {
            tokio::select! {
                () = entry.due() => {}
                () = self.0.stop.cancelled() => break,
                () = entry.until(|life| life == Life::Ended) => return,
            }
            self.flush(&entry).await;
        }
        self.flush(&entry).await;
    }
}

impl TopicEntry {
    /// What brings a viewer at this revision (none for a newcomer) up to date: the one answer to
    /// joining, resuming and falling behind. A snapshot is one frame for everybody.
    pub fn since(&self, revision: Option<Revision>) -> Catchup {
        let mut state = self.state();
        let shown = state.topic.shown().map(|shown| shown.revision);
        if shown.is_some() && revision > shown && self.sources.is_nats_lost() {
            // It has seen a newer state at another daemon, which is told here once NATS is back.
            return Catchup {
                frame: None,
                revision,
                resumed: Resumed::Current,
            };
        }
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

    /// Takes the changes that wait to be flushed.
    pub(super) fn flush(self: &Arc<TopicEntry>) -> Option<Flushed> {
        let mut state = self.state();
        state.debounce.flushed();
        let flush = state.topic.flush()?;
        let frame = flush.update.map(|update| state.frame(&self.name, update));
        state.last_push = Some(Instant::now());
        // Changes that may not be shown yet were counted among these.
        let left = match state.topic.is_all_shown() {
            true => Authors::Nobody,
            false => Authors::Several,
        };
        let authors = std::mem::replace(&mut state.authors, left);
        drop(state);
        Some(Flushed {
            entry: self.clone(),
            from: flush.from,
            to: flush.to,
            frame,
            source_id: authors.name(),
        })
    }

    /// Whoever takes a flush holds this until it has left, so that flushes leave in order.
    fn order(&self) -> MutexGuard<'_, ()> {
        self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until changes are due to leave.
    async fn due(&self) {
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

#[cfg(test)]
mod tests {
    use tokio_util::sync::CancellationToken;
    use tokio_util::task::TaskTracker;

    use super::super::{HubOptions, WriteOptions};
    use super::*;
    use crate::state::json::Json;
    use crate::state::session::Session;
    use crate::state::topic::Change;
    use crate::wire::frame::Encoding;

    const PLAIN: Encoding = Encoding::ALL[0];
    const DEFLATE: Encoding = Encoding::ALL[2];

    fn hub() -> (Hub, Arc<TopicEntry>) {
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let hub = Hub::new(&HubOptions::default(), None, tasks, stop);
        let entry = hub.topic(hub.default_topic()).expect("it is there");
        (hub, entry)
    }

    fn encoded(frame: &Frame) -> Vec<Encoding> {
        let made = |encoding: &Encoding| frame.is_encoded(*encoding);
        Encoding::ALL.into_iter().filter(made).collect()
    }

    #[tokio::test]
    async fn a_flush_is_encoded_for_its_viewers_before_it_leaves() {
        let (hub, entry) = hub();
        let mut events = hub.subscribe();
        let mut next = async |length: usize| {
            let session = Session::of_data("x", Json::string(&"x".repeat(length)));
            let options = WriteOptions::default();
            let change = Change::Replace(session);
            hub.write(entry.name(), change, options)
                .await
                .expect("it is accepted");
            hub.flush(&entry).await;
            let event = events.recv().await.expect("a flush");
            encoded(event.frame().expect("a frame"))
        };
        assert_eq!(next(1).await, [], "nobody watches");
        let viewer = |encoding| {
            let mut presence = hub.enter(&entry, hub.place().expect("there is room"));
            presence.receives(encoding);
            presence
        };
        let (plain, both) = (viewer(PLAIN), [viewer(DEFLATE), viewer(DEFLATE)]);
        assert_eq!(next(2).await, [PLAIN, DEFLATE]);
        assert_eq!(next(2 * LARGE).await, [PLAIN, DEFLATE]);
        drop(plain);
        assert_eq!(next(2 * LARGE + 1).await, [DEFLATE]);
        drop(both);
        assert_eq!(next(3).await, []);
    }

    #[tokio::test]
    async fn a_text_is_encoded_for_its_viewers_before_it_leaves() {
        let (hub, entry) = hub();
        let mut events = hub.subscribe();
        let mut presence = hub.enter(&entry, hub.place().expect("there is room"));
        presence.receives(DEFLATE);
        for text in ["x".repeat(300), "x".repeat(2 * LARGE)] {
            drop(hub.broadcast(&entry, text).await);
            let event = events.recv().await.expect("a text");
            assert_eq!(encoded(event.frame().expect("its frame")), [DEFLATE]);
        }
    }
}
