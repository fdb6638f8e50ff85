//! `onlooker store`: what a store keeps, as NDJSON, while no daemon has it open.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use clap::ArgMatches;

use super::{Exit, Failure, Printed, arguments, print};
use crate::config::Loaded;
use crate::store::{self, Kept};

/// Prints one line per topic.
pub fn export(loaded: &Loaded) -> Result<(), Failure> {
    let mut printed = Ok(Printed::Whole);
    let mut line = |line: &str| {
        if let Ok(Printed::Whole) = printed {
            printed = print(&format!("{line}\n"));
        }
    };
    store::export(path(loaded)?, &mut line).map_err(|error| Failure::new(error.to_string()))?;
    printed.map(drop)
}

/// Puts the topics of an export into the store: all of them, or none when a line is wrong.
pub fn import(loaded: &Loaded, given: &ArgMatches) -> Result<(), Failure> {
    let topics = match arguments::text(given, "file") {
        None | Some("-") => read(io::stdin(), "stdin")?,
        Some(name) => {
            let missing = |error| Failure::with(Exit::InputMissing, format!("{name}: {error}"));
            read(File::open(name).map_err(missing)?, name)?
        }
    };
    store::import(path(loaded)?, &topics).map_err(|error| Failure::new(error.to_string()))?;
    print(&format!("{} topics imported\n", topics.len())).map(drop)
}

fn path(loaded: &Loaded) -> Result<&Path, Failure> {
    let unnamed = || Failure::with(Exit::Usage, "which store? name its file with --store FILE");
    loaded.settings.options.store.as_deref().ok_or_else(unnamed)
}

fn read(input: impl Read, name: &str) -> Result<Vec<Kept>, Failure> {
    let mut topics = Vec::new();
    for (index, line) in BufReader::new(input).split(b'\n').enumerate() {
        let place = format!("{name}, line {}", index + 1);
        let line = line.map_err(|error| Failure::new(format!("{place}: {error}")))?;
        if !line.trim_ascii().is_empty() {
            let kept = store::parse_line(&line);
            topics.push(kept.map_err(|error| Failure::new(format!("{place}: {error}")))?);
        }
    }
    Ok(topics)
}
