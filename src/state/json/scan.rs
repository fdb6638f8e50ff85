//! The quick way through JSON text, for states that come a thousand times a second.
//!
//! [`compact`] takes ordinary documents in one pass and gives up on whatever is unusual:
//! then the careful reader decides, and explains. The other functions trust their text,
//! which is that of a [`super::Json`].

use std::borrow::Cow;
use std::collections::HashSet;

/// From this many keys on, a set is faster than looking through the list.
const MANY_KEYS: usize = 16;

/// A document without white space between its tokens, if it is surely acceptable.
pub fn compact<'a>(text: &'a str, levels: usize, reserved: &str) -> Option<Cow<'a, str>> {
    // Looking for one byte is so much quicker that it is worth doing first.
    if text.contains('$') && text.contains(reserved) {
        return None;
    }
    let mut scan = Scan {
        text,
        at: 0,
        kept: 0,
        out: String::new(),
        keys: Vec::new(),
        open: Vec::new(),
        levels,
    };
    scan.document()?;
    if scan.out.is_empty() {
        return text.get(scan.kept..scan.at).map(Cow::Borrowed);
    }
    scan.keep();
    Some(Cow::Owned(scan.out))
}

struct Scan<'a> {
    text: &'a str,
    at: usize,
    /// Everything before this is in `out` already, or was white space.
    kept: usize,
    out: String,
    /// The keys of all open objects, the innermost last.
    keys: Vec<&'a str>,
    open: Vec<Open<'a>>,
    levels: usize,
}

enum Open<'a> {
    Array,
    Object {
        first_key: usize,
        many: HashSet<&'a str>,
    },
}

impl<'a> Scan<'a> {
    fn document(&mut self) -> Option<()> {
        loop {
            self.space();
            let complete = match self.peek()? {
                b'{' => self.enter(true)?,
                b'[' => self.enter(false)?,
                _ => self.scalar()?,
            };
            if complete && self.after_value()? {
                return Some(());
            }
        }
    }

    /// Goes on to the next value; tells whether the document ends instead.
    fn after_value(&mut self) -> Option<bool> {
        loop {
            self.space();
            let Some(inner) = self.open.last() else {
                return (self.at == self.text.len()).then_some(true);
            };
            let object = matches!(inner, Open::Object { .. });
            match (self.peek()?, object) {
                (b',', false) => self.at += 1,
                (b',', true) => {
                    self.at += 1;
                    self.key()?;
                }
                (b'}', true) | (b']', false) => {
                    self.leave();
                    continue;
                }
                _ => return None,
            }
            return Some(false);
        }
    }

    /// Opens an array or object; tells whether it was empty and is closed again.
    fn enter(&mut self, object: bool) -> Option<bool> {
        if self.open.len() == self.levels {
            return None;
        }
        self.at += 1;
        let first_key = self.keys.len();
        self.open.push(match object {
            true => Open::Object {
                first_key,
                many: HashSet::new(),
            },
            false => Open::Array,
        });
        self.space();
        match (self.peek()?, object) {
            (b'}', true) | (b']', false) => {
                self.leave();
                Some(true)
            }
            (_, true) => self.key().map(|()| false),
            (_, false) => Some(false),
        }
    }

    fn leave(&mut self) {
        self.at += 1;
        if let Some(Open::Object { first_key, .. }) = self.open.pop() {
            self.keys.truncate(first_key);
        }
    }

    /// A key without escapes that its object does not have yet, and the colon.
    fn key(&mut self) -> Option<()> {
        self.space();
        let start = self.at + 1;
        let escapes = self.string()?;
        let key = self.text.get(start..self.at - 1)?;
        let Some(Open::Object { first_key, many }) = self.open.last_mut() else {
            return None;
        };
        let known = self.keys.get(*first_key..)?;
        if known.len() == MANY_KEYS {
            many.extend(known);
        }
        let twice = match known.len() < MANY_KEYS {
            true => known.contains(&key),
            false => !many.insert(key),
        };
        self.keys.push(key);
        self.space();
        if escapes || twice || self.peek()? != b':' {
            return None;
        }
        self.at += 1;
        Some(())
    }

    fn scalar(&mut self) -> Option<bool> {
        match self.peek()? {
            b'"' => _ = self.string()?,
            b't' => self.word("true")?,
            b'f' => self.word("false")?,
            b'n' => self.word("null")?,
            _ => self.number()?,
        }
        Some(true)
    }

    /// A whole string literal; tells whether it has escapes.
    fn string(&mut self) -> Option<bool> {
        if self.peek()? != b'"' {
            return None;
        }
        self.at += 1;
        let mut escapes = false;
        loop {
            self.at += plain(self.rest());
            match self.peek()? {
                b'"' => break,
                b'\\' => self.escape()?,
                _ => return None,
            }
            escapes = true;
        }
        self.at += 1;
        Some(escapes)
    }

    /// One escape; surrogates are left to the careful reader.
    fn escape(&mut self) -> Option<()> {
        let rest = self.rest();
        match rest.get(1)? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => self.at += 2,
            b'u' => {
                let digits = rest.get(2..6)?;
                let surrogate = matches!(
                    digits,
                    [b'd' | b'D', b'8'..=b'9' | b'a'..=b'f' | b'A'..=b'F', ..]
                );
                if surrogate || !digits.iter().all(u8::is_ascii_hexdigit) {
                    return None;
                }
                self.at += 6;
            }
            _ => return None,
        }
        Some(())
    }

    fn number(&mut self) -> Option<()> {
        self.at += usize::from(self.peek()? == b'-');
        match self.peek()? {
            b'0' => self.at += 1,
            _ => self.digits()?,
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            self.at += usize::from(matches!(self.peek()?, b'+' | b'-'));
            self.digits()?;
        }
        Some(())
    }

    fn digits(&mut self) -> Option<()> {
        let rest = self.rest();
        let length = rest.iter().position(|byte| !byte.is_ascii_digit());
        let length = length.unwrap_or(rest.len());
        self.at += length;
        (length > 0).then_some(())
    }

    fn word(&mut self, word: &str) -> Option<()> {
        let found = self.rest().starts_with(word.as_bytes());
        self.at += word.len();
        found.then_some(())
    }

    fn space(&mut self) {
        let is_space = |byte: &u8| matches!(byte, b' ' | b'\n' | b'\r' | b'\t');
        if !self.rest().first().is_some_and(is_space) {
            return;
        }
        self.keep();
        self.at += self.rest().iter().take_while(|byte| is_space(byte)).count();
        self.kept = self.at;
    }

    fn keep(&mut self) {
        if self.out.capacity() == 0 {
            self.out.reserve_exact(self.text.len());
        }
        self.out
            .push_str(self.text.get(self.kept..self.at).unwrap_or_default());
        self.kept = self.at;
    }

    fn rest(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<u8> {
        self.rest().first().copied()
    }
}

/// How many bytes at the start of a string's content stand for themselves: up to the first
/// quote, backslash or control character. Eight at a time.
fn plain(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const HIGHS: u64 = ONES << 7;
    // The lowest flag is always right: borrows only reach upward.
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word & HIGHS;
    let mut at = 0;
    while let Some(chunk) = bytes.get(at..).and_then(|rest| rest.first_chunk()) {
        let word = u64::from_le_bytes(*chunk);
        let control = word.wrapping_sub(ONES * 0x20) & !word & HIGHS;
        let quote = zeros(word ^ (ONES * u64::from(b'"')));
        let found = control | quote | zeros(word ^ (ONES * u64::from(b'\\')));
        if found != 0 {
            return at + found.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    let rest = bytes.get(at..).unwrap_or_default();
    let end = rest
        .iter()
        .position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20));
    at + end.unwrap_or(rest.len())
}

/// Whether a text stands for itself between quotes.
pub fn is_plain(text: &str) -> bool {
    plain(text.as_bytes()) == text.len()
}

/// The length of the string literal that these bytes start with.
fn literal(bytes: &[u8]) -> usize {
    let mut at = 1;
    loop {
        at += plain(bytes.get(at..).unwrap_or_default());
        match bytes.get(at) {
            Some(b'"') => return at + 1,
            Some(_) => at += 2,
            None => return bytes.len(),
        }
    }
}

/// The length of the value that these bytes start with.
fn value(bytes: &[u8]) -> usize {
    let (mut at, mut depth) = (0, 0_usize);
    while let Some(plain) = bytes
        .get(at..)
        .and_then(|rest| rest.iter().position(structures))
    {
        at += plain;
        let byte = bytes[at];
        match byte {
            b',' if depth > 0 => {}
            b',' | b'}' | b']' if depth == 0 => return at,
            b'"' => at += literal(&bytes[at..]) - 1,
            b'{' | b'[' => depth += 1,
            _ => depth -= 1,
        }
        at += 1;
        if depth == 0 && byte != b',' {
            return at;
        }
    }
    bytes.len()
}

fn structures(byte: &u8) -> bool {
    const TABLE: [bool; 256] = table(b",\"[]{}");
    TABLE[usize::from(*byte)]
}

const fn table(bytes: &[u8]) -> [bool; 256] {
    let mut table = [false; 256];
    let mut at = 0;
    while at < bytes.len() {
        table[bytes[at] as usize] = true;
        at += 1;
    }
    table
}

/// The members of a compact object: key literals and values; none of another value.
pub fn members(text: &str) -> Option<Vec<(&str, &str)>> {
    let mut rest = text.strip_prefix('{')?;
    let mut members = Vec::new();
    while !rest.starts_with('}') {
        let (key, after) = rest.split_at_checked(literal(rest.as_bytes()))?;
        let after = after.strip_prefix(':')?;
        let (value, after) = after.split_at_checked(value(after.as_bytes()))?;
        members.push((key, value));
        rest = after.strip_prefix(',').unwrap_or(after);
        if after.is_empty() {
            return None;
        }
    }
    Some(members)
}

/// The first number of at least `digits` characters for which `is` holds.
pub fn find_number(text: &str, digits: usize, is: impl Fn(&str) -> bool) -> Option<&str> {
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(plain) = bytes
        .get(at..)
        .and_then(|rest| rest.iter().position(quotes_or_counts))
    {
        at += plain;
        if bytes[at] == b'"' {
            at += literal(&bytes[at..]);
            continue;
        }
        let rest = &bytes[at..];
        let length = rest
            .iter()
            .position(|byte| !is_number(byte))
            .unwrap_or(rest.len());
        if length >= digits && is(&text[at..at + length]) {
            return Some(&text[at..at + length]);
        }
        at += length;
    }
    None
}

fn quotes_or_counts(byte: &u8) -> bool {
    const TABLE: [bool; 256] = table(b"\"-0123456789");
    TABLE[usize::from(*byte)]
}

fn is_number(byte: &u8) -> bool {
    const TABLE: [bool; 256] = table(b"-+.eE0123456789");
    TABLE[usize::from(*byte)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::json::{Checker, MAX_DEPTH, RESERVED};
    use proptest::prelude::*;

    fn quick(text: &str) -> Option<String> {
        compact(text, MAX_DEPTH, RESERVED).map(Cow::into_owned)
    }

    #[test]
    fn ordinary_documents_are_taken() {
        for text in [
            "{}",
            "[]",
            "0",
            "-1.5e+3",
            "\"a\\n\\u00e9\"",
            "[[],{\"a\":[1,true,false,null]}]",
        ] {
            assert_eq!(quick(text).as_deref(), Some(text));
        }
        assert_eq!(
            quick(" { \"a b\" : [ 1 , \"x y\" ] }\n").as_deref(),
            Some("{\"a b\":[1,\"x y\"]}")
        );
    }

    #[test]
    fn the_unusual_is_left_to_the_careful_reader() {
        let deep = "[".repeat(MAX_DEPTH + 1) + &"]".repeat(MAX_DEPTH + 1);
        let texts = [
            "",
            "{",
            "[1,]",
            "{\"a\":1,}",
            "01",
            "1.",
            "-",
            "+1",
            "1e",
            "tru",
            "nul",
            "[1}",
            "\"\u{1}\"",
            "1 2",
            "{\"a\":1,\"a\":2}",
            "\"\\x\"",
            "\"\\ud800\"",
            "{\"\\u0061\":1}",
            "{1:2}",
            "{\"a\"}",
            ",",
            &deep,
        ];
        for text in texts {
            assert_eq!(quick(text), None, "{text}");
        }
    }

    #[test]
    fn members_are_split() {
        assert_eq!(members("{}"), Some(vec![]));
        assert_eq!(members("[1]"), None);
        assert_eq!(
            members(r#"{"a":1,"b\"":{"x":["}",2]},"":"s","c":[]}"#),
            Some(vec![
                ("\"a\"", "1"),
                ("\"b\\\"\"", r#"{"x":["}",2]}"#),
                ("\"\"", "\"s\""),
                ("\"c\"", "[]")
            ])
        );
    }

    /// Text that is nearly JSON.
    fn nearly() -> impl Strategy<Value = String> {
        let pieces = [
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            "\"a\"",
            "\"b\"",
            "\"é\\\"\"",
            "\"",
            "\\",
            "\\u12",
            "0",
            "-",
            "1",
            ".5",
            "e9",
            "true",
            "null",
            " ",
            "\n",
            "\u{1}",
            "{\"a\":",
            "\"long enough for eight\"",
        ];
        proptest::collection::vec(proptest::sample::select(pieces.to_vec()), 0..24)
            .prop_map(|pieces| pieces.concat())
    }

    /// JSON with white space, that of another writer.
    fn whole() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            any::<i64>().prop_map(Into::into),
            any::<bool>().prop_map(Into::into),
            ".{0,20}".prop_map(Into::into),
            Just(serde_json::Value::Null)
        ];
        leaf.prop_recursive(5, 60, 20, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
                proptest::collection::hash_map(".{0,4}", inner, 0..24)
                    .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_taken_is_what_the_careful_reader_takes(text in nearly()) {
            if let Some(quick) = quick(&text) {
                prop_assert!(Checker::check(&text, MAX_DEPTH).is_ok(), "{}", text);
                prop_assert_eq!(quick, crate::state::json::compact(&text));
            }
        }

        #[test]
        fn another_writer_s_json_is_compacted(value in whole()) {
            let (pretty, short) = (serde_json::to_string_pretty(&value).unwrap(), value.to_string());
            if let Some(quick) = quick(&pretty) {
                prop_assert_eq!(&quick, &short);
            }
            let split = members(&short).map(|all| all.into_iter().map(|(key, value)| format!("{key}:{value}")).collect::<Vec<_>>());
            if let Some(split) = split {
                prop_assert_eq!(format!("{{{}}}", split.join(",")), short);
            }
        }
    }
}
