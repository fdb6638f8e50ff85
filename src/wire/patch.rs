//! A JSON Patch (RFC 6902), read so that its numbers keep their digits.

use json_patch::jsonptr::PointerBuf;
use json_patch::{
    AddOperation, CopyOperation, MoveOperation, Patch, PatchOperation, RemoveOperation,
    ReplaceOperation, TestOperation,
};
use serde_json::{Map, Value};

use super::MessageError;
use crate::state::json::Json;

/// A JSON Patch (RFC 6902). It is read member by member, because a tagged enum would take its
/// numbers for floats on the way, and refuse those above 2^64.
///
/// # Errors
/// Names the operation that is not one.
pub fn patch(document: &Json) -> Result<Patch, MessageError> {
    let wrong =
        |detail: String| MessageError::Shape(format!("not a JSON Patch (RFC 6902): {detail}"));
    let Value::Array(operations) = document.value() else {
        return Err(wrong(format!(
            "expected an array of operations, got {}",
            document.kind()
        )));
    };
    let numbered = operations.into_iter().enumerate();
    let read = |(index, written): (usize, Value)| {
        operation(written).map_err(|detail| wrong(format!("operation {index}: {detail}")))
    };
    numbered.map(read).collect::<Result<_, _>>().map(Patch)
}

fn operation(written: Value) -> Result<PatchOperation, String> {
    let Value::Object(mut members) = written else {
        return Err("expected an object".to_owned());
    };
    let path = pointer(&members, "path")?;
    let from = |members| pointer(members, "from");
    let value = |members: &mut Map<String, Value>| {
        members
            .remove("value")
            .ok_or_else(|| "\"value\" is missing".to_owned())
    };
    Ok(match text(&members, "op")? {
        "add" => PatchOperation::Add(AddOperation {
            path,
            value: value(&mut members)?,
        }),
        "remove" => PatchOperation::Remove(RemoveOperation { path }),
        "replace" => PatchOperation::Replace(ReplaceOperation {
            path,
            value: value(&mut members)?,
        }),
        "move" => PatchOperation::Move(MoveOperation {
            from: from(&members)?,
            path,
        }),
        "copy" => PatchOperation::Copy(CopyOperation {
            from: from(&members)?,
            path,
        }),
        "test" => PatchOperation::Test(TestOperation {
            path,
            value: value(&mut members)?,
        }),
        other => return Err(format!("unknown op {other:?}")),
    })
}

fn text<'a>(members: &'a Map<String, Value>, key: &str) -> Result<&'a str, String> {
    match members.get(key) {
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(format!("{key}: expected a string")),
        None => Err(format!("{key:?} is missing")),
    }
}

fn pointer(members: &Map<String, Value>, key: &str) -> Result<PointerBuf, String> {
    let parsed = PointerBuf::parse(text(members, key)?);
    parsed.map_err(|error| format!("{key}: {error}"))
}
