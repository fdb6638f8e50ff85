//! How wide a text is on a terminal, and what is left of it where that is too much.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Stands for what was cut off.
const CUT: char = '…';

/// How many columns a text takes. Attributes, as [`Paint`](super::Paint) writes them, take none.
pub fn width(text: &str) -> usize {
    let mut parts = text.split("\x1b[");
    let first = parts.next().unwrap_or_default().width();
    let rest = parts.map(|part| {
        let shown = part.split_once('m').map_or("", |(_, shown)| shown);
        shown.width()
    });
    first + rest.sum::<usize>()
}

/// A text without attributes, in at most so many columns.
pub fn cut(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let mut left = columns.saturating_sub(1);
    let fits = |c: &char| {
        let needed = c.width().unwrap_or(0);
        let is_room = needed <= left;
        left = left.saturating_sub(needed);
        is_room
    };
    let mut out: String = text.chars().take_while(fits).collect();
    if columns > 0 {
        out.push(CUT);
    }
    out
}

/// A text without attributes, in exactly so many columns.
pub fn column(text: &str, columns: usize) -> String {
    let mut out = cut(text, columns);
    pad(&mut out, columns);
    out
}

/// How many rows of a terminal a line takes.
pub fn rows(line: &str, columns: usize) -> usize {
    width(line).div_ceil(columns.max(1)).max(1)
}

/// Spaces up to a column.
pub fn pad(line: &mut String, columns: usize) {
    let missing = columns.saturating_sub(width(line));
    line.extend(std::iter::repeat_n(' ', missing));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_counted_and_not_characters() {
        assert_eq!(width("a\x1b[1;36mbc\x1b[0m日本"), 7);
        assert_eq!(width("e\u{301}"), 1);
        assert_eq!(width("\x1b[2m\x1b[0m"), 0);
        assert_eq!([rows("", 4), rows("abcd", 4), rows("abcde", 4)], [1, 1, 2]);
    }

    #[test]
    fn what_is_cut_says_so() {
        assert_eq!(cut("iPhone", 6), "iPhone");
        assert_eq!(cut("iPhone", 5), "iPho…");
        assert_eq!(cut("日本語", 4), "日…");
        assert_eq!(cut("日本語", 1), "…");
        assert_eq!(cut("a", 0), "");
        assert_eq!(column("日本語", 4), "日… ");
    }
}
