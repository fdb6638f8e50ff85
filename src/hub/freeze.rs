//! Freezing: viewers and readers keep seeing what they see, whatever hosts write, until the host
//! lets go.

use std::time::Duration;

use tokio::time::Instant;

use super::Hub;
use super::entry::{State, TopicEntry};
use crate::state::revision::Revision;
use crate::state::topic::Version;

impl Hub {
    /// Freezes what is shown of every topic, or lets go again. What was written before that leaves
    /// at once; a topic that begins meanwhile shows nothing until then.
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
        self.0.news.send_replace(());
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
        state.debounce.hurry();
        self.changed.notify_one();
    }

    /// For a topic that begins: whether it is shown depends on whether viewers are frozen by then.
    pub(super) fn join_the_others(&self, frozen: bool) {
        match frozen {
            true => self.state().topic.freeze(None),
            false => self.let_go(),
        }
    }

    fn let_go(&self) {
        let mut state = self.state();
        if !state.topic.is_frozen() {
            return;
        }
        let before = state.topic.shown_revision();
        state.topic.show_all();
        self.show_durable(&mut state);
        state.latest.let_go();
        if state.topic.shown_revision() != before {
            state.changed = Some(Instant::now());
            self.wake(&mut state);
        }
    }
}

impl State {
    /// Freezes what was frozen before the store lost changes: the same, unless that is lost too.
    pub(super) fn freeze_again(&mut self, shown: Option<Version>, kept: Option<Revision>) {
        let is_lost = shown
            .as_ref()
            .is_some_and(|shown| Some(shown.revision) > kept);
        let shown = match is_lost {
            true => self.topic.shown(),
            false => shown,
        };
        if is_lost {
            self.changed = Some(Instant::now());
        }
        self.topic.freeze(shown);
    }
}
