//! What the commands write to stdout and stderr.

use std::io::{self, IsTerminal, Write};

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

/// A frame as it may be printed to stdout: as it came, unless that is a terminal.
pub fn shown(frame: &str) -> String {
    match io::stdout().is_terminal() {
        true => neutral(frame).into_owned(),
        false => frame.to_owned(),
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
    let paint = Paint::for_terminal(io::stderr().is_terminal());
    let word = paint.with("1;31", "error:");
    let _ = writeln!(io::stderr(), "{word} {}", neutral(&failure.text));
}
