//! What the shards of people hear.

use std::sync::Arc;

use bytes::Bytes;

use super::entry::RoomEntry;

/// What every shard of people hears: rows have changed, or one of them has a reply.
pub struct RowsTold {
    /// Where.
    pub room: Arc<RoomEntry>,
    /// The seat whose action it was, if it was one and its reply is there.
    pub by: Option<u64>,
    /// People who have reached this time need exactly `frame`.
    pub from: u64,
    /// The time that it brings them to.
    pub to: u64,
    /// None where that would be large, or nothing has changed.
    pub frame: Option<Bytes>,
}
