//! The rows of one channel, in the order of the room's changes.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound::{Excluded, Included};
use std::sync::Arc;

use super::row::{Row, RowId};

/// Every row has one version in it, under the place of its last change: a live or a deleted one.
#[derive(Debug, Default)]
pub struct Table {
    live: Rows,
    deleted: Rows,
    places: HashMap<RowId, u64>,
    /// How many bytes all of them take, and the live ones alone.
    size: usize,
    live_size: usize,
}

type Rows = BTreeMap<u64, Arc<Row>>;

impl Table {
    /// How many rows are not deleted.
    pub fn len(&self) -> usize {
        self.live.len()
    }

    /// Roughly how many bytes its rows take, the deleted ones among them.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Roughly how many bytes its live rows take.
    pub fn live_size(&self) -> usize {
        self.live_size
    }

    /// The present version of a row.
    pub fn get(&self, id: &RowId) -> Option<&Arc<Row>> {
        let place = self.places.get(id)?;
        self.live.get(place).or_else(|| self.deleted.get(place))
    }

    /// Puts a version of a row in the place of the one before.
    pub fn put(&mut self, row: Arc<Row>) {
        self.remove(&row.id);
        self.size += row.size();
        self.live_size += if row.is_deleted { 0 } else { row.size() };
        self.places.insert(row.id.clone(), row.order);
        let rows = match row.is_deleted {
            true => &mut self.deleted,
            false => &mut self.live,
        };
        rows.insert(row.order, row);
    }

    /// Removes every trace of a row.
    pub fn remove(&mut self, id: &RowId) {
        let Some(place) = self.places.remove(id) else {
            return;
        };
        let live = self.live.remove(&place);
        self.live_size -= live.as_ref().map_or(0, |row| row.size());
        let row = live.or_else(|| self.deleted.remove(&place));
        self.size -= row.map_or(0, |row| row.size());
    }

    /// The rows that are not deleted, the one changed last at the end.
    pub fn live(&self) -> impl Iterator<Item = &Arc<Row>> {
        self.live.values()
    }

    /// The live or the deleted rows that became so behind one place and up to another.
    pub fn between(&self, deleted: bool, after: u64, to: u64) -> impl Iterator<Item = &Arc<Row>> {
        let rows = match deleted {
            true => &self.deleted,
            false => &self.live,
        };
        // A range that ends before it begins is not one.
        let range = (Excluded(after), Included(to.max(after.saturating_add(1))));
        let rows = rows.range(range).map(|(_, row)| row);
        rows.take_while(move |row| row.order <= to)
    }

    /// The live and the deleted rows that became so behind one place and up to another.
    pub fn changed(&self, after: u64, to: u64) -> impl Iterator<Item = &Arc<Row>> {
        let mut live = self.between(false, after, to).peekable();
        let mut deleted = self.between(true, after, to).peekable();
        std::iter::from_fn(move || match (live.peek(), deleted.peek()) {
            (Some(row), Some(gone)) if gone.order < row.order => deleted.next(),
            (Some(_), _) => live.next(),
            (None, _) => deleted.next(),
        })
    }

    /// The deleted rows to be forgotten: those that were deleted before a time, and the oldest of
    /// more than `most`.
    pub fn outdated(&self, before: u64, most: usize) -> Vec<Arc<Row>> {
        let too_many = self.deleted.len().saturating_sub(most);
        let rows = self.deleted.values().enumerate();
        let outdated = rows.take_while(|(place, row)| *place < too_many || row.updated < before);
        outdated.map(|(_, row)| row.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: &str, updated: u64, is_deleted: bool) -> Arc<Row> {
        Arc::new(Row {
            id: id.into(),
            values: format!("[{id}]").into(),
            created: 1,
            updated,
            order: updated,
            is_deleted,
        })
    }

    fn times(table: &Table, deleted: bool, after: u64, to: u64) -> Vec<u64> {
        let rows = table.between(deleted, after, to);
        rows.map(|row| row.updated).collect()
    }

    #[test]
    fn a_row_has_one_version_live_or_deleted() {
        let mut table = Table::default();
        table.put(row("1", 5, false));
        table.put(row("2", 6, false));
        table.put(row("1", 7, false));
        assert_eq!(times(&table, false, 0, 9), [6, 7]);
        assert!(times(&table, false, 6, 6).is_empty());
        assert_eq!(times(&table, false, 5, 6), [6]);
        table.put(row("1", 8, true));
        assert_eq!(
            (times(&table, false, 0, 9), times(&table, true, 0, 9)),
            (vec![6], vec![8])
        );
        let changed = |after| {
            table
                .changed(after, 9)
                .map(|row| row.updated)
                .collect::<Vec<_>>()
        };
        assert_eq!((changed(0), changed(6)), (vec![6, 8], vec![8]));
        assert_eq!(table.get(&"1".into()).map(|row| row.updated), Some(8));
        assert!(times(&table, false, u64::MAX, 0).is_empty());
        table.put(row("1", 9, false));
        assert_eq!((table.len(), times(&table, true, 0, 9)), (2, vec![]));
        table.remove(&"1".into());
        table.remove(&"2".into());
        assert_eq!(
            (table.len(), table.size(), table.get(&"1".into())),
            (0, 0, None)
        );
    }

    #[test]
    fn deleted_rows_are_outdated_by_age_and_by_number() {
        let mut table = Table::default();
        for time in 1..=5 {
            table.put(row(&time.to_string(), time, true));
        }
        let outdated = |before, most| table.outdated(before, most).len();
        assert_eq!(
            [
                outdated(0, 9),
                outdated(3, 9),
                outdated(0, 1),
                outdated(9, 0)
            ],
            [0, 2, 4, 5]
        );
    }
}
