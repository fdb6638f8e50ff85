//! The command line: which command was given, what it answers, and the code it ends with.

mod arguments;
mod browser;
#[cfg(feature = "completions")]
mod completions;
mod console;
mod daemon;
mod doctor;
mod failure;
mod flags;
mod output;
mod papers;
mod pin;
mod ports;
mod push;
mod refusal;
mod reload;
mod rows;
mod runtime;
mod runtime_dir;
mod serve;
mod signals;
mod status;
mod store;
mod streams;
mod target;
mod view;
mod written;

use std::ffi::OsString;
use std::process::ExitCode;

use arguments::{Command, CommandLine};
use failure::Failure;

/// Runs the program with the words of its command line, its own name first.
pub fn run(words: impl IntoIterator<Item = OsString>) -> ExitCode {
    let line = match CommandLine::read(words) {
        Ok(line) => line,
        Err(error) => {
            // If nobody reads the help, nothing is lost.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(1));
        }
    };
    match dispatch(line) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            streams::report(&failure);
            ExitCode::from(failure.exit as u8)
        }
    }
}

fn dispatch(line: CommandLine) -> Result<(), Failure> {
    match line.command {
        None => serve::serve(line.serve),
        Some(Command::Serve(args)) => serve::serve(args),
        Some(Command::Demo(args)) => serve::demo(args),
        Some(Command::View(args)) => view::view(args),
        Some(Command::Push(args)) => push::push(args),
        Some(Command::Doctor(args)) => doctor::doctor(args),
        Some(Command::Status(args)) => status::status(&args),
        Some(Command::Token(place)) => papers::token(&place),
        Some(Command::Qr(args)) => papers::qr(args),
        Some(Command::Store(command)) => store::store(command),
        Some(Command::Config(args)) => papers::config(args),
        #[cfg(feature = "completions")]
        Some(Command::Completions { shell }) => completions::completions(shell),
        #[cfg(feature = "completions")]
        Some(Command::Man) => completions::man(),
    }
}
