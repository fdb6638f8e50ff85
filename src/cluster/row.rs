//! How a row of a room is spelled in a bucket.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::record::{FORMAT, Mark, distances, key_of, sums, topic_of};
use crate::state::json::Json;
use crate::state::revision::{LATEST, Revision};
use crate::state::room::{Columns, RoomName, Row, RowId, TIMES, check_channel, spelled};

/// How many of the last writes a record names: there are many rows.
const RECENT: usize = 16;

/// The longest id that has a key, in bytes of its JSON: servers take lines of 4 KiB.
pub const LONGEST_ID: usize = 512;

/// Which row it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RowKey {
    /// Its room.
    pub room: RoomName,
    /// Its channel's name.
    pub channel: Box<str>,
    /// Its id.
    pub id: RowId,
}

/// A row as all daemons of a cluster know it. One that was deleted is kept for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedRow {
    /// Its members by name, the three times among them.
    pub row: Json,
    /// When it became what it is, in milliseconds since 1970.
    pub updated: Revision,
    /// Whether it became a deleted one.
    pub is_deleted: bool,
    /// The last writes, oldest first, this one among them.
    pub recent: Vec<(Revision, Mark)>,
}

#[derive(Serialize, Deserialize)]
struct Spelled<'a> {
    onlooker: u8,
    /// Each but the first is told by its distance from the one before.
    recent: Vec<(u64, Mark)>,
    #[serde(borrow)]
    row: &'a RawValue,
}

impl RowKey {
    /// The key in the bucket: party and room, channel, and the id in base64url, as JSON, so that `7` is
    /// not `"7"`.
    pub fn key(&self) -> String {
        let id = URL_SAFE_NO_PAD.encode(self.id.as_bytes());
        format!("{}.{}.{id}", key_of(self.room.topic()), self.channel)
    }

    /// The row of a key; none for a key that no row has.
    pub fn of(key: &str) -> Option<RowKey> {
        let mut parts = key.split('.');
        let (room, channel, id) = (parts.next()?, parts.next()?, parts.next()?);
        let room = topic_of(room)?;
        let (party, room) = room.as_str().split_once('.')?;
        check_channel(channel).ok()?;
        let id = String::from_utf8(URL_SAFE_NO_PAD.decode(id).ok()?).ok()?;
        let id = spelled(&Json::parse(id.as_bytes()).ok()?).ok()?;
        parts.next().is_none().then_some(RowKey {
            room: RoomName::new(party, room).ok()?,
            channel: channel.into(),
            id: id.as_str().into(),
        })
    }
}

impl SharedRow {
    /// A version of a row, behind these writes.
    pub fn new(row: &Row, columns: &Columns, recent: &[(Revision, Mark)]) -> SharedRow {
        SharedRow {
            row: row.object(columns),
            updated: Revision::new(row.updated).unwrap_or_default(),
            is_deleted: row.is_deleted,
            recent: recent.to_vec(),
        }
    }

    /// Notes the write that makes this record.
    pub fn note(&mut self, mark: Mark) {
        self.recent.push((self.updated, mark));
        let old = self.recent.len().saturating_sub(RECENT);
        self.recent.drain(..old);
    }

    /// Whether there may have been more writes than it names.
    pub fn forgets(&self) -> bool {
        self.recent.len() >= RECENT
    }

    /// As text.
    pub fn text(&self) -> String {
        // What was JSON is JSON.
        let row = RawValue::from_string(self.row.to_string()).unwrap_or_default();
        let spelled = Spelled {
            onlooker: FORMAT,
            recent: distances(&self.recent),
            row: &row,
        };
        // Strings and numbers never fail to serialize.
        serde_json::to_string(&spelled).unwrap_or_default()
    }

    /// Reads what [`SharedRow::text`] wrote.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn parse(bytes: &[u8]) -> Result<SharedRow, String> {
        let spelled: Spelled = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        if spelled.onlooker != FORMAT {
            return Err(format!(
                "its format is {}, and this program reads {FORMAT}: use one version of onlooker for all daemons",
                spelled.onlooker
            ));
        }
        let row = Json::parse_kept(spelled.row.get().as_bytes());
        let row = row.map_err(|error| error.to_string())?;
        let time = |name: &str| {
            let time = row.get(name)?.as_str().parse().ok();
            time.filter(|time| *time <= LATEST / 1000)
                .and_then(Revision::new)
        };
        let [_, updated, deleted] = TIMES;
        Ok(SharedRow {
            updated: time(updated).ok_or_else(|| format!("{updated}: expected a time"))?,
            is_deleted: time(deleted).is_some(),
            recent: sums(&spelled.recent)?,
            row,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(room: &str, id: &str) -> RowKey {
        RowKey {
            room: room.parse().expect("a room"),
            channel: "todos".into(),
            id: id.into(),
        }
    }

    #[test]
    fn every_row_has_a_key() {
        let mut keys = std::collections::BTreeSet::new();
        for room in ["main/lobby", "main/a.b", "a-b/_", "main/.."] {
            for id in ["7", "-7", r#""7""#, r#""""#, r#""a.b/ü>*""#, r#"" ""#] {
                let row = key(room, id);
                let text = row.key();
                assert!(!text.contains(['>', '*', ' ', '/']), "{text}");
                assert_eq!(text.matches('.').count(), 2, "{text}");
                assert_eq!(RowKey::of(&text), Some(row));
                assert!(keys.insert(text));
            }
        }
        let long = format!("\"{}\"", "x".repeat(LONGEST_ID - 2));
        assert!(key("main/lobby", &long).key().len() < 1024);
    }

    #[test]
    fn what_is_no_key_names_no_row() {
        for wrong in [
            "",
            "main=lobby",
            "main=lobby.todos",
            "main=lobby.to do.Nw",
            "main=lobby.todos.N",
            "lobby.todos.Nw",
            "main=lobby.todos.Nw.x",
            "main=lobby.todos.bnVsbA",
            "main=lobby.todos.MS41",
        ] {
            assert_eq!(RowKey::of(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_row_is_read_as_it_was_written() {
        let number = |number| Revision::new(number).expect("a number");
        let of = |deleted: &str| {
            let row = format!(
                r#"{{"id":"a","text":18446744073709551616,"created_at":5,"updated_at":9,"deleted_at":{deleted}}}"#
            );
            SharedRow {
                row: Json::parse(row.as_bytes()).expect("JSON"),
                updated: number(9),
                is_deleted: deleted != "null",
                recent: vec![(number(5), 1), (number(9), 2)],
            }
        };
        for mut row in [of("null"), of("9")] {
            assert_eq!(SharedRow::parse(row.text().as_bytes()), Ok(row.clone()));
            (0..99).for_each(|mark| row.note(mark));
            assert_eq!(row.recent.len(), RECENT);
            assert_eq!(row.recent.last(), Some(&(number(9), 98)));
            assert_eq!(SharedRow::parse(row.text().as_bytes()), Ok(row));
        }
    }

    #[test]
    fn what_is_no_row_is_an_error() {
        for wrong in [
            "",
            "{}",
            r#"{"onlooker":2,"recent":[],"row":{"updated_at":1}}"#,
            r#"{"onlooker":1,"recent":[],"row":{}}"#,
            r#"{"onlooker":1,"recent":[],"row":7}"#,
            r#"{"onlooker":1,"recent":[],"row":{"updated_at":9007199254740992}}"#,
            r#"{"onlooker":1,"recent":[],"row":{"updated_at":1,"updated_at":2}}"#,
        ] {
            let parsed = SharedRow::parse(wrong.as_bytes());
            assert!(parsed.is_err(), "{wrong}: {parsed:?}");
        }
    }
}
