//! A host's own text on its way to the viewers of a topic.
//!
//! Only a few are on their way at a time: a host that sends more waits for the shards, but never
//! for a viewer. A viewer that has no room for another text is passed over, and the host is told.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::counts::Counts;
use super::entry::TopicEntry;
use crate::wire::frame::Frame;

/// One text. It has arrived when the last copy is dropped.
pub struct Text {
    /// The topic whose viewers it is for.
    pub entry: Arc<TopicEntry>,
    /// The message.
    pub frame: Arc<Frame>,
    viewers: usize,
    given: AtomicUsize,
    counts: Arc<Counts>,
    done: Option<oneshot::Sender<usize>>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Text {
    pub(super) fn new(
        entry: &Arc<TopicEntry>,
        text: String,
        permit: Option<OwnedSemaphorePermit>,
        counts: &Arc<Counts>,
    ) -> (Arc<Text>, Delivery) {
        let (done, given) = oneshot::channel();
        let viewers = entry.viewers();
        let text = Text {
            entry: entry.clone(),
            frame: Arc::new(Frame::verbatim(text)),
            viewers,
            given: AtomicUsize::new(0),
            counts: counts.clone(),
            done: Some(done),
            _permit: permit,
        };
        (Arc::new(text), Delivery { viewers, given })
    }

    /// Counts more viewers that were given it: it was sent to them, or waits for their sockets.
    pub fn given_to(&self, viewers: usize) {
        self.given.fetch_add(viewers, Ordering::Relaxed);
    }
}

impl Drop for Text {
    fn drop(&mut self) {
        let given = *self.given.get_mut();
        self.counts.pass_over(self.viewers.saturating_sub(given));
        if let Some(done) = self.done.take() {
            // Fails when the sender does not ask.
            let _ = done.send(given);
        }
    }
}

/// What becomes of a text.
pub struct Delivery {
    viewers: usize,
    given: oneshot::Receiver<usize>,
}

/// How many viewers a text reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// How many were given it.
    pub viewers: usize,
    /// How many had no room for it.
    pub passed_over: usize,
}

impl Delivery {
    /// Waits until every shard has seen the text.
    pub async fn delivered(self) -> Delivered {
        let viewers = self.given.await.unwrap_or_default();
        Delivered {
            viewers,
            passed_over: self.viewers.saturating_sub(viewers),
        }
    }
}
