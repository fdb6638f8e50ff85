//! Viewers: shards, one per core, that own the write sides, and a small reader for each socket. The
//! people of rooms have shards of their own ([`people`]), and the same [`Line`](line::Line).
//!
//! A viewer is a socket, a topic, a revision and at most one frame in flight. That frame bounds
//! the memory that a slow phone takes, and nobody is disconnected for being slow: only for taking
//! nothing at all.
//!
//! ```text
//!             hub                          http
//!              │ Event                      │ NewViewer
//!              ▼                            ▼
//!   ┌───── shard: one task per core, owns its Viewers ─────┐  large frame   ┌─────────┐
//!   │  Viewer: pass, topic, revision, Pulse                ├───────────────▶│ Encoder │
//!   │    └─ Outbox: one piece in flight, little behind it  │◀───────────────┤         │
//!   └───┬──────────▲───────────────────────────────────────┘    Encoded     └─────────┘
//!       │ write    │ Heard(ping, close, broken rule) · Writable · Gone
//!       ▼          │
//!     Socket ──▶ Reader: one task per viewer
//!          read,
//!          blocked
//! ```
//!
//! A shard writes to the socket itself, without waiting. If the socket does not take everything,
//! the shard notifies `Socket::blocked`; the reader, which waits for the socket anyway, then waits
//! for room too, and sends `Writable` when there is some. The shard answers pings (`Heard`), sends
//! the close frame, and hangs up; the reader notices the end of the socket, whoever caused it, and
//! its last word is `Gone`: only then is the viewer's key free for another one.
//!
//! The reader is a task because somebody has to wait for each socket, and it is so small (no buffer
//! between reads, rare futures boxed) because there is one per viewer: an idle viewer takes 1.8 KB.
//! All writing is done by the shard, so that a flush to thousands of viewers wakes one task per
//! core and not one per viewer.

mod burst;
mod command;
mod encoder;
mod held;
mod inbound;
mod line;
mod outbox;
mod people;
mod pulse;
mod reader;
mod shard;
mod socket;
pub mod sync;
mod taking;
mod tcp;
#[cfg(feature = "tls")]
mod tls;
mod wire;
mod write_side;

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::mpsc::{self, error::SendError};
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

#[cfg(fuzzing)]
pub use inbound::{Inbound, Signal};
pub use line::Peer;
pub use people::{NewPerson, People};
pub use taking::{LOOKS, Taking, unacknowledged};
#[cfg(feature = "tls")]
pub use tls::TlsWire;
pub use wire::Wire;
pub use write_side::{Guest, NewViewer, ViewerInfo};

use crate::hub::Hub;
use crate::state::name::TopicName;
use crate::wire::close;
use crate::wire::frame::close as close_frame;
use command::Command;
use encoder::Encoder;
use held::Held;
use shard::{Common, Shard};

/// A cheap handle to all viewers.
#[derive(Clone)]
pub struct Viewers {
    shards: Arc<[mpsc::Sender<Command>]>,
    /// How many viewers have joined: they go to the shards in turn.
    joined: Arc<AtomicUsize>,
    /// The people of rooms.
    people: People,
    /// Its keys are random, so that nobody can crowd one shard.
    hashes: RandomState,
}

/// How many commands may wait for a shard before readers have to.
const COMMANDS: usize = 1024;

impl Viewers {
    /// Starts the shards, one per core. On `stop` they close their viewers with 1001 and end;
    /// `tasks` waits for them.
    pub fn start(hub: &Hub, tasks: &TaskTracker, stop: &CancellationToken) -> Viewers {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let limits = hub.limits();
        let common = Common {
            hub: hub.clone(),
            tasks: tasks.clone(),
            held: Held::new(limits.in_flight.max(2 * limits.session)),
            encoder: Encoder::new(tasks),
        };
        let people = People::start(hub, tasks, &common.held, stop);
        let start = |index: usize| {
            let (shard, commands) = mpsc::channel(COMMANDS);
            let started = Shard::new((index, 2 * cores), common.clone(), shard.clone());
            tasks.spawn(started.run(commands, hub.subscribe(), stop.clone()));
            shard
        };
        Viewers {
            shards: (0..cores).map(start).collect(),
            joined: Arc::default(),
            people,
            hashes: RandomState::new(),
        }
    }

    /// Takes over a viewer. It is sent what it lacks at once.
    pub async fn join(&self, mut viewer: NewViewer) {
        let guest = &mut viewer.guest;
        guest.presence.receives(guest.encoding);
        let turn = match &guest.id {
            Some(id) => self.shard_of(id),
            None => self.joined.fetch_add(1, Ordering::Relaxed) % self.shards.len(),
        };
        let join = Command::Join(Box::new(viewer), Instant::now());
        if let Err(SendError(Command::Join(viewer, _))) = self.shards[turn].send(join).await {
            // The shard has ended, and has closed all others.
            let bytes = close_frame(close::GOING_AWAY);
            let _ = viewer.wire.try_write(&bytes, false);
        }
    }

    /// Takes over one of a room's people.
    pub async fn seat(&self, person: NewPerson) {
        self.people.join(person).await;
    }

    /// Whether a viewer of this topic calls itself so.
    pub async fn knows(&self, topic: &TopicName, id: &str) -> bool {
        let (answer, known) = oneshot::channel();
        let asked = Command::Knows((topic.clone(), id.into()), answer);
        let sent = self.shards[self.shard_of(id)].send(asked).await;
        sent.is_ok() && known.await.unwrap_or(false)
    }

    /// Connections of the same viewer meet in one shard.
    fn shard_of(&self, id: &str) -> usize {
        self.hashes.hash_one(id) as usize % self.shards.len()
    }

    /// Sends away viewers whose pass was revoked.
    pub async fn check(&self) {
        for shard in self.shards.iter() {
            // A shard that has ended has closed its viewers.
            let _ = shard.send(Command::Check).await;
        }
        self.people.check().await;
    }

    /// All viewers, those connected the longest first.
    pub async fn list(&self) -> Vec<ViewerInfo> {
        let mut all = Vec::new();
        for shard in self.shards.iter() {
            let (answer, list) = oneshot::channel();
            if shard.send(Command::List(answer)).await.is_ok() {
                all.extend(list.await.unwrap_or_default());
            }
        }
        all.extend(self.people.list().await);
        all.sort_by_key(|viewer| std::cmp::Reverse(viewer.connected_ms));
        all
    }

    /// Disconnects a viewer. Returns whether there was one with this id.
    pub async fn disconnect(&self, id: u64) -> bool {
        let (answer, done) = oneshot::channel();
        let Some(shard) = self.shards.get(id as usize % (2 * self.shards.len())) else {
            return self.people.disconnect(id).await;
        };
        shard.send(Command::Disconnect(id, answer)).await.is_ok() && done.await.unwrap_or(false)
    }
}
