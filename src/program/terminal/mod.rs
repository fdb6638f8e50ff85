//! What people see on stderr: banner, code, log lines and the live lines below them; and the keys
//! that they press there.

pub mod banner;
pub mod devices;
pub mod fit;
#[cfg_attr(not(all(unix, feature = "terminal")), path = "keyboard_absent.rs")]
pub mod keyboard;
pub mod keys;
pub mod log;
pub mod screen;
pub mod status;

use std::borrow::Cow;

/// A text from outside, safe to print: control characters, and those that change the reading
/// direction, become visible marks, so that a name can neither move the cursor nor forge a line.
pub fn neutral(text: &str) -> Cow<'_, str> {
    match text.chars().any(|c| mark(c).is_some()) {
        true => text.chars().map(|c| mark(c).unwrap_or(c)).collect(),
        false => Cow::Borrowed(text),
    }
}

/// The mark for a character that must not be printed.
fn mark(c: char) -> Option<char> {
    match c {
        '\0'..='\x1f' => char::from_u32(0x2400 + u32::from(c)),
        '\x7f' => Some('\u{2421}'),
        '\u{80}'..='\u{9f}'
        | '\u{ad}'
        | '\u{61c}'
        | '\u{200b}'
        | '\u{200e}'
        | '\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2066}'..='\u{2069}'
        | '\u{feff}'
        | '\u{e0000}'..='\u{e007f}' => Some(char::REPLACEMENT_CHARACTER),
        _ => None,
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Paint {
    on: bool,
}

impl Paint {
    /// For a stream: only a terminal gets colours, and `NO_COLOR` and `TERM=dumb` switch them off.
    pub fn for_terminal(is_terminal: bool) -> Paint {
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Paint {
            on: is_terminal && !no_color && !dumb,
        }
    }

    pub fn bold(self, text: &str) -> String {
        self.with("1", text)
    }

    pub fn dim(self, text: &str) -> String {
        self.with("2", text)
    }

    /// With an attribute of the terminal, like `31` for red.
    pub fn with(self, attribute: &str, text: &str) -> String {
        match self.on {
            true => format!("\x1b[{attribute}m{text}\x1b[0m"),
            false => text.to_owned(),
        }
    }
}

/// How much room a terminal has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    pub columns: usize,
    pub rows: usize,
}

/// What a terminal has that does not tell.
const USUAL: Size = Size {
    columns: 80,
    rows: 24,
};

/// The terminal's size.
pub fn size() -> Size {
    known_size().unwrap_or(USUAL)
}

/// Columns of the terminal, if there is one.
pub fn width() -> Option<usize> {
    known_size().map(|size| size.columns)
}

#[cfg(feature = "terminal")]
fn known_size() -> Option<Size> {
    let (columns, rows) = crossterm::terminal::size().ok()?;
    let (columns, rows) = (usize::from(columns), usize::from(rows));
    (columns > 0 && rows > 0).then_some(Size { columns, rows })
}

/// Unknown without the feature `terminal`.
#[cfg(not(feature = "terminal"))]
fn known_size() -> Option<Size> {
    None
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use super::*;

    /// A stream that a test can read.
    #[derive(Clone, Default)]
    pub(super) struct Page(Arc<Mutex<Vec<u8>>>);

    impl Page {
        pub(super) fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn control_characters_become_marks() {
        assert_eq!(neutral("a\x1b[2Jb\r\n\t\x7f"), "a␛[2Jb␍␊␉␡");
        assert_eq!(
            neutral("\u{9b}31m \u{202e}evil\u{2066}"),
            "\u{fffd}31m \u{fffd}evil\u{fffd}"
        );
        assert!(matches!(
            neutral("Démo ✓ 日本"),
            Cow::Borrowed("Démo ✓ 日本")
        ));
    }

    #[test]
    fn without_colours_text_is_text() {
        assert_eq!(Paint { on: false }.bold("x"), "x");
        assert_eq!(Paint { on: true }.bold("x"), "\x1b[1mx\x1b[0m");
    }
}
