//! The parts of a text that is known to be a [`super::Json`]'s: checked, and without white space.

use std::borrow::Cow;
use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// The key literals and values of an object, as they are written; none of another value.
pub fn members(text: &str) -> Option<Vec<(&str, &str)>> {
    if !text.starts_with('{') {
        return None;
    }
    let mut reader = serde_json::Deserializer::from_str(text);
    reader.disable_recursion_limit();
    reader.deserialize_map(Members).ok()
}

/// The elements of an array, as they are written; none of another value.
pub fn items(text: &str) -> Option<Vec<&str>> {
    let mut reader = serde_json::Deserializer::from_str(text);
    reader.disable_recursion_limit();
    let items: Vec<&RawValue> = Deserialize::deserialize(&mut reader).ok()?;
    Some(items.into_iter().map(RawValue::get).collect())
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Vec<(&'de str, &'de str)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some((key, value)) = map.next_entry::<&RawValue, &RawValue>()? {
            members.push((key.get(), value.get()));
        }
        Ok(members)
    }
}

/// A string literal's content.
pub fn content(literal: &str) -> Cow<'_, str> {
    match literal.contains('\\') {
        true => serde_json::from_str(literal).map_or(literal.into(), Cow::Owned),
        false => literal.trim_matches('"').into(),
    }
}

/// The length of the string literal that these bytes start with, quotes included, and whether
/// it has escapes.
pub fn literal(bytes: &[u8]) -> (usize, bool) {
    let ends = |byte: &u8| matches!(byte, b'"' | b'\\');
    let (mut at, mut escapes) = (1, false);
    while let Some(plain) = bytes.get(at..).and_then(|rest| rest.iter().position(ends)) {
        at += plain;
        if bytes[at] == b'"' {
            return (at + 1, escapes);
        }
        escapes = true;
        at += 2;
    }
    (bytes.len(), escapes)
}

/// The first number for which `is` holds.
pub fn find_number(text: &str, is: impl Fn(&str) -> bool) -> Option<&str> {
    let bytes = text.as_bytes();
    let begins = |byte: &u8| matches!(byte, b'"' | b'-' | b'0'..=b'9');
    let ends = |byte: &u8| matches!(byte, b',' | b']' | b'}');
    let mut at = 0;
    while let Some(skipped) = bytes
        .get(at..)
        .and_then(|rest| rest.iter().position(begins))
    {
        at += skipped;
        let rest = &bytes[at..];
        if rest[0] == b'"' {
            at += literal(rest).0;
            continue;
        }
        let len = rest.iter().position(ends).unwrap_or(rest.len());
        let number = &text[at..at + len];
        if is(number) {
            return Some(number);
        }
        at += len;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_split_as_they_are_written() {
        assert_eq!(members("{}"), Some(vec![]));
        assert_eq!(members("[1]"), None);
        assert_eq!(
            members(r#"{"a":1.50,"b\"":{"x":["}",2]},"":"s","\u0062":[]}"#),
            Some(vec![
                ("\"a\"", "1.50"),
                ("\"b\\\"\"", r#"{"x":["}",2]}"#),
                ("\"\"", "\"s\""),
                ("\"\\u0062\"", "[]")
            ])
        );
    }
}
