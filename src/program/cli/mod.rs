//! The program: which command was given, what it answers, and the code it ends with.

pub mod arguments;
mod ask;
mod daemon;
mod output;
mod pin;
mod push;
mod reload;
mod runtime_dir;
mod serve;
mod signals;
mod store;
mod view;

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::ArgMatches;

use crate::program::config::file::File;
use crate::program::config::{ConfigError, Loaded, Place};
use crate::program::terminal::{Paint, neutral};

/// How the program ends; after `sysexits.h` where that has a word for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum Exit {
    Failure = 1,
    Usage = 2,
    InputMissing = 66,
    AddressInUse = 69,
    BadConfiguration = 78,
}

/// Why the program ends early.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The code.
    pub exit: Exit,
    /// One line for a person; empty when everything has been said.
    pub text: String,
}

impl Failure {
    /// A failure while running.
    pub fn new(text: impl Into<String>) -> Failure {
        Failure::with(Exit::Failure, text)
    }

    /// A failure with a code of its own.
    pub fn with(exit: Exit, text: impl Into<String>) -> Failure {
        let text = text.into();
        Failure { exit, text }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Failure {
        let exit = match error.place {
            Place::Flag => Exit::Usage,
            _ => Exit::BadConfiguration,
        };
        Failure::with(exit, error.text)
    }
}

/// Runs the program with the words of its command line, its own name first.
pub fn run(words: impl IntoIterator<Item = OsString>) -> ExitCode {
    let matches = match arguments::command().try_get_matches_from(words) {
        Ok(matches) => matches,
        Err(error) => {
            // Help into a closed pipe is nobody's loss.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(1));
        }
    };
    match dispatch(&matches) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => report(&failure),
    }
}

fn report(failure: &Failure) -> ExitCode {
    if !failure.text.is_empty() {
        let paint = Paint::for_terminal(io::IsTerminal::is_terminal(&io::stderr()));
        let word = paint.with("1;31", "error:");
        let _ = writeln!(io::stderr(), "{word} {}", neutral(&failure.text));
    }
    ExitCode::from(failure.exit as u8)
}

fn dispatch(matches: &ArgMatches) -> Result<(), Failure> {
    let Some((command, given)) = matches.subcommand() else {
        return serve::serve(matches);
    };
    match command {
        "serve" => serve::serve(given),
        "demo" => serve::demo(given),
        "view" => view::view(&load(given)?, given),
        "push" => push::push(&load(given)?, given),
        "status" => ask::status(&load(given)?, given),
        "token" => ask::token(&load(given)?),
        "qr" => ask::qr(&load(given)?, given),
        "store" => match given.subcommand() {
            Some(("import", given)) => store::import(&load(given)?, given),
            Some(("check", given)) => store::check(&load(given)?),
            Some((_, given)) => store::export(&load(given)?),
            None => Ok(()),
        },
        "config" => ask::config(given),
        "completions" => ask::completions(given),
        _ => ask::man(),
    }
}

/// The effective configuration of a command line.
fn load(matches: &ArgMatches) -> Result<Loaded, Failure> {
    let path = crate::program::config::find_file(arguments::config_file(matches));
    let file = path.as_deref().map(File::read).transpose()?;
    resolve(file.as_ref(), matches)
}

/// The same with this file, or none.
fn resolve(file: Option<&File>, matches: &ArgMatches) -> Result<Loaded, Failure> {
    arguments::check_viewer_token(matches)?;
    let flags = |key: &crate::program::config::keys::Key| arguments::given(matches, key);
    Ok(Loaded::resolve(
        &flags,
        &crate::program::config::environment,
        file,
    )?)
}

/// Writes to stdout; a reader that has gone (`| head`) ends the program in order.
fn print(text: &str) -> Result<Printed, Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(Printed::Whole),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Printed::NobodyReads),
        Err(error) => Err(Failure::new(format!("cannot write to stdout: {error}"))),
    }
}

/// Whether going on has a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Printed {
    Whole,
    NobodyReads,
}

/// A runtime with a thread per core.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut builder = match cores {
        1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    builder.worker_threads(cores);
    builder
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("cannot start the runtime: {error}")))
}

/// Runs one command's future to its end; what still blocks then (stdin) is left behind.
fn block_on(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = runtime()?;
    let result = runtime.block_on(work);
    runtime.shutdown_background();
    result
}
