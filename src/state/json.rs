//! Exact JSON: the host's own text, checked and stripped of white space.
//!
//! Values stay text because viewers are promised what the host wrote: numbers to
//! the digit, keys in their order. That also makes the two hot operations cheap:
//! comparing is a `memcmp`, encoding a frame is a copy.

mod check;
mod merge;
mod parts;
mod walk;
mod work;

use std::fmt;
use std::sync::Arc;

use serde::ser::{Serialize, SerializeStruct, Serializer};
use serde_json::Value;

pub use check::{JsonError, is_reserved};
pub use parts::literal;
pub use work::Work;

/// The deepest nesting accepted, in levels of arrays and objects.
pub const MAX_DEPTH: usize = 128;

/// The most levels that this program puts around a document it accepted.
const ENVELOPES: usize = 8;

/// Reading or writing a longer text, in bytes, may take a millisecond, which is too long on a
/// thread that others wait for.
pub const LARGE: usize = 256 * 1024;

/// The largest integer JavaScript holds exactly (2^53 - 1).
pub const MAX_SAFE_INTEGER: u64 = (1 << 53) - 1;

/// By this name `serde_json` recognizes text that it is to write as it is. Its public
/// `RawValue` cannot be had without parsing the text again: 13 ms for 15 MB.
const RAW_TOKEN: &str = "$serde_json::private::RawValue";

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

impl Json {
    /// Checks a whole document: one value, valid UTF-8, no byte order mark, no
    /// duplicate key, no lone surrogate, at most [`MAX_DEPTH`] levels.
    pub fn parse(bytes: &[u8]) -> Result<Json, JsonError> {
        Json::parse_within(MAX_DEPTH, bytes)
    }

    /// As [`Json::parse`], for what this program wrote itself: a document that arrived with
    /// [`MAX_DEPTH`] levels may be a few levels down in a session, and that in a line of its own.
    pub fn parse_kept(bytes: &[u8]) -> Result<Json, JsonError> {
        Json::parse_within(MAX_DEPTH + ENVELOPES, bytes)
    }

    fn parse_within(levels: usize, bytes: &[u8]) -> Result<Json, JsonError> {
        Ok(Json(Arc::from(&*check::compact(bytes, levels)?)))
    }

    /// A JSON string.
    pub fn string(text: &str) -> Json {
        Json::of(&text)
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
        Json::of(&Members(&members.collect::<Vec<_>>()))
    }

    /// What this program made itself, so there is nothing to check.
    pub fn of(value: &impl Serialize) -> Json {
        Json(text(value).into())
    }

    /// The compact text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The value's type, which its first byte tells.
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

    /// A number as a float, infinite if it is too large for one; `None` for other types.
    pub fn as_f64(&self) -> Option<f64> {
        (self.kind() == Kind::Number).then(|| self.0.parse().unwrap_or(f64::NAN))
    }

    /// A string's content; `None` for other types.
    pub fn as_string(&self) -> Option<String> {
        serde_json::from_str(&self.0).ok()
    }

    /// An object's members in their order; `None` for other types.
    pub fn members(&self) -> Option<Vec<(String, Json)>> {
        let members = parts::members(&self.0)?;
        let owned = |(key, value): (&str, &str)| (parts::content(key).into(), Json(value.into()));
        Some(members.into_iter().map(owned).collect())
    }

    /// One member of an object. Whoever needs several asks for all [`Json::members`] at once.
    pub fn get(&self, key: &str) -> Option<Json> {
        let members = parts::members(&self.0)?;
        let wanted = |(name, _): &(&str, &str)| parts::content(name) == key;
        let (_, value) = members.into_iter().find(wanted)?;
        Some(Json(value.into()))
    }

    /// Text that was checked before.
    pub fn known(text: &Arc<str>) -> Json {
        Json(text.clone())
    }

    /// The elements of an array, given as text that was checked before.
    pub fn items(array: &str) -> Vec<Json> {
        let items = parts::items(array).unwrap_or_default();
        items.into_iter().map(|item| Json(item.into())).collect()
    }

    /// The value as a tree, to be patched.
    pub fn value(&self) -> Value {
        value_of(&self.0)
    }

    /// The first integer in it that JavaScript rounds (above 2^53), if there is one.
    pub fn first_rounded(&self) -> Option<&str> {
        parts::find_number(&self.0, |number| {
            let digits = number.trim_start_matches('-');
            let integer = digits.bytes().all(|byte| byte.is_ascii_digit());
            let rounds = |number: u64| number > MAX_SAFE_INTEGER + 1;
            integer && digits.parse().map_or(true, rounds)
        })
    }
}

/// How long a key is as JSON text, in bytes.
pub fn key_len(key: &str) -> usize {
    match is_plain(key) {
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

/// The JSON text of what this program serializes, which never fails.
pub fn text(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// Members that are written as an object, in their order.
#[derive(Clone, Copy, Debug)]
pub struct Members<'a, K, V>(pub &'a [(K, V)]);

impl<K: AsRef<str>, V: Serialize> Serialize for Members<'_, K, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let members = self.0.iter().map(|(key, value)| (key.as_ref(), value));
        serializer.collect_map(members)
    }
}

/// Whether a text needs no escapes between quotes.
fn is_plain(text: &str) -> bool {
    !text
        .bytes()
        .any(|byte| matches!(byte, b'"' | b'\\' | 0..0x20))
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

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut raw = serializer.serialize_struct(RAW_TOKEN, 1)?;
        raw.serialize_field(RAW_TOKEN, self.as_str())?;
        raw.end()
    }
}

impl Kind {
    /// As it is written in a sentence: "an object".
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
    fn the_first_fault_counts() {
        let first = |text: &str, fault: &str| assert!(reason(text).starts_with(fault), "{text}");
        first(
            r#"{"a":1,"a":2,}"#,
            "duplicate key \"/a\" (line 1, column 10)",
        );
        first(
            r#"[{"a":[{},{"b":1,"b":2}]}]"#,
            "duplicate key \"/0/a/1/b\"",
        );
        first(r#"{"a":1,"\u0061":2}"#, "duplicate key \"/a\"");
        first(r#"{"a":1,}"#, "trailing comma (line 1, column 8)");
        first("[1,\n]", "trailing comma (line 2, column 1)");
        first(r#"[1 2,{"a":1,"a":2}]"#, "expected `,` or `]`");
        first(r#""\x\ud800""#, "invalid escape");
        assert_eq!(parse(r#"["\ud83d\ude00"]"#), r#"["\ud83d\ude00"]"#);
    }

    #[test]
    fn one_member_is_found_by_its_name() {
        let object = Json::parse(br#"{"a":1.50,"\u0062":[2],"c":{"a":3}}"#).unwrap();
        let get = |key: &str| object.get(key).map(|value| value.to_string());
        assert_eq!(get("a").as_deref(), Some("1.50"));
        assert_eq!(get("b").as_deref(), Some("[2]"));
        assert_eq!(get("d"), None);
        assert_eq!(Json::null().get("a"), None);
    }

    #[test]
    fn it_is_written_as_it_is() {
        let text = r#"{"z":1.50,"a":18446744073709551616,"\u0062":-0,"c":["\u00e9",1E+2]}"#;
        let json = Json::parse(text.as_bytes()).unwrap();
        assert_eq!(serde_json::to_string(&json).unwrap(), text);
        assert_eq!(
            serde_json::to_string(&[&json]).unwrap(),
            format!("[{text}]")
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
