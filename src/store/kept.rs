//! What goes into a store and comes out of it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::state::json::Json;
use crate::state::name::TopicName;
use crate::state::room::RoomName;
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

/// A room as it was kept.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredRoom {
    /// Its name.
    pub room: RoomName,
    /// The last time that its clock has given out, in milliseconds since 1970.
    pub last: u64,
    /// Its rows: the channel, and the row as an object of its members, its three times among them.
    pub rows: Vec<(String, Json)>,
}

/// What a file has kept.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Kept {
    /// Its topics.
    pub topics: Vec<StoredTopic>,
    /// Its rooms.
    pub rooms: Vec<StoredRoom>,
}

impl Kept {
    /// Says whether nothing later than its topics can have been shown.
    #[cfg(feature = "store")]
    pub(super) fn set_last(&mut self, is_last: bool) {
        let topics = self.topics.iter_mut();
        topics.for_each(|kept| kept.is_last = is_last);
    }

    #[cfg(feature = "store")]
    pub(super) fn is_empty(&self) -> bool {
        self.topics.is_empty() && self.rooms.is_empty()
    }
}

/// A change to be made durable.
#[derive(Clone, Copy, Debug)]
pub enum Record<'a> {
    /// Of a topic.
    Topic(&'a TopicRecord),
    /// Of a room's rows.
    Rows(&'a RowsRecord),
}

/// A change of a room's rows.
#[derive(Clone, Debug)]
pub struct RowsRecord {
    /// The room.
    pub room: RoomName,
    /// The last time that its clock has given out.
    pub last: u64,
    /// What differs from the record before.
    pub rows: Vec<RowRecord>,
}

/// One row.
#[derive(Clone, Debug)]
pub struct RowRecord {
    /// Its channel.
    pub channel: Arc<str>,
    /// Its id, as JSON.
    pub id: Json,
    /// The row as an object of its members; none: it is dropped for good.
    pub row: Option<Json>,
}

/// A change of a topic.
#[derive(Clone, Debug)]
pub struct TopicRecord {
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
