//! What a store keeps, as lines of JSON.

use std::path::Path;

use super::{Damage, Found, Kept, StoreError, file, open, origins, place};
use crate::json::Json;
use crate::name::TopicName;
use crate::revision::Revision;
use crate::session::Session;
use crate::topic::{Origins, Version};

/// Looks whether a file is whole. Nothing is written to it.
///
/// # Errors
/// A file that is not there, not ours, of a newer format or in use.
pub fn check(path: &Path) -> Result<Found, StoreError> {
    place::look(path).map_err(|reason| StoreError::new(path, reason))
}

/// What a file holds, one JSON object per topic: `{"topic","revision","session"}`, and
/// `"origins"` where writers gave their names. Tells what is damaged, and missing from it.
///
/// # Errors
/// As [`check`].
pub fn export(path: &Path, line: &mut dyn FnMut(&str)) -> Result<Vec<Damage>, StoreError> {
    let found = check(path)?;
    for kept in found.kept {
        let Kept { topic, version, .. } = kept;
        let (revision, session) = (version.revision, version.session.to_json());
        let named = origins::text(&version);
        let named = match named.as_str() {
            "" => String::new(),
            named => format!(r#","origins":{named}"#),
        };
        line(&format!(
            r#"{{"topic":"{topic}","revision":"{revision}","session":{session}{named}}}"#
        ));
    }
    Ok(found.damage)
}

/// Puts topics into a file, all of them or none; topics of the same name are replaced. Tells
/// what is to be known of a file that was damaged, and set aside.
///
/// # Errors
/// As [`super::Store::open`], or when the disk is full.
pub fn import(path: &Path, topics: &[Kept]) -> Result<Vec<String>, StoreError> {
    let opened = open(path)?;
    let notes = opened.notes().collect();
    let write = || {
        file::put_all(&opened.database, topics)?;
        file::close(&opened.database)
    };
    let written = place::caught(write);
    written.map_err(|error| StoreError::new(path, error.to_string()))?;
    Ok(notes)
}

/// One line of an export.
///
/// # Errors
/// Says what is wrong with it.
pub fn parse_line(line: &[u8]) -> Result<Kept, String> {
    let document = Json::parse_kept(line).map_err(|error| error.to_string())?;
    let members = document.members().unwrap_or_default();
    let get = |key: &str| {
        members
            .iter()
            .find(|(known, _)| known == key)
            .map(|(_, value)| value)
            .ok_or(format!("{key:?} is missing"))
    };
    let text = |key: &str| {
        get(key)?
            .as_string()
            .ok_or(format!("{key}: expected a string"))
    };
    let topic = text("topic")?
        .parse::<TopicName>()
        .map_err(|error| error.to_string())?;
    let revision = text("revision")?
        .parse::<Revision>()
        .map_err(|error| error.to_string())?;
    let session =
        Session::from_json(get("session")?, topic.as_str()).map_err(|error| error.to_string())?;
    let origins = get("origins").map_or_else(
        |_| Origins::new_sync(),
        |named| origins::parse(named.as_str()),
    );
    let version = Version {
        revision,
        session,
        origins,
    };
    let is_last = true;
    Ok(Kept {
        topic,
        version,
        is_last,
    })
}
