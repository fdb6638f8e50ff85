//! The cluster at a glance.

use serde::Serialize;

/// How the cluster is, as this daemon sees it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterState {
    /// `connected`; `connecting` at first; `lost`.
    pub state: &'static str,
    /// The server of NATS that this daemon is connected to, and its version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// Since when it has been like that, in milliseconds since 1970.
    pub since_ms: u64,
    /// Why there is no connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// All daemons that are there, this one first.
    pub daemons: Vec<Daemon>,
}

/// One of the daemons of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Daemon {
    /// What the others know it by.
    pub id: String,
    /// Where viewers find it.
    pub url: String,
    /// How many viewers it has.
    pub viewers: usize,
    /// Its version.
    pub version: String,
}

impl ClusterState {
    /// Whether the newest that the bucket holds is out of reach.
    pub fn is_lost(&self) -> bool {
        self.state == "lost"
    }

    /// How many viewers there are.
    pub fn viewers(&self) -> usize {
        let daemons = self.daemons.iter();
        daemons.fold(0, |all, daemon| all.saturating_add(daemon.viewers))
    }
}
