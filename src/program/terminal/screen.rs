//! Stderr, shared by log lines and the live line: whatever is printed goes above that line.

use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing_subscriber::fmt::MakeWriter;

use super::Paint;

/// Goes back to the start of the line, and clears it.
const CLEAR: &str = "\r\x1b[K";

/// A handle to one stream; cloning it is cheap.
#[derive(Clone)]
pub struct Screen {
    inner: Arc<Mutex<Inner>>,
    is_terminal: bool,
}

struct Inner {
    out: Box<dyn Write + Send>,
    line: String,
}

impl Screen {
    pub fn stderr() -> Screen {
        let is_terminal = io::stderr().is_terminal();
        Screen::over(Box::new(io::stderr()), is_terminal)
    }

    pub fn over(out: Box<dyn Write + Send>, is_terminal: bool) -> Screen {
        let line = String::new();
        Screen {
            inner: Arc::new(Mutex::new(Inner { out, line })),
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

    /// Prints above the live line. The text ends its own lines.
    pub fn print(&self, text: &str) {
        self.inner().print(text);
    }

    /// Replaces the live line; does nothing on a stream that nobody looks at.
    pub fn show(&self, line: &str) {
        if self.is_terminal {
            self.inner().show(line);
        }
    }

    pub fn clear(&self) {
        self.show("");
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    // If the stream takes no more, the daemon goes on without it.

    fn print(&mut self, text: &str) {
        let _ = match self.line.is_empty() {
            true => self.out.write_all(text.as_bytes()),
            false => write!(self.out, "{CLEAR}{text}{}", self.line),
        };
        let _ = self.out.flush();
    }

    fn show(&mut self, line: &str) {
        if line != self.line {
            let _ = write!(self.out, "{CLEAR}{line}");
            let _ = self.out.flush();
            line.clone_into(&mut self.line);
        }
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

    #[test]
    fn log_lines_go_above_the_live_line() {
        let page = Page::default();
        let screen = Screen::over(Box::new(page.clone()), true);
        screen.print("a\n");
        screen.show("2 devices");
        screen.show("2 devices");
        screen.print("b\n");
        screen.clear();
        screen.print("c\n");
        assert_eq!(
            page.text(),
            "a\n\r\x1b[K2 devices\r\x1b[Kb\n2 devices\r\x1b[Kc\n"
        );
    }

    #[test]
    fn a_file_gets_no_live_line() {
        let page = Page::default();
        let screen = Screen::over(Box::new(page.clone()), false);
        screen.show("2 devices");
        screen.print("a\n");
        assert_eq!(page.text(), "a\n");
    }
}
