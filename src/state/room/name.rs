//! A room's name, checked once, where it arrives.

use std::fmt;
use std::str::FromStr;

use crate::state::name::TopicName;

/// The name of a room: its party, and its own name within it. Together they name a topic.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RoomName {
    topic: TopicName,
    /// Where the party ends in the topic's name.
    party: usize,
}

/// A text that cannot name a room.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} cannot name a room: give PARTY/ROOM, like main/lobby, of letters, digits, '.', '_' and '-', 128 at most (no '.' in the party)"
)]
pub struct RoomError(String);

impl RoomName {
    /// The room of a party.
    ///
    /// # Errors
    /// Names what cannot be one.
    pub fn new(party: &str, room: &str) -> Result<RoomName, RoomError> {
        let wrong = || RoomError(format!("{party}/{room}").chars().take(140).collect());
        let topic = format!("{party}.{room}").parse().map_err(|_| wrong())?;
        let is_named = is_party(party) && !room.is_empty();
        is_named
            .then_some(RoomName {
                topic,
                party: party.len(),
            })
            .ok_or_else(wrong)
    }

    /// The party.
    pub fn party(&self) -> &str {
        &self.topic.as_str()[..self.party]
    }

    /// Its name within the party.
    pub fn room(&self) -> &str {
        &self.topic.as_str()[self.party + 1..]
    }

    /// The topic that shows it.
    pub fn topic(&self) -> &TopicName {
        &self.topic
    }
}

/// The longest name of a party that leaves a room's name its place in a topic's.
pub const LONGEST_PARTY: usize = 126;

const LONGEST_CHANNEL: usize = 64;

/// Whether a party can have this name. A point would leave open where it ends in a topic's name.
pub fn is_party(name: &str) -> bool {
    is_name(name, LONGEST_PARTY)
}

/// Whether a channel can have this name.
///
/// # Errors
/// Says what one may be called.
pub fn check_channel(name: &str) -> Result<(), String> {
    let words = || {
        format!(
            "{name:?} cannot name a channel: use 1 to {LONGEST_CHANNEL} of letters, digits, '_' and '-'"
        )
    };
    is_name(name, LONGEST_CHANNEL)
        .then_some(())
        .ok_or_else(words)
}

fn is_name(name: &str, longest: usize) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    (1..=longest).contains(&name.len()) && name.bytes().all(is_allowed)
}

impl FromStr for RoomName {
    type Err = RoomError;

    fn from_str(text: &str) -> Result<RoomName, RoomError> {
        let named = text.split_once('/');
        let named = named.and_then(|(party, room)| RoomName::new(party, room).ok());
        named.ok_or_else(|| RoomError(text.chars().take(140).collect()))
    }
}

impl fmt::Display for RoomName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.party(), self.room())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_is_a_party_and_a_name() {
        let room: RoomName = "main/lobby.2".parse().unwrap();
        assert_eq!((room.party(), room.room()), ("main", "lobby.2"));
        assert_eq!(room.topic().as_str(), "main.lobby.2");
        assert_eq!(room.to_string(), "main/lobby.2");
        for wrong in ["", "main", "main/", "/lobby", "a.b/c", "a/b/c", "a/b c"] {
            assert!(wrong.parse::<RoomName>().is_err(), "{wrong:?}");
        }
        let long = format!("main/{}", "x".repeat(124));
        assert!(long.parse::<RoomName>().is_err());
    }

    #[test]
    fn parties_and_channels_have_names_without_points() {
        for (is_named, longest) in [
            (is_party as fn(&str) -> bool, LONGEST_PARTY),
            (|name| check_channel(name).is_ok(), LONGEST_CHANNEL),
        ] {
            for good in ["main", "a_b-9", &"x".repeat(longest)] {
                assert!(is_named(good), "{good}");
            }
            for bad in ["", "a.b", "a/b", "a b", "é", &"x".repeat(longest + 1)] {
                assert!(!is_named(bad), "{bad}");
            }
        }
        assert!(RoomName::new(&"x".repeat(LONGEST_PARTY), "y").is_ok());
    }
}
