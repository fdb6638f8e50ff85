//! What is put into the file, within a transaction.

use redb::{Database, ReadableTable, WriteTransaction};

use super::kept::{Kept, Record, RowRecord, RowsRecord, StoredRoom, StoredTopic, TopicRecord};
use super::origins;
use super::rooms::{row_key, seal_row};
use super::sealed::{Sum, end_within, key_within, read_head, seal, seal_head};
use super::tables::{HEADS, PARTS, ROOMS, ROWS, WHOLES};
use crate::state::json::Json;
use crate::state::session::FieldName;
use crate::state::topic::Version;

/// Puts whole topics and rows of rooms into the file: all of them or none.
pub(super) fn all(database: &Database, kept: &Kept) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    for StoredTopic { topic, version, .. } in &kept.topics {
        put_whole(&transaction, topic.as_str(), Some(version))?;
    }
    for room in &kept.rooms {
        put_rows(&transaction, &all_of(room))?;
    }
    Ok(transaction.commit()?)
}

/// Puts one record into the transaction.
pub(super) fn record(
    transaction: &WriteTransaction,
    record: Record<'_>,
) -> Result<(), redb::Error> {
    match record {
        Record::Topic(record) => put_topic(transaction, record),
        Record::Rows(record) => put_rows(transaction, record),
    }
}

fn put_topic(transaction: &WriteTransaction, record: &TopicRecord) -> Result<(), redb::Error> {
    let name = record.topic.as_str();
    match (&record.to, &record.fields) {
        (Some(version), Some(fields)) => put_fields(transaction, name, version, fields),
        (version, _) => put_whole(transaction, name, version.as_ref()),
    }
}

/// Replaces what was kept of a topic by a whole version of it, or by nothing.
fn put_whole(
    transaction: &WriteTransaction,
    name: &str,
    version: Option<&Version>,
) -> Result<(), redb::Error> {
    let mut heads = transaction.open_table(HEADS)?;
    let mut wholes = transaction.open_table(WHOLES)?;
    let mut parts = transaction.open_table(PARTS)?;
    let (first, end) = (key_within(name, ""), end_within(name));
    parts.retain_in(&*first..&*end, |_, _| false)?;
    match version {
        Some(version) => {
            let (session, origins) = (version.session.to_json(), origins::text(version));
            let whole = seal(&[name, &session, &origins]);
            let sum = Sum::default().with(&whole);
            heads.insert(name, &*seal_head(name, version.revision.get(), sum))?;
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
    let Some((_, _, mut sum)) = head.as_deref().and_then(read_head) else {
        drop(heads);
        return put_whole(transaction, name, Some(version));
    };
    let mut parts = transaction.open_table(PARTS)?;
    for field in fields {
        let Some(value) = version.session.config.get(field) else {
            continue;
        };
        let origin = origins::text_of_one(version.origins.get(field));
        let part = seal(&[name, field, value.as_str(), &origin]);
        sum = sum.with(&part);
        if let Some(before) = parts.insert(&*key_within(name, field), &*part)? {
            sum = sum.with(before.value());
        }
    }
    heads.insert(name, &*seal_head(name, version.revision.get(), sum))?;
    Ok(())
}

/// The record that puts all of these rows.
fn all_of(kept: &StoredRoom) -> RowsRecord {
    let row = |(channel, row): &(String, Json)| RowRecord {
        channel: channel.as_str().into(),
        id: row.get("id").unwrap_or_else(Json::null),
        row: Some(row.clone()),
    };
    RowsRecord {
        room: kept.room.clone(),
        last: kept.last,
        rows: kept.rows.iter().map(row).collect(),
    }
}

fn put_rows(transaction: &WriteTransaction, record: &RowsRecord) -> Result<(), redb::Error> {
    let name = record.room.to_string();
    let mut rooms = transaction.open_table(ROOMS)?;
    let mut rows = transaction.open_table(ROWS)?;
    let head = rooms.get(&*name)?.map(|head| head.value().to_vec());
    let head = head.as_deref().and_then(read_head);
    let (last, mut sum) = head.map_or((0, Sum::default()), |(_, last, sum)| (last, sum));
    for RowRecord { channel, id, row } in &record.rows {
        let key = row_key(&name, channel, id);
        let before = match row {
            Some(row) => {
                let row = seal_row(&name, channel, id, row);
                sum = sum.with(&row);
                rows.insert(&*key, &*row)?
            }
            None => rows.remove(&*key)?,
        };
        if let Some(before) = before {
            sum = sum.with(before.value());
        }
    }
    // What was given out once is never given out again.
    rooms.insert(&*name, &*seal_head(&name, last.max(record.last), sum))?;
    Ok(())
}
