//! What has become of an action, and where that is told.

use tokio::sync::oneshot;

use super::line::ActionLine;
use crate::hub::receipt::WriteError;
use crate::state::room::{Refused, RowId};
use crate::wire::Problem;

/// What has become of an action.
pub type Answer = Result<Done, Denied>;

/// Why an action has changed nothing.
#[derive(Clone, Debug, PartialEq)]
pub enum Denied {
    /// It cannot be done.
    Refused(Refused),
    /// It could not be kept, for this reason.
    Unkept(String),
    /// The cluster did not keep it, or did not say whether it has.
    Shared(WriteError),
    /// So many of so many rows are changed; then this came in between.
    Partly(usize, usize, Box<Denied>),
    /// The daemon is stopping.
    Stopping,
}

impl Denied {
    /// There is nothing to change.
    pub fn nothing() -> Denied {
        Denied::Refused(Refused::new())
    }

    /// Whether that is all.
    pub fn is_nothing(&self) -> bool {
        *self == Denied::nothing()
    }

    /// It may have been done all the same.
    pub fn unknown(self) -> Denied {
        Denied::Shared(WriteError::Unknown(match self {
            Denied::Shared(WriteError::Cluster(reason)) => reason,
            other => other.reasons().join("; "),
        }))
    }

    /// What the log is told: without the values that a refusal may hold.
    pub fn told(&self) -> String {
        match self {
            Denied::Refused(_) => "it does not fit the rows".to_owned(),
            other => other.clone().reasons().join("; "),
        }
    }

    /// In sentences.
    pub fn reasons(self) -> Refused {
        match self {
            Denied::Refused(reasons) => reasons,
            Denied::Unkept(reason) => vec![format!(
                "it could not be kept, so it was taken back: {reason} (--store)"
            )],
            Denied::Shared(error) => vec![shared(&error)],
            Denied::Partly(there, all, reason) => {
                let mut reasons = reason.reasons();
                reasons.insert(0, format!("only {there} of {all} rows are changed"));
                reasons
            }
            Denied::Stopping => vec!["the daemon is stopping".to_owned()],
        }
    }

    /// As it is reported over HTTP.
    pub fn problem(self) -> Problem {
        Problem::new(self.status(), self.reasons().join("; "))
    }

    fn status(&self) -> u16 {
        match self {
            Denied::Refused(_) => 422,
            Denied::Unkept(_) => 507,
            Denied::Shared(WriteError::Unknown(_)) => 504,
            Denied::Shared(WriteError::TooLargeForCluster(_)) => 413,
            Denied::Partly(_, _, reason) => reason.status(),
            Denied::Shared(_) | Denied::Stopping => 503,
        }
    }
}

/// Why the cluster did not keep rows.
fn shared(error: &WriteError) -> String {
    match error {
        WriteError::Cluster(reason) => format!("NATS did not take it: {reason} (--nats)"),
        WriteError::Unknown(reason) => {
            format!("NATS did not say whether it was kept, so it may have been: {reason} (--nats)")
        }
        WriteError::TooLargeForCluster(most) => format!(
            "NATS takes messages of {most} bytes at most, and the row would be larger: raise max_payload in the configuration of its servers, or make the row smaller"
        ),
        other => other.to_string(),
    }
}

impl From<WriteError> for Denied {
    fn from(error: WriteError) -> Denied {
        match error {
            WriteError::Stopping => Denied::Stopping,
            error => Denied::Shared(error),
        }
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
