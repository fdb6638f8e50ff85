//! What a store keeps, as lines of JSON.

use std::path::Path;

use super::file::{self, load, put};
use super::{Kept, StoreError, origins};
use crate::json::Json;
use crate::name::TopicName;
use crate::revision::Revision;
use crate::session::Session;
use crate::topic::{Origins, Version};

/// What a file holds, one JSON object per topic: `{"topic","revision","session"}`, and
/// `"origins"` where writers gave their names.
///
/// # Errors
/// As [`super::Store::open`].
pub fn export(path: &Path, line: &mut dyn FnMut(&str)) -> Result<(), StoreError> {
    let fail = |reason: String| StoreError {
        path: path.to_owned(),
        reason,
    };
    if !path.exists() {
        return Err(fail("no such file".to_owned()));
    }
    let database = file::open(path).map_err(fail)?;
    for kept in load(&database).map_err(|error| fail(error.to_string()))? {
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
    Ok(())
}

/// Puts topics into a file, all of them or none; topics of the same name are replaced.
///
/// # Errors
/// As [`super::Store::open`], or when the disk is full.
pub fn import(path: &Path, topics: &[Kept]) -> Result<(), StoreError> {
    let fail = |reason: String| StoreError {
        path: path.to_owned(),
        reason,
    };
    let database = file::open(path).map_err(fail)?;
    let write = || {
        let transaction = database.begin_write()?;
        for Kept { topic, version, .. } in topics {
            put(&transaction, topic.as_str(), Some(version))?;
        }
        transaction.commit()?;
        file::close(&database)
    };
    write().map_err(|error| fail(error.to_string()))
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
