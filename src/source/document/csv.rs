//! CSV as an array of objects: the first row has the names.
//!
//! A cell that is exactly a JSON number is one, `true` and `false` are what they say, an empty
//! cell is null, and everything else is a text: `007` is one. Quotes make no difference to that.

use std::borrow::Cow;
use std::collections::HashSet;

use csv_core::{ReadFieldResult, Reader, ReaderBuilder};
use serde::de::IgnoredAny;

use super::draft::{Draft, Misfit};
use crate::state::json::Json;

/// As many columns as a sheet of Excel or LibreOffice may have.
const MOST_COLUMNS: usize = 16_384;

/// The JSON that a text means, whose cells are separated by tabs or else by commas; by semicolons
/// where the first row has those and no comma, which is how Excel writes in half of Europe.
pub fn json(text: &str, tabs: bool, max: usize) -> Result<Json, Misfit> {
    let mut cells = Cells::new(text, tabs);
    let names = names(&mut cells)?;
    let mut draft = Draft::new(max);
    draft.open(0, "[")?;
    while let Some(start) = cells.next_row() {
        draft.open(start, "{")?;
        let mut count = 0;
        while let Some((at, cell)) = cells.next()? {
            let Some(name) = names.get(count) else {
                let reason = format!(
                    "a cell more than the {} names of the first row",
                    names.len()
                );
                return Err((at, reason));
            };
            draft.key(at, name)?;
            draft.value(at, &value(&cell))?;
            count += 1;
        }
        if count < names.len() {
            let reason = format!("the row has {count} of {} cells", names.len());
            return Err((start, reason));
        }
        draft.close('}');
    }
    draft.close(']');
    draft.finish()
}

fn names(cells: &mut Cells<'_>) -> Result<Vec<String>, Misfit> {
    let (mut names, mut known) = (Vec::new(), HashSet::new());
    cells.next_row();
    while let Some((at, name)) = cells.next()? {
        let reason = match name.trim() {
            "" => "a column without a name".to_owned(),
            _ if !known.insert(name.clone()) => "an earlier column has this name".to_owned(),
            _ if names.len() == MOST_COLUMNS => format!("more than {MOST_COLUMNS} columns"),
            _ => {
                names.push(name);
                continue;
            }
        };
        return Err((at, reason));
    }
    Ok(names)
}

fn value(cell: &str) -> Cow<'_, str> {
    match cell {
        "" => "null".into(),
        "true" | "false" => cell.into(),
        _ if is_number(cell) => cell.into(),
        _ => Json::string(cell).as_str().to_owned().into(),
    }
}

/// Nothing else in JSON begins like one and ends in a digit.
fn is_number(cell: &str) -> bool {
    cell.starts_with(|first: char| first == '-' || first.is_ascii_digit())
        && cell.ends_with(|last: char| last.is_ascii_digit())
        && serde_json::from_str::<IgnoredAny>(cell).is_ok()
}

/// The cells of a text, one after the other.
struct Cells<'a> {
    reader: Reader,
    text: Cow<'a, str>,
    at: usize,
    row_ended: bool,
    /// As long as the text, because a cell may be: no other buffer grows with what is read.
    cell: Vec<u8>,
}

impl<'a> Cells<'a> {
    fn new(text: &'a str, tabs: bool) -> Cells<'a> {
        // The last line has an end as well. What has none then is a quote.
        let text = match text.ends_with('\n') {
            true => Cow::Borrowed(text),
            false => Cow::Owned(format!("{text}\n")),
        };
        let first = text
            .lines()
            .find(|line| !line.is_empty())
            .unwrap_or_default();
        let delimiter = match first.contains(',') {
            _ if tabs => b'\t',
            false if first.contains(';') => b';',
            _ => b',',
        };
        Cells {
            reader: ReaderBuilder::new().delimiter(delimiter).build(),
            cell: vec![0; text.len()],
            text,
            at: 0,
            row_ended: true,
        }
    }

    /// Where the next row begins. Empty lines are none.
    fn next_row(&mut self) -> Option<usize> {
        let rest = &self.text.as_bytes()[self.at..];
        self.at += rest
            .iter()
            .position(|byte| !matches!(byte, b'\r' | b'\n'))?;
        self.row_ended = false;
        Some(self.at)
    }

    /// The next cell of the row, and where it begins.
    fn next(&mut self) -> Result<Option<(usize, String)>, Misfit> {
        if self.row_ended {
            return Ok(None);
        }
        let start = self.at;
        let (result, read, written) = self
            .reader
            .read_field(&self.text.as_bytes()[start..], &mut self.cell);
        self.at += read;
        let ReadFieldResult::Field { record_end } = result else {
            return Err((
                start,
                "a quote that is opened here is never closed".to_owned(),
            ));
        };
        self.row_ended = record_end;
        let cell = std::str::from_utf8(&self.cell[..written]);
        let cell = cell.map_err(|_| (start, "not valid UTF-8".to_owned()))?;
        Ok(Some((start, cell.to_owned())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> String {
        json(text, false, 10_000).unwrap().to_string()
    }

    /// By the text that the fault points at.
    fn fault(text: &str) -> (&str, String) {
        let (at, reason) = json(text, false, 10_000).unwrap_err();
        (&text[at..], reason)
    }

    #[test]
    fn a_row_is_an_object() {
        assert_eq!(
            read("name,score\nAda,1.50\n\r\n\"O'Neil, \"\"Bo\"\"\r\n2\",18446744073709551616\r\n"),
            r#"[{"name":"Ada","score":1.50},{"name":"O'Neil, \"Bo\"\r\n2","score":18446744073709551616}]"#
        );
        assert_eq!(read("a,b"), "[]");
        assert_eq!(read("a\n1"), r#"[{"a":1}]"#);
    }

    #[test]
    fn a_cell_is_what_json_says_it_is() {
        for text in [
            "007", "1e", "1.", ".5", "+1", " 1", "1 ", "-", "0x1", "1_000", "TRUE", "null", "NaN",
            "[1]", "1,5",
        ] {
            let expected = format!("[{{\"a\":{text:?}}}]");
            assert_eq!(read(&format!("a\n\"{text}\"")), expected);
        }
        for value in ["-0", "1E+2", "0.10", "true", "false"] {
            assert_eq!(read(&format!("a\n{value}")), format!("[{{\"a\":{value}}}]"));
        }
        assert_eq!(read("a,b\n,\"\"\n"), r#"[{"a":null,"b":null}]"#);
    }

    #[test]
    fn what_excel_writes_is_read() {
        assert_eq!(read("\u{feff}a;b\r\n1;1,5\r\n"), r#"[{"a":1,"b":"1,5"}]"#);
        assert_eq!(read("a;b,c\n1;2,3\n"), r#"[{"a;b":"1;2","c":3}]"#);
        let tabs = json("a\tb,c\n1\t2,3\n", true, 1000).unwrap();
        assert_eq!(tabs.as_str(), r#"[{"a":1,"b,c":"2,3"}]"#);
    }

    #[test]
    fn faults_have_a_place() {
        for (text, at, reason) in [
            ("a,b\n1,2\n\n3", "3", "the row has 1 of 2 cells"),
            (
                "a,b\r\n1,2,3",
                "3",
                "a cell more than the 2 names of the first row",
            ),
            ("a,b,a\n", "a\n", "an earlier column has this name"),
            ("a, ,b\n", " ,b\n", "a column without a name"),
            (
                "a,b\n1,\"2\n3,4\n",
                "\"2\n3,4\n",
                "a quote that is opened here is never closed",
            ),
        ] {
            assert_eq!(fault(text), (at, reason.to_owned()), "{text}");
        }
        let wide: Vec<String> = (0..=MOST_COLUMNS)
            .map(|column| column.to_string())
            .collect();
        let reason = json(&wide.join(","), false, 1 << 20).unwrap_err().1;
        assert_eq!(reason, "more than 16384 columns");
    }

    /// A long name, and many rows that repeat it.
    #[test]
    fn names_are_bounded() {
        let text = format!("{}\n{}", "a".repeat(1000), "1\n".repeat(1000));
        let limit = "over the limit of 10000 bytes as JSON (--max-session)";
        assert_eq!(fault(&text).1, limit);
    }
}
