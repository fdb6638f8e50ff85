//! What a change makes of a session, and what differs then. The cost follows the change: what
//! the change does not name is shared, and not looked at.

use std::collections::HashSet;
use std::sync::atomic::AtomicBool;

use super::candidate::{Candidate, TOO_MUCH, may_be_named, no_member};
use super::{Change, Parts, Refusal, Rules, ignore, patch};
use crate::state::fields::Whitelist;
use crate::state::json::{Json, Kind, Work};
use crate::state::session::{Config, FieldName, Session, expect};

/// How much work a patch may be, in bytes looked at and array elements moved: a few tenths of a
/// second of one core. Sending the whole session again takes less.
const WORK: usize = 64 * 1024 * 1024;

/// The session after a change that may stand.
pub struct Next {
    pub session: Session,
    /// The fields that have other values.
    pub changed: Vec<FieldName>,
    /// About how long they are as text, in bytes.
    pub changed_len: usize,
    /// Whether anything changed but the values of whitelisted fields.
    pub structural: bool,
    /// What differs, for people.
    pub parts: Parts,
    /// The pointers under which something was dropped.
    pub ignored: Vec<String>,
}

impl Next {
    /// Whether nothing differs.
    pub fn is_same(&self) -> bool {
        !self.structural && self.changed.is_empty()
    }
}

/// Applies a change to the present session; `name` is what a session without a name is called.
/// Once it is called off it ends at its next step, with some error that nobody reads.
///
/// # Errors
/// Says why the change cannot stand.
pub fn apply(
    present: Option<&Session>,
    change: &Change,
    name: &str,
    rules: &Rules,
    called_off: &AtomicBool,
) -> Result<Next, Refusal> {
    let work = Work::new(WORK, called_off);
    let Candidate { session, named } = candidate(present, change, name, rules, work)?;
    let (session, ignored) = ignore::without_ignored(session, present, &rules.ignore, name);
    check(&session, rules)?;
    let next = match present {
        Some(present) => difference(present, session, named.as_deref(), &rules.whitelist),
        None => Next {
            changed: session.config.names().cloned().collect(),
            changed_len: session.config.text_len(),
            session,
            structural: true,
            parts: Parts::whole(),
            ignored: Vec::new(),
        },
    };
    Ok(Next { ignored, ..next })
}

fn candidate(
    present: Option<&Session>,
    change: &Change,
    name: &str,
    rules: &Rules,
    work: Work<'_>,
) -> Result<Candidate, Refusal> {
    let empty = || Session::of_data(name, Json::empty_object());
    let start = || present.cloned().unwrap_or_else(empty);
    match change {
        Change::Replace(session) => Ok(Candidate {
            session: session.clone(),
            named: None,
        }),
        Change::Merge(patch) => merged(start(), patch, name, work),
        Change::Patch(patch) => patch::patched(&start(), patch, name, rules, work),
        Change::Fields(fields) => {
            let mut session = start();
            set_fields(&mut session.config, fields)?;
            let named = fields.iter().map(|(field, _)| field.clone());
            Ok(Candidate {
                session,
                named: Some(named.collect()),
            })
        }
    }
}

fn check(next: &Session, rules: &Rules) -> Result<(), Refusal> {
    if next.text_len() > rules.max_session.saturating_add(64) {
        return Err(Refusal::TooLarge(rules.max_session));
    }
    match rules.whitelist.check(&next.config) {
        faults if faults.is_empty() => Ok(()),
        faults => Err(Refusal::Fields(faults)),
    }
}

pub fn difference(
    present: &Session,
    next: Session,
    named: Option<&[String]>,
    whitelist: &Whitelist,
) -> Next {
    let places = next.config.places_that_differ(&present.config, named);
    let fields = || places.iter().filter_map(|place| next.config.at(*place));
    let members = members_that_differ(present, &next);
    let same_names = present.config.has_names_of(&next.config);
    let structural = !members.is_empty()
        || !same_names
        || !fields().all(|(field, value)| whitelist.covers(field, value));
    let changed: Vec<FieldName> = fields().map(|(field, _)| field.clone()).collect();
    let before = (!same_names).then(|| present.config.names());
    let removed = before.into_iter().flatten();
    let removed = removed.filter(|field| next.config.get(field).is_none());
    let named = changed.iter().chain(removed).map(|field| &**field);
    let parts = Parts::of(named.chain(members));
    let changed_len = fields().map(|(field, value)| field.len() + value.as_str().len());
    Next {
        changed_len: changed_len.sum(),
        parts,
        ignored: Vec::new(),
        session: match structural || next.config.has_order_of(&present.config) {
            true => next,
            false => in_order_of(present, &next, &changed),
        },
        changed,
        structural,
    }
}

/// The members besides the config that are others than they were.
fn members_that_differ(present: &Session, next: &Session) -> Vec<&'static str> {
    let members = [
        ("name", present.name != next.name),
        ("data", present.data != next.data),
        ("metadata", present.metadata != next.metadata),
    ];
    let members = members.into_iter().filter(|(_, differs)| *differs);
    members.map(|(member, _)| member).collect()
}

/// The present session with the changed values. Reordering the fields is no change, so viewers,
/// readers and a restarted daemon must all keep the present order.
fn in_order_of(present: &Session, next: &Session, changed: &[FieldName]) -> Session {
    let mut session = present.clone();
    for field in changed {
        if let Some(value) = next.config.get(field) {
            session.config.set(field, value.clone());
        }
    }
    session
}

/// RFC 7396 on a session, whose members have types.
fn merged(
    mut session: Session,
    patch: &Json,
    name: &str,
    mut work: Work<'_>,
) -> Result<Candidate, Refusal> {
    // RFC 7396 would replace the session by it. Most of the time it is a JSON Patch by mistake.
    let members = patch.members().ok_or_else(|| {
        Refusal::Invalid(format!(
            "a merge patch of a session is an object, got {}: a JSON Patch is application/json-patch+json",
            patch.kind()
        ))
    })?;
    let mut named = Some(Vec::new());
    let mut merge = |target: Option<&Json>, patch: &Json| {
        let merged = Json::merged(target, patch, &mut work);
        merged.ok_or_else(|| Refusal::Invalid(TOO_MUCH.to_owned()))
    };
    for (member, value) in members {
        let null = value.kind() == Kind::Null;
        match member.as_str() {
            "name" if null => session.name = Json::string(name),
            "name" => session.name = expect(&member, value, Kind::String)?,
            "data" if null => session.data = Json::empty_object(),
            "data" => session.data = merge(Some(&session.data), &value)?,
            "metadata" if null => session.metadata = Json::empty_object(),
            "metadata" => session.metadata = merge(Some(&session.metadata), &value)?,
            "config" if null => (session.config, named) = (Config::default(), None),
            "config" => {
                let patch = expect(&member, value, Kind::Object)?;
                let mut fields = patch.members().unwrap_or_default();
                for (field, value) in &mut fields {
                    *value = merge(session.config.get(field), value)?;
                }
                set_fields(&mut session.config, &fields)?;
                named = Some(fields.into_iter().map(|(field, _)| field).collect());
            }
            _ => return Err(no_member(&member)),
        }
    }
    Ok(Candidate { session, named })
}

/// Sets fields; null removes one.
fn set_fields(config: &mut Config, fields: &[(String, Json)]) -> Result<(), Refusal> {
    let (removed, set): (Vec<_>, Vec<_>) = fields
        .iter()
        .partition(|(_, value)| value.kind() == Kind::Null);
    if !removed.is_empty() {
        let removed: HashSet<&str> = removed.iter().map(|(field, _)| field.as_str()).collect();
        config.retain(|field| !removed.contains(field));
    }
    for (field, value) in set {
        may_be_named(field)?;
        config.set(field, value.clone());
    }
    Ok(())
}
