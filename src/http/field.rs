//! One field of a session, as the API answers it.

use serde::Serialize;

use crate::state::json::Json;
use crate::state::revision::Revision;
use crate::state::topic::Writer;

/// A field's value, and who wrote it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FieldAnswer {
    value: Json,
    server_revision: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    device_id: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    local_revision: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kept: Option<bool>,
}

impl FieldAnswer {
    /// A field's value at a revision, and the writer who made that revision.
    pub fn new(value: Json, revision: Revision, writer: &Writer) -> FieldAnswer {
        FieldAnswer {
            value,
            server_revision: revision.get(),
            device_id: writer.device_id,
            local_revision: writer.local_revision,
            kept: None,
        }
    }

    /// The same, and whether the value is kept if that is in question.
    #[must_use]
    pub fn kept(self, kept: bool) -> FieldAnswer {
        let kept = (!kept).then_some(false);
        FieldAnswer { kept, ..self }
    }
}
