//! A session as a change would have it, before it is checked.

use super::Refusal;
use crate::state::json::is_reserved;
use crate::state::session::{Session, ShapeError};

pub const TOO_MUCH: &str = "the patch is too much work: send the whole session instead";

/// The session as a change would have it.
pub struct Candidate {
    pub session: Session,
    /// The fields that the change may have touched; none: any of them.
    pub named: Option<Vec<String>>,
}

/// Refuses a field's name that no document could have brought: it may have come in a path.
pub fn may_be_named(field: &str) -> Result<(), Refusal> {
    match is_reserved(field) {
        true => Err(Refusal::Invalid(format!("the key {field:?} is reserved"))),
        false => Ok(()),
    }
}

pub fn no_member(name: &str) -> Refusal {
    Refusal::Invalid(format!(
        "{name:?} is not a member of a session: expected name, data, config, metadata"
    ))
}

impl From<ShapeError> for Refusal {
    fn from(error: ShapeError) -> Refusal {
        Refusal::Invalid(error.to_string())
    }
}
