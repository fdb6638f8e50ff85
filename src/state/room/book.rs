//! A room's book: what its tables hold, and what is still on its way there. Pure: the time and
//! what is random are passed in.

use std::collections::HashMap;
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

/// What a room holds.
#[derive(Debug)]
pub struct Book {
    channels: Arc<IndexMap<String, Channel>>,
    pages: Vec<Page>,
    bounds: Bounds,
    /// The last time that was given to a row.
    last: u64,
    /// The time of the last row that is in a table.
    head: u64,
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

impl Book {
    /// An empty book, whose clock goes on from a time.
    pub fn new(channels: Arc<IndexMap<String, Channel>>, bounds: Bounds, last: u64) -> Book {
        Book {
            pages: channels.iter().map(|_| Page::default()).collect(),
            channels,
            bounds,
            last,
            head: last,
            generation: 0,
        }
    }

    /// Puts a row back that was kept, as an object of its members: a column that it lacks is null.
    /// Returns whether it can be one of that channel.
    pub fn restore(&mut self, channel: usize, row: &Json) -> bool {
        let Some((_, declared)) = self.channels.get_index(channel) else {
            return false;
        };
        let members = row.members().unwrap_or_default();
        let time = |name: &str| {
            let time = members.iter().find(|(known, _)| known == name);
            time?.1.as_str().parse::<u64>().ok()
        };
        let (Some(created), Some(updated)) = (time("created_at"), time("updated_at")) else {
            return false;
        };
        let Some(Edit::Put(id, values, _)) = declared.kept_row(&members) else {
            return false;
        };
        let (is_deleted, page) = (time("deleted_at").is_some(), &mut self.pages[channel]);
        page.table.put(Arc::new(Row {
            id,
            values,
            created,
            updated,
            is_deleted,
        }));
        page.len = page.table.len();
        self.last = self.last.max(updated);
        self.head = self.last;
        true
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

    /// The time of the last change that may be shown.
    pub fn head(&self) -> u64 {
        self.head
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
        let new = self.check(channel, &edits)?;
        let more = self.len() + new > self.bounds.rows;
        if new > 0 && more {
            let most = self.bounds.rows;
            return Err(refused(format_args!(
                "the room has {most} rows, no more fit (--max-rows)"
            )));
        }
        let (page, generation) = (&mut self.pages[channel], self.generation);
        let mut rows = Vec::with_capacity(edits.len());
        for edit in edits {
            let time = now.max(self.last + 1);
            if let Some(row) = page.next(edit, time) {
                self.last = time;
                rows.push(row);
            }
        }
        Ok(RowsChange {
            channel,
            rows,
            generation,
        })
    }

    /// How many new rows the edits make.
    fn check(&self, channel: usize, edits: &[Edit]) -> Result<usize, Refused> {
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
        Ok(new)
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
            self.head = self.head.max(row.updated);
        }
        (from, self.head)
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

    fn next(&mut self, edit: Edit, time: u64) -> Option<Arc<Row>> {
        let row = match edit {
            Edit::Put(id, values, created) => {
                let before = self.live(&id).map(|row| row.created);
                self.len += usize::from(before.is_none());
                let created = before.or(created.filter(|created| *created <= time));
                let (created, updated) = (created.unwrap_or(time), time);
                Row {
                    id,
                    values,
                    created,
                    updated,
                    is_deleted: false,
                }
            }
            Edit::Delete(id) => {
                let before = self.live(&id)?;
                let (values, created) = (before.values.clone(), before.created);
                self.len -= 1;
                Row {
                    id,
                    values,
                    created,
                    updated: time,
                    is_deleted: true,
                }
            }
        };
        let row = Arc::new(row);
        self.pending.insert(row.id.clone(), row.clone());
        Some(row)
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
