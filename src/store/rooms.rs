//! The rooms of the file: what their entries say, and what is missing.

use std::collections::BTreeMap;

use super::damage::{Damage, Place};
use super::kept::StoredRoom;
use super::sealed::{Entry, Sum, key_within, read_head, seal, unseal};
use crate::state::json::{Json, Kind};

/// All entries of rooms.
#[derive(Clone, Debug, Default)]
pub(super) struct Rooms {
    /// Room → its name, the last time of its clock, and the [`Sum`] of its rows.
    pub heads: Vec<Entry>,
    /// Room, channel and id → the three of them, and the row.
    pub rows: Vec<Entry>,
    /// Whether there may have been more rooms, of which nothing is left.
    pub lacks_rooms: bool,
    /// Whether there may have been more rows.
    pub lacks_rows: bool,
}

/// What the entries say of one room.
#[derive(Default)]
struct Draft {
    head: Option<(u64, Sum)>,
    /// By channel and id.
    rows: BTreeMap<(String, String), Json>,
    /// How many rows are damaged.
    damaged: usize,
    sum: Sum,
}

/// The key of a row. Neither a room's name nor the JSON text of an id has a zero.
pub(super) fn row_key(room: &str, channel: &str, id: &Json) -> Vec<u8> {
    key_within(room, &format!("{channel}\0{id}"))
}

/// The value of a row.
pub(super) fn seal_row(room: &str, channel: &str, id: &Json, row: &Json) -> Vec<u8> {
    seal(&[room, channel, id.as_str(), row.as_str()])
}

/// What a row's value holds.
fn read_row(value: &[u8]) -> Option<(&str, &str, &str, Json)> {
    let [room, channel, id, row] = unseal(value)?;
    let row = Json::parse_kept(row.as_bytes()).ok()?;
    (row.kind() == Kind::Object).then_some((room, channel, id, row))
}

/// The room of a key, and which of its rows it is, if the key can be read.
fn read_key(key: &[u8]) -> (String, Place) {
    let key = String::from_utf8_lossy(key);
    let (room, rest) = key.split_once('\0').unwrap_or((&key, ""));
    let place = match rest.rsplit_once('\0') {
        Some((channel, id)) => Place::row(room, channel, id),
        None => Place::Room(room.to_owned()),
    };
    (room.to_owned(), place)
}

/// When a row became what it is; zero where it does not say so.
pub(super) fn updated_at(row: &Json) -> u64 {
    let time = row.get("updated_at");
    let time = time.and_then(|time| time.as_str().parse().ok());
    time.unwrap_or_default()
}

impl Rooms {
    /// The rooms, without their damaged rows; what is damaged is added to the rest.
    pub fn read(&self, damage: &mut Vec<Damage>) -> Vec<StoredRoom> {
        let mut drafts = BTreeMap::<String, Draft>::new();
        for (key, value) in &self.heads {
            match read_head(value) {
                Some((room, last, sum)) => draft(&mut drafts, room).head = Some((last, sum)),
                None => _ = draft(&mut drafts, &String::from_utf8_lossy(key)),
            }
        }
        for (key, value) in &self.rows {
            let (room, place) = read_key(key);
            let read = read_row(value);
            let draft = draft(&mut drafts, read.as_ref().map_or(&room, |(room, ..)| room));
            draft.sum = draft.sum.with(value);
            match read {
                Some((_, channel, id, row)) => {
                    draft.rows.insert((channel.to_owned(), id.to_owned()), row);
                }
                None => {
                    draft.damaged += 1;
                    damage.push(Damage::new(place, "a row is damaged, so it is left out"));
                }
            }
        }
        let drafts = drafts.into_iter();
        let kept = drafts.filter_map(|(room, draft)| draft.finish(&room, self.lacks_rows, damage));
        let kept = kept.collect();
        if self.lacks_rooms {
            damage.push(Damage::of_file("some rooms may be lost entirely"));
        }
        kept
    }
}

fn draft<'a>(drafts: &'a mut BTreeMap<String, Draft>, room: &str) -> &'a mut Draft {
    drafts.entry(room.to_owned()).or_default()
}

impl Draft {
    /// `lacks_rows`: without a head it is not known then whether they are all there.
    fn finish(self, name: &str, lacks_rows: bool, damage: &mut Vec<Damage>) -> Option<StoredRoom> {
        let mut report = |what| {
            damage.push(Damage::new(Place::Room(name.to_owned()), what));
        };
        let Ok(room) = name.parse() else {
            report("its name is damaged, so it is left out");
            return None;
        };
        let newest = self.rows.values().map(updated_at).max();
        let Some(last) = self.head.map(|(last, _)| last).max(newest) else {
            report("it is damaged, so it is left out");
            return None;
        };
        match self.head {
            Some((_, sum)) if sum.is_all(self.sum, self.damaged) => {}
            Some(_) => report("some rows are lost, or older than they were"),
            None if lacks_rows => report("its clock is damaged, and some rows may be lost"),
            None => report("its clock is damaged: it goes on from the newest row"),
        }
        let rows = self.rows.into_iter();
        let rows = rows.map(|((channel, _), row)| (channel, row)).collect();
        Some(StoredRoom { room, last, rows })
    }
}

#[cfg(test)]
mod tests;
