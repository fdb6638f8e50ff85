//! A topic: one session, its revisions, and the two functions everything rests on:
//! [`Topic::write`] and [`Topic::since`]. Pure: no clock, no socket, no lock.

mod apply;
mod candidate;
mod follow;
mod ignore;
mod parts;
mod patch;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

pub use follow::{Arrival, Draft};
pub use parts::Parts;

use json_patch::Patch;
use rpds::HashTrieMapSync;
use serde::Serialize;

use crate::state::fields::{FieldError, Whitelist};
use crate::state::json::Json;
use crate::state::revision::Revision;
use crate::state::session::{Config, FieldName, Session};

/// What a topic holds its writers to.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Which fields may change without a redraw.
    pub whitelist: Whitelist,
    /// JSON Pointers (RFC 6901) into the session: parts that are dropped on arrival.
    pub ignore: Vec<String>,
    /// The largest session, in bytes of JSON text.
    pub max_session: usize,
}

/// A change that a host asks for.
#[derive(Clone, Debug)]
pub enum Change {
    /// The whole session anew.
    Replace(Session),
    /// A JSON Merge Patch (RFC 7396) of the session.
    Merge(Json),
    /// A JSON Patch (RFC 6902) of the session.
    Patch(Patch),
    /// These fields of the config, each named once; null removes one.
    Fields(Vec<(String, Json)>),
}

impl Change {
    /// About how long it is as text, in bytes.
    pub fn text_len(&self) -> usize {
        let field = |(field, value): &(String, Json)| field.len() + value.as_str().len();
        match self {
            Change::Replace(session) => session.text_len(),
            Change::Merge(patch) => patch.as_str().len(),
            Change::Patch(patch) => patch::text_len(patch),
            Change::Fields(fields) => fields.iter().map(field).sum(),
        }
    }

    /// The first integer in it that JavaScript rounds (above 2^53), if there is one.
    pub fn first_rounded(&self) -> Option<&str> {
        match self {
            Change::Replace(session) => session.first_rounded(),
            Change::Fields(fields) => fields.iter().find_map(|(_, value)| value.first_rounded()),
            Change::Merge(patch) => patch.first_rounded(),
            Change::Patch(_) => None,
        }
    }
}

/// How a writer names itself, to recognize its own change when it comes back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Writer {
    /// Which program wrote.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_id: Option<String>,
    /// Which device wrote.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_id: Option<u64>,
    /// The writer's own count of its changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local_revision: Option<u64>,
}

/// A change that was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// The session has changed.
    Applied {
        /// Its new revision.
        revision: Revision,
        /// The fields that changed, when nothing else did.
        fields: Option<Vec<FieldName>>,
        /// What differs, for people.
        parts: Parts,
    },
    /// The session was like that already: no revision, no frame.
    Unchanged {
        /// The revision that made it so.
        revision: Revision,
        /// If only fields were written, the revision of the last change to any of them.
        touched: Revision,
        /// The pointers under which something was dropped.
        ignored: Vec<String>,
    },
}

/// Why a change was not accepted; the session stays as it was.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// Values that the declared whitelist forbids.
    #[error("{}", describe(.0))]
    Fields(Vec<FieldError>),
    /// The change cannot be applied to this session.
    #[error("{0}")]
    Invalid(String),
    /// The session would exceed the limit, in bytes.
    #[error("the session would be over the limit of {0} bytes (--max-session)")]
    TooLarge(usize),
}

/// Who wrote a field's present value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The revision of that write.
    pub revision: Revision,
    /// The name the writer gave itself; empty when it gave none.
    pub writer: Arc<Writer>,
}

/// Who wrote what, by field. Copies share everything that does not differ.
pub type Origins = HashTrieMapSync<FieldName, Origin>;

/// A topic's state at one revision. Copies share their parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// The revision.
    pub revision: Revision,
    /// What is shown.
    pub session: Session,
    /// Who wrote the fields that have changed since the topic was made.
    pub origins: Origins,
}

/// The smallest thing that brings a viewer to now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Update {
    /// The fields that changed, at their present values.
    Delta {
        /// The revision a viewer is at after this.
        revision: Revision,
        /// In the order in which they last changed.
        fields: Vec<(FieldName, Json)>,
        /// For fields whose writer named itself.
        origins: Vec<(FieldName, Origin)>,
    },
    /// Everything.
    Snapshot(Version),
}

/// Debounced changes on their way to the viewers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flush {
    /// Viewers at this revision need exactly `update`.
    pub from: Revision,
    /// Where they are after it.
    pub to: Revision,
    /// Nothing when only a refusal was announced.
    pub update: Option<Update>,
}

/// How many revisions are remembered: a viewer that comes back with an older one is sent
/// everything.
const REMEMBERED: usize = 4096;

/// One topic's state.
#[derive(Debug)]
pub struct Topic {
    name: String,
    rules: Arc<Rules>,
    session: Option<Session>,
    revision: Revision,
    /// How far the first revision after a restart jumps ahead if the clock is behind: an earlier
    /// life may have shown the next revisions, and lost them.
    leap: u64,
    /// The last change that needs a redraw.
    structural: Revision,
    flushed: Revision,
    origins: Origins,
    /// Which field changed when, since the last structural change. Oldest first; an entry whose
    /// field has changed again means nothing.
    recent: Vec<(Revision, FieldName)>,
    /// At this length, the entries that mean nothing are dropped.
    recent_limit: usize,
    /// About how many bytes of text changed since the last flush, in fields; one that changed twice
    /// counts twice.
    waiting: usize,
    /// The last revisions that were sent to a viewer, and the last that writers were told. Oldest
    /// first. Only for these is it known what their holder has: any other number is from before a
    /// restart, or made up.
    sent: VecDeque<Revision>,
    made: VecDeque<Revision>,
    /// The revision that made this state, and those under which it has been announced since.
    same: VecDeque<Revision>,
    shown: Shown,
    /// Whether only what is durable is shown, also after a freeze.
    durable_first: bool,
}

/// What viewers and readers may see of a topic.
#[derive(Debug)]
enum Shown {
    /// The present state.
    Present,
    /// Only what is durable, which follows the present state; none: nothing yet.
    Durable(Option<Version>),
    /// What was shown when the host froze it; none: nothing.
    Frozen(Option<Version>),
}

impl Topic {
    /// A topic that waits for its first session, which is called `name` unless it says
    /// otherwise. Its revisions are greater than `floor`, which an earlier topic of that name
    /// may have reached.
    pub fn new(name: &str, rules: Rules, floor: Revision) -> Topic {
        Topic {
            name: name.to_owned(),
            rules: Arc::new(rules),
            session: None,
            revision: floor,
            leap: 0,
            structural: floor,
            flushed: floor,
            origins: Origins::new_sync(),
            recent: Vec::new(),
            recent_limit: REMEMBERED,
            waiting: 0,
            sent: VecDeque::new(),
            made: VecDeque::new(),
            same: VecDeque::new(),
            shown: Shown::Present,
            durable_first: false,
        }
    }

    /// A topic as it was kept, under its revision: viewers resume without redrawing. `leap`: any
    /// number that an earlier life did not have.
    pub fn restore(name: &str, rules: Rules, kept: Version, leap: u64) -> Topic {
        let mut topic = Topic::new(name, rules, kept.revision);
        topic.leap = leap;
        topic.adopt(kept.revision, Some(kept.session), kept.origins);
        topic.sent.push_back(topic.revision);
        topic.flushed = topic.revision;
        topic
    }

    /// For a restored topic: an earlier life may have shown a later revision, and lost it. The state
    /// takes a greater one, so that whoever holds the lost one fetches this; those who hold the one
    /// that was kept have the state already.
    pub fn outrun(&mut self, unix_micros: u64) {
        self.announce(unix_micros);
        self.flushed = self.revision;
    }

    /// For a restored topic: drops what is to be ignored now. Returns whether there was any.
    pub fn drop_ignored(&mut self, unix_micros: u64) -> bool {
        let Some(kept) = self.session.clone() else {
            return false;
        };
        let (without, ignored) =
            ignore::without_ignored(kept, None, &self.rules.ignore, &self.name);
        let dropped = !ignored.is_empty();
        if dropped {
            self.step(unix_micros);
            self.adopt(self.revision, Some(without), self.origins.clone());
        }
        dropped
    }

    /// Takes a session that comes with its revision, or none, in place of the present one: what
    /// a store has kept, or another machine has made.
    pub fn adopt(&mut self, revision: Revision, session: Option<Session>, origins: Origins) {
        self.revision = revision;
        self.begin_anew();
        if let Some(session) = &session {
            self.learn(session);
        }
        (self.session, self.origins) = (session, origins);
        self.same = [revision].into();
    }

    /// The present session; none before the first write.
    pub fn session(&self) -> Option<&Session> {
        self.session.as_ref()
    }

    /// The present state; none before the first write.
    pub fn version(&self) -> Option<Version> {
        Some(Version {
            revision: self.revision,
            session: self.session.clone()?,
            origins: self.origins.clone(),
        })
    }

    /// The revision of the last accepted change, or of an announcement since.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// From now on only this durable state is shown, which the topic has or had; none: nothing
    /// yet. Does nothing while the topic is frozen. Returns whether that differs from what was
    /// shown before.
    pub fn show_only(&mut self, version: Option<Version>) -> bool {
        let before = self.shown_revision();
        self.durable_first = true;
        if !self.is_frozen() {
            self.shown = Shown::Durable(version);
        }
        self.shown_revision() != before
    }

    /// From now on only this state is shown, whatever is written: the one that is shown now, or
    /// nothing.
    pub fn freeze(&mut self, shown: Option<Version>) {
        self.shown = Shown::Frozen(shown);
    }

    /// Shows the present state from now on.
    pub fn show_all(&mut self) {
        self.shown = Shown::Present;
    }

    /// Whether writes are not shown, since [`Topic::freeze`].
    pub fn is_frozen(&self) -> bool {
        matches!(self.shown, Shown::Frozen(_))
    }

    /// What may be shown: the present state, unless [`Topic::show_only`] or [`Topic::freeze`]
    /// said otherwise.
    pub fn shown(&self) -> Option<Version> {
        match &self.shown {
            Shown::Present => self.version(),
            Shown::Durable(version) | Shown::Frozen(version) => version.clone(),
        }
    }

    /// Whether there is anything that may be shown.
    pub fn has_shown(&self) -> bool {
        match &self.shown {
            Shown::Present => self.session.is_some(),
            Shown::Durable(version) | Shown::Frozen(version) => version.is_some(),
        }
    }

    /// The revision of what may be shown.
    pub fn shown_revision(&self) -> Revision {
        match &self.shown {
            Shown::Present => self.revision,
            Shown::Durable(Some(version)) | Shown::Frozen(Some(version)) => version.revision,
            Shown::Durable(None) | Shown::Frozen(None) => self.flushed,
        }
    }

    /// Whether the state is still the one that a revision stands for.
    pub fn is_still(&self, revision: Revision) -> bool {
        self.session.is_some() && self.same.contains(&revision)
    }

    /// The fields that may change without a redraw.
    pub fn whitelist(&self) -> &Whitelist {
        &self.rules.whitelist
    }

    /// The same for what may be shown.
    pub fn shown_whitelist(&self) -> Whitelist {
        let mut whitelist = self.whitelist().clone();
        if !self.is_all_shown() {
            let shown = self.shown();
            whitelist.learn(&shown.map_or_else(Config::default, |shown| shown.session.config));
        }
        whitelist
    }

    /// A field's value as it is shown, and who wrote it; the revision is that of the last change
    /// known to have touched it.
    pub fn field(&self, field: &str) -> Option<(Json, Origin)> {
        self.field_of(&self.shown()?, field)
    }

    fn field_of(&self, version: &Version, field: &str) -> Option<(Json, Origin)> {
        let value = version.session.config.get(field)?.clone();
        let unknown = || Origin {
            revision: self.structural.min(version.revision),
            writer: Arc::default(),
        };
        let origin = version.origins.get(field).cloned();
        Some((value, origin.unwrap_or_else(unknown)))
    }

    /// What changes are applied to, apart from the topic: large ones take time, and nobody should
    /// have to wait for them.
    pub fn base(&self) -> Base {
        Base {
            name: self.name.clone(),
            rules: self.rules.clone(),
            session: self.session.clone(),
            revision: self.revision,
        }
    }

    /// Applies a change as a whole or refuses it as a whole. `unix_micros` is the present
    /// time, from which the revision is made.
    ///
    /// # Errors
    /// A [`Refusal`]: the session stays as it was.
    pub fn write(
        &mut self,
        change: &Change,
        unix_micros: u64,
        writer: &Arc<Writer>,
    ) -> Result<Written, Refusal> {
        let applied = self.base().apply(change, &AtomicBool::new(false));
        self.write_applied(change, applied, unix_micros, writer)
    }

    /// Like [`Topic::write`], for a change that was applied already; it is applied again if the
    /// topic has changed since.
    ///
    /// # Errors
    /// As [`Topic::write`].
    pub fn write_applied(
        &mut self,
        change: &Change,
        applied: Applied,
        unix_micros: u64,
        writer: &Arc<Writer>,
    ) -> Result<Written, Refusal> {
        let next = self.next(change, applied)?;
        if next.is_same() {
            return Ok(self.unchanged(change, next));
        }
        self.step(unix_micros);
        self.same = [self.revision].into();
        self.origins = self.origins_after(&next, self.revision, writer);
        if next.structural {
            self.begin_anew();
            self.learn(&next.session);
        }
        if !next.structural {
            let revision = self.revision;
            let changed = next.changed.iter();
            self.note(changed.map(|field| (revision, field.clone())));
            self.waiting += next.changed_len;
        }
        remember(&mut self.made, self.revision);
        self.session = Some(next.session);
        Ok(Written::Applied {
            revision: self.revision,
            fields: (!next.structural).then_some(next.changed),
            parts: next.parts,
        })
    }

    /// What a change makes of the present session.
    fn next(&self, change: &Change, applied: Applied) -> Result<apply::Next, Refusal> {
        match applied.revision == self.revision {
            true => applied.next,
            false => self.base().apply(change, &AtomicBool::new(false)).next,
        }
    }

    fn unchanged(&self, change: &Change, next: apply::Next) -> Written {
        let revision = self.same.front().copied().unwrap_or(self.revision);
        Written::Unchanged {
            revision,
            touched: self.touched(change).unwrap_or(revision),
            ignored: next.ignored,
        }
    }

    /// Who wrote what once a change has been made.
    fn origins_after(
        &self,
        next: &apply::Next,
        revision: Revision,
        writer: &Arc<Writer>,
    ) -> Origins {
        let mut origins = self.origins.clone();
        let before = self.session.iter().filter(|_| next.structural);
        let before = before.flat_map(|before| before.config.names());
        for field in before.filter(|field| next.session.config.get(field).is_none()) {
            origins.remove_mut(field);
        }
        for field in &next.changed {
            let writer = writer.clone();
            origins.insert_mut(field.clone(), Origin { revision, writer });
        }
        origins
    }

    /// Gives the unchanged session a new revision, so that optimistic writers whose write
    /// was refused fetch the truth again. A topic without a session stays as it is.
    pub fn announce(&mut self, unix_micros: u64) {
        if self.session.is_some() {
            self.step(unix_micros);
            self.remember_same();
            remember(&mut self.made, self.revision);
        }
    }

    /// The state is the same under the present revision.
    fn remember_same(&mut self) {
        // The revision that made the state stays first.
        if self.same.len() == REMEMBERED {
            self.same.remove(1);
        }
        self.same.push_back(self.revision);
    }

    /// The one rule: the smallest thing that brings a viewer at `revision` (none for a
    /// newcomer) to what is shown; nothing when it is there already. The caller is taken to send it.
    pub fn since(&mut self, revision: Option<Revision>) -> Option<Update> {
        let shown = self.shown()?;
        let known = revision.filter(|at| *at == shown.revision || self.has_left(*at));
        if self.sent.back() != Some(&shown.revision) {
            remember(&mut self.sent, shown.revision);
        }
        match known {
            Some(at) if at == shown.revision => None,
            Some(at) if at < shown.revision => self.delta(at, &shown),
            _ => Some(Update::Snapshot(shown)),
        }
    }

    /// Whether changes that may be shown wait to be flushed.
    pub fn is_dirty(&self) -> bool {
        self.flushed != self.shown_revision()
    }

    /// Takes what changed since the last flush; nothing when nothing did.
    pub fn flush(&mut self) -> Option<Flush> {
        if !self.is_dirty() {
            return None;
        }
        let (from, to) = (self.flushed, self.shown_revision());
        let update = self.since(Some(from));
        self.flushed = to;
        if self.is_all_shown() {
            self.waiting = 0;
        }
        Some(Flush { from, to, update })
    }

    /// About how many bytes of text wait to be flushed. The caller is about to decide who does the
    /// work, so this does none of it.
    pub fn waiting_len(&self) -> usize {
        let Some(session) = self.session.as_ref().filter(|_| self.is_dirty()) else {
            return 0;
        };
        match self.flushed < self.structural {
            true => session.text_len(),
            false => self.waiting,
        }
    }

    /// Whether it is known what a viewer at this revision holds, and that only fields have
    /// changed since.
    fn has_left(&self, revision: Revision) -> bool {
        let known = |all: &VecDeque<Revision>| all.binary_search(&revision).is_ok();
        revision >= self.structural && (known(&self.sent) || known(&self.made))
    }

    fn after(&self, revision: Revision) -> &[(Revision, FieldName)] {
        let start = self.recent.partition_point(|(at, _)| *at <= revision);
        &self.recent[start..]
    }

    /// Whether nothing is held back from viewers.
    pub fn is_all_shown(&self) -> bool {
        self.shown_revision() == self.revision
    }

    fn delta(&self, at: Revision, shown: &Version) -> Option<Update> {
        let (mut fields, mut origins) = (Vec::new(), Vec::new());
        for (revision, field) in self.after(at) {
            let last = shown.origins.get(field);
            let Some(origin) = last.filter(|last| last.revision == *revision) else {
                continue;
            };
            fields.push((field.clone(), shown.session.config.get(field)?.clone()));
            if origin.is_named() {
                origins.push((field.clone(), origin.clone()));
            }
        }
        (!fields.is_empty()).then_some(Update::Delta {
            revision: shown.revision,
            fields,
            origins,
        })
    }

    /// The last change of the fields that a change names, as far as is known.
    fn touched(&self, change: &Change) -> Option<Revision> {
        let Change::Fields(fields) = change else {
            return None;
        };
        let present = self.version()?;
        let origin = |(field, _): &(String, Json)| Some(self.field_of(&present, field)?.1);
        let known = fields.iter().filter_map(origin);
        known.map(|origin| origin.revision).max()
    }

    fn step(&mut self, unix_micros: u64) {
        let leap = std::mem::take(&mut self.leap);
        let ahead = match self.revision.get() >= unix_micros {
            true => self.revision.get() + leap + 1,
            false => unix_micros,
        };
        self.revision = self.revision.next(ahead);
    }

    /// Whoever holds anything older needs everything.
    fn begin_anew(&mut self) {
        self.structural = self.revision;
        self.recent.clear();
        self.sent.clear();
        self.made.clear();
    }

    fn learn(&mut self, session: &Session) {
        let rules = Arc::make_mut(&mut self.rules);
        rules.whitelist.learn(&session.config);
    }

    fn note(&mut self, changed: impl IntoIterator<Item = (Revision, FieldName)>) {
        self.recent.extend(changed);
        if self.recent.len() > self.recent_limit {
            if self.is_frozen() && self.durable_first {
                // What is shown next is any of the states since: they are too many to remember.
                return self.begin_anew();
            }
            let (origins, shown) = (&self.origins, &self.shown);
            self.recent.retain(|(revision, field)| {
                is_last(origins, field, *revision) || shown.needs(field, *revision)
            });
            // It doubles before it is searched again, so that this costs little on average.
            self.recent_limit = 2 * self.recent.len() + REMEMBERED;
        }
    }
}

impl Shown {
    /// Whether a field's change matters although the field has changed again.
    fn needs(&self, field: &str, revision: Revision) -> bool {
        match self {
            Shown::Present => false,
            Shown::Durable(Some(shown)) | Shown::Frozen(Some(shown))
                if revision <= shown.revision =>
            {
                is_last(&shown.origins, field, revision)
            }
            // Any of the states in between may be the next durable one.
            Shown::Durable(_) => true,
            // What follows is the present state.
            Shown::Frozen(_) => false,
        }
    }
}

/// Whether a field has not changed again since a revision.
fn is_last(origins: &Origins, field: &str, revision: Revision) -> bool {
    origins
        .get(field)
        .is_some_and(|last| last.revision == revision)
}

/// A topic's state and rules at one revision.
pub struct Base {
    name: String,
    rules: Arc<Rules>,
    session: Option<Session>,
    revision: Revision,
}

/// What a change makes of a [`Base`].
pub struct Applied {
    next: Result<apply::Next, Refusal>,
    /// The revision it was applied to.
    pub revision: Revision,
}

impl Base {
    /// Applies a change, which may take long. It is `called_off` when nobody waits for it any more:
    /// the result must not be written then.
    pub fn apply(&self, change: &Change, called_off: &AtomicBool) -> Applied {
        let (present, rules) = (self.session.as_ref(), &*self.rules);
        Applied {
            next: apply::apply(present, change, &self.name, rules, called_off),
            revision: self.revision,
        }
    }
}

impl Origin {
    /// Whether the writer gave a name.
    pub fn is_named(&self) -> bool {
        *self.writer != Writer::default()
    }
}

impl Version {
    /// About how many bytes it is as text, as if every writer had given its name.
    pub fn text_len(&self) -> usize {
        const ORIGIN: usize = 64;
        self.session.text_len() + ORIGIN * self.origins.size()
    }

    /// The origins of the fields whose writer gave a name, in the config's order.
    pub fn named_origins(&self) -> impl Iterator<Item = (&str, &Origin)> {
        let origin = |field| {
            let (name, origin) = self.origins.get_key_value(field)?;
            origin.is_named().then_some((&**name, origin))
        };
        self.session.config.names().filter_map(origin)
    }
}

fn remember(revisions: &mut VecDeque<Revision>, revision: Revision) {
    if revisions.len() == REMEMBERED {
        revisions.pop_front();
    }
    revisions.push_back(revision);
}

fn describe(faults: &[FieldError]) -> String {
    let fault = FieldError::to_string;
    faults.iter().map(fault).collect::<Vec<_>>().join("; ")
}
