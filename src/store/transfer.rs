//! What a store keeps, as lines of JSON.

use std::path::Path;

use super::file::{self, load, put};
use super::{Kept, StoreError};
use crate::json::Json;
use crate::name::TopicName;
use crate::revision::Revision;
use crate::session::Session;

/// What a file holds, one JSON object per topic: `{"topic","revision","session"}`.
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
        let Kept {
            topic,
            revision,
            session,
        } = kept;
        line(&format!(
            r#"{{"topic":"{topic}","revision":"{revision}","session":{}}}"#,
            session.to_json()
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
        for kept in topics {
            put(
                &transaction,
                kept.topic.as_str(),
                kept.revision,
                &kept.session,
                None,
            )?;
        }
        Ok::<_, redb::Error>(transaction.commit()?)
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
    Ok(Kept {
        topic,
        revision,
        session,
    })
}
