//! What a host receives: an answer to each of its messages.

use serde::Serialize;

use super::problem::Problem;
use crate::state::fields::FieldError;
use crate::state::json::{Json, text};
use crate::state::revision::Revision;

/// What a host receives.
#[derive(Serialize)]
#[serde(
    tag = "type",
    rename_all = "lowercase",
    rename_all_fields = "camelCase"
)]
enum ToHost<'a> {
    /// The message was accepted.
    Ack {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a Json>,
        #[serde(skip_serializing_if = "Option::is_none")]
        revision: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        kept: Option<bool>,
        #[serde(skip_serializing_if = "Option::is_none")]
        passed_over: Option<usize>,
    },
    /// The message was refused; the status is the one that HTTP would have.
    Error {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a Json>,
        status: u16,
        detail: &'a str,
        #[serde(skip_serializing_if = "<[_]>::is_empty")]
        errors: &'a [FieldError],
    },
}

/// What came of a message that was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ack {
    /// A change stands, with this revision; whether it is durable as far as that was asked for.
    Written(Revision, bool),
    /// A text was sent; how many viewers were passed over.
    Broadcast(usize),
    /// Rows of a room stand.
    Rows,
}

impl Ack {
    /// As text, with the message's id.
    pub fn text(self, id: Option<&Json>) -> String {
        let (revision, kept, passed_over) = match self {
            Ack::Written(at, kept) => (Some(at.to_string()), (!kept).then_some(false), None),
            Ack::Rows => (None, None, None),
            Ack::Broadcast(viewers) => (None, None, (viewers > 0).then_some(viewers)),
        };
        let ack = ToHost::Ack {
            id,
            revision,
            kept,
            passed_over,
        };
        text(&ack)
    }
}

/// The answer to a message that was refused.
pub fn error(id: Option<&Json>, problem: &Problem) -> String {
    let error = ToHost::Error {
        id,
        status: problem.status,
        detail: &problem.detail,
        errors: &problem.errors,
    };
    text(&error)
}
