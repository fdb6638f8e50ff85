//! What is not as it was written.

use std::fmt;

/// A part of a store that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Where it is.
    pub place: Place,
    /// What is wrong, and what becomes of it.
    pub what: String,
}

/// What damage concerns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The whole file.
    File,
    /// A topic as a whole.
    Topic(String),
    /// A topic and one of its fields.
    Field(String, String),
    /// A room as a whole, or a row of it of which no more is known.
    Room(String),
    /// A row of a room: the room, the channel, and its id.
    Row(String, String, String),
}

/// How much is said of an id, which may be long.
const ID: usize = 80;

impl Place {
    /// A row, by its id as JSON.
    pub(super) fn row(room: &str, channel: &str, id: &str) -> Place {
        let id = id.trim_matches('"').chars().take(ID).collect();
        Place::Row(room.to_owned(), channel.to_owned(), id)
    }
}

impl Damage {
    pub(super) fn new(place: Place, what: &str) -> Damage {
        let what = what.to_owned();
        Damage { place, what }
    }

    pub(super) fn of_file(what: &str) -> Damage {
        Damage::new(Place::File, what)
    }

    /// The topic that it concerns.
    pub fn topic(&self) -> Option<&str> {
        match &self.place {
            Place::Topic(topic) | Place::Field(topic, _) => Some(topic),
            _ => None,
        }
    }

    /// The room that it concerns.
    pub fn room(&self) -> Option<&str> {
        match &self.place {
            Place::Room(room) | Place::Row(room, ..) => Some(room),
            _ => None,
        }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::File => {}
            Place::Topic(topic) => write!(f, "topic {topic:?}: ")?,
            Place::Field(topic, field) => write!(f, "topic {topic:?}, field {field:?}: ")?,
            Place::Room(room) => write!(f, "room {room:?}: ")?,
            Place::Row(room, channel, id) => {
                write!(f, "room {room:?}, channel {channel:?}, row {id:?}: ")?;
            }
        }
        f.write_str(&self.what)
    }
}
