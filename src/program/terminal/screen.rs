//! Stderr, shared by log lines and the live lines at the bottom: whatever is printed goes above
//! those.

use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing_subscriber::fmt::MakeWriter;

use super::{Paint, fit};

/// Clears from the cursor to the end of the screen.
const CLEAR: &str = "\x1b[J";
/// Clears the rest of a line.
const CLEAR_LINE: &str = "\x1b[K";

/// A handle to one stream; cloning it is cheap.
#[derive(Clone)]
pub struct Screen {
    inner: Arc<Mutex<Inner>>,
    is_terminal: bool,
}

struct Inner {
    out: Box<dyn Write + Send>,
    /// What is at the bottom. The cursor is at the end of the last line.
    live: Vec<String>,
    /// How many columns the terminal had when they were drawn; none: as many as they need.
    columns: Option<usize>,
}

impl Screen {
    pub fn stderr() -> Screen {
        let is_terminal = io::stderr().is_terminal();
        Screen::over(Box::new(io::stderr()), is_terminal)
    }

    pub fn over(out: Box<dyn Write + Send>, is_terminal: bool) -> Screen {
        let inner = Inner {
            out,
            live: Vec::new(),
            columns: None,
        };
        Screen {
            inner: Arc::new(Mutex::new(inner)),
            is_terminal,
        }
    }

    pub fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// How to colour what is printed here.
    pub fn paint(&self) -> Paint {
        Paint::for_terminal(self.is_terminal)
    }

    /// Prints above the live lines. The text ends its own lines.
    pub fn print(&self, text: &str) {
        self.inner().print(text);
    }

    /// Replaces the live lines; does nothing on a stream that nobody looks at. None of them may be
    /// wider than the terminal is: that would move the others.
    pub fn show(&self, lines: Vec<String>, columns: Option<usize>) {
        if self.is_terminal {
            self.inner().show(lines, columns);
        }
    }

    pub fn clear(&self) {
        self.show(Vec::new(), None);
    }

    /// Leaves the live lines where they are, to be shown anew: others have written below them.
    pub fn forget(&self) {
        self.inner().live.clear();
    }

    /// As [`Screen::clear`], if nobody is printing: for a thread that panics, maybe while it prints.
    pub fn try_clear(&self) {
        if let Ok(mut inner) = self.inner.try_lock() {
            inner.show(Vec::new(), None);
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    // Each of these is one write: a terminal that draws in between would show half of it. If the
    // stream takes no more, the daemon goes on without it.

    fn print(&mut self, text: &str) {
        let drawn = match self.live.is_empty() {
            true => text.to_owned(),
            false => format!("{}{CLEAR}{text}{}", self.up(), self.live.join("\n")),
        };
        self.write(&drawn);
    }

    fn show(&mut self, lines: Vec<String>, columns: Option<usize>) {
        if lines == self.live && columns == self.columns {
            return;
        }
        // Overwritten, and not cleared first, so that nothing blinks. But a terminal that has
        // another width has moved the lines.
        let (clear, end) = match columns == self.columns {
            true => ("", CLEAR_LINE),
            false => (CLEAR, ""),
        };
        self.columns = columns;
        let drawn = lines.join(&format!("{end}\n"));
        let drawn = format!("{}{clear}{drawn}{CLEAR}", self.up());
        self.write(&drawn);
        self.live = lines;
    }

    /// From the end of the live lines to their beginning.
    fn up(&self) -> String {
        // More than there are lines, after the terminal was made narrower.
        let columns = self.columns.unwrap_or(usize::MAX);
        let rows = self.live.iter().map(|line| fit::rows(line, columns));
        match rows.sum::<usize>().saturating_sub(1) {
            0 => "\r".to_owned(),
            rows => format!("\r\x1b[{rows}A"),
        }
    }

    fn write(&mut self, text: &str) {
        let _ = self.out.write_all(text.as_bytes());
        let _ = self.out.flush();
    }
}

impl Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.print(&String::from_utf8_lossy(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Screen {
    type Writer = Screen;

    fn make_writer(&'a self) -> Screen {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::Page;
    use super::*;

    fn terminal() -> (Page, Screen) {
        let page = Page::default();
        let screen = Screen::over(Box::new(page.clone()), true);
        (page, screen)
    }

    fn lines(lines: &[&str]) -> Vec<String> {
        lines.iter().map(|line| (*line).to_owned()).collect()
    }

    #[test]
    fn log_lines_go_above_the_live_lines() {
        let (page, screen) = terminal();
        screen.print("a\n");
        screen.show(lines(&["phone", "2 devices"]), Some(80));
        screen.show(lines(&["phone", "2 devices"]), Some(80));
        screen.print("b\n");
        screen.clear();
        screen.print("c\n");
        let expected = [
            "a\n",
            "\r\x1b[Jphone\n2 devices\x1b[J",
            "\r\x1b[1A\x1b[Jb\nphone\n2 devices",
            "\r\x1b[1A\x1b[J\x1b[J",
            "c\n",
        ];
        assert_eq!(page.text(), expected.concat());
    }

    #[test]
    fn a_line_that_changes_is_overwritten() {
        let (page, screen) = terminal();
        screen.show(lines(&["phone", "1 device"]), Some(80));
        let before = page.text().len();
        screen.show(lines(&["1 device"]), Some(80));
        assert_eq!(page.text()[before..], *"\r\x1b[1A1 device\x1b[J");
    }

    #[test]
    fn what_others_have_written_below_is_drawn_below() {
        let (page, screen) = terminal();
        screen.show(lines(&["phone", "1 device"]), Some(80));
        let before = page.text().len();
        screen.forget();
        screen.show(lines(&["phone", "1 device"]), Some(80));
        assert_eq!(page.text()[before..], *"\rphone\x1b[K\n1 device\x1b[J");
    }

    #[test]
    fn a_narrower_terminal_has_wrapped_them() {
        let (page, screen) = terminal();
        screen.show(lines(&["0123456789", "0123"]), Some(80));
        let before = page.text().len();
        screen.show(lines(&["0…"]), Some(4));
        assert_eq!(page.text()[before..], *"\r\x1b[3A\x1b[J0…\x1b[J");
    }

    #[test]
    fn a_thread_that_panics_while_it_prints_does_not_wait_for_itself() {
        let (page, screen) = terminal();
        screen.show(lines(&["1 device"]), None);
        let held = screen.inner();
        screen.try_clear();
        drop(held);
        assert!(page.text().ends_with("1 device\x1b[J"));
        screen.try_clear();
        assert!(page.text().ends_with("\r\x1b[J"));
    }

    #[test]
    fn a_file_gets_no_live_line() {
        let page = Page::default();
        let screen = Screen::over(Box::new(page.clone()), false);
        screen.show(lines(&["2 devices"]), Some(80));
        screen.print("a\n");
        assert_eq!(page.text(), "a\n");
    }
}
