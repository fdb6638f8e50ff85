//! The contents of a store as lines of JSON.

use std::collections::BTreeMap;
use std::path::Path;

use super::errors::caught;
use super::kept::{Kept, StoreError, StoredRoom, StoredTopic};
use super::line::{GivenRow, Line, of_row, of_topic};
use super::look::{Found, check};
use super::{place, put, tables};
use crate::state::revision::Revision;
use crate::state::room::RoomName;
use crate::state::topic::Origins;

/// What a file holds, a [`Line`] for each topic and each row. A damaged revision is replaced by
/// one from the clock. Returns what was found: the lines are of `found.kept`.
///
/// # Errors
/// As [`check`].
pub fn export(
    path: &Path,
    unix_micros: u64,
    line: &mut dyn FnMut(&str),
) -> Result<Found, StoreError> {
    let found = check(path)?;
    for StoredTopic { topic, version, .. } in &found.kept.topics {
        let mut version = version.clone();
        if version.revision == Revision::ZERO {
            version.revision = Revision::ZERO.next(unix_micros);
        }
        line(&of_topic(topic, &version));
    }
    for StoredRoom { room, rows, .. } in &found.kept.rooms {
        for (channel, row) in rows {
            line(&of_row(room, channel, row));
        }
    }
    Ok(found)
}

/// Puts topics and rows into a file, all of them or none; those of the same name or id are
/// replaced. Each topic takes a new revision and loses its writers' names, and each row takes a new
/// time: to whoever has shown it before, it has changed, perhaps back. Returns what the owner has
/// to know if the file was damaged and set aside.
///
/// # Errors
/// As [`super::Store::open`], or when the disk is full.
pub fn import(path: &Path, lines: &[Line], unix_micros: u64) -> Result<Vec<String>, StoreError> {
    let opened = place::open(path)?;
    let new = renewed(&opened.found.kept, lines, unix_micros);
    let write = || {
        // The mark of a file closed in order may belong to the commit before the last one.
        if opened.found.went_back {
            tables::begin(&opened.database)?;
        }
        put::all(&opened.database, &new)
    };
    let written = caught(write);
    written.map_err(|error| StoreError::new(path, error))?;
    Ok(opened.notes().collect())
}

/// What becomes of the lines in a file that had this.
fn renewed(had: &Kept, lines: &[Line], unix_micros: u64) -> Kept {
    let lost = had.topics.iter();
    let mut topics: Vec<&StoredTopic> = lost
        .filter(|kept| kept.version.revision == Revision::ZERO)
        .collect();
    let mut rooms = BTreeMap::<&RoomName, Vec<&GivenRow>>::new();
    for line in lines {
        match line {
            Line::Topic(topic) => topics.push(topic),
            Line::Row(row) => rooms.entry(&row.room).or_default().push(row),
        }
    }
    let topics = topics.into_iter();
    let rooms = rooms.into_iter();
    Kept {
        topics: topics
            .map(|given| newer_topic(had, given, unix_micros))
            .collect(),
        rooms: rooms
            .map(|(room, given)| newer_rows(had, room, given, unix_micros / 1000))
            .collect(),
    }
}

fn newer_topic(had: &Kept, given: &StoredTopic, unix_micros: u64) -> StoredTopic {
    let mut new = given.clone();
    let before = had.topics.iter().find(|kept| kept.topic == given.topic);
    let before = before.map(|kept| kept.version.revision);
    let last = before.max(Some(given.version.revision)).unwrap_or_default();
    new.version.revision = last.next(unix_micros);
    new.version.origins = Origins::default();
    new
}

/// The rows under times that are later than every one before, in the order in which they had
/// become what they are.
fn newer_rows(
    had: &Kept,
    room: &RoomName,
    mut given: Vec<&GivenRow>,
    unix_millis: u64,
) -> StoredRoom {
    given.sort_by_key(|row| row.updated);
    let before = had.rooms.iter().find(|kept| kept.room == *room);
    let before = before.map(|kept| kept.last);
    let newest = given.last().map(|row| row.updated);
    let mut last = before.max(newest).unwrap_or_default().max(unix_millis);
    let mut at_next = |row: &GivenRow| {
        last += 1;
        (row.channel.clone(), row.at(last))
    };
    let rows = given.into_iter().map(&mut at_next).collect();
    let room = room.clone();
    StoredRoom { room, last, rows }
}
