//! One line of an export: a topic, or a row of a room.

use super::kept::StoredTopic;
use super::origins;
use crate::state::json::{Json, Kind};
use crate::state::name::TopicName;
use crate::state::revision::Revision;
use crate::state::room::{RoomName, TIMES, check_channel, spelled};
use crate::state::session::Session;
use crate::state::topic::Version;

/// What a line gives.
#[derive(Clone, Debug, PartialEq)]
pub enum Line {
    /// `{"topic","revision","session"}`, and `"origins"` where writers gave their names.
    Topic(StoredTopic),
    /// `{"room","channel","row"}`.
    Row(GivenRow),
}

/// A row as a line gives it.
#[derive(Clone, Debug, PartialEq)]
pub struct GivenRow {
    /// Its room.
    pub room: RoomName,
    /// Its channel.
    pub channel: String,
    /// Its members but for its times; the id is among them.
    members: Vec<(String, Json)>,
    created: Option<u64>,
    /// When it became what it is; zero if the line does not say so.
    pub updated: u64,
    is_deleted: bool,
}

/// No time of a row is later, in milliseconds since 1970: so there are always later ones that
/// JavaScript can count.
const LATEST: u64 = 100_000_000_000_000;

/// The line of a topic.
pub(super) fn of_topic(topic: &TopicName, version: &Version) -> String {
    let (revision, session) = (version.revision, version.session.to_json());
    let named = origins::text(version);
    let named = match named.as_str() {
        "" => String::new(),
        named => format!(r#","origins":{named}"#),
    };
    format!(r#"{{"topic":"{topic}","revision":"{revision}","session":{session}{named}}}"#)
}

/// The line of a row.
pub(super) fn of_row(room: &RoomName, channel: &str, row: &Json) -> String {
    let channel = Json::string(channel);
    format!(r#"{{"room":"{room}","channel":{channel},"row":{row}}}"#)
}

/// One line of an export.
///
/// # Errors
/// Says what is wrong with it.
pub fn parse_line(line: &[u8]) -> Result<Line, String> {
    let document = Json::parse_kept(line).map_err(wrong)?;
    let members = Members(document.members().unwrap_or_default());
    match members.find("room") {
        Some(_) => row(&members).map(Line::Row),
        None => topic(&members).map(Line::Topic),
    }
}

fn topic(members: &Members) -> Result<StoredTopic, String> {
    let topic: TopicName = members.text("topic")?.parse().map_err(wrong)?;
    let revision: Revision = members.text("revision")?.parse().map_err(wrong)?;
    let session = Session::from_json(members.get("session")?, topic.as_str()).map_err(wrong)?;
    let origins = members.find("origins");
    let origins = origins.map(|named| origins::parse(named.as_str()));
    Ok(StoredTopic {
        topic,
        version: Version {
            revision,
            session,
            origins: origins.unwrap_or_default(),
        },
        is_last: true,
    })
}

fn row(members: &Members) -> Result<GivenRow, String> {
    let room: RoomName = members.text("room")?.parse().map_err(wrong)?;
    let channel = members.text("channel")?;
    check_channel(&channel)?;
    let row = members.get("row")?.members();
    let mut row = Members(row.ok_or("row: expected an object")?);
    let in_row = |error| format!("row: {error}");
    let id = row.get("id").and_then(spelled).map_err(in_row)?;
    let time = |name| row.time(name).map_err(in_row);
    let (created, updated, deleted) = (time(TIMES[0])?, time(TIMES[1])?, time(TIMES[2])?);
    row.0.retain(|(name, _)| !TIMES.contains(&name.as_str()));
    for (_, value) in row.0.iter_mut().filter(|(name, _)| name == "id") {
        value.clone_from(&id);
    }
    Ok(GivenRow {
        room,
        channel,
        members: row.0,
        created,
        updated: updated.unwrap_or_default(),
        is_deleted: deleted.is_some(),
    })
}

fn wrong(error: impl ToString) -> String {
    error.to_string()
}

/// The members of an object.
struct Members(Vec<(String, Json)>);

impl Members {
    fn find(&self, key: &str) -> Option<&Json> {
        let found = self.0.iter().find(|(known, _)| known == key);
        found.map(|(_, value)| value)
    }

    fn get(&self, key: &str) -> Result<&Json, String> {
        self.find(key).ok_or(format!("{key:?} is missing"))
    }

    fn text(&self, key: &str) -> Result<String, String> {
        let text = self.get(key)?.as_string();
        text.ok_or(format!("{key}: expected a string"))
    }

    /// A time, which may be missing or null.
    fn time(&self, key: &str) -> Result<Option<u64>, String> {
        let given = self.find(key).filter(|time| time.kind() != Kind::Null);
        let time = given.map(|time| match time.as_str().parse() {
            Ok(time @ ..=LATEST) => Ok(time),
            _ => Err(format!("{key}: expected milliseconds since 1970")),
        });
        time.transpose()
    }
}

impl GivenRow {
    /// The row as it is put into a room at a new time.
    pub fn at(&self, time: u64) -> Json {
        let number = |time: u64| Json::of(&time);
        let created = number(self.created.unwrap_or(time));
        let deleted = match self.is_deleted {
            true => number(time),
            false => Json::null(),
        };
        let times = TIMES.into_iter().zip([created, number(time), deleted]);
        let times: Vec<_> = times.collect();
        let members = self
            .members
            .iter()
            .map(|(name, value)| (name.as_str(), value));
        Json::object(members.chain(times.iter().map(|(name, time)| (*name, time))))
    }
}
