//! TOML as JSON: digits and order stay.

use toml::de::{DeInteger, DeTable, DeValue};

use super::draft::{Draft, Misfit};
use crate::state::json::Json;

/// The JSON that a text means.
pub fn json(text: &str, max: usize) -> Result<Json, Misfit> {
    let table = DeTable::parse(text).map_err(|error| {
        let start = error.span().map_or(0, |span| span.start);
        (start, error.message().replace('\n', ", "))
    })?;
    let mut draft = Draft::new(max);
    write_table(&mut draft, table.get_ref(), table.span().start)?;
    draft.finish()
}

fn write_table(draft: &mut Draft, table: &DeTable<'_>, at: usize) -> Result<(), Misfit> {
    draft.open(at, "{")?;
    for (key, value) in table.iter() {
        draft.key(key.span().start, key.get_ref())?;
        write_value(draft, value.get_ref(), value.span().start)?;
    }
    draft.close('}');
    Ok(())
}

fn write_value(draft: &mut Draft, value: &DeValue<'_>, at: usize) -> Result<(), Misfit> {
    match value {
        DeValue::String(text) => draft.string(at, text),
        DeValue::Integer(integer) => draft.value(at, &digits(integer)),
        DeValue::Float(float) => match float.as_str().trim_start_matches('+') {
            word if word.ends_with(['f', 'n']) => return Err((at, format!("{word} is not JSON"))),
            digits => draft.value(at, digits),
        },
        DeValue::Boolean(truth) => draft.value(at, if *truth { "true" } else { "false" }),
        DeValue::Datetime(moment) => draft.string(at, &moment.to_string()),
        DeValue::Array(items) => {
            draft.open(at, "[")?;
            for item in items.iter() {
                write_value(draft, item.get_ref(), item.span().start)?;
            }
            draft.close(']');
            return Ok(());
        }
        DeValue::Table(table) => return write_table(draft, table, at),
    }
    .map(drop)
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

    fn read(text: &str) -> String {
        json(text, 10_000).unwrap().to_string()
    }

    fn fault(text: &str) -> Misfit {
        json(text, 10_000).unwrap_err()
    }

    #[test]
    fn digits_and_order_stay() {
        assert_eq!(
            read(
                "z = 1.50\na = 1_000\nb = +7\nc = 1e06\nd = -0\ne = 0xff\nf = 18446744073709551616"
            ),
            r#"{"z":1.50,"a":1000,"b":7,"c":1e06,"d":-0,"e":255,"f":18446744073709551616}"#
        );
    }

    #[test]
    fn every_type_has_a_json() {
        assert_eq!(
            read(
                "at = 2026-11-21T04:00:00Z\nday = 2026-11-21\non = true\ns = \"\"\"a\n\\\"b\"\"\"\n[[t]]\nx = [1, {y = 2}]\n[[t]]\n"
            ),
            r#"{"at":"2026-11-21T04:00:00Z","day":"2026-11-21","on":true,"s":"a\n\"b","t":[{"x":[1,{"y":2}]},{}]}"#
        );
    }

    #[test]
    fn faults_have_a_place() {
        assert_eq!(
            fault("a = 1\nb = nan\n"),
            (10, "nan is not JSON".to_owned())
        );
        assert_eq!(
            fault("a = [1,\n  -inf]"),
            (10, "-inf is not JSON".to_owned())
        );
        assert_eq!(fault("a = 1\na = 2"), (6, "duplicate key".to_owned()));
        assert_eq!(fault("a = \"x").0, 6);
        assert!(
            fault("\"$serde_json::private::Number\" = 1")
                .1
                .contains("reserved")
        );
        let deep = format!("a = {}1{}", "[".repeat(500), "]".repeat(500));
        assert!(json(&deep, 10_000).is_err());
        let long = "a = 1\nb = \"123456789\"";
        let limit = "over the limit of 15 bytes as JSON (--max-session)";
        assert_eq!(json(long, 15).unwrap_err(), (10, limit.to_owned()));
    }
}
