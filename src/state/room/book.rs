//! A room's book: what its tables hold, and what is still on its way there. Pure: the time and
//! what is random are passed in.

use std::collections::HashMap;
use std::slice;
use std::sync::Arc;

use indexmap::IndexMap;

use super::action::{Action, Edit, Refused, put, refused};
use super::channel::Channel;
use super::row::{Row, RowId};
use super::table::Table;
use crate::state::json::{Json, Kind};

/// How much a room may hold.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Live rows.
    pub rows: usize,
    /// Bytes of a row.
    pub row: usize,
}

/// By how many milliseconds the times may be out of order that several daemons give.
const OVERLAP: u64 = 10_000;

/// What a room holds.
#[derive(Debug)]
pub struct Book {
    channels: Arc<IndexMap<String, Channel>>,
    pages: Vec<Page>,
    bounds: Bounds,
    /// The last time that was given to a row.
    last: u64,
    /// The place of the last change that is in a table.
    head: u64,
    /// How far behind a time changes may have a later place.
    overlap: u64,
    /// How often changes were lost.
    generation: u64,
}

/// One channel.
#[derive(Debug, Default)]
struct Page {
    table: Table,
    /// The newest versions of rows that are not in the table yet.
    pending: HashMap<RowId, Arc<Row>>,
    /// How many live rows there are with them.
    len: usize,
}

/// Rows on their way into a table.
#[derive(Clone, Debug)]
pub struct RowsChange {
    /// The place of their channel among those that are declared.
    pub channel: usize,
    /// Their new versions, in the order of their times.
    pub rows: Vec<Arc<Row>>,
    generation: u64,
}

/// What becomes of a row as the bucket has it.
#[derive(Debug)]
pub enum Arrived {
    /// It is in its table, behind the change at this place.
    Shown(u64, RowsChange),
    /// It was there already.
    Known,
    /// There is a newer version of it here.
    Older,
    /// It fits no declared column.
    Unfit,
    /// The room has twice as many rows as it may have.
    Full,
}

impl Book {
    /// An empty book, whose clock goes on from a time.
    pub fn new(channels: Arc<IndexMap<String, Channel>>, bounds: Bounds, last: u64) -> Book {
        Book {
            pages: channels.iter().map(|_| Page::default()).collect(),
            channels,
            bounds,
            last,
            head: last,
            overlap: 0,
            generation: 0,
        }
    }

    /// The same, whose rows other daemons change as well.
    pub fn shared(self) -> Book {
        Book {
            overlap: OVERLAP,
            ..self
        }
    }

    /// Puts a row back that was kept, as an object of its members: a column that it lacks is null.
    /// Returns whether it can be one of that channel.
    pub fn restore(&mut self, channel: usize, row: &Json) -> bool {
        let Some(row) = self.kept_row(channel, row) else {
            return false;
        };
        self.last = self.last.max(row.updated);
        self.head = self.last;
        let page = &mut self.pages[channel];
        page.table.put(Arc::new(row));
        page.len = page.table.len();
        true
    }

    fn kept_row(&self, channel: usize, row: &Json) -> Option<Row> {
        let (_, declared) = self.channels.get_index(channel)?;
        let members = row.members()?;
        let time = |name: &str| {
            let time = members.iter().find(|(known, _)| known == name);
            time?.1.as_str().parse::<u64>().ok()
        };
        let (created, updated) = (time("created_at")?, time("updated_at")?);
        let Some(Edit::Put(id, values, _)) = declared.kept_row(&members) else {
            return None;
        };
        Some(Row {
            id,
            values,
            created,
            updated,
            order: updated,
            is_deleted: time("deleted_at").is_some(),
        })
    }

    /// The channels of the room, each with its place.
    pub fn channels(&self) -> &Arc<IndexMap<String, Channel>> {
        &self.channels
    }

    /// The rows of a channel that may be shown.
    pub fn table(&self, channel: usize) -> &Table {
        &self.pages[channel].table
    }

    /// How many live rows there are, the ones on their way among them.
    pub fn len(&self) -> usize {
        self.pages.iter().map(|page| page.len).sum()
    }

    /// Whether nothing is in it, and nothing on its way.
    pub fn is_empty(&self) -> bool {
        let mut pages = self.pages.iter();
        pages.all(|page| page.pending.is_empty() && page.table.size() == 0)
    }

    /// Roughly how many bytes its rows take.
    pub fn size(&self) -> usize {
        self.pages.iter().map(|page| page.table.size()).sum()
    }

    /// The last time that was given to a row.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// The place of the last change that may be shown: its time, or a little more.
    pub fn head(&self) -> u64 {
        self.head
    }

    /// The place behind which all changes are that somebody lacks who has those before a time. None
    /// for a time that this room has not reached: it is another one's.
    pub fn behind(&self, time: u64) -> Option<u64> {
        let time = time.saturating_sub(self.overlap);
        (time <= self.head).then(|| time.saturating_sub(1))
    }

    /// What an action does to the rows as they will be once all that is on its way is there.
    /// A new id is made by `fresh`, or of `now`, in milliseconds since 1970.
    ///
    /// # Errors
    /// Says why it cannot be.
    pub fn edits(
        &self,
        channel: usize,
        action: Action,
        now: u64,
        fresh: impl FnOnce() -> String,
    ) -> Result<Vec<Edit>, Refused> {
        let (declared, page) = (&self.channels[channel], &self.pages[channel]);
        match action {
            Action::Create(mut given) => {
                if !given.iter().any(|(name, _)| name == "id") {
                    given.push(("id".to_owned(), self.fresh_id(declared, now, fresh)));
                }
                let values = declared.values(&given, None)?;
                match page.live(&values[0].as_str().into()) {
                    Some(_) => Err(refused(format_args!("id {} is in use", brief(&values[0])))),
                    None => Ok(vec![put(&values, None)]),
                }
            }
            Action::Update(given) => {
                let id = declared.id(&given)?;
                let row = page.live(&id).ok_or_else(|| no_row(&id))?;
                let values = declared.values(&given, Some(row))?;
                Ok(vec![put(&values, None)])
            }
            Action::Delete(given) => {
                let id = declared.id(&given)?;
                // Somebody else may have deleted it: it is what was wanted.
                let is_there = page.live(&id).is_some();
                Ok(is_there.then_some(Edit::Delete(id)).into_iter().collect())
            }
            Action::DeleteAll => Ok(page.all_live().map(Edit::Delete).collect()),
        }
    }

    fn fresh_id(&self, declared: &Channel, now: u64, fresh: impl FnOnce() -> String) -> Json {
        match declared.columns.first().map(|(_, field)| field.kind) {
            Some(Kind::Number) => Json::of(&now.max(self.last + 1)),
            _ => Json::string(&fresh()),
        }
    }

    /// Makes versions of rows, of which nothing is shown before [`Book::keep`]. Each has a time of
    /// its own, `now` or later. The deletion of a row that is not there is passed over.
    ///
    /// # Errors
    /// Says which limit is in the way; then nothing has changed.
    pub fn write(
        &mut self,
        channel: usize,
        edits: Vec<Edit>,
        now: u64,
    ) -> Result<RowsChange, Refused> {
        self.check(channel, &edits)?;
        let (page, generation) = (&mut self.pages[channel], self.generation);
        let mut rows = Vec::with_capacity(edits.len());
        for edit in edits {
            let time = now.max(self.last + 1);
            if let Some(row) = page.version(edit, time) {
                self.last = time;
                rows.push(page.send_off(row));
            }
        }
        Ok(RowsChange {
            channel,
            rows,
            generation,
        })
    }

    /// Whether edits are within the limits, as far as the rows are known.
    ///
    /// # Errors
    /// Says which limit is in the way.
    pub fn check(&self, channel: usize, edits: &[Edit]) -> Result<(), Refused> {
        let (page, most) = (&self.pages[channel], self.bounds.row);
        let mut new = 0;
        for edit in edits {
            if let Edit::Put(id, values, _) = edit {
                let size = values.len();
                if size > most {
                    return Err(refused(format_args!(
                        "the row has {size} bytes: over the limit of {most} (--max-row)"
                    )));
                }
                new += usize::from(page.live(id).is_none());
            }
        }
        let most = self.bounds.rows;
        match new > 0 && self.len() + new > most {
            true => Err(refused(format_args!(
                "the room has {most} rows, no more fit (--max-rows)"
            ))),
            false => Ok(()),
        }
    }

    /// Puts rows into their table, which are durable or need not be. Returns from which
    /// [`Book::head`] to which this leads.
    pub fn keep(&mut self, change: &RowsChange) -> (u64, u64) {
        let (page, from) = (&mut self.pages[change.channel], self.head);
        for row in &change.rows {
            page.table.put(row.clone());
            if page
                .pending
                .get(&row.id)
                .is_some_and(|pending| Arc::ptr_eq(pending, row))
            {
                page.pending.remove(&row.id);
            }
            self.head = self.head.max(row.order);
        }
        (from, self.head)
    }

    /// The next version of a row, for a bucket that may have another one by then: none where there is
    /// nothing to delete. It is not shown before [`Book::take`].
    ///
    /// # Errors
    /// Says which limit is in the way.
    pub fn draft(&mut self, channel: usize, edit: Edit, now: u64) -> Result<Option<Row>, Refused> {
        self.check(channel, slice::from_ref(&edit))?;
        let time = now.max(self.last + 1);
        let row = self.pages[channel].version(edit, time);
        if row.is_some() {
            self.last = time;
        }
        Ok(row)
    }

    /// Puts a row into its table as the bucket has it, as an object of its members.
    pub fn take(&mut self, channel: usize, id: &RowId, row: &Json) -> Arrived {
        let row = self.kept_row(channel, row).filter(|row| row.id == *id);
        let Some(mut row) = row else {
            return Arrived::Unfit;
        };
        let known = self.pages[channel].table.get(id);
        if let Some(known) = known.filter(|known| known.updated >= row.updated) {
            row.order = known.order;
            match **known == row {
                true => return Arrived::Known,
                false if known.updated > row.updated => return Arrived::Older,
                false => {}
            }
        }
        let is_new = known.is_none_or(|known| known.is_deleted) && !row.is_deleted;
        if is_new && self.len() >= self.bounds.rows.saturating_mul(2) {
            return Arrived::Full;
        }
        row.order = row.updated.max(self.head + 1);
        let (from, row, page) = (self.head, Arc::new(row), &mut self.pages[channel]);
        page.table.put(row.clone());
        page.len = page.table.len();
        self.head = row.order;
        self.last = self.last.max(self.head);
        let rows = vec![row];
        let generation = self.generation;
        Arrived::Shown(
            from,
            RowsChange {
                channel,
                rows,
                generation,
            },
        )
    }

    /// Takes back all that is on its way.
    pub fn lose(&mut self) {
        self.generation += 1;
        for page in &mut self.pages {
            page.pending.clear();
            page.len = page.table.len();
        }
    }

    /// Whether nothing was lost since a change was made, on which it may rest.
    pub fn is_current(&self, change: &RowsChange) -> bool {
        self.generation == change.generation
    }

    /// Takes out the deleted rows that are to be forgotten: those that were deleted before a time,
    /// and the oldest where they are more than a room may have.
    pub fn forget(&mut self, before: u64) -> Vec<(usize, Arc<Row>)> {
        let most = self.bounds.rows;
        let mut forgotten = Vec::new();
        for (channel, page) in self.pages.iter_mut().enumerate() {
            for row in page.table.outdated(before, most) {
                // What is on its way to be a row again stays.
                if !page.pending.contains_key(&row.id) {
                    page.table.remove(&row.id);
                    forgotten.push((channel, row));
                }
            }
        }
        forgotten
    }
}

impl Page {
    /// The newest version of a row, if that is a live one.
    fn live(&self, id: &RowId) -> Option<&Arc<Row>> {
        let newest = self.pending.get(id).or_else(|| self.table.get(id));
        newest.filter(|row| !row.is_deleted)
    }

    fn all_live(&self) -> impl Iterator<Item = RowId> {
        let kept = self
            .table
            .live()
            .filter(|row| !self.pending.contains_key(&row.id));
        let pending = self.pending.values().filter(|row| !row.is_deleted);
        kept.chain(pending).map(|row| row.id.clone())
    }

    /// The next version of a row; none where there is nothing to delete.
    fn version(&self, edit: Edit, time: u64) -> Option<Row> {
        let is_deleted = matches!(edit, Edit::Delete(_));
        let (id, values, created) = match edit {
            Edit::Put(id, values, created) => {
                let before = self.live(&id).map(|row| row.created);
                let created = before.or(created.filter(|created| *created <= time));
                (id, values, created.unwrap_or(time))
            }
            Edit::Delete(id) => {
                let before = self.live(&id)?;
                (id, before.values.clone(), before.created)
            }
        };
        Some(Row {
            id,
            values,
            created,
            updated: time,
            order: time,
            is_deleted,
        })
    }

    /// It is on its way.
    fn send_off(&mut self, row: Row) -> Arc<Row> {
        let was_live = self.live(&row.id).is_some();
        self.len += usize::from(!row.is_deleted && !was_live);
        self.len -= usize::from(row.is_deleted && was_live);
        let row = Arc::new(row);
        self.pending.insert(row.id.clone(), row.clone());
        row
    }
}

fn no_row(id: &str) -> Refused {
    let id: String = id.chars().take(80).collect();
    refused(format_args!("there is no row with the id {id}"))
}

fn brief(id: &Json) -> String {
    id.as_str().chars().take(80).collect()
}

#[cfg(test)]
mod tests;
