//! The names of writers as text. Only writers that gave a name are kept.

use std::sync::Arc;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::state::revision::Revision;
use crate::state::topic::{Origin, Origins, Version, Writer};

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct StoredOrigin {
    revision: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device_id: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    local_revision: Option<u64>,
}

impl From<&Origin> for StoredOrigin {
    fn from(origin: &Origin) -> StoredOrigin {
        StoredOrigin {
            revision: origin.revision.get(),
            source_id: origin.writer.source_id.clone(),
            device_id: origin.writer.device_id,
            local_revision: origin.writer.local_revision,
        }
    }
}

impl StoredOrigin {
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

/// The names for all fields of a session, by field; empty when there are none.
pub(super) fn text(version: &Version) -> String {
    let named: IndexMap<&str, StoredOrigin> = version
        .named_origins()
        .map(|(field, origin)| (field, origin.into()))
        .collect();
    match named.is_empty() {
        true => String::new(),
        false => written(&named),
    }
}

/// The name for one field; empty when its writer gave none.
pub(super) fn text_of_one(origin: Option<&Origin>) -> String {
    let named = origin
        .filter(|origin| origin.is_named())
        .map(StoredOrigin::from);
    named.map_or_else(String::new, |kept| written(&kept))
}

fn written(kept: &impl Serialize) -> String {
    // Strings and numbers never fail to serialize.
    serde_json::to_string(kept).unwrap_or_default()
}

/// What [`text`] wrote; a name that cannot be read is dropped.
pub(super) fn parse(text: &str) -> Origins {
    let named: IndexMap<String, StoredOrigin> = serde_json::from_str(text).unwrap_or_default();
    named
        .into_iter()
        .filter_map(|(field, kept)| Some((field.into(), kept.origin()?)))
        .collect()
}

/// What [`text_of_one`] wrote.
pub(super) fn parse_one(text: &str) -> Option<Origin> {
    let kept: StoredOrigin = serde_json::from_str(text).ok()?;
    kept.origin()
}
