//! Viewers: shards that own the write sides, one per core, and a small reader per socket.
//!
//! A viewer is a socket, a topic, a revision and at most one frame in flight. Memory
//! behind a slow phone is bounded by that frame, and nobody is disconnected for being slow: only
//! for taking nothing at all.

mod burst;
mod held;
mod inbound;
mod kernel;
mod link;
mod outbox;
mod reader;
mod shard;
pub mod sync;
mod wire;
mod write_side;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use serde::Serialize;
use tokio::sync::mpsc::{self, error::SendError};
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use inbound::{Inbound, Signal};
pub use kernel::{LOOKS, unacknowledged};
pub use link::Link;
pub use wire::Wire;

use crate::access::ViewerPass;
use crate::hub::{Hub, Presence};
use crate::state::revision::Revision;
use crate::wire::close;
use crate::wire::frame::{Encoding, close as close_frame};
use held::Held;
use shard::{Command, Shard};

/// A socket after its upgrade, with what was agreed on.
pub struct NewViewer {
    /// The socket.
    pub wire: Wire,
    /// What arrived behind the request.
    pub early: Bytes,
    /// That it may watch.
    pub pass: ViewerPass,
    /// Its topic, and its place among the viewers.
    pub presence: Presence,
    /// What it has already.
    pub since: Option<Revision>,
    /// How it wants its messages.
    pub encoding: Encoding,
    /// Whether it speaks `onlooker.v1`.
    pub own: bool,
    /// Where it is.
    pub address: SocketAddr,
    /// What it is, as the user agent tells.
    pub device: Box<str>,
    /// Dropped with the viewer: its place in the count of its address.
    pub admission: Arc<dyn Send + Sync>,
    /// Of its connection: who is there, for log lines.
    pub span: tracing::Span,
}

/// One line of the list of viewers.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ViewerInfo {
    /// Unique while the daemon runs.
    pub id: u64,
    /// What it watches.
    pub topic: String,
    /// What it is, as the user agent tells.
    pub device: String,
    /// Its IP address.
    pub address: String,
    /// For how long, in milliseconds.
    pub connected_ms: u64,
    /// Where it is.
    pub revision: Option<String>,
    /// Whether that is the topic's revision.
    pub current: bool,
    /// How many bytes it was sent.
    pub bytes: u64,
}

/// A cheap handle to all viewers.
#[derive(Clone)]
pub struct Viewers(Arc<[mpsc::Sender<Command>]>, Arc<AtomicUsize>);

/// How many orders a shard may be behind before readers wait.
const COMMANDS: usize = 1024;

impl Viewers {
    /// Starts the shards, one per core. On `stop` they close their viewers with 1001 and end;
    /// `tasks` waits for them.
    pub fn start(hub: &Hub, tasks: &TaskTracker, stop: &CancellationToken) -> Viewers {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let limits = hub.limits();
        let held = Held::new(limits.in_flight.max(2 * limits.session));
        let start = |index: usize| {
            let (commands, orders) = mpsc::channel(COMMANDS);
            let place = (index, cores);
            let shard = Shard::new(place, hub.clone(), commands.clone(), tasks.clone(), &held);
            tasks.spawn(shard.run(orders, hub.subscribe(), stop.clone()));
            commands
        };
        Viewers((0..cores).map(start).collect(), Arc::default())
    }

    /// Takes over a viewer; it is sent what it lacks at once.
    pub async fn join(&self, viewer: NewViewer) {
        let turn = self.1.fetch_add(1, Ordering::Relaxed) % self.0.len();
        let join = Command::Join(Box::new(viewer), Instant::now());
        if let Err(SendError(Command::Join(viewer, _))) = self.0[turn].send(join).await {
            // The shard has ended, and has closed everybody else.
            let _ = viewer
                .wire
                .try_write(&close_frame(close::GOING_AWAY), false);
        }
    }

    /// Sends those away whose pass was taken back.
    pub async fn check(&self) {
        for shard in self.0.iter() {
            // One that has ended has closed everybody.
            let _ = shard.send(Command::Check).await;
        }
    }

    /// All viewers, the longest connected first.
    pub async fn list(&self) -> Vec<ViewerInfo> {
        let mut all = Vec::new();
        for shard in self.0.iter() {
            let (answer, list) = oneshot::channel();
            if shard.send(Command::List(answer)).await.is_ok() {
                all.extend(list.await.unwrap_or_default());
            }
        }
        all.sort_by_key(|viewer| std::cmp::Reverse(viewer.connected_ms));
        all
    }

    /// Disconnects a viewer; tells whether there was one with this id.
    pub async fn disconnect(&self, id: u64) -> bool {
        let (answer, done) = oneshot::channel();
        let Some(shard) = self.0.get(id as usize % self.0.len()) else {
            return false;
        };
        shard.send(Command::Disconnect(id, answer)).await.is_ok() && done.await.unwrap_or(false)
    }
}
