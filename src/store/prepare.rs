//! Makes the tables of a file, and takes over what older formats have kept.

use std::collections::BTreeMap;

use redb::{Database, ReadableTable, TableDefinition, WriteTransaction};

use super::sealed::{Sum, key_within, seal, seal_head};
use super::tables::{FORMAT, HEADS, META, PARTS, ROOMS, ROWS, WHOLES};

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

/// Makes the tables that are missing. A file of an older format has the present one afterwards.
pub(super) fn prepare(database: &Database) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    let mut meta = transaction.open_table(META)?;
    let before = meta.insert("format", FORMAT)?.map(|format| format.value());
    drop(meta);
    transaction.open_table(HEADS)?;
    transaction.open_table(WHOLES)?;
    transaction.open_table(PARTS)?;
    transaction.open_table(ROOMS)?;
    transaction.open_table(ROWS)?;
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

/// Takes the entries over as they are: whether they can be read is checked afterwards.
fn upgrade_2(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    let mut sums = BTreeMap::<String, Sum>::new();
    let mut add = |topic: &str, sealed: &[u8]| {
        let sum = sums.entry(topic.to_owned()).or_default();
        *sum = sum.with(sealed);
    };
    for entry in transaction.open_table(SNAPSHOTS_2)?.iter()? {
        let (topic, snapshot) = entry?;
        let (session, origins) = snapshot.value();
        let sealed = seal(&[topic.value(), session, origins]);
        add(topic.value(), &sealed);
        let mut wholes = transaction.open_table(WHOLES)?;
        wholes.insert(topic.value(), &*sealed)?;
    }
    for entry in transaction.open_table(CHANGES_2)?.iter()? {
        let (key, change) = entry?;
        let ((topic, field), (value, origin)) = (key.value(), change.value());
        let sealed = seal(&[topic, field, value, origin]);
        add(topic, &sealed);
        let mut parts = transaction.open_table(PARTS)?;
        parts.insert(&*key_within(topic, field), &*sealed)?;
    }
    for entry in transaction.open_table(REVISIONS_2)?.iter()? {
        let (topic, revision) = entry?;
        let sum = sums.remove(topic.value()).unwrap_or_default();
        let head = seal_head(topic.value(), revision.value(), sum);
        let mut heads = transaction.open_table(HEADS)?;
        heads.insert(topic.value(), &*head)?;
    }
    transaction.delete_table(SNAPSHOTS_2)?;
    transaction.delete_table(CHANGES_2)?;
    transaction.delete_table(REVISIONS_2)?;
    Ok(())
}
