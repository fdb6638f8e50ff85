//! One pass over a document's tokens: white space goes, and what JSON readers disagree on is
//! found: duplicate keys, lone surrogates, deep nesting. It does not know JSON's grammar, and
//! means something only for a text, or the beginning of one, that `serde_json` accepts.

use std::borrow::Cow;
use std::collections::HashSet;

use super::parts::literal;

/// What `serde_json` keeps for itself: a key that starts so would be mistaken for a number.
pub const RESERVED: &str = "$serde_json::private::";

/// From this many keys on, a set is faster than looking through the list.
const MANY_KEYS: usize = 16;

/// At which byte, and what is wrong there.
pub type Fault = (usize, String);

/// The text without white space between its tokens, borrowed if there was none.
pub fn compact(text: &str, levels: usize) -> Result<Cow<'_, str>, Fault> {
    let mut walk = Walk {
        text: text.trim_ascii_end(),
        at: 0,
        kept: 0,
        out: String::new(),
        keys: Vec::new(),
        open: Vec::new(),
        levels,
    };
    while let Some(byte) = walk.rest().first() {
        walk.token(*byte)?;
    }
    if walk.out.is_empty() {
        return Ok(Cow::Borrowed(&walk.text[walk.kept..]));
    }
    walk.keep();
    Ok(Cow::Owned(walk.out))
}

struct Walk<'a> {
    text: &'a str,
    at: usize,
    /// Everything before this is in `out` already, or was white space.
    kept: usize,
    out: String,
    /// The keys of all open objects, the innermost last.
    keys: Vec<Cow<'a, str>>,
    open: Vec<Level<'a>>,
    /// How many may be open.
    levels: usize,
}

enum Level<'a> {
    Array {
        index: usize,
    },
    Object {
        first_key: usize,
        many: HashSet<Cow<'a, str>>,
        key_is_next: bool,
    },
}

impl<'a> Walk<'a> {
    fn token(&mut self, byte: u8) -> Result<(), Fault> {
        match byte {
            b'"' => return self.string(),
            b' ' | b'\n' | b'\r' | b'\t' => self.space(),
            b'{' => {
                let first_key = self.keys.len();
                return self.enter(Level::Object {
                    first_key,
                    many: HashSet::new(),
                    key_is_next: true,
                });
            }
            b'[' => return self.enter(Level::Array { index: 0 }),
            b'}' | b']' => self.leave(),
            b',' => self.comma(),
            _ => self.scalar(),
        }
        Ok(())
    }

    fn enter(&mut self, level: Level<'a>) -> Result<(), Fault> {
        if self.open.len() == self.levels {
            let deeper = format!("nesting deeper than {} levels", self.levels);
            return Err((self.at, deeper));
        }
        self.open.push(level);
        self.at += 1;
        Ok(())
    }

    fn leave(&mut self) {
        if let Some(Level::Object { first_key, .. }) = self.open.pop() {
            self.keys.truncate(first_key);
        }
        self.at += 1;
    }

    fn comma(&mut self) {
        match self.open.last_mut() {
            Some(Level::Array { index }) => *index += 1,
            Some(Level::Object { key_is_next, .. }) => *key_is_next = true,
            None => {}
        }
        self.at += 1;
    }

    /// The colon too.
    fn scalar(&mut self) {
        let ends = |byte: &u8| {
            matches!(
                byte,
                b'"' | b',' | b'{' | b'}' | b'[' | b']' | b' ' | b'\n' | b'\r' | b'\t'
            )
        };
        let rest = self.rest();
        self.at += rest.iter().position(ends).unwrap_or(rest.len());
    }

    fn string(&mut self) -> Result<(), Fault> {
        let start = self.at;
        let (len, escapes) = literal(self.rest());
        self.at += len;
        let is_key = match self.open.last_mut() {
            Some(Level::Object { key_is_next, .. }) => std::mem::take(key_is_next),
            _ => false,
        };
        if !is_key && !escapes {
            return Ok(());
        }
        let text = &self.text[start..self.at];
        match escapes {
            false => self.key(Cow::Borrowed(text.get(1..len - 1).unwrap_or_default())),
            true if !is_key && !text.contains("\\u") => Ok(()),
            true => match serde_json::from_str(text) {
                Ok(key) if is_key => self.key(Cow::Owned(key)),
                Ok(_) => Ok(()),
                Err(error) => surrogate(start, &error),
            },
        }
    }

    /// Refuses a key that its object has already.
    fn key(&mut self, key: Cow<'a, str>) -> Result<(), Fault> {
        let place = self.at - 1;
        if key.starts_with(RESERVED) {
            return Err((place, format!("the key {key:?} is reserved")));
        }
        let Some(Level::Object {
            first_key, many, ..
        }) = self.open.last_mut()
        else {
            return Ok(());
        };
        let known = &self.keys[*first_key..];
        if known.len() == MANY_KEYS {
            many.extend(known.iter().cloned());
        }
        let twice = match known.len() < MANY_KEYS {
            true => known.contains(&key),
            false => !many.insert(key.clone()),
        };
        self.keys.push(key);
        match twice {
            true => Err((place, format!("duplicate key {:?}", self.path()))),
            false => Ok(()),
        }
    }

    /// Where the walk is, as a JSON Pointer without escapes.
    fn path(&self) -> String {
        let mut end = self.keys.len();
        let mut segments = Vec::new();
        for level in self.open.iter().rev() {
            segments.push(match level {
                Level::Array { index } => format!("/{index}"),
                Level::Object { first_key, .. } => {
                    let last = self.keys[*first_key..end].last();
                    end = *first_key;
                    format!("/{}", last.map_or("", |key| key))
                }
            });
        }
        segments.into_iter().rev().collect()
    }

    fn space(&mut self) {
        self.keep();
        let rest = self.rest();
        let token = rest.iter().position(|byte| !byte.is_ascii_whitespace());
        self.at += token.unwrap_or(rest.len());
        self.kept = self.at;
    }

    fn keep(&mut self) {
        if self.kept < self.at {
            if self.out.is_empty() {
                self.out.reserve_exact(self.text.len());
            }
            self.out.push_str(&self.text[self.kept..self.at]);
        }
    }

    fn rest(&self) -> &'a [u8] {
        &self.text.as_bytes()[self.at..]
    }
}

/// The fault of a string literal that has no content. Only its surrogates are this walk's
/// business: the grammar finds the rest.
fn surrogate(start: usize, error: &serde_json::Error) -> Result<(), Fault> {
    let reason = error.to_string();
    let lone = ["unexpected end of hex escape", "lone leading surrogate"];
    match lone.iter().any(|lone| reason.starts_with(lone)) {
        true => Err((
            start + error.column() - 1,
            "lone surrogate in a string".to_owned(),
        )),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use crate::state::json::Json;

    /// Text that is nearly JSON.
    fn nearly() -> impl Strategy<Value = String> {
        let pieces = [
            r#"{ } [ ] , : "a" "b" "é\"" " \ \u12 0 - 1 .5 e9 true null {"a": "\u0061":1 "\ud800""#,
            r#"01 1. nul NaN "a":1, "long""#,
        ];
        let pieces: Vec<&str> = pieces.iter().flat_map(|all| all.split(' ')).collect();
        let pieces = [pieces, vec![" ", "\n", "\u{1}", "\u{c}"]].concat();
        proptest::collection::vec(proptest::sample::select(pieces), 0..16)
            .prop_map(|pieces| pieces.concat())
    }

    /// JSON by another writer.
    fn whole() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<i64>().prop_map(Into::into),
            any::<bool>().prop_map(Into::into),
            ".{0,20}".prop_map(Into::into),
            Just(Value::Null)
        ];
        leaf.prop_recursive(5, 60, 20, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
                proptest::collection::hash_map(".{0,4}", inner, 0..24)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_taken_is_json_and_means_the_same(text in nearly()) {
            if let Ok(taken) = Json::parse(text.as_bytes()) {
                prop_assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), taken.value());
                prop_assert_eq!(Json::parse(taken.as_str().as_bytes()).unwrap(), taken);
            }
        }

        #[test]
        fn another_writer_s_json_is_compacted(value in whole()) {
            let (pretty, short) = (serde_json::to_string_pretty(&value).unwrap(), value.to_string());
            let taken = Json::parse(pretty.as_bytes()).unwrap();
            prop_assert_eq!(taken.as_str(), &short);
            prop_assert_eq!(serde_json::to_string(&taken).unwrap(), short);
        }
    }
}
