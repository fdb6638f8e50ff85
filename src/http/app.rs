//! What every request can reach.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::live::Current;
use super::options::Page;
use super::reports::Reports;
use crate::hub::Hub;
use crate::viewer::Viewers;
use crate::wire::Problem;

/// The parts of one running daemon, shared by its connections.
pub struct App {
    /// Topics.
    pub hub: Hub,
    /// Those who watch.
    pub viewers: Viewers,
    /// Who may connect, where they find the daemon, and whatever else may change as it runs.
    pub live: Current,
    /// What is served at `/`.
    pub page: Page,
    /// Where the daemon listens.
    pub local: SocketAddr,
    /// All tasks of the daemon.
    pub tasks: TaskTracker,
    /// Once cancelled, nothing new is accepted.
    pub stop: CancellationToken,
    /// Where phones' reports of `/check` go, if anybody wants them.
    pub reports: Option<Reports>,
    /// How many connections each address has.
    pub addresses: Arc<Mutex<BTreeMap<IpAddr, usize>>>,
}

impl App {
    /// What is not here may be at another daemon of the cluster, while this one does not know.
    pub fn absent(&self, problem: Problem) -> Problem {
        match self.hub.is_behind() {
            true => Problem::unavailable(
                "this daemon does not know yet, or not at the moment, what the others have: NATS is away (--nats)",
            ),
            false => problem,
        }
    }

    /// 503: there is no room for another viewer.
    pub fn full(&self) -> Problem {
        let limit = self.hub.limits().viewers;
        Problem::unavailable(format!(
            "{limit} viewers are connected already (--max-viewers)"
        ))
    }
}
