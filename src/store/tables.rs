//! The tables of the file.

use redb::{
    Database, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition, TableError,
};

use super::entries::Entries;
use super::rooms::Rooms;
use super::sealed::Entry;
use super::topics::Topics;

/// Goes up when the shape of what is kept changes.
pub(super) const FORMAT: u64 = 4;
pub(super) const META: TableDefinition<'_, &str, u64> = TableDefinition::new("onlooker");
/// A key of [`META`] that is there only while the file is closed in order.
const CLOSED: &str = "closed";
/// The entries of [`Topics`].
pub(super) const HEADS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("heads");
pub(super) const WHOLES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("wholes");
pub(super) const PARTS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("parts");
/// The entries of [`Rooms`], which format 3 did not have.
pub(super) const ROOMS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("rooms");
pub(super) const ROWS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("rows");
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

/// Whether the file was closed in order, and its entries.
pub(super) fn read(database: &Database) -> Result<(bool, Entries), redb::Error> {
    let transaction = database.begin_read()?;
    let meta = transaction.open_table(META)?;
    let entries = Entries {
        is_ours: true,
        topics: Topics {
            heads: all(&transaction, HEADS)?,
            wholes: all(&transaction, WHOLES)?,
            parts: all(&transaction, PARTS)?,
            ..Topics::default()
        },
        rooms: Rooms {
            heads: all(&transaction, ROOMS)?,
            rows: all(&transaction, ROWS)?,
            ..Rooms::default()
        },
    };
    Ok((meta.get(CLOSED)?.is_some(), entries))
}

fn all<K: redb::Key + 'static>(
    transaction: &ReadTransaction,
    table: TableDefinition<'_, K, &'static [u8]>,
) -> Result<Vec<Entry>, redb::Error> {
    let mut entries = Vec::new();
    for entry in transaction.open_table(table)?.iter()? {
        let (key, value) = entry?;
        let key = K::as_bytes(&key.value()).as_ref().to_vec();
        entries.push((key, value.value().to_vec()));
    }
    Ok(entries)
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
