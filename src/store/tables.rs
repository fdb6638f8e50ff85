//! The tables of the file.

use std::collections::BTreeMap;

use redb::{
    Database, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition, TableError,
    WriteTransaction,
};

use super::kept::{Record, StoredTopic};
use super::origins;
use super::rows::{self, Row, Rows, Sum, part_key, parts_end, seal};
use crate::state::session::FieldName;
use crate::state::topic::Version;

/// Goes up when the shape of what is kept changes.
pub(super) const FORMAT: u64 = 3;
pub(super) const META: TableDefinition<'_, &str, u64> = TableDefinition::new("onlooker");
/// A key of [`META`] that is there only while the file is closed in order.
const CLOSED: &str = "closed";
/// The rows of [`Rows`].
const HEADS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("heads");
const WHOLES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("wholes");
const PARTS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("parts");
/// Formats 1 and 2 had these in their place, without checksums: topic → its revision.
pub(super) const REVISIONS_2: TableDefinition<'_, &str, u64> = TableDefinition::new("revisions");
/// Format 2: topic → the session's text, and who wrote its fields.
pub(super) const SNAPSHOTS_2: TableDefinition<'_, &str, (&str, &str)> =
    TableDefinition::new("snapshots");
/// Format 2: topic and field → the value and who wrote it.
pub(super) const CHANGES_2: TableDefinition<'_, (&str, &str), (&str, &str)> =
    TableDefinition::new("changes");
/// Format 1: the same two without the writers.
pub(super) const SESSIONS_1: TableDefinition<'_, &str, &str> = TableDefinition::new("sessions");
pub(super) const FIELDS_1: TableDefinition<'_, (&str, &str), &str> = TableDefinition::new("fields");

/// Whether the file is ours to write to, or why not.
pub(super) fn check_format(database: &Database) -> Result<Result<(), String>, redb::Error> {
    let transaction = database.begin_read()?;
    let format = match transaction.open_table(META) {
        Ok(meta) => meta.get("format")?.map(|format| format.value()),
        // A file to which nothing was ever written is as good as a new one.
        Err(TableError::TableDoesNotExist(_)) if transaction.list_tables()?.next().is_none() => {
            return Ok(Ok(()));
        }
        Err(TableError::Storage(error)) => return Err(error.into()),
        Err(_) => None,
    };
    Ok(match format {
        Some(1..=FORMAT) => Ok(()),
        Some(newer) => Err(format!(
            "format {newer} is newer than this onlooker knows ({FORMAT}): use the onlooker that wrote it"
        )),
        None => Err("a redb file, but not one of onlooker's: choose another --store".to_owned()),
    })
}

pub(super) fn prepare(database: &Database) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    let mut meta = transaction.open_table(META)?;
    let before = meta.insert("format", FORMAT)?.map(|format| format.value());
    drop(meta);
    transaction.open_table(HEADS)?;
    transaction.open_table(WHOLES)?;
    transaction.open_table(PARTS)?;
    if before == Some(1) {
        upgrade_1(&transaction)?;
    }
    if matches!(before, Some(1 | 2)) {
        upgrade_2(&transaction)?;
    }
    Ok(transaction.commit()?)
}

fn upgrade_1(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    for entry in transaction.open_table(SESSIONS_1)?.iter()? {
        let (topic, session) = entry?;
        let mut snapshots = transaction.open_table(SNAPSHOTS_2)?;
        snapshots.insert(topic.value(), (session.value(), ""))?;
    }
    for entry in transaction.open_table(FIELDS_1)?.iter()? {
        let (field, value) = entry?;
        let mut changes = transaction.open_table(CHANGES_2)?;
        changes.insert(field.value(), (value.value(), ""))?;
    }
    transaction.delete_table(SESSIONS_1)?;
    transaction.delete_table(FIELDS_1)?;
    Ok(())
}

/// Takes the rows over as they are: whether they can be read is checked afterwards.
fn upgrade_2(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    let mut sums = BTreeMap::<String, Sum>::new();
    let mut add = |topic: &str, row: &[u8]| {
        let sum = sums.entry(topic.to_owned()).or_default();
        *sum = sum.with(row);
    };
    for entry in transaction.open_table(SNAPSHOTS_2)?.iter()? {
        let (topic, snapshot) = entry?;
        let (session, origins) = snapshot.value();
        let row = seal(&[topic.value(), session, origins]);
        add(topic.value(), &row);
        let mut wholes = transaction.open_table(WHOLES)?;
        wholes.insert(topic.value(), &*row)?;
    }
    for entry in transaction.open_table(CHANGES_2)?.iter()? {
        let (key, change) = entry?;
        let ((topic, field), (value, origin)) = (key.value(), change.value());
        let row = seal(&[topic, field, value, origin]);
        add(topic, &row);
        let mut parts = transaction.open_table(PARTS)?;
        parts.insert(&*part_key(topic, field), &*row)?;
    }
    for entry in transaction.open_table(REVISIONS_2)?.iter()? {
        let (topic, revision) = entry?;
        let sum = sums.remove(topic.value()).unwrap_or_default();
        let head = rows::head(topic.value(), revision.value(), sum);
        let mut heads = transaction.open_table(HEADS)?;
        heads.insert(topic.value(), &*head)?;
    }
    transaction.delete_table(SNAPSHOTS_2)?;
    transaction.delete_table(CHANGES_2)?;
    transaction.delete_table(REVISIONS_2)?;
    Ok(())
}

/// Whether the file was closed in order, and its rows.
pub(super) fn read(database: &Database) -> Result<(bool, Rows), redb::Error> {
    let transaction = database.begin_read()?;
    let meta = transaction.open_table(META)?;
    let rows = Rows {
        heads: all(&transaction, HEADS)?,
        wholes: all(&transaction, WHOLES)?,
        parts: all(&transaction, PARTS)?,
        is_ours: true,
        ..Rows::default()
    };
    Ok((meta.get(CLOSED)?.is_some(), rows))
}

fn all<K: redb::Key + 'static>(
    transaction: &ReadTransaction,
    table: TableDefinition<'_, K, &'static [u8]>,
) -> Result<Vec<Row>, redb::Error> {
    let mut rows = Vec::new();
    for entry in transaction.open_table(table)?.iter()? {
        let (key, row) = entry?;
        let key = K::as_bytes(&key.value()).as_ref().to_vec();
        rows.push((key, row.value().to_vec()));
    }
    Ok(rows)
}

/// Marks the file as in use. Until it is closed in order, changes that it does not hold may have
/// been shown.
pub(super) fn begin(database: &Database) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    transaction.open_table(META)?.remove(CLOSED)?;
    Ok(transaction.commit()?)
}

/// Marks the file as closed in order: it holds everything that was shown and stands.
pub(super) fn close(database: &Database) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    transaction.open_table(META)?.insert(CLOSED, 1)?;
    Ok(transaction.commit()?)
}

/// Puts whole topics into the file: all of them or none.
pub(super) fn put_all(database: &Database, topics: &[StoredTopic]) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    for StoredTopic { topic, version, .. } in topics {
        put(&transaction, topic.as_str(), Some(version))?;
    }
    Ok(transaction.commit()?)
}

/// Puts one record into the transaction.
pub(super) fn apply(transaction: &WriteTransaction, record: &Record) -> Result<(), redb::Error> {
    let name = record.topic.as_str();
    match (&record.to, &record.fields) {
        (Some(version), Some(fields)) => put_fields(transaction, name, version, fields),
        (version, _) => put(transaction, name, version.as_ref()),
    }
}

/// Replaces what was kept of a topic by a whole version of it, or by nothing.
fn put(
    transaction: &WriteTransaction,
    name: &str,
    version: Option<&Version>,
) -> Result<(), redb::Error> {
    let mut heads = transaction.open_table(HEADS)?;
    let mut wholes = transaction.open_table(WHOLES)?;
    let mut parts = transaction.open_table(PARTS)?;
    let (first, end) = (part_key(name, ""), parts_end(name));
    parts.retain_in(&*first..&*end, |_, _| false)?;
    match version {
        Some(version) => {
            let (session, origins) = (version.session.to_json(), origins::text(version));
            let whole = seal(&[name, &session, &origins]);
            let sum = Sum::default().with(&whole);
            heads.insert(name, &*rows::head(name, version.revision.get(), sum))?;
            wholes.insert(name, &*whole)?;
        }
        None => {
            heads.remove(name)?;
            wholes.remove(name)?;
        }
    }
    Ok(())
}

fn put_fields(
    transaction: &WriteTransaction,
    name: &str,
    version: &Version,
    fields: &[FieldName],
) -> Result<(), redb::Error> {
    let mut heads = transaction.open_table(HEADS)?;
    let head = heads.get(name)?.map(|head| head.value().to_vec());
    let Some((_, _, mut sum)) = head.as_deref().and_then(rows::read_head) else {
        drop(heads);
        return put(transaction, name, Some(version));
    };
    let mut parts = transaction.open_table(PARTS)?;
    for field in fields {
        let Some(value) = version.session.config.get(field) else {
            continue;
        };
        let origin = origins::text_of_one(version.origins.get(field));
        let part = seal(&[name, field, value.as_str(), &origin]);
        sum = sum.with(&part);
        if let Some(before) = parts.insert(&*part_key(name, field), &*part)? {
            sum = sum.with(before.value());
        }
    }
    heads.insert(name, &*rows::head(name, version.revision.get(), sum))?;
    Ok(())
}
