//! JSON with comments and trailing commas. Both become white space, so that every position stays
//! and the reader of exact JSON does the rest.

use super::draft::Misfit;
use crate::state::json::literal;

/// The text without them.
pub fn blank(text: &str) -> Result<Vec<u8>, Misfit> {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut trailing = Trailing::default();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let rest = &bytes[at..];
        let comment = comment(rest).ok_or_else(|| (at, "this comment never ends".to_owned()))?;
        match comment {
            0 => {
                if let Some(comma) = trailing.comma(at, byte) {
                    out[comma] = b' ';
                }
                at += if byte == b'"' { literal(rest).0 } else { 1 };
            }
            len => {
                let inside = out[at..at + len].iter_mut();
                inside
                    .filter(|byte| **byte != b'\n')
                    .for_each(|byte| *byte = b' ');
                at += len;
            }
        }
    }
    Ok(out)
}

/// The length of the comment that begins here: 0 for something else, none for one without an end.
fn comment(rest: &[u8]) -> Option<usize> {
    match rest {
        [b'/', b'/', ..] => {
            let end = rest.iter().position(|byte| *byte == b'\n');
            Some(end.unwrap_or(rest.len()))
        }
        [b'/', b'*', inside @ ..] => {
            let end = inside.windows(2).position(|found| found == b"*/")?;
            Some(end + 4)
        }
        _ => Some(0),
    }
}

/// Looks for a comma behind a value and before a closing bracket.
#[derive(Default)]
struct Trailing {
    /// What came last, white space aside.
    last: u8,
    comma: Option<usize>,
}

impl Trailing {
    /// The comma that turns out to be trailing at this byte.
    fn comma(&mut self, at: usize, byte: u8) -> Option<usize> {
        if byte.is_ascii_whitespace() {
            return None;
        }
        let closes = matches!(byte, b']' | b'}');
        let found = self.comma.take().filter(|_| closes);
        let ends_a_value = !matches!(self.last, 0 | b'[' | b'{' | b':' | b',');
        self.comma = (byte == b',' && ends_a_value).then_some(at);
        self.last = byte;
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::json::Json;

    fn json(text: &str) -> String {
        let blank = blank(text).unwrap();
        assert_eq!(blank.len(), text.len(), "every position stays");
        Json::parse(&blank).map_or_else(|error| error.to_string(), |json| json.to_string())
    }

    #[test]
    fn comments_and_trailing_commas_go() {
        let text = "// é\n{ /* a\n\"b\" */ \"a\": 1.50, // c\n \"b\" /**/: [1, 2, /* x */ ], \n}//";
        assert_eq!(json(text), r#"{"a":1.50,"b":[1,2]}"#);
        assert_eq!(json("[[1,],{},/***/]"), "[[1],{}]");
    }

    #[test]
    fn what_is_in_a_string_stays() {
        let text = r#"{"a":"// no /* comment */ ,]","b\\":"\",}"}"#;
        assert_eq!(json(text), text);
    }

    #[test]
    fn other_commas_are_as_wrong_as_ever() {
        for text in [
            "[,]",
            "{,}",
            "[1,,]",
            "[,1]",
            "1,",
            "{\"a\":,}",
            ",",
            "[1,/**/,]",
        ] {
            assert!(json(text).contains("line 1"), "{text}: {}", json(text));
        }
    }

    #[test]
    fn faults_stay_where_they_are() {
        assert_eq!(
            json("{ // é\n  \"a\": NaN }"),
            "NaN is not JSON (line 2, column 8)"
        );
        assert_eq!(
            json("{/*\n*/ \"a\":1,\n\"a\":2}"),
            "duplicate key \"/a\" (line 3, column 3)"
        );
        assert_eq!(
            blank("[1, /* 2]*").unwrap_err(),
            (4, "this comment never ends".to_owned())
        );
        assert!(
            json("[1 / 2]").contains("column"),
            "a stroke alone is no comment"
        );
    }
}
