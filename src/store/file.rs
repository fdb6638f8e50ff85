//! The tables of the file, and what is checked before anything is written to it.

use std::path::Path;

use redb::{
    Database, DatabaseError, ReadOnlyDatabase, ReadableDatabase, ReadableTable, StorageError,
    Table, TableDefinition, WriteTransaction,
};

use super::origins;
use super::{Kept, Record};
use crate::json::Json;
use crate::name::TopicName;
use crate::revision::Revision;
use crate::session::{FieldName, Session};
use crate::topic::Version;

/// Grows when what is kept changes its shape.
pub(super) const FORMAT: u64 = 2;
pub(super) const META: TableDefinition<'_, &str, u64> = TableDefinition::new("onlooker");
/// In the first table, only while the file is closed in order.
const CLOSED: &str = "closed";
/// Topic → its revision.
const REVISIONS: TableDefinition<'_, &str, u64> = TableDefinition::new("revisions");
/// Topic → the session's text as of its last structural change, and who wrote its fields.
const SNAPSHOTS: TableDefinition<'_, &str, (&str, &str)> = TableDefinition::new("snapshots");
/// Topic and field → the value and who wrote it, for fields that changed since.
const CHANGES: TableDefinition<'_, (&str, &str), (&str, &str)> = TableDefinition::new("changes");
/// What format 1 had in place of the last two: without the writers.
pub(super) const SESSIONS_1: TableDefinition<'_, &str, &str> = TableDefinition::new("sessions");
const FIELDS_1: TableDefinition<'_, (&str, &str), &str> = TableDefinition::new("fields");

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
        Ok(Some(1 | FORMAT)) => Ok(()),
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
    let mut meta = transaction.open_table(META)?;
    let before = meta.insert("format", FORMAT)?.map(|format| format.value());
    drop(meta);
    transaction.open_table(REVISIONS)?;
    transaction.open_table(SNAPSHOTS)?;
    transaction.open_table(CHANGES)?;
    if before == Some(1) {
        upgrade(&transaction)?;
    }
    Ok(transaction.commit()?)
}

fn upgrade(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    for entry in transaction.open_table(SESSIONS_1)?.iter()? {
        let (topic, session) = entry?;
        let mut snapshots = transaction.open_table(SNAPSHOTS)?;
        snapshots.insert(topic.value(), (session.value(), ""))?;
    }
    for entry in transaction.open_table(FIELDS_1)?.iter()? {
        let (field, value) = entry?;
        let mut changes = transaction.open_table(CHANGES)?;
        changes.insert(field.value(), (value.value(), ""))?;
    }
    transaction.delete_table(SESSIONS_1)?;
    transaction.delete_table(FIELDS_1)?;
    Ok(())
}

/// What the file holds, when a daemon begins with it. Until it is closed in order, changes that
/// it does not hold may have been shown.
pub(super) fn begin(database: &Database) -> Result<Vec<Kept>, redb::Error> {
    let transaction = database.begin_write()?;
    let closed = transaction.open_table(META)?.remove(CLOSED)?.is_some();
    transaction.commit()?;
    let mut kept = load(database)?;
    kept.iter_mut().for_each(|kept| kept.is_last = closed);
    Ok(kept)
}

/// All that was shown and stands is in the file.
pub(super) fn close(database: &Database) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    transaction.open_table(META)?.insert(CLOSED, 1)?;
    Ok(transaction.commit()?)
}

pub(super) fn load(database: &Database) -> Result<Vec<Kept>, redb::Error> {
    let transaction = database.begin_read()?;
    let (revisions, snapshots, changes) = (
        transaction.open_table(REVISIONS)?,
        transaction.open_table(SNAPSHOTS)?,
        transaction.open_table(CHANGES)?,
    );
    let mut all = Vec::new();
    for entry in snapshots.iter()? {
        let (name, snapshot) = entry?;
        let name = name.value();
        let revision = revisions
            .get(name)?
            .and_then(|revision| Revision::new(revision.value()));
        let (Ok(topic), Some(revision)) = (name.parse::<TopicName>(), revision) else {
            continue;
        };
        let (session, origins) = snapshot.value();
        let session = Json::parse_kept(session.as_bytes()).ok();
        let session = session.and_then(|json| Session::from_json(&json, name).ok());
        let Some(session) = session else { continue };
        let mut version = Version {
            revision,
            session,
            origins: origins::parse(origins),
        };
        for entry in changes.range((name, "")..)? {
            let (key, change) = entry?;
            if key.value().0 != name {
                break;
            }
            let (value, origin) = change.value();
            set(&mut version, key.value().1, value, origin);
        }
        let is_last = true;
        all.push(Kept {
            topic,
            version,
            is_last,
        });
    }
    Ok(all)
}

fn set(version: &mut Version, field: &str, value: &str, origin: &str) {
    let value = Json::parse_kept(value.as_bytes()).unwrap_or_else(|_| Json::empty_object());
    version.session.config.set(field, value);
    match origins::parse_one(origin) {
        Some(origin) => version.origins.insert_mut(field.into(), origin),
        None => _ = version.origins.remove_mut(field),
    }
}

/// Puts one record into the transaction.
pub(super) fn apply(transaction: &WriteTransaction, record: &Record) -> Result<(), redb::Error> {
    let name = record.topic.as_str();
    match (&record.to, &record.fields) {
        (Some(version), Some(fields)) => put_fields(transaction, name, version, fields),
        (version, _) => put(transaction, name, version.as_ref()),
    }
}

/// Puts a whole topic in place of what was kept of it, or nothing.
pub(super) fn put(
    transaction: &WriteTransaction,
    name: &str,
    version: Option<&Version>,
) -> Result<(), redb::Error> {
    let mut revisions = transaction.open_table(REVISIONS)?;
    let mut snapshots = transaction.open_table(SNAPSHOTS)?;
    match version {
        Some(version) => {
            let (session, origins) = (version.session.to_json(), origins::text(version));
            revisions.insert(name, version.revision.get())?;
            snapshots.insert(name, (session.as_str(), origins.as_str()))?;
        }
        None => {
            revisions.remove(name)?;
            snapshots.remove(name)?;
        }
    }
    clear_changes(&mut transaction.open_table(CHANGES)?, name)
}

fn put_fields(
    transaction: &WriteTransaction,
    name: &str,
    version: &Version,
    fields: &[FieldName],
) -> Result<(), redb::Error> {
    let revision = version.revision.get();
    transaction.open_table(REVISIONS)?.insert(name, revision)?;
    let mut changes = transaction.open_table(CHANGES)?;
    for field in fields {
        let Some(value) = version.session.config.get(field) else {
            continue;
        };
        let origin = origins::text_of_one(version.origins.get(field));
        changes.insert((name, &**field), (value.as_str(), origin.as_str()))?;
    }
    Ok(())
}

fn clear_changes(
    table: &mut Table<'_, (&'static str, &'static str), (&'static str, &'static str)>,
    name: &str,
) -> Result<(), redb::Error> {
    let mut fields = Vec::new();
    for entry in table.range((name, "")..)? {
        let (key, _) = entry?;
        let (topic, field) = key.value();
        if topic != name {
            break;
        }
        fields.push(field.to_owned());
    }
    for field in fields {
        table.remove((name, field.as_str()))?;
    }
    Ok(())
}
