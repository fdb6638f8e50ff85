//! One row, as it is after a change.

use std::fmt::Write;
use std::sync::Arc;

use crate::state::json::{Json, MAX_SAFE_INTEGER};
use crate::state::room::channel::{Columns, TIMES};

/// A row's id as JSON text: a string with its quotes, or a number.
pub type RowId = Arc<str>;

/// An id in its one spelling: clients compare its value, and rows are known by its text.
///
/// # Errors
/// Says what it could be.
pub fn spelled(id: &Json) -> Result<Json, String> {
    if let Some(text) = id.as_string() {
        return Ok(Json::string(&text));
    }
    let number = id.as_f64().filter(|number| number.fract() == 0.0);
    let number = number.filter(|number| number.abs() <= MAX_SAFE_INTEGER as f64);
    let number = number.ok_or_else(|| {
        format!("id: expected a string or an integer that JavaScript can hold, got {id}")
    })?;
    Ok(Json::of(&(number as i64)))
}

/// A version of a row. The next one is another value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its id.
    pub id: RowId,
    /// The declared columns' values, as a JSON array.
    pub values: Arc<str>,
    /// When it was made, in milliseconds since 1970.
    pub created: u64,
    /// When it became what it is; without a cluster no two rows of a room have the same.
    pub updated: u64,
    /// Its place among the room's changes: that time, or just behind the change before it where
    /// another daemon's clock is behind.
    pub order: u64,
    /// Whether it became a deleted one.
    pub is_deleted: bool,
}

impl Row {
    /// Appends the row as people receive it: the values, then its three times.
    pub fn write(&self, out: &mut String) {
        out.push_str(&self.values[..self.values.len() - 1]);
        let Row {
            created, updated, ..
        } = self;
        // Writing to a `String` never fails.
        let _ = match self.is_deleted {
            true => write!(out, ",{created},{updated},{updated}]"),
            false => write!(out, ",{created},{updated},null]"),
        };
    }

    /// The row as an object of its members.
    pub fn object(&self, columns: &Columns) -> Json {
        let mut array = String::with_capacity(self.size());
        self.write(&mut array);
        let values = Json::items(&array);
        let names = columns.keys().map(String::as_str).chain(TIMES);
        Json::object(names.zip(&values))
    }

    /// Roughly how many bytes it takes.
    pub fn size(&self) -> usize {
        const TIMES: usize = 48;
        self.values.len() + TIMES
    }
}
