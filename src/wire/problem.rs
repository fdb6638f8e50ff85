//! Errors as HTTP has them.

use serde::Serialize;

use super::protocol::json;
use crate::state::fields::FieldError;

/// An error as RFC 9457 has it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Problem {
    /// Always `about:blank`: the status says it.
    pub r#type: &'static str,
    /// The status in words.
    pub title: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong here, and the way out.
    pub detail: String,
    /// The fields at fault.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// The present revision, where the one given was stale.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<Box<str>>,
    /// What the log says where `detail` may quote a body or a query.
    #[serde(skip)]
    pub cause: Option<&'static str>,
}

impl Problem {
    /// Whether a write was understood, and refused for what it brings. Its topic is announced
    /// then. What is not understood is no write, and who won a race announces that.
    pub fn is_refusal(&self) -> bool {
        matches!(self.status, 413 | 422)
    }

    /// A problem without fields at fault. `title` is the status in words.
    pub fn new(status: u16, title: &'static str, detail: impl Into<String>) -> Problem {
        Problem {
            r#type: "about:blank",
            title,
            status,
            detail: detail.into(),
            errors: Vec::new(),
            revision: None,
            cause: None,
        }
    }

    /// The same with words for the log.
    #[must_use]
    pub fn because(self, cause: &'static str) -> Problem {
        let cause = Some(cause);
        Problem { cause, ..self }
    }

    /// What the log may say: nothing of a body or a query.
    pub fn told(&self) -> &str {
        match (self.cause, self.status) {
            (Some(cause), _) => cause,
            (None, 400 | 422) => self.title,
            (None, _) => &self.detail,
        }
    }

    /// The names of the fields at fault, the first of many; none where it is something else.
    pub fn fields_at_fault(&self) -> Option<String> {
        const NAMED: usize = 8;
        let names: Vec<&str> = self.errors.iter().map(|fault| &*fault.field).collect();
        (!names.is_empty()).then(|| names[..names.len().min(NAMED)].join(","))
    }

    /// As `application/problem+json`.
    pub fn text(&self) -> String {
        json(self).as_str().to_owned()
    }
}
