//! A topic: one session, its revisions, and the two functions everything rests on:
//! [`Topic::write`] and [`Topic::since`]. Pure: no clock, no socket, no lock.

use std::collections::HashMap;
use std::sync::Arc;

use indexmap::IndexMap;
use json_patch::{Patch, PatchOperation};
use serde::Serialize;
use serde_json::Value;

use crate::fields::{FieldError, Whitelist};
use crate::json::{Json, Kind, MAX_DEPTH};
use crate::revision::Revision;
use crate::session::{self, Config, Session, ShapeError};

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
    /// These fields of the config; null removes one.
    Fields(Vec<(String, Json)>),
}

/// How a writer names itself, to recognise its own change when it comes back.
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
    /// The session is another now.
    Applied {
        /// The revision it has.
        revision: Revision,
        /// The fields that changed, when nothing else did.
        fields: Option<Vec<String>>,
    },
    /// The session already was so: no revision, no frame.
    Unchanged(Revision),
}

/// Why a change was not accepted; the session is what it was.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// Values that the declared whitelist forbids.
    #[error("{}", describe(.0))]
    Fields(Vec<FieldError>),
    /// The change cannot be applied to this session.
    #[error("{0}")]
    Invalid(String),
    /// The session would grow over the limit, in bytes.
    #[error("the session would be over the limit of {0} bytes (--max-session)")]
    TooLarge(usize),
}

/// The smallest thing that brings a viewer to now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Update {
    /// The fields that changed, at their present values.
    Delta {
        /// The revision a viewer is at after this.
        revision: Revision,
        /// In the order in which they last changed.
        fields: Vec<(String, Json)>,
        /// For fields whose writer named itself.
        origins: Vec<(String, Origin)>,
    },
    /// Everything.
    Snapshot {
        /// The revision a viewer is at after this.
        revision: Revision,
        /// The whole session.
        session: Session,
    },
}

/// Who wrote a field's present value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The revision of that write.
    pub revision: Revision,
    /// The name the writer gave itself; all empty when it gave none.
    pub writer: Writer,
}

/// Debounced changes that leave for the viewers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flush {
    /// Viewers at this revision need exactly `update`.
    pub from: Revision,
    /// Where they are after it.
    pub to: Revision,
    /// Nothing when every change was taken back before it left.
    pub update: Option<Update>,
}

/// One topic's state.
#[derive(Debug)]
pub struct Topic {
    name: String,
    rules: Rules,
    session: Option<Session>,
    revision: Revision,
    /// The last change that needs a redraw.
    structural: Revision,
    flushed: Revision,
    /// Who last changed each field. Latest last.
    origins: IndexMap<String, Origin>,
    /// What fields held at the last flush, for those that changed since.
    before: HashMap<String, Option<Json>>,
}

impl Topic {
    /// A topic that waits for its first session, which is called `name` unless it says otherwise.
    pub fn new(name: &str, rules: Rules) -> Topic {
        Topic {
            name: name.to_owned(),
            rules,
            session: None,
            revision: Revision::ZERO,
            structural: Revision::ZERO,
            flushed: Revision::ZERO,
            origins: IndexMap::new(),
            before: HashMap::new(),
        }
    }

    /// A topic as it was kept. It keeps its revision, so that viewers resume without redrawing.
    pub fn restore(name: &str, mut rules: Rules, session: Session, revision: Revision) -> Topic {
        rules.whitelist.learn(&session.config);
        let topic = Topic::new(name, rules);
        Topic {
            session: Some(session),
            revision,
            structural: revision,
            flushed: revision,
            ..topic
        }
    }

    /// The present session; none before the first write.
    pub fn session(&self) -> Option<&Session> {
        self.session.as_ref()
    }

    /// The revision of the last accepted change.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// The fields that may change without a redraw.
    pub fn whitelist(&self) -> &Whitelist {
        &self.rules.whitelist
    }

    /// A field's present value and who wrote it; the revision is of the last change known to have touched it.
    pub fn field(&self, field: &str) -> Option<(Json, Origin)> {
        let value = self.session.as_ref()?.config.get(field)?.clone();
        let unknown = || Origin {
            revision: self.structural,
            writer: Writer::default(),
        };
        Some((
            value,
            self.origins.get(field).cloned().unwrap_or_else(unknown),
        ))
    }

    /// Applies a change as a whole or refuses it as a whole. `unix_micros` is the present
    /// time, from which the revision is made.
    ///
    /// # Errors
    /// A [`Refusal`]: the session stays as it was.
    pub fn write(
        &mut self,
        change: Change,
        unix_micros: u64,
        writer: &Writer,
    ) -> Result<Written, Refusal> {
        let next = self.without_ignored(self.candidate(change)?)?;
        self.check(&next)?;
        let changed = self.changed_fields(&next.config);
        let structural = self.is_structural(&next, &changed);
        if !structural && changed.is_empty() {
            return Ok(Written::Unchanged(self.revision));
        }
        self.revision = self.revision.next(unix_micros);
        if structural {
            self.structural = self.revision;
            self.rules.whitelist.learn(&next.config);
        }
        for field in &changed {
            self.note(field, writer);
        }
        self.origins
            .retain(|field, _| next.config.contains_key(field));
        self.session = Some(next);
        Ok(Written::Applied {
            revision: self.revision,
            fields: (!structural).then_some(changed),
        })
    }

    /// Gives the unchanged session a new revision, so that optimistic writers whose write
    /// was refused fetch the truth again. A topic without a session stays as it is.
    pub fn reannounce(&mut self, unix_micros: u64) {
        if self.session.is_some() {
            self.revision = self.revision.next(unix_micros);
        }
    }

    /// Goes back to a session that was kept, under a new revision, because later changes could
    /// not be kept.
    pub fn revert(&mut self, session: Option<Session>, unix_micros: u64) {
        self.revision = self.revision.next(unix_micros);
        self.structural = self.revision;
        if let Some(session) = &session {
            self.rules.whitelist.learn(&session.config);
        }
        self.origins.clear();
        self.session = session;
    }

    /// The one rule: the smallest thing that brings a viewer at `revision` (none for a
    /// newcomer) to now; nothing when it is there already.
    pub fn since(&self, revision: Option<Revision>) -> Option<Update> {
        let session = self.session.as_ref()?;
        match revision {
            Some(at) if at == self.revision => None,
            Some(at) if at >= self.structural && at < self.revision => self.delta(session, at),
            _ => Some(Update::Snapshot {
                revision: self.revision,
                session: session.clone(),
            }),
        }
    }

    fn delta(&self, session: &Session, at: Revision) -> Option<Update> {
        let newer: Vec<(&String, &Origin)> = self
            .origins
            .iter()
            .filter(|(field, o)| o.revision > at && !self.taken_back(session, field, at))
            .collect();
        let fields = newer
            .iter()
            .filter_map(|(field, _)| Some(((*field).clone(), session.config.get(*field)?.clone())));
        let fields: Vec<_> = fields.collect();
        let named = newer
            .into_iter()
            .filter(|(_, origin)| origin.writer != Writer::default());
        let origins = named
            .map(|(field, origin)| (field.clone(), origin.clone()))
            .collect();
        (!fields.is_empty()).then_some(Update::Delta {
            revision: self.revision,
            fields,
            origins,
        })
    }

    /// Whether a viewer at the last flush already shows this value, because it changed there and back.
    fn taken_back(&self, session: &Session, field: &str, at: Revision) -> bool {
        at == self.flushed
            && self
                .before
                .get(field)
                .is_some_and(|value| value.as_ref() == session.config.get(field))
    }

    /// Whether changes wait to be flushed.
    pub fn is_dirty(&self) -> bool {
        self.flushed != self.revision
    }

    /// Takes what changed since the last flush; nothing when nothing did.
    pub fn flush(&mut self) -> Option<Flush> {
        if !self.is_dirty() {
            return None;
        }
        let (from, to) = (self.flushed, self.revision);
        let update = self.since(Some(from));
        self.flushed = to;
        self.before.clear();
        Some(Flush { from, to, update })
    }

    fn candidate(&self, change: Change) -> Result<Session, Refusal> {
        let present = || {
            self.session
                .clone()
                .unwrap_or_else(|| Session::of_data(&self.name, Json::empty_object()))
        };
        match change {
            Change::Replace(session) => Ok(session),
            Change::Merge(patch) => self.merged(present(), &patch),
            Change::Patch(patch) => self.patched(&present(), &patch),
            Change::Fields(fields) => Ok(with_fields(present(), fields)),
        }
    }

    fn merged(&self, mut session: Session, patch: &Json) -> Result<Session, Refusal> {
        // RFC 7396 would replace the session by it: by accident a JSON Patch, most of the time.
        let members = patch.members().ok_or_else(|| {
            Refusal::Invalid(format!(
                "a merge patch of a session is an object, got {}: a JSON Patch is application/json-patch+json",
                patch.kind()
            ))
        })?;
        for (member, value) in members {
            match (member.as_str(), value.kind()) {
                ("name", Kind::Null) => session.name = Json::string(&self.name),
                ("name", Kind::String) => session.name = value,
                ("data", Kind::Null) => session.data = Json::empty_object(),
                ("data", _) => session.data = merge(Some(&session.data), &value),
                ("metadata", Kind::Null) => session.metadata = Json::empty_object(),
                ("metadata", _) => session.metadata = merge(Some(&session.metadata), &value),
                ("config", Kind::Null) => session.config = Arc::default(),
                ("config", Kind::Object) => {
                    session = with_fields(session.clone(), merged_fields(&session.config, &value))
                }
                ("name", got) => {
                    return Err(ShapeError {
                        member,
                        expected: "a string",
                        got,
                    }
                    .into());
                }
                ("config", got) => {
                    return Err(ShapeError {
                        member,
                        expected: "an object",
                        got,
                    }
                    .into());
                }
                _ => return Err(no_member(&member)),
            }
        }
        Ok(session)
    }

    fn patched(&self, session: &Session, patch: &Patch) -> Result<Session, Refusal> {
        let mut value = session.value();
        let mut size = session.text_len();
        for (index, operation) in patch.iter().enumerate() {
            json_patch::patch(&mut value, std::slice::from_ref(operation))
                .map_err(|error| Refusal::Invalid(format!("operation {index}: {}", error.kind)))?;
            // Copies can double the session again and again: measured as they come.
            size += grown(&value, operation).ok_or_else(too_deep)?;
            if size > 2 * self.rules.max_session {
                return Err(Refusal::TooLarge(self.rules.max_session));
            }
        }
        let document = checked(&value)?;
        let members = document.members().unwrap_or_default();
        if let Some((other, _)) = members.iter().find(|(key, _)| !session::is_member(key)) {
            return Err(no_member(other));
        }
        if !members
            .iter()
            .any(|(key, _)| key == "data" || key == "config")
        {
            return Err(Refusal::Invalid(
                "what the patch leaves is no session: it needs data or config".to_owned(),
            ));
        }
        Ok(Session::from_json(&document, &self.name)?)
    }

    fn without_ignored(&self, mut session: Session) -> Result<Session, Refusal> {
        if self.rules.ignore.is_empty() {
            return Ok(session);
        }
        let mut value = session.value();
        let found = self
            .rules
            .ignore
            .iter()
            .filter(|pointer| remove(&mut value, pointer))
            .count();
        if found > 0 {
            session = Session::from_json(&Json::from_value(&value), &self.name)?;
        }
        Ok(session)
    }

    fn check(&self, next: &Session) -> Result<(), Refusal> {
        if next.text_len() > self.rules.max_session.saturating_add(64) {
            return Err(Refusal::TooLarge(self.rules.max_session));
        }
        match self.rules.whitelist.check(&next.config) {
            faults if faults.is_empty() => Ok(()),
            faults => Err(Refusal::Fields(faults)),
        }
    }

    fn changed_fields(&self, next: &Config) -> Vec<String> {
        let present = self.session.as_ref().map(|session| &session.config);
        if present.is_some_and(|config| std::ptr::eq(&**config, next)) {
            return Vec::new();
        }
        let differs = |(field, value): &(&String, &Json)| {
            present.and_then(|config| config.get(*field)) != Some(*value)
        };
        next.iter()
            .filter(differs)
            .map(|(field, _)| field.clone())
            .collect()
    }

    /// Whether the change is more than whitelisted fields taking other values.
    fn is_structural(&self, next: &Session, changed: &[String]) -> bool {
        let Some(session) = &self.session else {
            return true;
        };
        let removed = || {
            session
                .config
                .keys()
                .any(|field| !next.config.contains_key(field))
        };
        let covered = |field: &String| {
            next.config
                .get(field)
                .is_some_and(|value| self.rules.whitelist.covers(field, value))
        };
        session.name != next.name
            || session.data != next.data
            || session.metadata != next.metadata
            || removed()
            || !changed.iter().all(covered)
    }

    fn note(&mut self, field: &str, writer: &Writer) {
        let before = self
            .session
            .as_ref()
            .and_then(|session| session.config.get(field).cloned());
        self.before.entry(field.to_owned()).or_insert(before);
        self.origins.shift_remove(field);
        self.origins.insert(
            field.to_owned(),
            Origin {
                revision: self.revision,
                writer: writer.clone(),
            },
        );
    }
}

impl From<ShapeError> for Refusal {
    fn from(error: ShapeError) -> Refusal {
        Refusal::Invalid(error.to_string())
    }
}

fn no_member(name: &str) -> Refusal {
    Refusal::Invalid(format!(
        "{name:?} is no member of a session: expected name, data, config, metadata"
    ))
}

fn describe(faults: &[FieldError]) -> String {
    let fault = |f: &FieldError| format!("{}: expected {}, got {}", f.field, f.expected, f.got);
    faults.iter().map(fault).collect::<Vec<_>>().join("; ")
}

fn too_deep() -> Refusal {
    Refusal::Invalid(format!("nesting deeper than {MAX_DEPTH} levels"))
}

fn checked(value: &Value) -> Result<Json, Refusal> {
    Json::parse(value.to_string().as_bytes()).map_err(|error| Refusal::Invalid(error.reason))
}

fn with_fields(mut session: Session, fields: Vec<(String, Json)>) -> Session {
    let config = Arc::make_mut(&mut session.config);
    for (field, value) in fields {
        match value.kind() {
            Kind::Null => _ = config.shift_remove(&field),
            _ => _ = config.insert(field, value),
        }
    }
    session
}

/// RFC 7396 §2, on text: what the patch does not name stays as it was written.
fn merge(target: Option<&Json>, patch: &Json) -> Json {
    let Some(changes) = patch.members() else {
        return patch.clone();
    };
    let mut members: Config = target
        .and_then(Json::members)
        .unwrap_or_default()
        .into_iter()
        .collect();
    for (key, value) in changes {
        match value.kind() {
            Kind::Null => _ = members.shift_remove(&key),
            _ => _ = members.insert(key.clone(), merge(members.get(&key), &value)),
        }
    }
    Json::object(members.iter().map(|(key, value)| (key.as_str(), value)))
}

fn merged_fields(config: &Config, patch: &Json) -> Vec<(String, Json)> {
    let merged = |(field, value): (String, Json)| {
        let value = if value.kind() == Kind::Object {
            merge(config.get(&field), &value)
        } else {
            value
        };
        (field, value)
    };
    patch
        .members()
        .unwrap_or_default()
        .into_iter()
        .map(merged)
        .collect()
}

/// By how many bytes an operation made the document grow at most; none when it is too deep now.
fn grown(document: &Value, operation: &PatchOperation) -> Option<usize> {
    let path = operation.path();
    let subtree = document.pointer(path.as_str());
    let deep = subtree.is_some_and(|value| path.tokens().count() + depth(value) > MAX_DEPTH);
    let copied = matches!(operation, PatchOperation::Copy(_));
    (!deep).then(|| {
        subtree
            .filter(|_| copied)
            .map_or(0, |value| value.to_string().len())
    })
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// Removes the object member at a pointer (RFC 6901), if it is there.
fn remove(value: &mut Value, pointer: &str) -> bool {
    let Some((parent, last)) = pointer.rsplit_once('/') else {
        return false;
    };
    let key = last.replace("~1", "/").replace("~0", "~");
    let parent = value.pointer_mut(parent).and_then(Value::as_object_mut);
    parent.is_some_and(|members| members.shift_remove(&key).is_some())
}
