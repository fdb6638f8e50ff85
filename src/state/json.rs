//! Exact JSON: the host's own text, checked and stripped of white space.
//!
//! Values stay text because viewers are promised what the host wrote: numbers to
//! the digit, keys in their order. It also makes the two hot operations cheap:
//! comparing is a `memcmp`, encoding a frame is a copy.

mod merge;
mod scan;
mod work;

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

pub use work::Work;

/// The deepest nesting accepted, in levels of arrays and objects.
pub const MAX_DEPTH: usize = 128;

/// The most levels that this program puts around a document it accepted.
const ENVELOPES: usize = 8;

/// Reading or writing a text of more bytes may take a millisecond, which is too long for a
/// thread that others wait for.
pub const LARGE: usize = 256 * 1024;

/// The largest integer JavaScript holds exactly (2^53 - 1).
pub const MAX_SAFE_INTEGER: u64 = (1 << 53) - 1;

/// How `serde_json` hands a number's digits to a visitor (`arbitrary_precision`).
const NUMBER_TOKEN: &str = "$serde_json::private::Number";
const RESERVED: &str = "$serde_json::private::";

/// One JSON value as compact text. Cloning shares the text.
#[derive(Clone)]
pub struct Json(Arc<str>);

/// A JSON type, by the name the whitelist uses for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Kind {
    Null,
    Boolean,
    Number,
    String,
    Array,
    Object,
}

/// Why a text is not acceptable JSON, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason} (line {line}, column {column})")]
pub struct JsonError {
    /// From 1.
    pub line: usize,
    /// In bytes, from 1; 0 at the very start of a line.
    pub column: usize,
    /// What is wrong, naming the value.
    pub reason: String,
}

impl Json {
    /// Checks a whole document: one value, valid UTF-8, no byte order mark, no
    /// duplicate key, no lone surrogate, at most [`MAX_DEPTH`] levels.
    pub fn parse(bytes: &[u8]) -> Result<Json, JsonError> {
        Json::parse_within(MAX_DEPTH, bytes)
    }

    /// As [`Json::parse`], for what this program wrote itself: a document that arrived with
    /// [`MAX_DEPTH`] levels may stand a few levels down in a session, and that in a line.
    pub fn parse_kept(bytes: &[u8]) -> Result<Json, JsonError> {
        Json::parse_within(MAX_DEPTH + ENVELOPES, bytes)
    }

    fn parse_within(levels: usize, bytes: &[u8]) -> Result<Json, JsonError> {
        let text = text(bytes)?;
        if let Some(compact) = scan::compact(text, levels, RESERVED) {
            return Ok(Json(Arc::from(&*compact)));
        }
        Checker::check(text, levels)?;
        Ok(Json(compact(text).into()))
    }

    /// The text of a value made by this program, never by a stranger.
    pub fn from_value(value: &Value) -> Json {
        Json(value.to_string().into())
    }

    /// A JSON string.
    pub fn string(text: &str) -> Json {
        Json::from_value(&Value::String(text.to_owned()))
    }

    /// `null`.
    pub fn null() -> Json {
        Json("null".into())
    }

    /// `{}`.
    pub fn empty_object() -> Json {
        Json("{}".into())
    }

    /// An object of these members, in this order.
    pub fn object<'a>(members: impl Iterator<Item = (&'a str, &'a Json)>) -> Json {
        let mut out = String::new();
        write_object(&mut out, members);
        Json(out.into())
    }

    /// The compact text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The value's type, told by its first byte.
    pub fn kind(&self) -> Kind {
        match self.0.as_bytes().first() {
            Some(b'{') => Kind::Object,
            Some(b'[') => Kind::Array,
            Some(b'"') => Kind::String,
            Some(b't' | b'f') => Kind::Boolean,
            Some(b'n') | None => Kind::Null,
            Some(_) => Kind::Number,
        }
    }

    /// A number as a float, infinite when it is beyond one; `None` for other types.
    pub fn as_f64(&self) -> Option<f64> {
        (self.kind() == Kind::Number).then(|| self.0.parse().unwrap_or(f64::NAN))
    }

    /// A string's content; `None` for other types.
    pub fn as_string(&self) -> Option<String> {
        serde_json::from_str(&self.0).ok()
    }

    /// An object's members in their order; `None` for other types.
    pub fn members(&self) -> Option<Vec<(String, Json)>> {
        let members = scan::members(&self.0)?;
        let owned = |(key, value): (&str, &str)| Some((unquoted(key)?, Json(value.into())));
        members.into_iter().map(owned).collect()
    }

    /// The value as a tree, to be patched.
    pub fn value(&self) -> Value {
        value_of(&self.0)
    }

    /// The first integer in it that JavaScript rounds (above 2^53), if there is one.
    pub fn first_rounded(&self) -> Option<&str> {
        const DIGITS: usize = 16;
        scan::find_number(&self.0, DIGITS, rounds)
    }
}

/// A string literal's content.
fn unquoted(literal: &str) -> Option<String> {
    match literal.contains('\\') {
        true => serde_json::from_str(literal).ok(),
        false => literal.get(1..literal.len() - 1).map(str::to_owned),
    }
}

fn rounds(number: &str) -> bool {
    let digits = number.trim_start_matches('-');
    let integer = digits.bytes().next().is_some_and(|b| b.is_ascii_digit())
        && digits.bytes().all(|b| b.is_ascii_digit());
    integer
        && digits
            .parse::<u64>()
            .map_or(true, |n| n > MAX_SAFE_INTEGER + 1)
}

/// Whether a document with this key, or this text, is refused: `serde_json` keeps it for itself.
pub fn is_reserved(text: &str) -> bool {
    text.starts_with(RESERVED) || text.contains(NUMBER_TOKEN)
}

/// How long a key is as JSON text, in bytes.
pub fn key_len(key: &str) -> usize {
    match scan::is_plain(key) {
        true => key.len() + 2,
        false => Json::string(key).as_str().len(),
    }
}

/// The tree of a text that was checked before.
pub fn value_of(text: &str) -> Value {
    let mut reader = serde_json::Deserializer::from_str(text);
    reader.disable_recursion_limit();
    serde::Deserialize::deserialize(&mut reader).unwrap_or(Value::Null)
}

/// Appends an object of these members.
pub fn write_object<'a>(out: &mut String, members: impl Iterator<Item = (&'a str, &'a Json)>) {
    out.push('{');
    for (index, (key, value)) in members.enumerate() {
        if index > 0 {
            out.push(',');
        }
        write_key(out, key);
        out.push(':');
        out.push_str(value.as_str());
    }
    out.push('}');
}

fn write_key(out: &mut String, key: &str) {
    if scan::is_plain(key) {
        out.push('"');
        out.push_str(key);
        out.push('"');
    } else {
        out.push_str(Json::string(key).as_str());
    }
}

impl PartialEq for Json {
    fn eq(&self, other: &Json) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0 == other.0
    }
}

impl Eq for Json {}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl serde::Serialize for Json {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // RawValue is how serde_json takes text as it is.
        let raw: &RawValue = serde_json::from_str(&self.0).map_err(serde::ser::Error::custom)?;
        raw.serialize(serializer)
    }
}

impl Kind {
    /// As a sentence has it: "an object".
    pub fn with_article(self) -> String {
        let article = match self {
            Kind::Array | Kind::Object => "an",
            _ => "a",
        };
        format!("{article} {self}")
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Null => "null",
            Kind::Boolean => "boolean",
            Kind::Number => "number",
            Kind::String => "string",
            Kind::Array => "array",
            Kind::Object => "object",
        })
    }
}

/// The bytes as text, or where they stop being UTF-8.
fn text(bytes: &[u8]) -> Result<&str, JsonError> {
    if bytes.starts_with(b"\xef\xbb\xbf") {
        let reason = "byte order mark: save it as UTF-8 without one".to_owned();
        return Err(JsonError {
            line: 1,
            column: 1,
            reason,
        });
    }
    std::str::from_utf8(bytes).map_err(|error| {
        let (line, column) = position(&bytes[..error.valid_up_to()]);
        let reason = "not valid UTF-8".to_owned();
        JsonError {
            line,
            column,
            reason,
        }
    })
}

/// Line and column of the byte that follows `before`.
fn position(before: &[u8]) -> (usize, usize) {
    let line_start = before
        .iter()
        .rposition(|&b| b == b'\n')
        .map_or(0, |at| at + 1);
    let line = before.iter().filter(|&&b| b == b'\n').count() + 1;
    (line, before.len() - line_start + 1)
}

/// A valid document without the white space between its tokens.
fn compact(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.trim_ascii();
    while let Some(at) = rest.find([' ', '\n', '\r', '\t', '"']) {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let token = if from.starts_with('"') {
            string_len(from)
        } else {
            0
        };
        out.push_str(&from[..token]);
        rest = from[token..].trim_ascii_start();
    }
    out.push_str(rest);
    out
}

/// The length of the string literal that `text` starts with, quotes included.
fn string_len(text: &str) -> usize {
    let mut escaped = false;
    let ends = |&byte: &u8| {
        let end = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        end
    };
    text.as_bytes()[1..]
        .iter()
        .position(ends)
        .map_or(text.len(), |at| at + 2)
}

/// Reads a document for what `serde_json` lets pass: duplicate keys and deep nesting.
struct Checker<'de> {
    /// Where the reader is, for error messages and for finding duplicates.
    levels: Vec<Level<'de>>,
    /// How many there may be.
    most: usize,
}

enum Level<'de> {
    Array(usize),
    Object {
        keys: Vec<Cow<'de, str>>,
        many: HashSet<Cow<'de, str>>,
    },
}

/// From this many keys on, a set is faster than looking through the list.
const MANY_KEYS: usize = 16;

impl<'de> Checker<'de> {
    fn check(text: &'de str, most: usize) -> Result<(), JsonError> {
        if let Some(at) = text.find(NUMBER_TOKEN) {
            let (line, column) = position(&text.as_bytes()[..at]);
            return Err(JsonError {
                line,
                column,
                reason: format!("the text {NUMBER_TOKEN:?} is reserved"),
            });
        }
        let mut reader = serde_json::Deserializer::from_str(text);
        reader.disable_recursion_limit();
        let mut checker = Checker {
            levels: Vec::new(),
            most,
        };
        let read = checker.deserialize(&mut reader).and_then(|()| reader.end());
        read.map_err(|error| explain(text, &error))
    }

    fn path(&self) -> String {
        let segment = |level: &Level<'_>| match level {
            Level::Array(index) => format!("/{index}"),
            Level::Object { keys, .. } => {
                keys.last().map_or(String::new(), |key| format!("/{key}"))
            }
        };
        self.levels.iter().map(segment).collect()
    }

    fn enter<E: serde::de::Error>(&mut self, level: Level<'de>) -> Result<(), E> {
        if self.levels.len() == self.most {
            return Err(E::custom(format!(
                "nesting deeper than {} levels",
                self.most
            )));
        }
        self.levels.push(level);
        Ok(())
    }

    fn key<E: serde::de::Error>(&mut self, key: Cow<'de, str>) -> Result<(), E> {
        if key.starts_with(RESERVED) {
            return Err(E::custom(format!("the key {key:?} is reserved")));
        }
        let Some(Level::Object { keys, many }) = self.levels.last_mut() else {
            return Ok(());
        };
        if keys.len() == MANY_KEYS {
            many.extend(keys.iter().cloned());
        }
        let twice = if keys.len() < MANY_KEYS {
            keys.contains(&key)
        } else {
            !many.insert(key.clone())
        };
        keys.push(key);
        match twice {
            true => Err(E::custom(format!("duplicate key {:?}", self.path()))),
            false => Ok(()),
        }
    }
}

impl<'de> DeserializeSeed<'de> for &mut Checker<'de> {
    type Value = ();
    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for &mut Checker<'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        self.enter(Level::Array(0))?;
        while seq.next_element_seed(&mut *self)?.is_some() {
            if let Some(Level::Array(index)) = self.levels.last_mut() {
                *index += 1;
            }
        }
        self.levels.pop();
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut next = map.next_key_seed(Key)?;
        // Only the number reader lends this very text: a document that holds it is refused before.
        if let Some(Cow::Borrowed(NUMBER_TOKEN)) = next {
            map.next_value::<IgnoredAny>()?;
            return Ok(());
        }
        self.enter(Level::Object {
            keys: Vec::new(),
            many: HashSet::new(),
        })?;
        while let Some(key) = next {
            self.key(key)?;
            map.next_value_seed(&mut *self)?;
            next = map.next_key_seed(Key)?;
        }
        self.levels.pop();
        Ok(())
    }
}

/// Lends a key from the document where it has no escapes.
struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Cow<'de, str>;
    fn deserialize<D: serde::Deserializer<'de>>(
        self,
        deserializer: D,
    ) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key {
    type Value = Cow<'de, str>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }
    fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(key))
    }
    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(key.to_owned()))
    }
}

/// The reader's error without its position, which has fields of its own.
fn explain(text: &str, error: &serde_json::Error) -> JsonError {
    let (line, column) = (error.line(), error.column());
    let whole = error.to_string();
    let bare = whole
        .strip_suffix(&format!(" at line {line} column {column}"))
        .unwrap_or(&whole);
    let reason = match (not_a_number(text, line, column), bare) {
        (Some(word), _) => format!("{word} is not JSON"),
        (None, "unexpected end of hex escape" | "lone leading surrogate in hex escape") => {
            "lone surrogate in a string".to_owned()
        }
        (None, bare) => bare.to_owned(),
    };
    JsonError {
        line,
        column,
        reason,
    }
}

/// The JavaScript word for no number, where the reader stopped at one.
fn not_a_number(text: &str, line: usize, column: usize) -> Option<&'static str> {
    let line = text.lines().nth(line.checked_sub(1)?)?;
    let from = line.get(column.saturating_sub(2)..)?;
    ["NaN", "-Infinity", "Infinity"].into_iter().find(|word| {
        from.starts_with(word) || from.get(1..).is_some_and(|rest| rest.starts_with(word))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> String {
        Json::parse(text.as_bytes()).unwrap().as_str().to_owned()
    }

    fn reason(text: &str) -> String {
        Json::parse(text.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn numbers_keep_their_digits() {
        let text = "[18446744073709551616,-0,1E+2,1.50,1e400,0.1e-7]";
        assert_eq!(parse(text), text);
    }

    #[test]
    fn white_space_goes_order_and_unicode_stay() {
        assert_eq!(
            parse("{ \"z\" : [ ] , \"a\" : { \"é\\u00e9\\n\" : null } }"),
            "{\"z\":[],\"a\":{\"é\\u00e9\\n\":null}}"
        );
        assert_eq!(
            parse(" [1 , [ ] , {} ,\"a, \\\" b\\\\\" , 2 ]\n"),
            "[1,[],{},\"a, \\\" b\\\\\",2]"
        );
    }

    #[test]
    fn faults_are_named_with_their_place() {
        assert_eq!(
            reason("{\"a\":{\"b\":1,\n\"b\":2}}"),
            "duplicate key \"/a/b\" (line 2, column 3)"
        );
        assert!(reason("{\"a\":NaN}").starts_with("NaN is not JSON"));
        assert!(reason("[-Infinity]").starts_with("-Infinity is not JSON"));
        assert!(reason("\u{feff}{}").starts_with("byte order mark"));
        assert!(reason("\"\\ud800\"").contains("surrogate"));
        assert!(reason("\"\\udc00 \"").contains("surrogate"));
        assert!(reason("{\"\\u0024serde_json::private::Number\":\"1\"}").contains("reserved"));
        assert!(reason("{\"$serde_json::private::Number\":\"1\"}").contains("reserved"));
        assert_eq!(
            Json::parse(b"[1,\n\xff]").unwrap_err().to_string(),
            "not valid UTF-8 (line 2, column 1)"
        );
    }

    #[test]
    fn many_keys_are_still_checked() {
        let mut keys: Vec<String> = (0..100).map(|i| format!("\"k{i}\":{i}")).collect();
        keys.push("\"k7\":0".into());
        assert!(reason(&format!("{{{}}}", keys.join(","))).starts_with("duplicate key \"/k7\""));
    }

    #[test]
    fn depth_is_limited() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(parse(&nested(128)), nested(128));
        assert!(reason(&nested(129)).starts_with("nesting deeper than 128"));
        assert!(reason(&"[".repeat(100_000)).starts_with("nesting deeper than 128"));
    }

    #[test]
    fn large_integers_are_noticed() {
        let first = |text: &str| {
            Json::parse(text.as_bytes())
                .unwrap()
                .first_rounded()
                .map(str::to_owned)
        };
        assert_eq!(
            first("{\"a\":[1,18446744073709551616]}").as_deref(),
            Some("18446744073709551616")
        );
        assert_eq!(
            first("{\"a\":[1,1.8446744073709551616, \"\\\"18446744073709551616\"]}"),
            None
        );
        assert_eq!(first("9007199254740992"), None);
        assert_eq!(
            first("-9007199254740993").as_deref(),
            Some("-9007199254740993")
        );
    }
}
