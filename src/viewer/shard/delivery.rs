//! How a shard brings its viewers up to date: by the bytes that all of them share, or by what one
//! viewer lacks.

use std::sync::Arc;

use tokio::sync::broadcast::{self, error::RecvError};

use super::Shard;
use crate::hub::notices::Away;
use crate::hub::{Catchup, Event};
use crate::viewer::burst::Burst;
use crate::viewer::command::Command;

/// After so many viewers of one flush, other tasks get a turn.
pub const TURN: usize = 128;

/// When the viewers of a deleted topic may come back, in milliseconds.
const AFTER_DELETION_MS: u64 = 15_000;

impl Shard {
    pub(super) async fn hear(
        &mut self,
        first: Result<Event, RecvError>,
        events: &mut broadcast::Receiver<Event>,
    ) {
        match first {
            Ok(event) => {
                let (bursts, lagged) = Burst::collect(event, events);
                for burst in bursts {
                    self.deliver(&burst).await;
                }
                if lagged {
                    self.catch_up_all().await;
                }
            }
            Err(RecvError::Lagged(_)) => self.catch_up_all().await,
            // Cannot be: this shard holds the hub.
            Err(RecvError::Closed) => {}
        }
    }

    async fn deliver(&mut self, burst: &Burst) {
        let entry = burst.last().entry();
        let Some(keys) = self.topics.remove(entry.name()) else {
            return;
        };
        let mut given = 0;
        for (count, &key) in keys.iter().enumerate() {
            // A name may stand for a deleted topic and for the one that came after it.
            let presence = &self.viewers[key].presence;
            let (is_its, counts) = (Arc::ptr_eq(presence.entry(), entry), presence.is_counted());
            if is_its && self.offer(key, burst) {
                given += usize::from(counts);
            }
            if count % TURN == TURN - 1 {
                tokio::task::yield_now().await;
            }
        }
        burst.given_to(given);
        self.topics.insert(entry.name().clone(), keys);
    }

    /// The hot path: usually a comparison and one write of shared bytes. Tells whether the viewer
    /// was given the burst.
    fn offer(&mut self, key: usize, burst: &Burst) -> bool {
        let viewer = &mut self.viewers[key];
        if viewer.line.is_closing() {
            return false;
        }
        match burst.last() {
            Event::Flush(last) if viewer.revision >= Some(last.to) => {}
            Event::Flush(_) if viewer.line.outbox.is_busy() => viewer.miss(),
            Event::Flush(last) if burst.from() == Some(viewer.revision.unwrap_or_default()) => {
                match burst.bytes(viewer.encoding) {
                    Some(bytes) => _ = viewer.offer(bytes, Some(last.to)),
                    None if burst.is_silent() => viewer.revision = Some(last.to),
                    None => self.catch_up(key),
                }
            }
            Event::Text(_) => {
                // A text that is not encoded for this viewer was sent before the viewer came.
                let bytes = burst.bytes(viewer.encoding);
                return bytes.is_some_and(|bytes| viewer.send_text(bytes));
            }
            Event::Flush(_) | Event::Resend(_) | Event::Deleted(_) => self.catch_up(key),
        }
        true
    }

    /// Brings a viewer up to date, whatever it has missed: the greeting, the end of its topic, a
    /// host's wish to send everything again, changes. If something is in flight, that is done
    /// when it has left.
    pub(super) fn catch_up(&mut self, key: usize) {
        let viewer = &mut self.viewers[key];
        let has_ended = viewer.presence.entry().has_ended();
        if viewer.line.is_closing() || (viewer.line.outbox.is_busy() && !has_ended) {
            return;
        }
        let catchup = viewer.lacks();
        viewer.greet(&catchup);
        if has_ended {
            let notices = self.common.hub.notices();
            viewer.send_away(Away::Deleted, notices, AFTER_DELETION_MS);
        } else if !viewer.line.outbox.is_busy() {
            self.bring(key, catchup);
        }
    }

    /// Sends a viewer what it lacks, once that has been encoded.
    fn bring(&mut self, key: usize, catchup: Catchup) {
        let viewer = &mut self.viewers[key];
        let Some(frame) = &catchup.frame else {
            viewer.revision = catchup.revision;
            return viewer.catch_up(&catchup);
        };
        if let Some(bytes) = frame.ready(viewer.encoding) {
            if viewer.offer(bytes, catchup.revision) {
                viewer.catch_up(&catchup);
            }
            return;
        }
        viewer.line.outbox.expect_encoded();
        let (commands, id) = (self.commands.clone(), viewer.line.id);
        let (frame, encoding) = (frame.clone(), viewer.encoding);
        self.common.encoder.encode(&frame, encoding, move || {
            // A shard that has ended needs no frames.
            let _ = commands.blocking_send(Command::Encoded(key, id, catchup));
        });
    }

    /// Sends a viewer what was encoded for it. The viewer may be gone meanwhile, and its key may
    /// be another's.
    pub(super) fn encoded(&mut self, key: usize, id: u64, catchup: &Catchup) {
        let Some(viewer) = self
            .viewers
            .get_mut(key)
            .filter(|viewer| viewer.line.id == id)
        else {
            return;
        };
        viewer.line.outbox.encoded();
        let frame = catchup.frame.as_ref();
        if let Some(bytes) = frame.and_then(|frame| frame.ready(viewer.encoding)) {
            if viewer.line.is_closing() {
                // It is sent this last one, whatever comes, and then the close frame.
                viewer.line.send(bytes, false);
            } else if viewer.offer(bytes, catchup.revision) {
                viewer.catch_up(catchup);
            }
        }
        if !viewer.line.outbox.is_busy() {
            self.pump(key);
        }
    }

    async fn catch_up_all(&mut self) {
        let keys: Vec<usize> = self.viewers.iter().map(|(key, _)| key).collect();
        for (count, key) in keys.into_iter().enumerate() {
            self.catch_up(key);
            if count % TURN == TURN - 1 {
                tokio::task::yield_now().await;
            }
        }
    }

    /// Sends what waits, then what the viewer has missed meanwhile.
    pub(super) fn pump(&mut self, key: usize) {
        self.viewers[key].line.pump();
        self.catch_up(key);
    }
}
