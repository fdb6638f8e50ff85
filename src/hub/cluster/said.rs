//! What the daemons of a cluster tell each other, at most once.

use serde::{Deserialize, Serialize};

/// What one daemon says to all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "kind",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum Said {
    /// It is there.
    Daemon {
        /// Who.
        id: String,
        /// Where viewers find it.
        url: String,
        /// How many viewers it has.
        viewers: usize,
        /// Its version.
        version: String,
    },
    /// It is about to stop.
    Left {
        /// Who.
        id: String,
    },
    /// A host's own text for the viewers of a topic.
    Text {
        /// Whose host.
        id: String,
        /// The topic.
        topic: String,
        /// The text, verbatim.
        text: String,
    },
    /// The viewers of a topic are to be sent everything again.
    Resend {
        /// Whose host wants it.
        id: String,
        /// The topic.
        topic: String,
    },
    /// A viewer is to be disconnected, wherever it is.
    Disconnect {
        /// Whose host wants it.
        id: String,
        /// The viewer.
        viewer: u64,
    },
    /// A viewer was disconnected, for another daemon's host.
    Disconnected {
        /// Whose viewer it was.
        id: String,
        /// The viewer.
        viewer: u64,
    },
}

impl Said {
    /// Who says it.
    pub fn from(&self) -> &str {
        match self {
            Said::Daemon { id, .. }
            | Said::Left { id }
            | Said::Text { id, .. }
            | Said::Resend { id, .. }
            | Said::Disconnect { id, .. }
            | Said::Disconnected { id, .. } => id,
        }
    }
}
