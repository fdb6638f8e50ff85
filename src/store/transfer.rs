//! The contents of a store as lines of JSON.

use std::path::Path;

use super::errors::caught;
use super::kept::{StoreError, StoredTopic};
use super::look::{Found, check};
use super::{origins, place, tables};
use crate::state::json::Json;
use crate::state::name::TopicName;
use crate::state::revision::Revision;
use crate::state::session::Session;
use crate::state::topic::{Origins, Version};

/// What a file holds, one JSON object per topic: `{"topic","revision","session"}`, and
/// `"origins"` where writers gave their names. A damaged revision is replaced by one from the
/// clock. Returns what was found: the lines are of `found.kept`.
///
/// # Errors
/// As [`check`].
pub fn export(
    path: &Path,
    unix_micros: u64,
    line: &mut dyn FnMut(&str),
) -> Result<Found, StoreError> {
    let found = check(path)?;
    for kept in &found.kept {
        let StoredTopic { topic, version, .. } = kept;
        let revision = match version.revision {
            Revision::ZERO => Revision::ZERO.next(unix_micros),
            known => known,
        };
        let session = version.session.to_json();
        let named = origins::text(version);
        let named = match named.as_str() {
            "" => String::new(),
            named => format!(r#","origins":{named}"#),
        };
        line(&format!(
            r#"{{"topic":"{topic}","revision":"{revision}","session":{session}{named}}}"#
        ));
    }
    Ok(found)
}

/// Puts topics into a file, all of them or none; topics of the same name are replaced. Each takes
/// a new revision and loses its writers' names: to whoever has shown it before, it has changed,
/// perhaps back. Returns what the owner has to know if the file was damaged and set aside.
///
/// # Errors
/// As [`super::Store::open`], or when the disk is full.
pub fn import(
    path: &Path,
    topics: &[StoredTopic],
    unix_micros: u64,
) -> Result<Vec<String>, StoreError> {
    let opened = place::open(path)?;
    let had = &opened.found.kept;
    let lost = had
        .iter()
        .filter(|kept| kept.version.revision == Revision::ZERO);
    let renewed = |given: &StoredTopic| {
        let mut new = given.clone();
        let before = had.iter().find(|kept| kept.topic == given.topic);
        let before = before.map(|kept| kept.version.revision);
        let last = before.max(Some(given.version.revision)).unwrap_or_default();
        new.version.revision = last.next(unix_micros);
        new.version.origins = Origins::default();
        new
    };
    let topics: Vec<StoredTopic> = lost.chain(topics).map(renewed).collect();
    let write = || {
        // The mark of a file closed in order may belong to the commit before the last one.
        if opened.found.went_back {
            tables::begin(&opened.database)?;
        }
        tables::put_all(&opened.database, &topics)
    };
    let written = caught(write);
    written.map_err(|error| StoreError::new(path, error))?;
    Ok(opened.notes().collect())
}

fn wrong(error: impl ToString) -> String {
    error.to_string()
}

/// One line of an export.
///
/// # Errors
/// Says what is wrong with it.
pub fn parse_line(line: &[u8]) -> Result<StoredTopic, String> {
    let document = Json::parse_kept(line).map_err(wrong)?;
    let members = document.members().unwrap_or_default();
    let get = |key: &str| {
        let found = members.iter().find(|(known, _)| known == key);
        let value = found.map(|(_, value)| value);
        value.ok_or(format!("{key:?} is missing"))
    };
    let text = |key: &str| {
        let text = get(key)?.as_string();
        text.ok_or(format!("{key}: expected a string"))
    };
    let topic: TopicName = text("topic")?.parse().map_err(wrong)?;
    let revision: Revision = text("revision")?.parse().map_err(wrong)?;
    let session = Session::from_json(get("session")?, topic.as_str()).map_err(wrong)?;
    let origins = get("origins").map(|named| origins::parse(named.as_str()));
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
