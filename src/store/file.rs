//! The tables of the file, and what is checked before anything is written to it.

use std::path::Path;
use std::sync::Arc;

use redb::{
    Database, DatabaseError, ReadOnlyDatabase, ReadableDatabase, ReadableTable, StorageError,
    Table, TableDefinition, WriteTransaction,
};

use super::{Kept, Record};
use crate::json::Json;
use crate::revision::Revision;
use crate::session::Session;

/// Grows when what is kept changes its shape.
pub(super) const FORMAT: u64 = 1;
pub(super) const META: TableDefinition<'_, &str, u64> = TableDefinition::new("onlooker");
/// Topic → its revision.
const REVISIONS: TableDefinition<'_, &str, u64> = TableDefinition::new("revisions");
/// Topic → the session's text as of its last structural change.
const SESSIONS: TableDefinition<'_, &str, &str> = TableDefinition::new("sessions");
/// Topic and field → the value, for fields that changed since.
const FIELDS: TableDefinition<'_, (&str, &str), &str> = TableDefinition::new("fields");

/// Opens the file, or makes it where there is none. One that is not ours is not written to.
pub(super) fn open(path: &Path) -> Result<Database, String> {
    check_format(path)?;
    let opened = match path.exists() {
        true => Database::open(path),
        false => Database::create(path),
    };
    let database = opened.map_err(|error| explain(&error))?;
    prepare(&database).map_err(|error| error.to_string())?;
    Ok(database)
}

/// Looks at a file without writing to it.
fn check_format(path: &Path) -> Result<(), String> {
    if !path.exists() {
        return Ok(());
    }
    let database = match ReadOnlyDatabase::open(path) {
        Ok(database) => database,
        // It was not closed in order: opening it to write will mend it.
        Err(DatabaseError::RepairAborted) => return Ok(()),
        Err(error) => return Err(explain(&error)),
    };
    let format = || {
        Ok::<_, redb::Error>(
            database
                .begin_read()?
                .open_table(META)?
                .get("format")?
                .map(|format| format.value()),
        )
    };
    match format() {
        Ok(Some(FORMAT)) => Ok(()),
        Ok(Some(newer)) => Err(format!(
            "format {newer} is newer than this onlooker knows ({FORMAT}): use the onlooker that wrote it"
        )),
        _ => Err("a redb file, but none of onlooker's: choose another --store".to_owned()),
    }
}

fn explain(error: &DatabaseError) -> String {
    match error {
        DatabaseError::DatabaseAlreadyOpen => {
            "another onlooker has it open: stop that one, or choose another --store".to_owned()
        }
        DatabaseError::Storage(StorageError::Io(io))
            if io.kind() == std::io::ErrorKind::InvalidData =>
        {
            format!("not a store of onlooker ({io}): choose another --store")
        }
        DatabaseError::Storage(StorageError::Corrupted(what)) => {
            format!("the store is damaged ({what}): restore a copy, or choose another --store")
        }
        other => format!(
            "the store cannot be opened ({other}): restore a copy, or choose another --store"
        ),
    }
}

pub(super) fn prepare(database: &Database) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    transaction.open_table(META)?.insert("format", FORMAT)?;
    transaction.open_table(REVISIONS)?;
    transaction.open_table(SESSIONS)?;
    transaction.open_table(FIELDS)?;
    Ok(transaction.commit()?)
}

pub(super) fn load(database: &Database) -> Result<Vec<Kept>, redb::Error> {
    let transaction = database.begin_read()?;
    let (revisions, sessions, fields) = (
        transaction.open_table(REVISIONS)?,
        transaction.open_table(SESSIONS)?,
        transaction.open_table(FIELDS)?,
    );
    let mut all = Vec::new();
    for entry in sessions.iter()? {
        let (name, text) = entry?;
        let name = name.value();
        let revision = revisions
            .get(name)?
            .and_then(|revision| Revision::new(revision.value()));
        let (Ok(topic), Some(revision)) = (name.parse(), revision) else {
            continue;
        };
        let parsed = Json::parse_kept(text.value().as_bytes())
            .ok()
            .and_then(|json| Session::from_json(&json, name).ok());
        let Some(mut session) = parsed else { continue };
        for entry in fields.range((name, "")..)? {
            let (key, value) = entry?;
            if key.value().0 != name {
                break;
            }
            let value =
                Json::parse_kept(value.value().as_bytes()).unwrap_or_else(|_| Json::empty_object());
            Arc::make_mut(&mut session.config).insert(key.value().1.to_owned(), value);
        }
        all.push(Kept {
            topic,
            revision,
            session,
        });
    }
    Ok(all)
}

/// Puts one record into the transaction, unless the change before it was lost.
pub(super) fn apply(
    transaction: &WriteTransaction,
    record: &Record,
) -> Result<Result<(), String>, redb::Error> {
    let name = record.topic.as_str();
    let present = transaction
        .open_table(REVISIONS)?
        .get(name)?
        .map_or(0, |revision| revision.value());
    if record.from.is_some_and(|from| present != from.get()) {
        return Ok(Err("an earlier change could not be kept".to_owned()));
    }
    match &record.to {
        Some((revision, session)) => put(
            transaction,
            name,
            *revision,
            session,
            record.fields.as_deref(),
        )?,
        None => {
            transaction.open_table(REVISIONS)?.remove(name)?;
            transaction.open_table(SESSIONS)?.remove(name)?;
            clear_fields(&mut transaction.open_table(FIELDS)?, name)?;
        }
    }
    Ok(Ok(()))
}

pub(super) fn put(
    transaction: &WriteTransaction,
    name: &str,
    revision: Revision,
    session: &Session,
    fields: Option<&[String]>,
) -> Result<(), redb::Error> {
    transaction
        .open_table(REVISIONS)?
        .insert(name, revision.get())?;
    let mut table = transaction.open_table(FIELDS)?;
    match fields {
        Some(fields) => {
            for (field, value) in fields
                .iter()
                .filter_map(|field| Some((field, session.config.get(field)?)))
            {
                table.insert((name, field.as_str()), value.as_str())?;
            }
        }
        None => {
            transaction
                .open_table(SESSIONS)?
                .insert(name, session.to_json().as_str())?;
            clear_fields(&mut table, name)?;
        }
    }
    Ok(())
}

fn clear_fields(
    table: &mut Table<'_, (&'static str, &'static str), &'static str>,
    name: &str,
) -> Result<(), redb::Error> {
    // No field's name is longer than a session may be, so nothing sorts behind this key.
    let keys: Vec<String> = table
        .range((name, "")..)?
        .map_while(|entry| {
            entry
                .ok()
                .filter(|(key, _)| key.value().0 == name)
                .map(|(key, _)| key.value().1.to_owned())
        })
        .collect();
    for field in keys {
        table.remove((name, field.as_str()))?;
    }
    Ok(())
}
