//! What changes a topic: a write, an announcement, a deletion. Each is one critical section, in
//! which the change is also handed over to be kept.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::time::Instant;

use super::authors::Authors;
use super::clock::unix_micros;
use super::entry::{State, TopicEntry};
use super::job::{Intent, Permit, Promise};
use super::life::{Life, Turn};
use super::receipt::{Found, Receipt, WriteError, WriteOptions};
use crate::state::json::{Kind, LARGE};
use crate::state::revision::Revision;
use crate::state::session::{FieldName, Session};
use crate::state::topic::{Applied, Change, Version, Written};
use crate::store::TopicRecord;
use crate::wire::frame::Frame;

/// What a writer asks for.
pub(super) struct Write {
    pub change: Change,
    pub options: WriteOptions,
}

/// What a deletion has come to.
pub(super) enum Retired {
    /// There is no session to delete.
    Empty,
    /// It may go at once.
    Now,
    /// It goes when the store has forgotten it.
    With(Promise),
}

impl TopicEntry {
    /// Writes a change, which may have been `applied` already, and with a `permit` hands it over
    /// in the order of the revisions. It takes a revision above the `floor`.
    pub(super) fn write(
        self: &Arc<TopicEntry>,
        write: &Write,
        applied: Option<Applied>,
        permit: Option<Permit>,
        floor: Revision,
    ) -> Result<(Receipt, Option<Promise>), WriteError> {
        let Write { change, options } = write;
        self.warn_of_rounding(change);
        self.sources.touch();
        let mut state = self.state();
        self.may_write(&state, options)?;
        let before = state.topic.session().cloned();
        let now = unix_micros().max(floor.next(0).get());
        let topic = &mut state.topic;
        let apply = || topic.base().apply(change, &AtomicBool::new(false));
        let applied = applied.unwrap_or_else(apply);
        let written = match topic.write_applied(change, applied, now, &options.writer) {
            Ok(written) => written,
            Err(refusal) => {
                self.announce_now(&mut state, permit);
                return Err(refusal.into());
            }
        };
        let version = state.topic.version().ok_or_else(|| self.no_topic())?;
        let has_changed = matches!(written, Written::Applied { .. });
        let replaced = has_changed.then(|| self.note(&mut state, options));
        let (receipt, fields) = receipt(written, &version, before.is_none());
        state.tell_accepted(options, &receipt.found, version.revision);
        let intent = Intent::Write {
            made: receipt.created,
            address: options.address,
        };
        // What was there already may still be on its way: its durability is waited for too.
        let promise = match state.durability.holds(version.revision) {
            true => None,
            false => self.hand_over(&mut state, permit, Some(version), fields, intent),
        };
        drop(state);
        // What was replaced may be large: it is freed when nobody waits for the lock.
        drop((before, replaced));
        Ok((receipt, promise))
    }

    /// Notes that the session has changed. Returns the frame that was made of the one before.
    pub(super) fn note(
        &self,
        state: &mut State,
        options: &WriteOptions,
    ) -> Option<(Revision, Arc<Frame>)> {
        state.authors.and(&options.writer);
        if !state.topic.is_frozen() && !self.after_durable {
            let now = Instant::now();
            state.changed = Some(now.checked_sub(options.age).unwrap_or(now));
        }
        self.wake(state);
        self.turn(state, Turn::Written);
        state.snapshot.take()
    }

    /// Tells those who fetch for themselves that a write was refused: whoever shows it already
    /// has to fetch the truth. The name of the refused writer would keep it from doing so.
    pub(super) fn announce(self: &Arc<TopicEntry>, permit: Option<Permit>) {
        self.announce_now(&mut self.state(), permit);
    }

    fn announce_now(self: &Arc<TopicEntry>, state: &mut State, permit: Option<Permit>) {
        if self.life() != Life::Live {
            return;
        }
        state.topic.announce(unix_micros());
        state.authors = Authors::Several;
        self.wake(state);
        // The revision is kept, so that it does not go back with a restart. Nobody waits for that.
        let version = state.topic.version();
        let _ = self.hand_over(state, permit, version, Some(Vec::new()), Intent::Announce);
    }

    /// Begins to delete the topic, for a host at an address, if nothing has changed since the
    /// revision that is expected.
    pub(super) fn retire(
        self: &Arc<TopicEntry>,
        expected: Option<Revision>,
        address: Option<IpAddr>,
        permit: Option<Permit>,
    ) -> Result<Retired, WriteError> {
        let mut state = self.state();
        self.may_change(&state, expected)?;
        if !self.turn(&state, Turn::Deleting) {
            return Ok(Retired::Empty);
        }
        let promise = self.hand_over(&mut state, permit, None, None, Intent::Delete { address });
        Ok(promise.map_or(Retired::Now, Retired::With))
    }

    /// Queues a change for the thread that keeps it; nothing without a store.
    fn hand_over(
        self: &Arc<TopicEntry>,
        state: &mut State,
        permit: Option<Permit>,
        to: Option<Version>,
        fields: Option<Vec<FieldName>>,
        intent: Intent,
    ) -> Option<Promise> {
        let permit = permit?;
        let generation = state.durability.hand_over(to.as_ref());
        let topic = self.name.clone();
        let record = TopicRecord { topic, to, fields };
        Some(permit.send(self.clone(), record, generation, intent))
    }

    /// Hands over the state as it was restored, where that differs from the file.
    pub(super) fn keep_restored(self: &Arc<TopicEntry>, permit: Permit, whole: bool) {
        let mut state = self.state();
        let (version, fields) = (state.topic.version(), (!whole).then(Vec::new));
        let _ = self.hand_over(&mut state, Some(permit), version, fields, Intent::Announce);
    }

    pub(super) fn may_write(
        &self,
        state: &State,
        options: &WriteOptions,
    ) -> Result<(), WriteError> {
        match options.existing && state.topic.session().is_none() {
            true => Err(self.no_topic()),
            false => self.may_change(state, options.if_match),
        }
    }

    pub(super) fn may_change(
        &self,
        state: &State,
        expected: Option<Revision>,
    ) -> Result<(), WriteError> {
        if !self.life().is_open() {
            return Err(self.no_topic());
        }
        match expected.is_none_or(|expected| state.topic.is_still(expected)) {
            true => Ok(()),
            false => Err(WriteError::Stale(state.topic.revision())),
        }
    }

    fn no_topic(&self) -> WriteError {
        WriteError::NoTopic(self.name.to_string())
    }

    pub(super) fn warn_of_rounding(&self, change: &Change) {
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

/// Large changes are applied before they are written, while nobody waits for the lock.
impl TopicEntry {
    /// Applies a change, which may take long. None once it is called off.
    pub(super) fn apply(&self, change: &Change, called_off: &AtomicBool) -> Option<Applied> {
        let wanted = || !called_off.load(Ordering::Relaxed);
        let base = wanted().then(|| self.state().topic.base());
        let applied = base.map(|base| base.apply(change, called_off));
        applied.filter(|_| wanted())
    }

    /// Whether what was applied would have to be applied again.
    pub(super) fn has_changed_since(&self, applied: &Applied) -> bool {
        self.state().topic.revision() != applied.revision
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
            // Adding or removing one rebuilds the config.
            Change::Fields(fields) => {
                let before = |field| now.as_ref().and_then(|now| now.config.get(field));
                let mut fields = fields.iter();
                size > LARGE
                    && fields
                        .any(|(field, value)| value.kind() == Kind::Null || before(field).is_none())
            }
        }
    }
}

/// The answer to a writer, and the fields that have changed, if nothing else has.
pub(super) fn receipt(
    written: Written,
    version: &Version,
    created: bool,
) -> (Receipt, Option<Vec<FieldName>>) {
    let (revision, touched, fields, found) = match written {
        Written::Unchanged {
            revision,
            touched,
            ignored,
        } => (revision, touched, Some(Vec::new()), Found::Nothing(ignored)),
        Written::Applied {
            revision,
            fields,
            parts,
        } => (revision, revision, fields, Found::Changed(parts)),
    };
    let receipt = Receipt {
        revision,
        touched,
        created,
        session: version.session.clone(),
        kept: true,
        found,
    };
    (receipt, fields)
}
