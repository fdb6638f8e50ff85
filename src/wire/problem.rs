//! Errors, as HTTP and the host socket report them.

use hyper::StatusCode;
use serde::Serialize;

use crate::state::fields::FieldError;
use crate::state::name::NameError;

/// An error in the form of RFC 9457.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Problem {
    /// Always `about:blank`: the status says what kind of problem it is.
    pub r#type: &'static str,
    /// The status in words.
    pub title: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong here, and how to fix it.
    pub detail: String,
    /// The fields at fault, if any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// The current revision, if the given one was stale.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<Box<str>>,
    /// What the log says instead, where `detail` may quote a body or a query.
    #[serde(skip)]
    pub cause: Option<&'static str>,
}

impl Problem {
    /// A problem without fields at fault.
    pub fn new(status: u16, detail: impl Into<String>) -> Problem {
        Problem {
            r#type: "about:blank",
            title: title(status),
            status,
            detail: detail.into(),
            errors: Vec::new(),
            revision: None,
            cause: None,
        }
    }

    /// 400: what was sent cannot be read.
    pub fn bad_request(detail: impl Into<String>) -> Problem {
        Problem::new(400, detail)
    }

    /// 404: there is no such thing.
    pub fn not_found(detail: impl Into<String>) -> Problem {
        Problem::new(404, detail)
    }

    /// 422: it was read, but cannot be applied.
    pub fn unprocessable(detail: impl Into<String>) -> Problem {
        Problem::new(422, detail)
    }

    /// 503: the daemon is full, not ready yet, or stopping.
    pub fn unavailable(detail: impl Into<String>) -> Problem {
        Problem::new(503, detail)
    }

    /// Whether a write was understood but refused for what it contains; its topic is then
    /// announced. A request that was not understood is not a write, and whoever won a race
    /// (412) has already announced it.
    pub fn is_refusal(&self) -> bool {
        matches!(self.status, 413 | 422)
    }

    /// The same problem, with its own words for the log.
    #[must_use]
    pub fn because(self, cause: &'static str) -> Problem {
        let cause = Some(cause);
        Problem { cause, ..self }
    }

    /// What the log may say: nothing from a body or a query.
    pub fn told(&self) -> &str {
        match (self.cause, self.status) {
            (Some(cause), _) => cause,
            (None, 400 | 422) => self.title,
            (None, _) => &self.detail,
        }
    }

    /// The names of the first few fields at fault; `None` if the fields are not the problem.
    pub fn fields_at_fault(&self) -> Option<String> {
        const NAMED: usize = 8;
        let names: Vec<&str> = self.errors.iter().map(|fault| &*fault.field).collect();
        (!names.is_empty()).then(|| names[..names.len().min(NAMED)].join(","))
    }

    /// As `application/problem+json`.
    pub fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl From<NameError> for Problem {
    fn from(error: NameError) -> Problem {
        Problem::bad_request(error.to_string()).because("not a topic name")
    }
}

/// A status in words, as RFC 9110 §15 has them.
fn title(status: u16) -> &'static str {
    let known = StatusCode::from_u16(status).ok();
    match status {
        // The library has the names of the RFCs before it.
        413 => "Content Too Large",
        422 => "Unprocessable Content",
        _ => known
            .and_then(|status| status.canonical_reason())
            .unwrap_or("Internal Server Error"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_learns_nothing_of_a_body() {
        let problem = Problem::unprocessable("got s3cret");
        assert_eq!(problem.told(), "Unprocessable Content");
        assert_eq!(problem.because("not a session").told(), "not a session");
        assert_eq!(Problem::not_found("nothing there").told(), "nothing there");
    }

    #[test]
    fn its_text_is_what_rfc_9457_asks_for() {
        let text = Problem::not_found("nothing there").text();
        let expected =
            r#"{"type":"about:blank","title":"Not Found","status":404,"detail":"nothing there"}"#;
        assert_eq!(text, expected);
    }
}
