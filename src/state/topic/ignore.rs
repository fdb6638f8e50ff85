//! The parts of a session that are dropped on arrival.

use serde_json::Value;

use crate::state::json::{Json, Kind};
use crate::state::session::Session;

/// The session without its ignored parts. What it shares with the `present` one was searched
/// when that arrived.
pub fn without_ignored(
    mut next: Session,
    present: Option<&Session>,
    ignore: &[String],
    name: &str,
) -> Session {
    for pointer in ignore {
        let (member, rest) = split(pointer);
        match member.as_str() {
            "name" => next.name = Json::string(name),
            "data" => next.data = without(&next.data, present.map(|now| &now.data), rest),
            "metadata" => {
                next.metadata = without(&next.metadata, present.map(|now| &now.metadata), rest);
            }
            "config" => without_field(&mut next, present, rest),
            _ => {}
        }
    }
    next
}

fn without_field(next: &mut Session, present: Option<&Session>, rest: &str) {
    if rest.is_empty() {
        return next.config = Default::default();
    }
    let (field, rest) = split(rest);
    let Some(value) = next.config.get(&field) else {
        return;
    };
    if rest.is_empty() {
        return next.config.retain(|name| name != field);
    }
    let before = present.and_then(|now| now.config.get(&field));
    let after = without(value, before, rest);
    next.config.set(&field, after);
}

/// A value without the part that the rest of a pointer names.
fn without(value: &Json, before: Option<&Json>, rest: &str) -> Json {
    if rest.is_empty() {
        return Json::empty_object();
    }
    let scalar = !matches!(value.kind(), Kind::Object | Kind::Array);
    if scalar || before == Some(value) {
        return value.clone();
    }
    let mut tree = value.value();
    match remove(&mut tree, rest) {
        true => Json::of(&tree),
        false => value.clone(),
    }
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
        without_ignored(session, None, &[pointer.to_owned()], "main").to_json()
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
