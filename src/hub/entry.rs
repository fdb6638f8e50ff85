//! One topic in the hub: its state behind a short lock, and what is kept beside it.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, RwLock, watch};
use tokio::time::Instant;

use super::authors::Authors;
use super::clock::millis;
use super::durability::Durability;
use super::encodings::Encodings;
use super::latest::Latest;
use super::life::{Life, Turn};
use super::options::Flow;
use super::sources::Sources;
use crate::state::debounce::Debounce;
use crate::state::fields::Whitelist;
use crate::state::json::Json;
use crate::state::name::TopicName;
use crate::state::revision::Revision;
use crate::state::session::Session;
use crate::state::topic::{Origin, Topic};
use crate::wire::frame::Frame;
use crate::wire::{ShownState, SourceState};

/// A topic and what the hub keeps beside it.
pub struct TopicEntry {
    pub(super) name: TopicName,
    state: Mutex<State>,
    pub(super) changed: Notify,
    /// Everybody who watches, and those of them who count as viewers.
    watching: AtomicUsize,
    viewers: AtomicUsize,
    /// How many of them have missed a flush because they took nothing.
    behind: AtomicUsize,
    pub(super) encodings: Encodings,
    pub(super) sources: Arc<Sources>,
    /// How often a host asked for everything to be sent again.
    pub(super) resends: AtomicU64,
    pub(super) warned_of_rounding: AtomicBool,
    /// The time of the room that it shows, if it shows one.
    room_at: AtomicU64,
    /// The debounce counts time from here.
    pub(super) epoch: Instant,
    /// Changes only under the state's lock.
    life: watch::Sender<Life>,
    /// Whether a change is shown only when it is durable.
    pub(super) after_durable: bool,
    /// Held from taking a flush to sending it, so that flushes leave in their order.
    pub(super) order: Mutex<()>,
    /// Writers share it; whoever applies a large change for the second time has it alone.
    pub(super) writers: Arc<RwLock<()>>,
}

pub(super) struct State {
    pub(super) topic: Topic,
    /// Of no meaning without a store.
    pub(super) durability: Durability,
    pub(super) debounce: Debounce,
    /// The frame of the topic's present revision, made once.
    pub(super) snapshot: Option<(Revision, Arc<Frame>)>,
    /// Who made the changes that wait to be flushed.
    pub(super) authors: Authors,
    pub(super) last_push: Option<Instant>,
    pub(super) latest: Latest,
    /// When what is shown changed last, if that is known.
    pub(super) changed: Option<Instant>,
}

impl TopicEntry {
    pub(super) fn new(
        name: TopicName,
        mut topic: Topic,
        durability: Option<Durability>,
        flow: &Flow,
        sources: Arc<Sources>,
    ) -> TopicEntry {
        let after_durable = flow.after_durable && durability.is_some();
        let durability = durability.unwrap_or_default();
        if after_durable {
            topic.show_only(durability.durable().cloned());
        }
        let state = State {
            topic,
            durability,
            debounce: Debounce::new(flow.debounce, flow.max_wait),
            snapshot: None,
            authors: Authors::default(),
            last_push: None,
            latest: Latest::default(),
            changed: None,
        };
        TopicEntry {
            name,
            state: Mutex::new(state),
            changed: Notify::new(),
            watching: AtomicUsize::new(0),
            viewers: AtomicUsize::new(0),
            behind: AtomicUsize::new(0),
            encodings: Encodings::default(),
            sources,
            resends: AtomicU64::new(0),
            warned_of_rounding: AtomicBool::new(false),
            room_at: AtomicU64::new(u64::MAX),
            epoch: Instant::now(),
            life: watch::Sender::new(Life::New),
            after_durable,
            order: Mutex::new(()),
            writers: Arc::default(),
        }
    }

    /// The topic's name.
    pub fn name(&self) -> &TopicName {
        &self.name
    }

    /// How many viewers watch it; host panels are none.
    pub fn viewers(&self) -> usize {
        self.viewers.load(Ordering::Relaxed)
    }

    /// How many of them have missed a flush, and have not caught up.
    pub fn behind(&self) -> usize {
        self.behind.load(Ordering::Relaxed)
    }

    /// Counts one more that has missed a flush, or one less.
    pub(super) fn count_behind(&self, falls: bool) {
        count(&self.behind, falls);
    }

    /// The session that is shown and its revision; none before the first write.
    pub fn session(&self) -> Option<(Revision, Session)> {
        let shown = self.state().topic.shown()?;
        Some((shown.revision, shown.session))
    }

    /// One field's value and who wrote it.
    pub fn field(&self, field: &str) -> Option<(Json, Origin)> {
        self.state().topic.field(field)
    }

    /// The fields of what is shown that may change without a redraw.
    pub fn whitelist(&self) -> Whitelist {
        self.state().topic.shown_whitelist()
    }

    /// The revision of what is shown.
    pub fn revision(&self) -> Revision {
        self.state().topic.shown_revision()
    }

    /// What is known of what its viewers see.
    pub fn shown_state(&self) -> ShownState {
        let shown = self.sources.shown();
        let state = self.state();
        let changed = state.changed.filter(|_| state.topic.has_shown());
        ShownState {
            changed_ms: changed.map(|at| millis(at.elapsed())),
            frozen: state.topic.is_frozen() || shown.frozen,
            ..shown
        }
    }

    /// The same, with the way that the state comes even if that begins here.
    pub fn first_shown_state(&self) -> ShownState {
        let mut shown = self.shown_state();
        if shown.way.is_empty() {
            shown.way.push(self.sources.place().to_owned());
        }
        shown
    }

    /// How long ago the last flush was.
    pub fn last_push(&self) -> Option<Duration> {
        self.state().last_push.map(|at| at.elapsed())
    }

    /// How long the host has been silent, and what that means.
    pub fn host(&self) -> (Duration, SourceState) {
        self.sources.state()
    }

    /// Whether it shows a room as it was at this time.
    pub(super) fn shows_room_at(&self, time: u64) -> bool {
        self.room_at.load(Ordering::Relaxed) == time
    }

    /// It shows a room as it was at this time.
    pub(super) fn show_room_at(&self, time: u64) {
        self.room_at.store(time, Ordering::Relaxed);
    }

    /// How often everything had to be sent again.
    pub fn resends(&self) -> u64 {
        self.resends.load(Ordering::Relaxed)
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves the state whole: every change to it is one assignment.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn wake(&self, state: &mut State) {
        if state.topic.is_frozen() {
            // What was written before that is not put off by what follows.
            return;
        }
        let now = self.epoch.elapsed();
        state.debounce.changed(now);
        if state.debounce.warns(now) {
            let topic = &self.name;
            tracing::warn!(%topic, "changes have kept coming for 5 s without a pause, so viewers have seen none of them: --max-wait limits the wait");
        }
        self.changed.notify_one();
    }
}

/// Its life.
impl TopicEntry {
    /// Where it is in its life.
    pub fn life(&self) -> Life {
        *self.life.borrow()
    }

    /// Whether the topic is gone: whoever watches it is to be told.
    pub fn has_ended(&self) -> bool {
        self.life() == Life::Ended
    }

    /// Waits for a state of its life.
    pub(super) async fn until(&self, reached: impl Fn(Life) -> bool) {
        let mut life = self.life.subscribe();
        // The sender is in this entry, so it is there.
        let _ = life.wait_for(|life| reached(*life)).await;
    }

    /// Takes a turn in its life, under the lock of its state; returns whether it could.
    pub(super) fn turn(&self, _: &State, turn: Turn) -> bool {
        let now = self.life();
        let next = now.after(turn);
        if let Some(next) = next.filter(|next| *next != now) {
            self.life.send_replace(next);
        }
        next.is_some()
    }

    /// From now on it exists, for whoever waits for its first session or has written it.
    pub(super) fn begin(&self) {
        let state = self.state();
        let turn = match state.topic.session() {
            Some(_) => Turn::Written,
            None => Turn::Awaited,
        };
        self.turn(&state, turn);
    }

    /// Ends a topic that nobody needs; returns whether it has.
    pub(super) fn end_if_unused(&self) -> bool {
        let state = self.state();
        !self.is_used() && self.turn(&state, Turn::Unused)
    }

    /// Ends a topic that shows a room which nobody watches any more; returns whether it has.
    pub(super) fn end_unwatched(&self) -> bool {
        let state = self.state();
        !self.is_used() && self.turn(&state, Turn::Unwatched)
    }

    /// Whether somebody waits for its first session.
    pub(super) fn is_used(&self) -> bool {
        self.watching.load(Ordering::Relaxed) > 0 || self.sources.are_attached()
    }

    /// Counts one more who watches, or one less. It is counted under the lock, so that either it
    /// is seen to wait, or it sees that the topic has ended.
    pub(super) fn count_watching(&self, joins: bool) {
        let _state = self.state();
        count(&self.watching, joins);
    }

    /// Counts one more viewer, or one less.
    pub(super) fn count_viewer(&self, joins: bool) {
        count(&self.viewers, joins);
    }
}

/// Counts one more, or one less.
pub(super) fn count(number: &AtomicUsize, joins: bool) {
    match joins {
        true => number.fetch_add(1, Ordering::Relaxed),
        false => number.fetch_sub(1, Ordering::Relaxed),
    };
}

/// Its durability.
impl TopicEntry {
    /// Asks what is known of its durability, or says what has become of a change.
    pub(super) fn durability<T>(&self, speak: impl FnOnce(&mut Durability) -> T) -> T {
        let mut state = self.state();
        let answer = speak(&mut state.durability);
        self.show_durable(&mut state);
        answer
    }

    /// Takes back what could not be kept. Without a session before that, a topic that was shown
    /// ends; returns whether it has.
    pub(super) fn lose(&self) -> bool {
        let mut state = self.state();
        let kept = state.durability.durable().map(|kept| kept.revision);
        state.tell_lost(kept.unwrap_or_default());
        let frozen = state.topic.is_frozen().then(|| state.topic.shown());
        state.topic.show_all();
        let (revision, back) = state.durability.lose();
        let is_left = back.is_some();
        let (session, origins) = back.map(|back| (back.session, back.origins)).unzip();
        state
            .topic
            .adopt(revision, session, origins.unwrap_or_default());
        state.authors = Authors::Several;
        self.wake(&mut state);
        self.show_durable(&mut state);
        let was_shown = state.topic.is_dirty() && !matches!(frozen, Some(None));
        match frozen {
            Some(shown) => state.freeze_again(shown, kept),
            None if !self.after_durable => state.changed = Some(Instant::now()),
            None => {}
        }
        let turn = match (is_left, was_shown) {
            (true, _) => Turn::Reverted,
            (false, true) => Turn::Lost,
            (false, false) => Turn::Unmade,
        };
        self.turn(&state, turn) && turn == Turn::Lost
    }

    /// Shows what is durable, if nothing else may be.
    pub(super) fn show_durable(&self, state: &mut State) {
        if self.after_durable && state.topic.show_only(state.durability.durable().cloned()) {
            state.changed = Some(Instant::now());
            self.wake(state);
        }
    }
}
