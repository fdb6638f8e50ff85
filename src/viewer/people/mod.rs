//! A room's people: shards that own their write sides, as those of viewers do, and a reader for
//! each, which also hears what they ask for.

mod command;
mod person;
mod reader;
mod shard;

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use tokio::sync::mpsc::{self, error::SendError};
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::ViewerInfo;
use super::held::Held;
use crate::hub::Hub;
use crate::wire::close;
use crate::wire::frame::close as close_frame;
use command::Command;
pub use person::NewPerson;
use shard::{Common, Shard};

/// A cheap handle to all people.
#[derive(Clone)]
pub struct People {
    shards: Arc<[mpsc::Sender<Command>]>,
    /// Its keys are random, so that nobody can crowd one shard.
    hashes: RandomState,
    /// The ids of people begin behind those of the viewers' shards.
    ids: usize,
}

/// How many commands may wait for a shard before readers have to.
const COMMANDS: usize = 1024;

impl People {
    /// Starts the shards, one per core, which close their people with 1001 on `stop`.
    pub(super) fn start(
        hub: &Hub,
        tasks: &TaskTracker,
        held: &Arc<Held>,
        stop: &CancellationToken,
    ) -> People {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let common = Common {
            hub: hub.clone(),
            tasks: tasks.clone(),
            held: held.clone(),
            unfinished: Arc::default(),
        };
        let start = |index: usize| {
            let (shard, commands) = mpsc::channel(COMMANDS);
            let started = Shard::new((cores + index, 2 * cores), common.clone(), shard.clone());
            tasks.spawn(started.run(commands, hub.rows_told(), stop.clone()));
            shard
        };
        People {
            shards: (0..cores).map(start).collect(),
            hashes: RandomState::new(),
            ids: cores,
        }
    }

    /// Takes over one of a room's people.
    pub async fn join(&self, person: NewPerson) {
        // All of a room in one shard: then others hear of an action after its reply has left.
        let room = self.hashes.hash_one(person.seat.room().name());
        let turn = room as usize % self.shards.len();
        let join = Command::Join(Box::new(person), Instant::now());
        if let Err(SendError(Command::Join(person, _))) = self.shards[turn].send(join).await {
            // The shard has ended, and has closed all others.
            let _ = person
                .wire
                .try_write(&close_frame(close::GOING_AWAY), false);
        }
    }

    pub(super) async fn check(&self) {
        for shard in self.shards.iter() {
            // A shard that has ended has closed its people.
            let _ = shard.send(Command::Check).await;
        }
    }

    pub(super) async fn list(&self) -> Vec<ViewerInfo> {
        let mut all = Vec::new();
        for shard in self.shards.iter() {
            let (answer, list) = oneshot::channel();
            if shard.send(Command::List(answer)).await.is_ok() {
                all.extend(list.await.unwrap_or_default());
            }
        }
        all
    }

    /// Disconnects one. Returns whether there was one with this id.
    pub(super) async fn disconnect(&self, id: u64) -> bool {
        let (answer, done) = oneshot::channel();
        let place = (id as usize % (2 * self.ids)).checked_sub(self.ids);
        let Some(shard) = place.and_then(|place| self.shards.get(place)) else {
            return false;
        };
        shard.send(Command::Disconnect(id, answer)).await.is_ok() && done.await.unwrap_or(false)
    }
}
