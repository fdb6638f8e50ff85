//! What has become of an action, and where that is told.

use tokio::sync::oneshot;

use super::line::ActionLine;
use crate::state::room::{Refused, RowId};
use crate::wire::Problem;

/// What has become of an action.
pub type Answer = Result<Done, Denied>;

/// Why an action has changed nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denied {
    /// It cannot be done.
    Refused(Refused),
    /// It could not be kept, for this reason.
    Unkept(String),
    /// The daemon is stopping.
    Stopping,
}

impl Denied {
    /// In sentences.
    pub fn reasons(self) -> Refused {
        match self {
            Denied::Refused(reasons) => reasons,
            Denied::Unkept(reason) => vec![format!(
                "it could not be kept, so it was taken back: {reason} (--store)"
            )],
            Denied::Stopping => vec!["the daemon is stopping".to_owned()],
        }
    }

    /// As it is reported over HTTP.
    pub fn problem(self) -> Problem {
        let status = match self {
            Denied::Refused(_) => 422,
            Denied::Unkept(_) => 507,
            Denied::Stopping => 503,
        };
        Problem::new(status, self.reasons().join("; "))
    }
}

impl From<Refused> for Denied {
    fn from(reasons: Refused) -> Denied {
        Denied::Refused(reasons)
    }
}

/// The rows that an action has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// The place of their channel.
    pub channel: usize,
    /// Their ids.
    pub rows: Vec<RowId>,
    /// Whoever has reached this time lacks just these rows.
    pub from: u64,
    /// The time that they bring to.
    pub to: u64,
}

/// Where the answer goes.
pub struct Reply {
    /// The seat that waits for it.
    pub by: Option<u64>,
    /// Fails for one that does not wait any more.
    pub answer: oneshot::Sender<Answer>,
    /// What the log tells of it.
    pub line: Option<Box<ActionLine>>,
}
