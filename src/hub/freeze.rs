//! Freezing: viewers and readers keep seeing what they see, whatever hosts write, until the host
//! lets go.

use std::time::Duration;

use tokio::time::Instant;

use super::Hub;
use super::entry::TopicEntry;

impl Hub {
    /// Freezes what is shown of every topic, or lets go again. What was written before that leaves
    /// as usual; a topic that begins meanwhile shows nothing until then.
    pub fn freeze(&self, frozen: bool) {
        // Under the lock of the topics, so that none begins in between.
        let topics = self.topics_mut();
        if self.is_frozen() == frozen {
            return;
        }
        self.0.frozen.send_replace(frozen.then(Instant::now));
        for entry in topics.values() {
            match frozen {
                true => entry.freeze(),
                false => entry.let_go(),
            }
        }
        drop(topics);
        self.mark_change();
    }

    /// For how long viewers have been frozen; none while they are not.
    pub fn frozen(&self) -> Option<Duration> {
        self.0.frozen.borrow().map(|since| since.elapsed())
    }

    /// Whether viewers are frozen.
    pub fn is_frozen(&self) -> bool {
        self.0.frozen.borrow().is_some()
    }
}

impl TopicEntry {
    fn freeze(&self) {
        let mut state = self.state();
        let shown = state.topic.shown();
        state.topic.freeze(shown);
    }

    /// For a topic that begins while viewers are frozen.
    pub(super) fn freeze_empty(&self) {
        self.state().topic.freeze(None);
    }

    fn let_go(&self) {
        let mut state = self.state();
        let before = state.topic.shown_revision();
        state.topic.show_all();
        state.latest.let_go();
        self.show_durable(&mut state);
        if state.topic.shown_revision() != before {
            state.changed = Some(Instant::now());
            self.wake(&mut state);
        }
    }
}
