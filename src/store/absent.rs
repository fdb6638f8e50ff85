//! In place of a store, in a library that is built without the feature `store`.

mod kept;

use std::path::Path;

pub use kept::{Record, StoreError, StoredTopic};

/// There is none.
pub enum Store {}

impl Store {
    /// Opens nothing.
    ///
    /// # Errors
    /// Always.
    pub fn open(path: &Path) -> Result<(Store, Vec<StoredTopic>), StoreError> {
        let reason = "this program cannot keep topics: it was built without the feature `store`";
        Err(StoreError::new(path, reason))
    }

    /// Is never called.
    ///
    /// # Errors
    /// None.
    pub fn commit<'a>(&mut self, _: impl Iterator<Item = &'a Record>) -> Result<(), String> {
        match *self {}
    }

    /// Is never called.
    pub fn close(self) -> bool {
        match self {}
    }
}
