//! The names of writers as text. Only those who gave one are kept.

use std::sync::Arc;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::state::revision::Revision;
use crate::state::topic::{Origin, Origins, Version, Writer};

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct StoredTopic {
    revision: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device_id: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    local_revision: Option<u64>,
}

impl From<&Origin> for StoredTopic {
    fn from(origin: &Origin) -> StoredTopic {
        StoredTopic {
            revision: origin.revision.get(),
            source_id: origin.writer.source_id.clone(),
            device_id: origin.writer.device_id,
            local_revision: origin.writer.local_revision,
        }
    }
}

impl StoredTopic {
    fn origin(self) -> Option<Origin> {
        let writer = Writer {
            source_id: self.source_id,
            device_id: self.device_id,
            local_revision: self.local_revision,
        };
        Some(Origin {
            revision: Revision::new(self.revision)?,
            writer: Arc::new(writer),
        })
    }
}

/// Of all fields of a session, by field; empty when there are none.
pub(super) fn text(version: &Version) -> String {
    let named: IndexMap<&str, StoredTopic> = version
        .named_origins()
        .map(|(field, origin)| (field, origin.into()))
        .collect();
    match named.is_empty() {
        true => String::new(),
        false => written(&named),
    }
}

/// Of one field; empty when its writer gave no name.
pub(super) fn text_of_one(origin: Option<&Origin>) -> String {
    let named = origin
        .filter(|origin| origin.is_named())
        .map(StoredTopic::from);
    named.map_or_else(String::new, |kept| written(&kept))
}

/// Strings and numbers never fail to serialize.
fn written(kept: &impl Serialize) -> String {
    serde_json::to_string(kept).unwrap_or_default()
}

/// What [`text`] wrote; a name that cannot be read is none.
pub(super) fn parse(text: &str) -> Origins {
    let named: IndexMap<String, StoredTopic> = serde_json::from_str(text).unwrap_or_default();
    named
        .into_iter()
        .filter_map(|(field, kept)| Some((field.into(), kept.origin()?)))
        .collect()
}

/// What [`text_of_one`] wrote.
pub(super) fn parse_one(text: &str) -> Option<Origin> {
    let kept: StoredTopic = serde_json::from_str(text).ok()?;
    kept.origin()
}
