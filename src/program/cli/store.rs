//! `onlooker store`: what a store keeps, as NDJSON, while no daemon has it open.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::arguments::{StoreArgs, StoreCommand};
use super::failure::{Exit, Failure};
use super::streams::{Printed, print, say};
use crate::program::terminal::neutral;
use crate::store::{self, Found, Line, WENT_BACK};

pub fn store(command: StoreCommand) -> Result<(), Failure> {
    match command {
        StoreCommand::Export(store) => export(&path(&store)?),
        StoreCommand::Import { file, store } => import(file.as_deref(), &store),
        StoreCommand::Check(store) => check(&path(&store)?),
    }
}

/// Prints one line per topic and row.
fn export(path: &Path) -> Result<(), Failure> {
    let mut printed = Ok(Printed::Whole);
    let mut line = |line: &str| {
        if let Ok(Printed::Whole) = printed {
            printed = print(&format!("{line}\n"));
        }
    };
    let exported = store::export(path, unix_micros(), &mut line);
    let found = exported.map_err(|error| Failure::new(error.to_string()))?;
    printed?;
    let of_file = found.damage.iter().map(ToString::to_string);
    let back = found.went_back.then(|| WENT_BACK.to_owned());
    of_file.chain(back).for_each(|note| tell(path, &note));
    whole(path, &found)
}

/// Puts the topics and rows of an export into the store: all of them, or none when a line is wrong.
fn import(file: Option<&str>, store: &StoreArgs) -> Result<(), Failure> {
    let lines = match file {
        None | Some("-") => read(io::stdin(), "stdin")?,
        Some(name) => {
            let missing = |error| Failure::with(Exit::InputMissing, format!("{name}: {error}"));
            read(File::open(name).map_err(missing)?, name)?
        }
    };
    let path = &path(store)?;
    let imported = store::import(path, &lines, unix_micros());
    for note in imported.map_err(|error| Failure::new(error.to_string()))? {
        tell(path, &note);
    }
    let topics = lines.iter().filter(|line| matches!(line, Line::Topic(_)));
    let topics = topics.count();
    let counted = in_words(topics, 0, lines.len() - topics);
    print(&format!("{counted} imported\n")).map(drop)
}

/// Prints how each topic and room is, then whether the file is whole.
fn check(path: &Path) -> Result<(), Failure> {
    let found = store::check(path).map_err(|error| Failure::new(error.to_string()))?;
    let rooms = &found.kept.rooms;
    let rows = rooms.iter().map(|kept| kept.rows.len()).sum();
    let mut lines = whole_parts(&found);
    lines.extend(found.damage.iter().map(ToString::to_string));
    lines.extend(found.went_back.then(|| WENT_BACK.to_owned()));
    lines.push(match found.is_empty {
        true => "empty: a new store".to_owned(),
        false => format!(
            "{} can be read",
            in_words(found.kept.topics.len(), rooms.len(), rows)
        ),
    });
    for line in lines {
        print(&format!("{}\n", neutral(&line)))?;
    }
    whole(path, &found)
}

/// A line for each topic and room that is not damaged.
fn whole_parts(found: &Found) -> Vec<String> {
    let damage = &found.damage;
    let mut lines = Vec::new();
    for kept in &found.kept.topics {
        let (name, revision) = (kept.topic.as_str(), kept.version.revision);
        if damage.iter().all(|damage| damage.topic() != Some(name)) {
            lines.push(format!("topic {name:?}: whole, at revision {revision}"));
        }
    }
    for kept in &found.kept.rooms {
        let (name, rows) = (kept.room.to_string(), count(kept.rows.len(), "row"));
        if damage.iter().all(|damage| damage.room() != Some(&name)) {
            lines.push(format!("room {name:?}: whole, {rows}"));
        }
    }
    lines
}

/// Ends the program with a failure if something is damaged; what it is has been said.
fn whole(path: &Path, found: &Found) -> Result<(), Failure> {
    if found.damage.is_empty() {
        return Ok(());
    }
    Err(Failure::new(format!(
        "{} is damaged: a daemon that starts with it keeps the rest, and sets the file aside",
        path.display()
    )))
}

fn tell(path: &Path, note: &str) {
    say(&format!("{}: {note}", path.display()));
}

/// How many there are of each: of topics always, of the others if there are any.
fn in_words(topics: usize, rooms: usize, rows: usize) -> String {
    let others = [(rooms, "room"), (rows, "row")].into_iter();
    let others = others.filter(|(number, _)| *number > 0);
    let others = others.map(|(number, name)| format!(", {}", count(number, name)));
    count(topics, "topic") + &others.collect::<String>()
}

fn count(number: usize, name: &str) -> String {
    format!("{number} {name}{}", if number == 1 { "" } else { "s" })
}

fn unix_micros() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_micros()).unwrap_or_default()
}

fn path(store: &StoreArgs) -> Result<PathBuf, Failure> {
    let unnamed = || Failure::with(Exit::Usage, "which store? name its file with --store FILE");
    let options = store.load()?.settings.options;
    options.store.ok_or_else(unnamed)
}

fn read(input: impl Read, name: &str) -> Result<Vec<Line>, Failure> {
    let mut lines = Vec::new();
    for (index, line) in BufReader::new(input).split(b'\n').enumerate() {
        let place = format!("{name}, line {}", index + 1);
        let line = line.map_err(|error| Failure::new(format!("{place}: {error}")))?;
        if !line.trim_ascii().is_empty() {
            let line = store::parse_line(&line);
            lines.push(line.map_err(|error| Failure::new(format!("{place}: {error}")))?);
        }
    }
    Ok(lines)
}
