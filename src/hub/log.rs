//! What is logged of hosts: topics that come and go, and at `-v` every write. Never a value, for
//! it may be a secret.

use std::net::IpAddr;

use super::change::Write;
use super::notices::cut;
use super::receipt::{Receipt, WriteError};
use crate::state::name::TopicName;
use crate::state::revision::Revision;
use crate::state::topic::Change;

/// How many fields are named at most.
const NAMED: usize = 8;

/// A write that is being made. Its line is logged when this is dropped, for a writer may go away
/// before it is answered.
pub(super) struct WriteLine<'a> {
    topic: &'a TopicName,
    write: &'a Write,
    status: Option<u16>,
    revision: Option<Revision>,
}

impl WriteLine<'_> {
    pub(super) fn new<'a>(topic: &'a TopicName, write: &'a Write) -> WriteLine<'a> {
        WriteLine {
            topic,
            write,
            status: None,
            revision: None,
        }
    }

    /// The answer to it, as HTTP has it.
    pub(super) fn answered(&mut self, written: &Result<Receipt, WriteError>) {
        let (status, revision) = match written {
            Ok(receipt) => (200 + u16::from(receipt.created), Some(receipt.revision)),
            Err(WriteError::Stale(present)) => (412, Some(*present)),
            Err(error) => (error.problem().status, None),
        };
        (self.status, self.revision) = (Some(status), revision);
    }
}

impl Drop for WriteLine<'_> {
    fn drop(&mut self) {
        let Write { change, options } = self.write;
        let writer = &options.writer;
        tracing::debug!(
            topic = %self.topic,
            address = options.address.map(tracing::field::display),
            source_id = writer.source_id,
            device_id = writer.device_id,
            change = kind(change),
            size = change.text_len(),
            fields = fields(change),
            status = self.status,
            revision = self.revision.map(tracing::field::display),
            "write"
        );
    }
}

/// A topic has its first session. That one of our own has it, such as a file's, is no news.
pub(super) fn made(topic: &TopicName, address: Option<IpAddr>) {
    match address {
        Some(address) => tracing::info!(%topic, %address, "topic created"),
        None => tracing::debug!(%topic, "topic created"),
    }
}

/// A topic was deleted, and its viewers were sent away.
pub(super) fn deleted(topic: &TopicName, viewers: usize, address: Option<IpAddr>) {
    tracing::info!(%topic, viewers, address = address.map(tracing::field::display), "topic deleted");
}

/// A topic has ended, because its first session was lost.
pub(super) fn lost(topic: &TopicName) {
    tracing::info!(%topic, "topic gone: its first session could not be kept");
}

fn kind(change: &Change) -> &'static str {
    match change {
        Change::Replace(_) => "session",
        Change::Merge(_) => "merge patch",
        Change::Patch(_) => "JSON Patch",
        Change::Fields(_) => "fields",
    }
}

/// The names of the fields that were written, if they are few.
fn fields(change: &Change) -> Option<String> {
    let Change::Fields(fields) = change else {
        return None;
    };
    let names = || fields.iter().map(|(field, _)| cut(field));
    (fields.len() <= NAMED).then(|| names().collect::<Vec<_>>().join(","))
}
