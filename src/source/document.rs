//! A file's bytes as a session. TOML becomes the JSON that it means, with its digits and its
//! order.

use std::path::Path;

use toml::de::{DeInteger, DeTable, DeValue};

use crate::state::json::{Json, JsonError};
use crate::state::session::Session;

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Every file whose name does not end in `.toml`.
    Json,
    /// Files that end in `.toml`.
    Toml,
}

/// TOML that JSON has no word for: at which byte, and why.
type Misfit = (usize, String);

impl Format {
    /// Decided by the file's extension.
    pub fn of(path: &Path) -> Format {
        let extension = path.extension().and_then(|extension| extension.to_str());
        match extension {
            Some(toml) if toml.eq_ignore_ascii_case("toml") => Format::Toml,
            _ => Format::Json,
        }
    }
}

/// The session in a file, which is called `name` unless it names itself.
pub fn session(bytes: &[u8], format: Format, name: &str) -> Result<Session, String> {
    let document = match format {
        Format::Json => Json::parse(bytes),
        Format::Toml => toml(bytes),
    };
    let document = document.map_err(|error| error.to_string())?;
    Session::from_json(&document, name).map_err(|error| error.to_string())
}

fn toml(bytes: &[u8]) -> Result<Json, JsonError> {
    let at = |start, reason: &str| JsonError::at(bytes, start, reason);
    let text =
        std::str::from_utf8(bytes).map_err(|error| at(error.valid_up_to(), "not valid UTF-8"))?;
    let table = DeTable::parse(text).map_err(|error| {
        let start = error.span().map_or(0, |span| span.start);
        at(start, &error.message().replace('\n', ", "))
    })?;
    let mut out = String::with_capacity(text.len());
    write_table(&mut out, table.get_ref()).map_err(|(start, reason)| at(start, &reason))?;
    // This finds what JSON forbids and TOML allows. Positions in `out` would mean nothing to a
    // person.
    Json::parse(out.as_bytes()).map_err(|error| at(0, &error.reason))
}

fn write_table(out: &mut String, table: &DeTable<'_>) -> Result<(), Misfit> {
    out.push('{');
    for (index, (key, value)) in table.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        out.push_str(Json::string(key.get_ref()).as_str());
        out.push(':');
        write_value(out, value.get_ref(), value.span().start)?;
    }
    out.push('}');
    Ok(())
}

fn write_value(out: &mut String, value: &DeValue<'_>, start: usize) -> Result<(), Misfit> {
    match value {
        DeValue::String(text) => out.push_str(Json::string(text).as_str()),
        DeValue::Integer(integer) => out.push_str(&digits(integer)),
        DeValue::Float(float) => match float.as_str().trim_start_matches('+') {
            word if word.ends_with(['f', 'n']) => {
                return Err((start, format!("{word} is not JSON")));
            }
            digits => out.push_str(digits),
        },
        DeValue::Boolean(truth) => out.push_str(if *truth { "true" } else { "false" }),
        DeValue::Datetime(moment) => out.push_str(Json::string(&moment.to_string()).as_str()),
        DeValue::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_value(out, item.get_ref(), item.span().start)?;
            }
            out.push(']');
        }
        DeValue::Table(table) => write_table(out, table)?,
    }
    Ok(())
}

/// A decimal number as it was written; one in another base as the decimal that it means.
fn digits(integer: &DeInteger<'_>) -> String {
    let written = integer.as_str();
    match u128::from_str_radix(written, integer.radix()) {
        Ok(number) if integer.radix() != 10 => number.to_string(),
        _ => written.trim_start_matches('+').to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> String {
        let session = session(text.as_bytes(), Format::Toml, "state").unwrap();
        session.data.as_str().to_owned()
    }

    fn reason(text: &str) -> String {
        session(text.as_bytes(), Format::Toml, "state").unwrap_err()
    }

    #[test]
    fn the_extension_tells_the_format() {
        assert_eq!(Format::of(Path::new("a.TOML")), Format::Toml);
        for json in ["a.json", "toml", "a.toml.bak"] {
            assert_eq!(Format::of(Path::new(json)), Format::Json);
        }
    }

    #[test]
    fn toml_keeps_digits_and_order() {
        assert_eq!(
            json(
                "z = 1.50\na = 1_000\nb = +7\nc = 1e06\nd = -0\ne = 0xff\nf = 18446744073709551616"
            ),
            r#"{"z":1.50,"a":1000,"b":7,"c":1e06,"d":-0,"e":255,"f":18446744073709551616}"#
        );
    }

    #[test]
    fn every_toml_type_has_a_json() {
        assert_eq!(
            json(
                "at = 2026-11-21T04:00:00Z\nday = 2026-11-21\non = true\ns = \"\"\"a\n\\\"b\"\"\"\n[[t]]\nx = [1, {y = 2}]\n[[t]]\n"
            ),
            r#"{"at":"2026-11-21T04:00:00Z","day":"2026-11-21","on":true,"s":"a\n\"b","t":[{"x":[1,{"y":2}]},{}]}"#
        );
    }

    #[test]
    fn a_toml_session_is_a_session() {
        let text = "name = \"Demo\"\n[config]\nspeed = 1.0\n[data]\n";
        let session = session(text.as_bytes(), Format::Toml, "state").unwrap();
        assert_eq!(
            session.to_json(),
            r#"{"name":"Demo","data":{},"config":{"speed":1.0},"metadata":{}}"#
        );
    }

    #[test]
    fn faults_have_a_place() {
        assert_eq!(
            reason("a = 1\nb = nan\n"),
            "nan is not JSON (line 2, column 5)"
        );
        assert_eq!(
            reason("a = [1,\n  -inf]"),
            "-inf is not JSON (line 2, column 3)"
        );
        assert!(reason("a = 1\na = 2").contains("duplicate key (line 2, column 1)"));
        assert!(reason("a = \"x").contains("line 1"));
        assert!(reason("\"$serde_json::private::Number\" = 1").contains("reserved"));
        assert!(
            session(b"a = \"\xff\"", Format::Toml, "s")
                .unwrap_err()
                .contains("column 6")
        );
        assert!(reason(&format!("a = {}1{}", "[".repeat(500), "]".repeat(500))).contains("line 1"));
    }

    #[test]
    fn json_faults_have_a_place() {
        let reason = session(b"{\n  \"config\": {,}}", Format::Json, "state").unwrap_err();
        assert!(reason.ends_with("(line 2, column 14)"), "{reason}");
        let shape = session(b"{\"config\": 1}", Format::Json, "state").unwrap_err();
        assert_eq!(shape, "config: expected an object, got number");
    }
}
