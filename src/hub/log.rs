//! What is logged of hosts: topics that come and go, and at `-v` every write. Never a value, for
//! it may be a secret.

use std::net::IpAddr;

use indexmap::IndexSet;

use super::change::Write;
use super::latest::Departure;
use super::notices::cut;
use super::receipt::{Receipt, WriteError};
use super::told::{Told, sent_to};
use super::verbose::is_verbose;
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
    told: Option<Told>,
}

impl WriteLine<'_> {
    pub(super) fn new<'a>(topic: &'a TopicName, write: &'a Write) -> WriteLine<'a> {
        WriteLine {
            topic,
            write,
            status: None,
            revision: None,
            told: None,
        }
    }

    /// The answer to it, as HTTP has it, and what became of it.
    pub(super) fn answered(&mut self, written: &Result<Receipt, WriteError>, told: Option<Told>) {
        let (status, revision) = match written {
            Ok(receipt) => (200 + u16::from(receipt.created), Some(receipt.revision)),
            Err(WriteError::Stale(present)) => (412, Some(*present)),
            Err(error) => (error.problem().status, None),
        };
        (self.status, self.revision) = (Some(status), revision);
        self.told = told;
    }
}

impl Drop for WriteLine<'_> {
    fn drop(&mut self) {
        if !is_verbose() {
            return;
        }
        let Write { change, options } = self.write;
        let (writer, told) = (&options.writer, self.told.as_ref());
        let unknown = "its writer left before it was answered";
        let sentence = told.map_or(unknown.to_owned(), |told| {
            format!("{} · {}", told.change(), told.outcome())
        });
        tracing::debug!(
            topic = %self.topic,
            address = options.address.map(tracing::field::display),
            source_id = writer.source_id,
            device_id = writer.device_id,
            change = kind(change),
            size = change.text_len(),
            fields = fields(change).or_else(|| told.and_then(few)),
            status = self.status,
            revision = self.revision.map(tracing::field::display),
            source = told.map(|told| &*told.source),
            verdict = told.map(|told| told.verdict),
            detail = told.and_then(|told| told.detail.as_deref()),
            told = format!("{}: {sentence}", self.topic),
            "write"
        );
    }
}

/// Changes have left for the viewers: those of several writers in one line.
pub(super) fn sent(topic: &TopicName, told: &[Told], departure: &Departure) {
    const TOLD: usize = 3;
    let mut changes: Vec<String> = told.iter().take(TOLD).map(Told::change).collect();
    if told.len() > TOLD {
        changes.push(format!("{} more", told.len() - TOLD));
    }
    let Departure {
        to,
        viewers,
        behind,
        ..
    } = departure;
    let outcome = sent_to(*viewers, *behind, &to.to_string());
    tracing::debug!(
        %topic,
        fields = distinct(told.iter().flat_map(|told| &told.fields)),
        changes = told.iter().map(|told| told.changes).sum::<u64>(),
        revision = %to,
        source = distinct(told.iter().map(|told| &told.source)),
        verdict = "sent",
        viewers,
        behind,
        told = format!("{topic}: {} · {outcome}", changes.join(", ")),
        "sent"
    );
}

/// Each of the names once.
fn distinct<'a>(names: impl Iterator<Item = &'a String>) -> String {
    let names: IndexSet<&str> = names.map(String::as_str).collect();
    names.into_iter().collect::<Vec<_>>().join(",")
}

/// The names of the parts that a change is about, if they are few.
fn few(told: &Told) -> Option<String> {
    (told.more == 0).then(|| told.fields.join(","))
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
