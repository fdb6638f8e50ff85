//! NDJSON: the last complete line is the state.

use crate::state::json::Json;

/// The value of the last line that has an end, or of one behind it that is whole without one.
/// Where the file begins is not known: the line has no number.
pub fn json(bytes: &[u8], max: usize) -> Result<Json, String> {
    let mut lines = bytes.rsplit(|byte| *byte == b'\n');
    let unfinished = lines.next().filter(|line| !is_blank(line));
    let fits = unfinished.filter(|line| line.len() <= max);
    if let Some(Ok(json)) = fits.map(Json::parse) {
        return Ok(json);
    }
    let complete = lines.find(|line| !is_blank(line));
    let line = complete.or(unfinished).unwrap_or_default();
    if line.len() > max {
        return Err(format!(
            "the last line is longer than {max} bytes (--max-session)"
        ));
    }
    Json::parse(line)
        .map_err(|error| format!("{} (last line, column {})", error.reason, error.column))
}

/// The bytes from the last two lines on, or none when `bytes`, which are the end of a file, may
/// not have them whole.
pub fn end(bytes: &[u8]) -> Option<&[u8]> {
    let mut found = bytes
        .split_inclusive(|byte| *byte == b'\n')
        .rev()
        .scan(bytes.len(), |at, line| {
            *at -= line.len();
            Some((*at, line))
        })
        .filter(|(_, line)| !is_blank(line))
        .map(|(at, _)| at);
    let second = found.nth(1)?;
    // Something before it shows that it begins here.
    (second > 0).then(|| &bytes[second..])
}

fn is_blank(line: &[u8]) -> bool {
    line.trim_ascii().is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<String, String> {
        json(text.as_bytes(), 20).map(|json| json.to_string())
    }

    #[test]
    fn the_last_complete_line_counts() {
        for (text, state) in [
            ("1\n2\n", "2"),
            ("1\n2\r\n \n\n", "2"),
            ("1\n{\"a\": 2}", "{\"a\":2}"),
            ("{,\n1\n", "1"),
            ("1\n{\"a\":", "1"),
            ("1\n\n{\"a\":", "1"),
        ] {
            assert_eq!(read(text).as_deref(), Ok(state), "{text:?}");
        }
    }

    #[test]
    fn what_is_wrong_with_it_has_a_column() {
        let duplicate = "duplicate key \"/a\" (last line, column 10)";
        assert_eq!(read("1\n{\"a\":1,\"a\":2}\n").unwrap_err(), duplicate);
        let half = read("{\"a\":").unwrap_err();
        assert!(half.starts_with("EOF"), "{half}");
        let long = format!("1\n{}\n", "1".repeat(21));
        let limit = "the last line is longer than 20 bytes (--max-session)";
        assert_eq!(read(&long).unwrap_err(), limit);
    }

    #[test]
    fn the_end_of_a_file_shows_where_its_last_lines_begin() {
        let end =
            |text: &'static str| end(text.as_bytes()).map(|end| std::str::from_utf8(end).unwrap());
        assert_eq!(end("0\n1\n2\n"), Some("1\n2\n"));
        assert_eq!(end("0\n1\n\n2\n \n"), Some("1\n\n2\n \n"));
        assert_eq!(end("0\n1\n2"), Some("1\n2"));
        assert_eq!(end("\n1\n2"), Some("1\n2"));
        for text in ["1\n2\n", "2\n", "", "\n\n"] {
            assert_eq!(end(text), None, "{text:?}");
        }
    }
}
