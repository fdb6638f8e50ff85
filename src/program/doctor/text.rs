//! The report for people.

use crate::program::terminal::{Paint, fit, neutral};
use crate::wire::{CheckLine, Verdict};

/// Before a line, and the width of its verdict.
const MARGIN: usize = 2;
const VERDICT: usize = 7;
/// Texts are not squeezed into less.
const NARROWEST: usize = 30;

/// How lines are laid out: their texts stand in one column.
pub struct Column {
    /// The width of the longest name.
    pub names: usize,
    /// The terminal's width; without it, nothing is wrapped.
    pub columns: Option<usize>,
    pub paint: Paint,
}

impl Column {
    pub fn text(&self, lines: &[CheckLine]) -> String {
        lines.iter().map(|line| self.line(line)).collect()
    }

    fn line(&self, line: &CheckLine) -> String {
        let names = self.names + 2;
        let indent = MARGIN + VERDICT + names;
        let width = self.columns;
        let width = width.map(|width| width.saturating_sub(indent + 1).max(NARROWEST));
        let verdict = verdict(line.verdict, self.paint);
        let mut out = format!("{:MARGIN$}{verdict}{:names$}", "", line.check);
        put(&mut out, &rows(&neutral(&line.found), width), indent);
        if let Some(way) = &line.way_out {
            out.push_str(&format!("{:indent$}", ""));
            let rows = wrap(&format!("→ {}", neutral(way)), width);
            put(&mut out, &rows, indent + 2);
        }
        if let Some(command) = &line.command {
            // Not wrapped, so that it can be copied; further left if it is long.
            let command = neutral(command);
            let fits = width.is_none_or(|width| fit::width(&command) + 2 <= width);
            let indent = if fits { indent + 2 } else { MARGIN };
            let command = self.paint.bold(&command);
            out.push_str(&format!("{:indent$}{command}\n", ""));
        }
        out
    }
}

/// A text without a verdict.
pub fn paragraph(text: &str, columns: Option<usize>) -> String {
    let width = columns.map(|columns| columns.saturating_sub(2 * MARGIN).max(NARROWEST));
    let rows = wrap(text, width).into_iter();
    rows.map(|row| format!("{:MARGIN$}{row}\n", "")).collect()
}

fn verdict(verdict: Verdict, paint: Paint) -> String {
    let (word, attribute) = match verdict {
        Verdict::Good => ("good", "32"),
        Verdict::Note => ("note", "33"),
        Verdict::Wrong => ("wrong", "1;31"),
    };
    let rest = " ".repeat(VERDICT - word.len());
    format!("{}{rest}", paint.with(attribute, word))
}

/// The first row where the text ends, the others below it.
fn put(out: &mut String, rows: &[String], indent: usize) {
    out.push_str(&rows.join(&format!("\n{:indent$}", "")));
    out.push('\n');
}

/// What does not fit into one row begins a new one after each semicolon.
fn rows(text: &str, width: Option<usize>) -> Vec<String> {
    match width.is_some_and(|width| fit::width(text) > width) {
        true => text
            .split_inclusive("; ")
            .flat_map(|part| wrap(part, width))
            .collect(),
        false => vec![text.to_owned()],
    }
}

/// Words in rows of this many columns; a longer word has a row of its own.
fn wrap(text: &str, width: Option<usize>) -> Vec<String> {
    let Some(width) = width else {
        return vec![text.to_owned()];
    };
    let mut rows: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match rows.last_mut() {
            Some(row) if fit::width(row) + 1 + fit::width(word) <= width => {
                row.push(' ');
                row.push_str(word);
            }
            _ => rows.push(word.to_owned()),
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_stand_in_a_column() {
        let column = |columns| Column {
            names: 8,
            columns,
            paint: Paint::for_terminal(false),
        };
        let report = [
            CheckLine::good("port", "9876 is free"),
            CheckLine::wrong(
                "firewall",
                "a rule drops what comes in",
                "let the port\x1b in",
            )
            .typing("sudo nft insert rule inet filter input tcp dport 9876 accept"),
        ];
        let narrow = "  good   port      9876 is free
  wrong  firewall  a rule drops what comes in
                   → let the port␛ in
  sudo nft insert rule inet filter input tcp dport 9876 accept
";
        assert_eq!(column(Some(60)).text(&report), narrow);
        let wide = column(None).text(&report);
        assert!(wide.ends_with("\n                     sudo nft insert rule inet filter input tcp dport 9876 accept\n"), "{wide}");
    }

    #[test]
    fn long_texts_are_wrapped_between_words() {
        let rows = wrap("one two three-and-a-half four", Some(9));
        assert_eq!(rows, ["one two", "three-and-a-half", "four"]);
        assert_eq!(wrap("a  b", None), ["a  b"]);
        assert_eq!(wrap("日本 語 e\u{301}", Some(6)), ["日本", "語 e\u{301}"]);
    }
}
