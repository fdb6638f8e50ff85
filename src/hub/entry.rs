//! One topic in the hub: its state behind a short lock, and the frame made of it.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::{Notify, RwLock, watch};
use tokio::time::Instant;

use super::Flow;
use super::encodings::Encodings;
use super::sources::Sources;
use crate::state::debounce::Debounce;
use crate::state::fields::Whitelist;
use crate::state::json::Json;
use crate::state::name::TopicName;
use crate::state::revision::Revision;
use crate::state::session::Session;
use crate::state::topic::{Origin, Topic, Writer};
use crate::store::{Ledger, LedgerEntry};
use crate::wire::SourceState;
use crate::wire::frame::Frame;

/// A topic and what the hub keeps beside it.
pub struct TopicEntry {
    pub(super) name: TopicName,
    state: Mutex<State>,
    pub(super) changed: Notify,
    pub(super) viewers: AtomicUsize,
    pub(super) encodings: Encodings,
    pub(super) sources: Arc<Sources>,
    /// How often a host asked that everything is sent again.
    resends: AtomicU64,
    pub(super) warned_of_rounding: AtomicBool,
    /// Time is told to the debounce as the duration since this.
    pub(super) epoch: Instant,
    pub(super) life: watch::Sender<Life>,
    /// What the store has of it, if there is a store.
    pub(super) ledger: Option<Ledger>,
    /// Whether a change is shown only when it is durable.
    after_durable: bool,
    /// Held from taking a flush to sending it, so that flushes leave in their order.
    pub(super) order: Mutex<()>,
    /// Writers share it; who applies a large change for the second time has it alone.
    pub(super) writers: Arc<RwLock<()>>,
}

/// A topic's life. It only goes forward, but that a deletion which cannot be kept is called off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// It can be written and watched.
    Live,
    /// It is being deleted: writers wait for what comes of it.
    Leaving,
    /// It is gone; its name may stand for another topic.
    Ended,
}

pub(super) struct State {
    pub(super) topic: Topic,
    pub(super) debounce: Debounce,
    /// The snapshot of the topic's present revision, made once.
    pub(super) snapshot: Option<(Revision, Arc<Frame>)>,
    pub(super) wrote: Wrote,
    pub(super) last_push: Option<Instant>,
    /// The ledger's, when the topic was last held against it.
    pub(super) generation: u64,
}

/// Who made the changes that wait to be flushed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wrote {
    /// There are none.
    Nobody,
    /// All are of the one with this name.
    One(String),
    /// They are of several, or of somebody without a name.
    Several,
}

impl TopicEntry {
    pub(super) fn new(
        name: TopicName,
        topic: Topic,
        flow: &Flow,
        sources: Arc<Sources>,
        ledger: Option<Ledger>,
    ) -> TopicEntry {
        let state = State {
            topic,
            debounce: Debounce::new(flow.debounce, flow.max_wait),
            snapshot: None,
            wrote: Wrote::Nobody,
            last_push: None,
            generation: 0,
        };
        TopicEntry {
            name,
            state: Mutex::new(state),
            changed: Notify::new(),
            viewers: AtomicUsize::new(0),
            encodings: Encodings::default(),
            sources,
            resends: AtomicU64::new(0),
            warned_of_rounding: AtomicBool::new(false),
            epoch: Instant::now(),
            life: watch::Sender::new(Life::Live),
            ledger,
            after_durable: flow.after_durable,
            order: Mutex::new(()),
            writers: Arc::default(),
        }
    }

    /// The topic's name.
    pub fn name(&self) -> &TopicName {
        &self.name
    }

    /// How many viewers watch it.
    pub fn viewers(&self) -> usize {
        self.viewers.load(Ordering::Relaxed)
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

    /// How long ago the last flush was.
    pub fn last_push(&self) -> Option<Duration> {
        self.state().last_push.map(|at| at.elapsed())
    }

    /// How long the host has been silent, and what it does.
    pub fn host(&self) -> (Duration, SourceState) {
        self.sources.state()
    }

    /// Whether the topic is gone: who watches it is to be told.
    pub fn has_ended(&self) -> bool {
        *self.life.borrow() == Life::Ended
    }

    /// How often everything was to be sent again.
    pub fn resends(&self) -> u64 {
        self.resends.load(Ordering::Relaxed)
    }

    pub(super) fn resend(&self) {
        self.resends.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether a first session was shown and could not be kept.
    pub(super) fn is_ghost(&self) -> bool {
        self.state().is_ghost()
    }

    /// Waits until it has ended.
    pub(super) async fn ended(&self) {
        self.until(|life| life == Life::Ended).await;
    }

    /// Waits for a state of its life.
    pub(super) async fn until(&self, reached: impl Fn(Life) -> bool) {
        let mut life = self.life.subscribe();
        // The sender is in this entry, so it is there.
        let _ = life.wait_for(|life| reached(*life)).await;
    }

    /// The state, as the store has left it: what it could not keep is taken back first, and
    /// what it has kept may be shown.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves a whole state: every change to it is one assignment.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(ledger) = &self.ledger
            && (self.after_durable || ledger.generation() != state.generation)
        {
            self.follow(&mut state, &ledger.entry());
        }
        state
    }

    /// Goes back to what is durable, if changes were lost since this was last asked; shows what
    /// is durable, if nothing else may be.
    pub(super) fn follow(&self, state: &mut State, ledger_entry: &LedgerEntry) {
        if ledger_entry.generation != state.generation {
            state.generation = ledger_entry.generation;
            state
                .topic
                .adopt(ledger_entry.last, ledger_entry.kept.clone());
            state.wrote = Wrote::Several;
            self.wake(state);
        }
        if self.after_durable && state.topic.show_only(ledger_entry.kept.clone()) {
            self.wake(state);
        }
    }

    pub(super) fn wake(&self, state: &mut State) {
        let now = self.epoch.elapsed();
        state.debounce.changed(now);
        if state.debounce.warns(now) {
            let topic = &self.name;
            tracing::warn!(%topic, "changes without a pause have kept the viewers waiting for 5 s: --max-wait bounds that");
        }
        self.changed.notify_one();
    }
}

impl State {
    /// Whether a first session was shown and could not be kept.
    pub(super) fn is_ghost(&self) -> bool {
        self.topic.session().is_none() && self.topic.is_dirty()
    }
}

impl Wrote {
    /// Together with a change of another writer.
    pub(super) fn and(&mut self, writer: &Writer) {
        *self = match (&self, &writer.source_id) {
            (Wrote::Nobody, Some(name)) => Wrote::One(name.clone()),
            (Wrote::One(one), Some(name)) if one == name => return,
            _ => Wrote::Several,
        };
    }

    pub(super) fn name(self) -> Option<String> {
        match self {
            Wrote::One(name) => Some(name),
            _ => None,
        }
    }
}

/// No clock that is right shows more: the year 2200, in microseconds since 1970. Revisions end
/// at 2^53 - 1, in 2255.
const LATEST: u64 = 7_258_118_400_000_000;

/// The wall clock, from which revisions are made; 0 when it is beyond reason, and they count on.
pub(super) fn unix_micros() -> u64 {
    static SAID: AtomicBool = AtomicBool::new(false);
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let micros = u64::try_from(since.as_micros()).unwrap_or(u64::MAX);
    if micros > LATEST && !SAID.swap(true, Ordering::Relaxed) {
        tracing::warn!("the clock is past the year 2200: revisions count on without it");
    }
    if micros > LATEST { 0 } else { micros }
}

/// The revision of a topic that was kept, if it can be: one that a wrong clock made leaves no
/// room for those after it.
pub(super) fn believable(kept: Revision) -> Revision {
    match kept.get() > LATEST {
        true => Revision::ZERO.next(unix_micros()),
        false => kept,
    }
}
