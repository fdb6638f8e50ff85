//! What changes a topic: a write, an announcement, its end. Each is one critical section, in
//! which the change is also handed over to the store.

use std::sync::MutexGuard;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{mpsc, oneshot};

use super::entry::{Life, State, TopicEntry, Wrote, unix_micros};
use super::{Receipt, WriteError, WriteOptions};
use crate::state::json::{Kind, LARGE};
use crate::state::revision::Revision;
use crate::state::session::{FieldName, Session};
use crate::state::topic::{Applied, Change, Version, Written};
use crate::store::{Job, Ledger, LedgerEntry, Record};

/// The store's promise of a place for one change.
pub(super) type Permit = mpsc::OwnedPermit<Job>;

/// A change on its way to the disk.
pub(super) struct Commit(oneshot::Receiver<Result<bool, String>>);

/// What a deletion has come to.
pub(super) enum Retired {
    /// There is no session to delete.
    Empty,
    /// It is gone.
    Now,
    /// It is gone when the store says so.
    With(Commit),
}

/// A place in the store's queue, and the ledger's entry, held until the change is handed over.
struct Handover<'a> {
    ledger: &'a Ledger,
    ledger_entry: MutexGuard<'a, LedgerEntry>,
    permit: Permit,
}

impl TopicEntry {
    /// Writes, and with `permit` hands the change to the store in the order of the revisions.
    pub(super) fn write(
        &self,
        change: &Change,
        options: &WriteOptions,
        applied: Option<Applied>,
        permit: Option<Permit>,
    ) -> Result<(Receipt, Option<Commit>), WriteError> {
        self.warn_of_rounding(change);
        self.sources.touch();
        let (before, mut snapshot);
        let mut state = self.state();
        let handover = self.handover(&mut state, permit);
        self.may_write(&state, options)?;
        before = state.topic.session().cloned();
        snapshot = None;
        let now = || state.topic.base().apply(change, &AtomicBool::new(false));
        let applied = applied.unwrap_or_else(now);
        let (topic, writer) = (&mut state.topic, &options.writer);
        let written = match topic.write_applied(change, applied, unix_micros(), writer) {
            Ok(written) => written,
            Err(refusal) => {
                self.announce_now(&mut state, handover);
                return Err(refusal.into());
            }
        };
        let version = state.topic.version();
        let version = version.ok_or_else(|| WriteError::NoTopic(self.name.to_string()))?;
        let (revision, touched, fields) = match written {
            Written::Unchanged { revision, touched } => (revision, touched, Some(Vec::new())),
            Written::Applied { revision, fields } => {
                snapshot = state.snapshot.take();
                state.wrote.and(&options.writer);
                self.wake(&mut state);
                (revision, revision, fields)
            }
        };
        let receipt = Receipt {
            revision,
            touched,
            created: before.is_none(),
            session: version.session.clone(),
            kept: true,
        };
        // What was there already may still be on its way: its durability is waited for too.
        let handover = handover.filter(|handover| !handover.has(version.revision));
        let commit = handover.map(|handover| handover.send(self, Some(version), fields));
        drop(state);
        // What was replaced may be large: it is cleared away when nobody waits for the lock.
        drop((before, snapshot));
        Ok((receipt, commit))
    }

    /// Tells those who fetch for themselves that a write was refused: whoever shows it already
    /// has to fetch the truth. The name of the refused writer would keep it from doing so.
    pub(super) fn announce(&self, permit: Option<Permit>) {
        let mut state = self.state();
        let handover = self.handover(&mut state, permit);
        self.announce_now(&mut state, handover);
    }

    fn announce_now(&self, state: &mut State, handover: Option<Handover<'_>>) {
        if *self.life.borrow() != Life::Live {
            return;
        }
        state.topic.announce(unix_micros());
        let Some(version) = state.topic.version() else {
            return;
        };
        state.wrote = Wrote::Several;
        self.wake(state);
        if let Some(handover) = handover {
            // The revision is kept, so that it does not go back with a restart.
            handover.send(self, Some(version), Some(Vec::new()));
        }
    }

    /// Begins to delete the topic, if nothing has changed since the revision that is expected.
    pub(super) fn retire(
        &self,
        expected: Option<Revision>,
        permit: Option<Permit>,
    ) -> Result<Retired, WriteError> {
        let mut state = self.state();
        let handover = self.handover(&mut state, permit);
        self.may_change(&state, expected)?;
        if state.topic.session().is_none() {
            return Ok(Retired::Empty);
        }
        self.life.send_replace(Life::Leaving);
        Ok(match handover {
            None => Retired::Now,
            Some(handover) => Retired::With(handover.send(self, None, None)),
        })
    }

    /// Ends a topic that is being deleted, or whose first session was shown and could not be
    /// kept; tells which revision it had reached.
    pub(super) fn end(&self) -> Option<Revision> {
        let state = self.state();
        let life = *self.life.borrow();
        if life != Life::Leaving && !state.is_ghost() {
            return None;
        }
        self.life.send_replace(Life::Ended);
        Some(state.topic.revision())
    }

    /// The deletion could not be kept. What was to be deleted may itself have been lost, and
    /// the topic have ended with it.
    pub(super) fn stay(&self) {
        let _state = self.state();
        self.life.send_if_modified(|life| {
            let stays = *life == Life::Leaving;
            if stays {
                *life = Life::Live;
            }
            stays
        });
    }

    /// Ends a topic that has no session and that nobody waits for; tells which revision it had
    /// reached.
    pub(super) fn end_if_unused(&self) -> Option<Revision> {
        let state = self.state();
        let used = state.topic.session().is_some()
            || self.viewers() > 0
            || self.sources.are_attached()
            || *self.life.borrow() != Life::Live;
        if used {
            return None;
        }
        self.life.send_replace(Life::Ended);
        Some(state.topic.revision())
    }

    /// Applies a change, which may take long, while nobody waits for the lock. None once it is
    /// called off.
    pub(super) fn apply(&self, change: &Change, called_off: &AtomicBool) -> Option<Applied> {
        let wanted = || !called_off.load(Ordering::Relaxed);
        let base = wanted().then(|| self.state().topic.base());
        let applied = base.map(|base| base.apply(change, called_off));
        applied.filter(|_| wanted())
    }

    /// Whether what was applied would have to be applied again.
    pub(super) fn has_changed_since(&self, applied: &Applied) -> bool {
        self.state().topic.revision() != applied.revision()
    }

    /// Whether a change takes long enough to hold up others on the same thread.
    pub(super) fn is_large(&self, change: &Change) -> bool {
        if change.text_len() > LARGE {
            return true;
        }
        let now = self.state().topic.session().cloned();
        let size = now.as_ref().map_or(0, Session::text_len);
        match change {
            Change::Replace(_) => false,
            Change::Merge(_) => size > LARGE,
            // Each operation may move all elements of an array.
            Change::Patch(patch) => size.saturating_mul(patch.len()) > LARGE,
            // To add or remove one is to build the config anew.
            Change::Fields(fields) => {
                let is_there = |field| {
                    now.as_ref()
                        .is_some_and(|now| now.config.get(field).is_some())
                };
                size > LARGE
                    && fields
                        .iter()
                        .any(|(field, value)| value.kind() == Kind::Null || !is_there(field))
            }
        }
    }

    fn may_write(&self, state: &State, options: &WriteOptions) -> Result<(), WriteError> {
        if options.existing && state.topic.session().is_none() {
            return Err(WriteError::NoTopic(self.name.to_string()));
        }
        self.may_change(state, options.if_match)
    }

    fn may_change(&self, state: &State, expected: Option<Revision>) -> Result<(), WriteError> {
        if *self.life.borrow() != Life::Live {
            return Err(WriteError::NoTopic(self.name.to_string()));
        }
        match expected {
            Some(expected) if !state.topic.is_still(expected) => {
                Err(WriteError::Stale(state.topic.revision()))
            }
            _ => Ok(()),
        }
    }

    /// Under the entry's lock nothing is lost; what was lost just before is taken back first.
    fn handover(&self, state: &mut State, permit: Option<Permit>) -> Option<Handover<'_>> {
        let (ledger, permit) = (self.ledger.as_ref()?, permit?);
        let ledger_entry = ledger.entry();
        self.follow(state, &ledger_entry);
        Some(Handover {
            ledger,
            ledger_entry,
            permit,
        })
    }

    fn warn_of_rounding(&self, change: &Change) {
        if self.warned_of_rounding.load(Ordering::Relaxed) {
            return;
        }
        if let Some(number) = change.first_rounded()
            && !self.warned_of_rounding.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(topic = %self.name, number, "JavaScript rounds integers above 2^53: viewers in a browser see another number");
        }
    }
}

impl Handover<'_> {
    /// Whether a revision is durable already.
    fn has(&self, revision: Revision) -> bool {
        let kept = self.ledger_entry.kept.as_ref();
        !self.ledger_entry.unsure && kept.is_some_and(|kept| kept.revision == revision)
    }

    fn send(
        mut self,
        entry: &TopicEntry,
        to: Option<Version>,
        fields: Option<Vec<FieldName>>,
    ) -> Commit {
        if let Some(version) = &to {
            self.ledger_entry.last = version.revision;
        }
        let record = Record {
            topic: entry.name.clone(),
            to,
            fields,
            generation: self.ledger_entry.generation,
            ledger: self.ledger.clone(),
        };
        let (answer, done) = oneshot::channel();
        self.permit.send(Job::Commit(Box::new(record), answer));
        Commit(done)
    }
}

impl Commit {
    /// Waits until the change is durable, or stands without being so.
    ///
    /// # Errors
    /// It could not be kept, and is taken back.
    pub(super) async fn done(self) -> Result<bool, WriteError> {
        let ended = || Err("the store has ended".to_owned());
        let kept = self.0.await.unwrap_or_else(|_| ended());
        kept.map_err(WriteError::Store)
    }
}
