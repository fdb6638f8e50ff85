//! The parts of a session that are dropped on arrival.

use serde_json::Value;

use crate::state::json::{Json, Kind};
use crate::state::session::Session;

/// The session without its ignored parts, and the pointers under which there was anything. What
/// it shares with the `present` one was searched when that arrived.
pub fn without_ignored(
    mut next: Session,
    present: Option<&Session>,
    ignore: &[String],
    name: &str,
) -> (Session, Vec<String>) {
    let mut dropped = Vec::new();
    for pointer in ignore {
        let (member, rest) = split(pointer);
        let is_there = match member.as_str() {
            "name" => change(&mut next.name, Some(Json::string(name))),
            "data" => {
                let without = without(&next.data, present.map(|now| &now.data), rest);
                change(&mut next.data, without)
            }
            "metadata" => {
                let without = without(&next.metadata, present.map(|now| &now.metadata), rest);
                change(&mut next.metadata, without)
            }
            "config" => drop_field(&mut next, present, rest),
            _ => false,
        };
        if is_there {
            dropped.push(pointer.clone());
        }
    }
    (next, dropped)
}

/// Returns whether that changed anything.
fn change(part: &mut Json, to: Option<Json>) -> bool {
    let to = to.filter(|to| to != part);
    to.map(|to| *part = to).is_some()
}

/// Returns whether there was anything to drop.
fn drop_field(next: &mut Session, present: Option<&Session>, rest: &str) -> bool {
    if rest.is_empty() {
        return !std::mem::take(&mut next.config).is_empty();
    }
    let (field, rest) = split(rest);
    let Some(value) = next.config.get(&field) else {
        return false;
    };
    if rest.is_empty() {
        next.config.retain(|name| name != field);
        return true;
    }
    let before = present.and_then(|now| now.config.get(&field));
    let without = without(value, before, rest);
    without
        .map(|after| next.config.set(&field, after))
        .is_some()
}

/// A value without the part that the rest of a pointer names; none if that is not there.
fn without(value: &Json, before: Option<&Json>, rest: &str) -> Option<Json> {
    if rest.is_empty() {
        return Some(Json::empty_object());
    }
    let scalar = !matches!(value.kind(), Kind::Object | Kind::Array);
    if scalar || before == Some(value) {
        return None;
    }
    let mut tree = value.value();
    remove(&mut tree, rest).then(|| Json::of(&tree))
}

/// The first token of a pointer (RFC 6901), unescaped, and the rest.
fn split(pointer: &str) -> (String, &str) {
    let pointer = pointer.strip_prefix('/').unwrap_or(pointer);
    let end = pointer.find('/').unwrap_or(pointer.len());
    let (token, rest) = pointer.split_at(end);
    (token.replace("~1", "/").replace("~0", "~"), rest)
}

/// Removes what a pointer points at; tells whether it was there. An element of an array
/// becomes null, so that the others keep their positions.
fn remove(tree: &mut Value, pointer: &str) -> bool {
    let Some((parent, last)) = pointer.rsplit_once('/') else {
        return false;
    };
    let (key, _) = split(last);
    match tree.pointer_mut(parent) {
        Some(Value::Object(members)) => members.shift_remove(&key).is_some(),
        Some(Value::Array(_)) => match tree.pointer_mut(pointer) {
            Some(element) if !element.is_null() => {
                *element = Value::Null;
                true
            }
            _ => false,
        },
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(pointer: &str, document: &str) -> String {
        let session = Json::parse(document.as_bytes()).unwrap();
        let session = Session::from_json(&session, "main").unwrap();
        let (without, dropped) =
            without_ignored(session.clone(), None, &[pointer.to_owned()], "main");
        assert_eq!(!dropped.is_empty(), without != session, "{pointer}");
        without.to_json()
    }

    #[test]
    fn parts_are_dropped_and_elements_become_null() {
        let document = r#"{"name":"n","data":{"list":[{"pin":1},2],"a/b":{"~":3}},"config":{"key":[5,6],"on":true},"metadata":{"ui":7}}"#;
        let without = |part: &str, by: &str| document.replace(part, by);
        for (pointer, left) in [
            ("/data/list/0", without(r#"{"pin":1}"#, "null")),
            ("/data/list/0/pin", without(r#"{"pin":1}"#, "{}")),
            ("/data/a~1b/~0", without(r#"{"~":3}"#, "{}")),
            ("/config/key", without(r#""key":[5,6],"#, "")),
            ("/config/key/1", without("[5,6]", "[5,null]")),
            ("/metadata", without(r#"{"ui":7}"#, "{}")),
            ("/metadata/ui", without(r#""ui":7"#, "")),
            ("/name", without(r#""n""#, r#""main""#)),
            ("/config", without(r#"{"key":[5,6],"on":true}"#, "{}")),
            ("/data/list/2", document.to_owned()),
            ("/data/list/01", document.to_owned()),
            ("/data/none/0", document.to_owned()),
            ("/config/on/0", document.to_owned()),
        ] {
            assert_eq!(kept(pointer, document), left, "{pointer}");
        }
    }
}
