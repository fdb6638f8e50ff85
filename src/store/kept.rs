//! What goes into a store and comes out of it.

use std::path::{Path, PathBuf};

use crate::state::name::TopicName;
use crate::state::session::FieldName;
use crate::state::topic::Version;

/// A topic as it was kept.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredTopic {
    /// Its name.
    pub topic: TopicName,
    /// Its last state.
    pub version: Version,
    /// Whether nothing later can have been shown: the file was closed in order.
    pub is_last: bool,
}

/// A change to be made durable.
#[derive(Clone, Debug)]
pub struct Record {
    /// The topic that changed.
    pub topic: TopicName,
    /// Its state after the change; none: the topic was deleted.
    pub to: Option<Version>,
    /// Only these fields differ from the record before; none: anything may.
    pub fields: Option<Vec<FieldName>>,
}

/// Why the file cannot be used. It is left as it is.
#[derive(Debug, thiserror::Error)]
#[error("{}: {reason}", path.display())]
pub struct StoreError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong, and the way out.
    pub reason: String,
}

impl StoreError {
    pub(super) fn new(path: &Path, reason: impl ToString) -> StoreError {
        let (path, reason) = (path.to_owned(), reason.to_string());
        StoreError { path, reason }
    }
}
