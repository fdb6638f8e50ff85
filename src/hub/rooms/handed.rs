//! Rows on their way to the disk, and what the file should hold of them.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::entry::RoomEntry;
use super::reply::Reply;
use crate::state::json::Json;
use crate::state::room::{Row, RowId, RowsChange};
use crate::store::{RowRecord, RowsRecord};

/// Rows on their way to the disk.
pub struct RowsHandedOver {
    pub room: Arc<RoomEntry>,
    pub intent: RowsIntent,
}

/// What they are.
pub enum RowsIntent {
    /// New versions, and who waits for them.
    Change(RowsChange, Reply),
    /// Deleted rows that are forgotten: the place of the channel, and the id.
    Forget(Vec<(usize, RowId)>),
}

/// Rows of a room by their channel's place and their id.
pub type RowKeys = BTreeSet<(usize, RowId)>;

impl RowsHandedOver {
    /// Whether they rest on nothing that was lost.
    pub fn is_current(&self) -> bool {
        match &self.intent {
            RowsIntent::Change(change, _) => self.room.book().is_current(change),
            RowsIntent::Forget(_) => true,
        }
    }

    /// Whether later changes may rest on them.
    pub fn is_change(&self) -> bool {
        matches!(self.intent, RowsIntent::Change(..))
    }

    /// What is to be written.
    pub fn record(&self) -> RowsRecord {
        match &self.intent {
            RowsIntent::Change(change, _) => {
                let rows = change.rows.iter();
                self.room
                    .record(rows.map(|row| (change.channel, row.id.clone(), Some(row.clone()))))
            }
            RowsIntent::Forget(rows) => {
                let rows = rows.iter();
                self.room
                    .record(rows.map(|(channel, id)| (*channel, id.clone(), None)))
            }
        }
    }

    /// What may differ in the file if the commit fails.
    pub fn keys(&self) -> RowKeys {
        match &self.intent {
            RowsIntent::Change(change, _) => {
                let rows = change.rows.iter();
                rows.map(|row| (change.channel, row.id.clone())).collect()
            }
            RowsIntent::Forget(rows) => rows.iter().cloned().collect(),
        }
    }
}

impl RoomEntry {
    /// What the file should hold of some rows.
    pub fn should_hold(&self, keys: &RowKeys) -> RowsRecord {
        let book = self.book();
        let row = |(channel, id): &(usize, RowId)| {
            (*channel, id.clone(), book.table(*channel).get(id).cloned())
        };
        let rows: Vec<_> = keys.iter().map(row).collect();
        drop(book);
        self.record(rows.into_iter())
    }

    fn record(&self, rows: impl Iterator<Item = (usize, RowId, Option<Arc<Row>>)>) -> RowsRecord {
        let (channels, last) = {
            let book = self.book();
            (book.channels().clone(), book.last())
        };
        let record = |(channel, id, row): (usize, RowId, Option<Arc<Row>>)| {
            let (name, declared) = channels.get_index(channel)?;
            Some(RowRecord {
                channel: name.as_str().into(),
                id: Json::known(&id),
                row: row.map(|row| row.object(&declared.columns)),
            })
        };
        RowsRecord {
            room: self.name().clone(),
            last,
            rows: rows.filter_map(record).collect(),
        }
    }
}
