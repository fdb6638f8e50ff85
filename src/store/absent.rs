//! In place of a store, in a library that is built without the feature `store`.

mod kept;

use std::path::Path;

pub use kept::{
    Kept, Record, RowRecord, RowsRecord, StoreError, StoredRoom, StoredTopic, TopicRecord,
};

/// There is none.
pub enum Store {}

impl Store {
    /// Opens nothing.
    ///
    /// # Errors
    /// Always.
    pub fn open(path: &Path) -> Result<(Store, Kept), StoreError> {
        let reason = "this program cannot keep topics: it was built without the feature `store`";
        Err(StoreError::new(path, reason))
    }

    /// Is never called.
    ///
    /// # Errors
    /// None.
    pub fn commit<'a>(&mut self, _: impl Iterator<Item = Record<'a>>) -> Result<(), String> {
        match *self {}
    }

    /// Is never called.
    pub fn close(self) -> bool {
        match self {}
    }
}
