//! One topic in the hub: its state behind a short lock, and the frame made of it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Flushed, Hub, Receipt, WriteError, WriteOptions};
use crate::debounce::Debounce;
use crate::fields::Whitelist;
use crate::frame::{Encoding, Frame};
use crate::json::Json;
use crate::name::TopicName;
use crate::options::Flow;
use crate::protocol::{Resumed, SourceState};
use crate::revision::Revision;
use crate::session::Session;
use crate::store::{Durable, Job, Record};
use crate::topic::{Change, Origin, Topic, Update, Writer, Written};

/// A topic and what the hub keeps beside it.
pub struct Cell {
    name: TopicName,
    state: Mutex<State>,
    changed: Notify,
    viewers: AtomicUsize,
    sources: AtomicUsize,
    /// Time is told to the debounce as the duration since this.
    epoch: Instant,
    ended: CancellationToken,
}

struct State {
    topic: Topic,
    debounce: Debounce,
    /// The snapshot of the topic's present revision, made once.
    snapshot: Option<(Revision, Arc<Frame>)>,
    last_writer: Writer,
    host_seen: Option<Instant>,
    last_push: Option<Instant>,
    had_source: bool,
    warned_of_rounding: bool,
    stored: Stored,
}

/// What the store has of this topic, or will have.
struct Stored {
    /// The revision of the last record that was handed over; none after a loss: the next
    /// record is the whole session anew.
    last: Option<Revision>,
    /// What is durable, in the store's own words.
    durable: Durable,
    /// Counts the times that changes were lost: answers to older ones mean nothing.
    losses: u64,
}

/// A change on its way to the disk.
pub(super) struct Commit {
    losses: u64,
    done: oneshot::Receiver<Result<(), String>>,
}

/// The store's promise of a place for one change.
pub(super) type Permit<'a> = mpsc::Permit<'a, Job>;

/// What brings a viewer to now.
pub struct Catchup {
    /// The frame to send; none when there is nothing to send.
    pub frame: Option<Arc<Frame>>,
    /// Where the viewer is after it; none while there is no session.
    pub revision: Option<Revision>,
    /// How that came about.
    pub resumed: Resumed,
}

impl Cell {
    pub(super) fn new(
        name: TopicName,
        topic: Topic,
        flow: &Flow,
        ended: CancellationToken,
    ) -> Cell {
        let kept = topic.session().cloned();
        let stored = Stored {
            last: Some(topic.revision()),
            durable: Durable::new(kept.map(|session| (topic.revision(), session))),
            losses: 0,
        };
        let state = State {
            topic,
            debounce: Debounce::new(flow.debounce, flow.max_wait),
            snapshot: None,
            last_writer: Writer::default(),
            host_seen: None,
            last_push: None,
            had_source: false,
            warned_of_rounding: false,
            stored,
        };
        Cell {
            name,
            state: Mutex::new(state),
            changed: Notify::new(),
            viewers: AtomicUsize::new(0),
            sources: AtomicUsize::new(0),
            epoch: Instant::now(),
            ended,
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

    /// The present session and its revision; none before the first write.
    pub fn session(&self) -> Option<(Revision, Session)> {
        let state = self.state();
        Some((state.topic.revision(), state.topic.session()?.clone()))
    }

    /// One field's value and who wrote it.
    pub fn field(&self, field: &str) -> Option<(Json, Origin)> {
        self.state().topic.field(field)
    }

    /// The fields that may change without a redraw.
    pub fn whitelist(&self) -> Whitelist {
        self.state().topic.whitelist().clone()
    }

    /// The revision of the last accepted change.
    pub fn revision(&self) -> Revision {
        self.state().topic.revision()
    }

    /// How long ago the last flush was.
    pub fn last_push(&self) -> Option<Duration> {
        self.state().last_push.map(|at| at.elapsed())
    }

    /// How long the host has been silent, and what it does.
    pub fn host(&self) -> (Duration, SourceState) {
        const SILENT: Duration = Duration::from_secs(30);
        let state = self.state();
        let silence = state.host_seen.unwrap_or(self.epoch).elapsed();
        let attached = self.sources.load(Ordering::Relaxed) > 0;
        let what = match (attached, state.had_source) {
            (true, _) => SourceState::Alive,
            (false, true) => SourceState::Ended,
            (false, false) if silence < SILENT => SourceState::Alive,
            (false, false) => SourceState::Silent,
        };
        (silence, what)
    }

    /// The host was heard of, though nothing changed.
    pub fn touch(&self) {
        self.state().host_seen = Some(Instant::now());
    }

    /// Counts a source that may change the topic until the value is dropped.
    pub fn attach(self: &Arc<Cell>) -> SourceGuard {
        self.state().had_source = true;
        self.sources.fetch_add(1, Ordering::Relaxed);
        SourceGuard(self.clone())
    }

    /// The one rule, as a frame that is made once for everybody at that revision.
    pub fn since(&self, revision: Option<Revision>) -> Catchup {
        let mut state = self.state();
        let present = state.topic.session().map(|_| state.topic.revision());
        let update = state.topic.since(revision);
        let resumed = match (&update, present) {
            (Some(Update::Delta { .. }), _) => Resumed::Delta,
            (None, Some(_)) => Resumed::Current,
            _ => Resumed::Snapshot,
        };
        Catchup {
            frame: update.map(|update| state.frame(&self.name, update)),
            revision: present,
            resumed,
        }
    }

    /// Writes, and with `permit` hands the change to the store in the order of the revisions.
    pub(super) fn write(
        &self,
        change: Change,
        options: &WriteOptions,
        permit: Option<Permit<'_>>,
    ) -> Result<(Receipt, Option<Commit>), WriteError> {
        let rounded = first_rounded(&change);
        let mut state = self.state();
        self.may_write(&state, options)?;
        let before = state.topic.revision();
        let created = state.topic.session().is_none();
        state.host_seen = Some(Instant::now());
        let written = state.topic.write(change, unix_micros(), &options.writer);
        if written.is_err() {
            state.topic.reannounce(unix_micros());
        }
        let revision = state.topic.revision();
        if revision != before {
            state.last_writer.clone_from(&options.writer);
            self.wake(&mut state);
        }
        let written = written?;
        self.warn_of_rounding(&mut state, rounded);
        let session = state.topic.session().cloned();
        let session = session.ok_or(WriteError::NoTopic(self.name.to_string()))?;
        let (changed, commit) = match written {
            Written::Unchanged(_) => (false, None),
            Written::Applied { fields, .. } => {
                let to = Some((revision, session.clone()));
                let hand_over = |permit| state.stored.hand_over(&self.name, to, fields, permit);
                (true, permit.map(hand_over))
            }
        };
        let receipt = Receipt {
            revision,
            changed,
            created,
            session,
        };
        Ok((receipt, commit))
    }

    fn may_write(&self, state: &State, options: &WriteOptions) -> Result<(), WriteError> {
        let (present, empty) = (state.topic.revision(), state.topic.session().is_none());
        if self.ended.is_cancelled() || (options.existing && empty) {
            return Err(WriteError::NoTopic(self.name.to_string()));
        }
        match options.if_match {
            Some(expected) if expected != present || empty => Err(WriteError::Stale(present)),
            _ => Ok(()),
        }
    }

    fn warn_of_rounding(&self, state: &mut State, number: Option<String>) {
        if let Some(number) = number.filter(|_| !state.warned_of_rounding) {
            state.warned_of_rounding = true;
            tracing::warn!(topic = %self.name, number, "JavaScript rounds integers above 2^53: viewers in a browser see another number");
        }
    }

    /// Waits until a change is durable. One that could not be kept is taken back, with all
    /// that was built on it.
    pub(super) async fn committed(&self, commit: Commit) -> Result<(), WriteError> {
        let ended = Err("the store has ended".to_owned());
        let kept = commit.done.await.unwrap_or(ended);
        let mut state = self.state();
        if kept.is_err() && state.stored.losses == commit.losses {
            let durable = state.stored.lose();
            state.topic.revert(durable, unix_micros());
            self.wake(&mut state);
        }
        kept.map_err(WriteError::Store)
    }

    /// What the store has of it.
    pub(super) fn durable(&self) -> Option<(Revision, Session)> {
        self.state().stored.durable.get()
    }

    /// Ends the topic, if it still is at the revision that is expected, and with `permit`
    /// tells the store to drop it.
    pub(super) fn retire(
        &self,
        expected: Option<Revision>,
        permit: Option<Permit<'_>>,
    ) -> Result<Option<Commit>, WriteError> {
        let mut state = self.state();
        let present = state.topic.revision();
        if expected.is_some_and(|expected| expected != present) {
            return Err(WriteError::Stale(present));
        }
        self.ended.cancel();
        Ok(permit.map(|permit| state.stored.hand_over(&self.name, None, None, permit)))
    }

    fn wake(&self, state: &mut State) {
        let now = self.epoch.elapsed();
        state.debounce.changed(now);
        if state.debounce.warns(now) {
            let topic = &self.name;
            tracing::warn!(%topic, "changes without a pause have kept the viewers waiting for 5 s: --max-wait bounds that");
        }
        self.changed.notify_one();
    }

    pub(super) fn flush(self: &Arc<Cell>) -> Option<Flushed> {
        let mut state = self.state();
        state.debounce.flushed();
        let flush = state.topic.flush()?;
        let frame = flush.update.map(|update| state.frame(&self.name, update));
        state.last_push = Some(Instant::now());
        let source_id = state.last_writer.source_id.clone();
        drop(state);
        if let Some(frame) = frame.as_ref().filter(|_| self.viewers() > 0) {
            frame.bytes(Encoding::default());
        }
        Some(Flushed {
            cell: self.clone(),
            from: flush.from,
            to: flush.to,
            frame,
            source_id,
        })
    }

    pub(super) fn flushes_at_once(&self) -> bool {
        let state = self.state();
        state.debounce.is_off() && state.topic.is_dirty()
    }

    /// Waits for a change and tells when it is to leave; none when the topic has ended.
    pub(super) async fn next_deadline(&self) -> Option<Instant> {
        loop {
            if self.ended.is_cancelled() {
                return None;
            }
            if let Some(deadline) = self.state().debounce.deadline() {
                return Some(self.epoch + deadline);
            }
            self.ended
                .run_until_cancelled(self.changed.notified())
                .await?;
        }
    }

    pub(super) fn is_due(&self) -> bool {
        let deadline = self.state().debounce.deadline();
        deadline.is_some_and(|deadline| self.epoch + deadline <= Instant::now())
    }

    pub(super) fn ended(&self) -> &CancellationToken {
        &self.ended
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves a whole state: every change to it is one assignment.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stored {
    fn hand_over(
        &mut self,
        topic: &TopicName,
        to: Option<(Revision, Session)>,
        fields: Option<Vec<String>>,
        permit: Permit<'_>,
    ) -> Commit {
        let whole = self.last.is_none();
        let record = Record {
            topic: topic.clone(),
            from: self.last,
            fields: fields.filter(|_| !whole),
            durable: self.durable.clone(),
            to,
        };
        let revision = record.to.as_ref().map(|(revision, _)| *revision);
        self.last = Some(revision.unwrap_or_default());
        let (answer, done) = oneshot::channel();
        permit.send(Job::Commit(Box::new(record), answer));
        Commit {
            losses: self.losses,
            done,
        }
    }

    /// Forgets what was not kept.
    fn lose(&mut self) -> Option<Session> {
        self.losses += 1;
        self.last = None;
        self.durable.get().map(|(_, session)| session)
    }
}

impl State {
    fn frame(&mut self, name: &TopicName, update: Update) -> Arc<Frame> {
        let Update::Snapshot { revision, .. } = update else {
            return Arc::new(Frame::update(name, update));
        };
        match &self.snapshot {
            Some((made, frame)) if *made == revision => frame.clone(),
            _ => {
                let frame = Arc::new(Frame::update(name, update));
                self.snapshot = Some((revision, frame.clone()));
                frame
            }
        }
    }
}

fn first_rounded(change: &Change) -> Option<String> {
    let number = match change {
        Change::Replace(session) => session.first_rounded(),
        Change::Fields(fields) => fields.iter().find_map(|(_, value)| value.first_rounded()),
        Change::Merge(patch) => patch.first_rounded(),
        Change::Patch(_) => None,
    };
    number.map(str::to_owned)
}

/// The wall clock, from which revisions are made.
fn unix_micros() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// A connected viewer, counted while this lives.
pub struct Presence {
    hub: Hub,
    cell: Arc<Cell>,
}

impl Presence {
    pub(super) fn new(hub: Hub, cell: Arc<Cell>) -> Presence {
        cell.viewers.fetch_add(1, Ordering::Relaxed);
        hub.0.changes.send_replace(());
        Presence { hub, cell }
    }

    /// What the viewer watches.
    pub fn cell(&self) -> &Arc<Cell> {
        &self.cell
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.cell.viewers.fetch_sub(1, Ordering::Relaxed);
        self.hub.0.viewers.fetch_sub(1, Ordering::Relaxed);
        self.hub.0.changes.send_replace(());
    }
}

/// A source that may change its topic, counted while this lives.
pub struct SourceGuard(Arc<Cell>);

impl Drop for SourceGuard {
    fn drop(&mut self) {
        self.0.sources.fetch_sub(1, Ordering::Relaxed);
    }
}
