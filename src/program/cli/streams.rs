//! What the commands write to stdout and stderr.

use std::io::{self, Write};

use super::failure::Failure;
use crate::program::terminal::{Paint, neutral};

/// Whether there is any point in going on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Printed {
    Whole,
    NobodyReads,
}

/// Writes to stdout; a reader that has gone (`| head`) is not a failure.
pub fn print(text: &str) -> Result<Printed, Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(Printed::Whole),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Printed::NobodyReads),
        Err(error) => Err(Failure::new(format!("cannot write to stdout: {error}"))),
    }
}

/// Writes a line to stderr, which nobody may be reading.
pub fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{}", neutral(line));
}

/// Writes a text that is safe to print to stderr, which nobody may be reading.
pub fn tell(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}

/// The last line of a program that failed.
pub fn report(failure: &Failure) {
    let paint = Paint::for_terminal(io::IsTerminal::is_terminal(&io::stderr()));
    let word = paint.with("1;31", "error:");
    let _ = writeln!(io::stderr(), "{word} {}", neutral(&failure.text));
}
