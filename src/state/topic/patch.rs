//! A JSON Patch (RFC 6902) of a session: the cost of each operation is known before it is done.

use std::collections::HashSet;

use json_patch::jsonptr::Pointer;
use json_patch::{Patch, PatchOperation};
use serde_json::{Map, Value};

use super::candidate::{Candidate, TOO_MUCH, may_be_named, no_member};
use super::{Refusal, Rules};
use crate::state::json::{Json, Kind, LARGE, MAX_DEPTH, Work, value_of};
use crate::state::session::{self, Session, expect};

/// What the patch makes of a session. Only the parts that it names are looked at.
pub fn patched(
    session: &Session,
    patch: &Patch,
    name: &str,
    rules: &Rules,
    work: Work<'_>,
) -> Result<Candidate, Refusal> {
    let scope = Scope::of(patch);
    let mut document = scope.document(session);
    let mut budget = Budget {
        work,
        size: (2 * rules.max_session).saturating_sub(session.text_len()),
        max_session: rules.max_session,
    };
    for (index, operation) in patch.iter().enumerate() {
        budget.spend(&document, operation, index)?;
        json_patch::patch_unsafe(&mut document, std::slice::from_ref(operation))
            .map_err(|error| Refusal::Invalid(format!("operation {index}: {}", error.kind)))?;
    }
    scope.session(session, document, name)
}

/// About how long a patch is as text, in bytes; counted only until it is over [`LARGE`].
pub fn text_len(patch: &Patch) -> usize {
    let mut left = LARGE;
    for operation in patch.iter() {
        left = left.saturating_sub(64);
        match operation {
            PatchOperation::Add(add) => count(&add.value, &mut left),
            PatchOperation::Replace(replace) => count(&replace.value, &mut left),
            PatchOperation::Test(test) => count(&test.value, &mut left),
            _ => {}
        }
    }
    match left {
        0 => LARGE + 1,
        left => LARGE - left,
    }
}

fn count(value: &Value, left: &mut usize) {
    if *left == 0 {
        return;
    }
    *left = left.saturating_sub(match value {
        Value::String(text) => text.len(),
        _ => 8,
    });
    match value {
        Value::Array(items) => items.iter().for_each(|item| count(item, left)),
        Value::Object(members) => members.values().for_each(|member| count(member, left)),
        _ => {}
    }
}

/// The parts of a session that a patch names.
struct Scope {
    members: HashSet<String>,
    /// `None`: all of them.
    fields: Option<HashSet<String>>,
}

impl Scope {
    fn of(patch: &Patch) -> Scope {
        let mut scope = Scope {
            members: HashSet::new(),
            fields: Some(HashSet::new()),
        };
        for operation in patch.iter() {
            scope.add(operation.path());
            match operation {
                PatchOperation::Move(operation) => scope.add(&operation.from),
                PatchOperation::Copy(operation) => scope.add(&operation.from),
                _ => {}
            }
        }
        scope
    }

    fn add(&mut self, pointer: &Pointer) {
        let mut tokens = pointer.tokens();
        let Some(member) = tokens.next() else {
            // The whole session.
            self.members
                .extend(session::MEMBERS.iter().map(|member| (*member).to_owned()));
            self.fields = None;
            return;
        };
        let member = member.decoded().into_owned();
        if member == "config" {
            match (tokens.next(), &mut self.fields) {
                (Some(field), Some(fields)) => _ = fields.insert(field.decoded().into_owned()),
                (_, all) => *all = None,
            }
        }
        self.members.insert(member);
    }

    /// Those parts as a tree, in the session's order.
    fn document(&self, session: &Session) -> Value {
        let part = |member: &str| match member {
            "name" => session.name.value(),
            "data" => session.data.value(),
            "config" => self.config(session),
            _ => session.metadata.value(),
        };
        let named = session::MEMBERS
            .iter()
            .filter(|member| self.members.contains(**member));
        let parts: Map<String, Value> = named
            .map(|member| ((*member).to_owned(), part(member)))
            .collect();
        Value::Object(parts)
    }

    fn config(&self, session: &Session) -> Value {
        let fields: Map<String, Value> = match &self.fields {
            None => session
                .config
                .iter()
                .map(|(field, value)| (field.to_owned(), value.value()))
                .collect(),
            Some(fields) => fields
                .iter()
                .filter_map(|field| Some((field.clone(), session.config.get(field)?.value())))
                .collect(),
        };
        Value::Object(fields)
    }

    /// The session with its parts as the patch left them.
    fn session(&self, before: &Session, document: Value, name: &str) -> Result<Candidate, Refusal> {
        let Value::Object(mut parts) = document else {
            return Err(not_a_session());
        };
        if let Some(other) = parts.keys().find(|key| !session::is_member(key)) {
            return Err(no_member(other));
        }
        let left = |member: &str| !self.members.contains(member) || parts.contains_key(member);
        if !left("data") && !left("config") {
            return Err(not_a_session());
        }
        let mut after = before.clone();
        for member in &self.members {
            match (member.as_str(), parts.remove(member)) {
                ("name", None) => after.name = Json::string(name),
                ("name", Some(value)) => {
                    after.name = expect("name", text(&value, &before.name)?, Kind::String)?;
                }
                ("data", value) => after.data = part(value, &before.data)?,
                ("metadata", value) => after.metadata = part(value, &before.metadata)?,
                (_, value) => self.put_config(&mut after, value)?,
            }
        }
        let named = self.fields.as_ref();
        Ok(Candidate {
            session: after,
            named: named.map(|fields| fields.iter().cloned().collect()),
        })
    }

    fn put_config(&self, session: &mut Session, config: Option<Value>) -> Result<(), Refusal> {
        let config = config.unwrap_or_else(|| Value::Object(Map::new()));
        let Value::Object(left) = config else {
            expect("config", Json::of(&config), Kind::Object)?;
            return Ok(());
        };
        let named = |field: &str| self.fields.as_ref().is_none_or(|all| all.contains(field));
        session
            .config
            .retain(|field| !named(field) || left.contains_key(field));
        for (field, value) in &left {
            may_be_named(field)?;
            let value = match session.config.get(field) {
                Some(before) => text(value, before)?,
                None => parsed(&value.to_string())?,
            };
            session.config.set(field, value);
        }
        Ok(())
    }
}

fn not_a_session() -> Refusal {
    Refusal::Invalid(
        "the patch removes both data and config: a session needs one of them".to_owned(),
    )
}

fn part(value: Option<Value>, before: &Json) -> Result<Json, Refusal> {
    value.map_or_else(|| Ok(Json::empty_object()), |value| text(&value, before))
}

/// A value's text. If the value is still the same it is the host's own text, so that another
/// spelling of a string (`\u0041`) is not a change.
fn text(value: &Value, before: &Json) -> Result<Json, Refusal> {
    let written = value.to_string();
    let same = written == before.as_str()
        || (before.as_str().contains('\\') && *value == value_of(before.as_str()));
    match same {
        true => Ok(before.clone()),
        false => parsed(&written),
    }
}

fn parsed(text: &str) -> Result<Json, Refusal> {
    Json::parse(text.as_bytes()).map_err(|error| Refusal::Invalid(error.reason))
}

/// How much a patch may still cost.
struct Budget<'a> {
    work: Work<'a>,
    /// How many bytes the copies may add.
    size: usize,
    max_session: usize,
}

impl Budget<'_> {
    /// Takes the cost of an operation, before it is done.
    fn spend(
        &mut self,
        document: &Value,
        operation: &PatchOperation,
        index: usize,
    ) -> Result<(), Refusal> {
        let path = operation.path();
        let value = match operation {
            PatchOperation::Add(add) => Some(&add.value),
            PatchOperation::Replace(replace) => Some(&replace.value),
            PatchOperation::Test(test) => Some(&test.value),
            PatchOperation::Copy(copy) => at(document, &copy.from),
            PatchOperation::Move(moved) => at(document, &moved.from),
            PatchOperation::Remove(_) => None,
        };
        let weight = value.map(Weight::of).unwrap_or_default();
        if path.count() + weight.depth > MAX_DEPTH {
            let deeper = format!("operation {index}: nesting deeper than {MAX_DEPTH} levels");
            return Err(Refusal::Invalid(deeper));
        }
        let mut work = weight.bytes + path.len() + shifted(document, path);
        match operation {
            PatchOperation::Move(moved) => work += shifted(document, &moved.from),
            PatchOperation::Copy(_) => {
                let left = self.size.checked_sub(weight.bytes);
                self.size = left.ok_or(Refusal::TooLarge(self.max_session))?;
            }
            _ => {}
        }
        let spent = self.work.spend(work);
        spent.ok_or_else(|| Refusal::Invalid(format!("operation {index}: {TOO_MUCH}")))
    }
}

fn at<'a>(document: &'a Value, pointer: &Pointer) -> Option<&'a Value> {
    document.pointer(pointer.as_str())
}

/// How many elements move when one is inserted into an array, or removed from it, at a place.
fn shifted(document: &Value, pointer: &Pointer) -> usize {
    let Some((parent, last)) = pointer.split_back() else {
        return 0;
    };
    match at(document, parent) {
        Some(Value::Array(items)) => {
            let index = last.encoded().parse().unwrap_or(items.len());
            items.len().saturating_sub(index)
        }
        _ => 0,
    }
}

/// How large and how deep a value is.
#[derive(Default)]
struct Weight {
    bytes: usize,
    depth: usize,
}

impl Weight {
    /// The recursion ends after [`MAX_DEPTH`] levels, because nothing deeper is accepted.
    fn of(value: &Value) -> Weight {
        let inside = |values: &mut dyn Iterator<Item = &Value>| {
            values.fold(Weight { bytes: 2, depth: 1 }, |all, value| {
                let one = Weight::of(value);
                Weight {
                    bytes: all.bytes + one.bytes + 1,
                    depth: all.depth.max(one.depth + 1),
                }
            })
        };
        let bytes = match value {
            Value::Array(items) => return inside(&mut items.iter()),
            Value::Object(members) => {
                let mut weight = inside(&mut members.values());
                weight.bytes += members.keys().map(|key| key.len() + 3).sum::<usize>();
                return weight;
            }
            Value::String(text) => text.len() + 2,
            Value::Number(number) => number.to_string().len(),
            Value::Bool(_) | Value::Null => 4,
        };
        Weight { bytes, depth: 0 }
    }
}
