//! What a scalar means: the core schema of YAML 1.2.

use std::borrow::Cow;

use granit_parser::Tag;

use crate::state::json::Json;

/// The name of a tag of the core schema; `!` says no more than quotes would.
fn name(tag: &Tag) -> Result<&str, String> {
    match (tag.core_suffix(), tag.original().as_str()) {
        (Some(name), _) => Ok(name),
        (None, "!") => Ok("str"),
        // It is not named: a value that begins with an exclamation mark looks like a tag.
        _ => Err("this tag has no meaning in JSON".to_owned()),
    }
}

fn mismatch(tag: &Tag) -> String {
    format!("this is not {}", tag.original())
}

/// Whether a node may have this tag: it is `expected`, or there is none.
pub fn check_tag(tag: Option<&Tag>, expected: &str) -> Result<(), String> {
    match tag {
        Some(tag) if name(tag)? != expected => Err(mismatch(tag)),
        _ => Ok(()),
    }
}

/// A scalar as JSON.
pub fn scalar<'a>(
    text: &'a str,
    is_plain: bool,
    tag: Option<&Tag>,
) -> Result<Cow<'a, str>, String> {
    let Some(tag) = tag else {
        return match is_plain {
            true => plain(text),
            false => Ok(string(text)),
        };
    };
    let is_meant: fn(&str) -> bool = match name(tag)? {
        "str" => return Ok(string(text)),
        "null" => |json| json == "null",
        "bool" => |json| matches!(json, "true" | "false"),
        "int" => |json| is_number(json) && !json.contains(['.', 'e', 'E']),
        "float" => is_number,
        _ => return Err(mismatch(tag)),
    };
    let json = plain(text)?;
    match is_meant(&json) {
        true => Ok(json),
        false => Err(mismatch(tag)),
    }
}

fn is_number(json: &str) -> bool {
    json.starts_with(|first: char| first == '-' || first.is_ascii_digit())
}

fn string(text: &str) -> Cow<'_, str> {
    Json::string(text).as_str().to_owned().into()
}

fn not_json(text: &str) -> String {
    format!("{text} is not JSON")
}

/// What a text without quotes means.
fn plain(text: &str) -> Result<Cow<'_, str>, String> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    Ok(match text {
        "" | "~" | "null" | "Null" | "NULL" => "null".into(),
        "true" | "True" | "TRUE" => "true".into(),
        "false" | "False" | "FALSE" => "false".into(),
        ".nan" | ".NaN" | ".NAN" => return Err(not_json(text)),
        _ if matches!(unsigned, ".inf" | ".Inf" | ".INF") => return Err(not_json(text)),
        _ => match based(text)?.or_else(|| decimal(text)) {
            Some(number) => number.into(),
            None => string(text),
        },
    })
}

/// A number in another base, as the decimal that it means.
fn based(text: &str) -> Result<Option<String>, String> {
    let bases = [("0x", 16), ("0o", 8)];
    let found = bases
        .into_iter()
        .find_map(|(prefix, radix)| Some((text.strip_prefix(prefix)?, radix)));
    let Some((digits, radix)) = found else {
        return Ok(None);
    };
    if digits.is_empty() || !digits.chars().all(|digit| digit.is_digit(radix)) {
        return Ok(None);
    }
    let number = u128::from_str_radix(digits, radix);
    let number = number.map_err(|_| "too large a number: quote it".to_owned())?;
    Ok(Some(number.to_string()))
}

fn or_zero(digits: &str) -> &str {
    if digits.is_empty() { "0" } else { digits }
}

/// A decimal number digit for digit, as far as JSON can say it: no plus, no zeros in front, and a
/// digit on either side of the point.
fn decimal(text: &str) -> Option<String> {
    let sign = if text.starts_with('-') { "-" } else { "" };
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) =
        unsigned.split_at(unsigned.find(['e', 'E']).unwrap_or(unsigned.len()));
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let are_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let has_digits = !whole.is_empty() || fraction.is_some_and(|fraction| !fraction.is_empty());
    let power = exponent
        .get(1..)
        .map(|power| power.strip_prefix(['+', '-']).unwrap_or(power));
    let is_number = has_digits
        && are_digits(whole)
        && are_digits(fraction.unwrap_or_default())
        && power.is_none_or(|power| !power.is_empty() && are_digits(power));
    is_number.then(|| {
        let whole = or_zero(whole.trim_start_matches('0'));
        let fraction = fraction
            .map(|fraction| format!(".{}", or_zero(fraction)))
            .unwrap_or_default();
        format!("{sign}{whole}{fraction}{exponent}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> String {
        scalar(text, true, None).unwrap().into_owned()
    }

    #[test]
    fn numbers_that_json_writes_in_another_way() {
        for (yaml, json) in [
            ("+7", "7"),
            ("007", "7"),
            ("-0.5", "-0.5"),
            (".5", "0.5"),
            ("-.5e3", "-0.5e3"),
            ("5.", "5.0"),
            ("+1.e+2", "1.0e+2"),
            ("00", "0"),
            ("0xFf", "255"),
            ("0o17", "15"),
        ] {
            assert_eq!(read(yaml), json, "{yaml}");
        }
    }

    #[test]
    fn every_other_word_is_a_text() {
        for text in [
            "no",
            "on",
            "yes",
            "1_000",
            "0b1",
            "-0x1",
            "0x",
            "0xg",
            "0o8",
            "1e",
            "e1",
            ".",
            "+",
            "1.2.3",
            "12:30",
            "2026-11-21",
            "=",
            "nan",
            ".Inf.",
            "--1",
            "-.nan",
            "Infinity",
            "tRUE",
            "1 2",
            "é",
        ] {
            assert_eq!(read(text), format!("{text:?}"), "{text}");
        }
    }

    #[test]
    fn words_have_three_spellings() {
        for (words, json) in [
            (["", "~", "null", "Null", "NULL"].as_slice(), "null"),
            (&["true", "True", "TRUE"], "true"),
            (&["false", "False", "FALSE"], "false"),
        ] {
            for word in words {
                assert_eq!(read(word), json, "{word}");
                assert_eq!(scalar(word, false, None), Ok(string(word)), "in quotes");
            }
        }
    }
}
