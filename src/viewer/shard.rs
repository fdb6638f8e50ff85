//! A shard: one task that owns the write sides of its viewers.

mod delivery;
mod upkeep;

pub use delivery::TURN;
pub use upkeep::{STOP, STOP_LOOKS};

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use slab::Slab;
use tokio::sync::{broadcast, mpsc};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::command::Command;
use super::encoder::Encoder;
use super::held::Held;
use super::inbound::{Inbound, Signal};
use super::pulse::LINGER;
use super::reader::Reader;
use super::write_side::{HEARTBEAT, NewViewer, Viewer, ViewerInfo};
use crate::hub::notices::Away;
use crate::hub::{Event, Hub};
use crate::state::name::TopicName;
use crate::wire::close;
use crate::wire::frame::close_reply;

#[derive(Clone)]
pub struct Common {
    pub hub: Hub,
    pub tasks: TaskTracker,
    pub held: Arc<Held>,
    pub encoder: Encoder,
}

pub struct Shard {
    index: usize,
    shards: usize,
    common: Common,
    commands: mpsc::Sender<Command>,
    viewers: Slab<Viewer>,
    /// The keys of each topic's viewers, in lists that are quick to walk.
    topics: HashMap<TopicName, Vec<usize>>,
    /// The keys of those that gave themselves an id.
    known: HashMap<(TopicName, Box<str>), usize>,
    joined: u64,
    next_heartbeat: Instant,
    start: Instant,
    /// The daemon stops: newcomers are sent away at once.
    stopping: bool,
}

impl Shard {
    /// A shard without viewers, at its place among so many. `commands` is the way to it.
    pub fn new(
        (index, shards): (usize, usize),
        common: Common,
        commands: mpsc::Sender<Command>,
    ) -> Shard {
        let start = Instant::now();
        Shard {
            index,
            shards,
            joined: common.hub.first_viewer() / shards as u64,
            common,
            commands,
            viewers: Slab::new(),
            topics: HashMap::new(),
            known: HashMap::new(),
            next_heartbeat: start + HEARTBEAT,
            start,
            stopping: false,
        }
    }

    /// Serves until `stop`, then closes all viewers with 1001.
    pub async fn run(
        mut self,
        mut commands: mpsc::Receiver<Command>,
        mut events: broadcast::Receiver<Event>,
        stop: CancellationToken,
    ) {
        let (shortest, longest) = (Duration::from_millis(1), Duration::from_secs(1));
        let ping = self.common.hub.flow().ping;
        let mut ticks = interval(ping.clamp(shortest, longest));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut over = self.common.held.over();
        let mut news = self.common.hub.news();
        loop {
            tokio::select! {
                event = events.recv() => self.hear(event, &mut events).await,
                Some(command) = commands.recv() => self.obey(command),
                _ = ticks.tick() => self.tick(),
                Ok(()) = over.changed() => self.give_up(),
                // The next tick tells of it: what flaps is told once a second.
                Ok(()) = news.changed() => self.next_heartbeat = Instant::now(),
                () = stop.cancelled() => break,
            }
        }
        while !events.is_empty() {
            let event = events.recv().await;
            self.hear(event, &mut events).await;
        }
        self.say_goodbye(&mut commands).await;
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Join(viewer, since) => self.join(*viewer, since),
            Command::Writable(key) => self.pump(key),
            Command::Heard(key, signal) => self.answer(key, signal),
            Command::Gone(key) => self.remove(key),
            Command::Encoded(key, id, catchup) => self.encoded(key, id, &catchup),
            Command::List(answer) => {
                // Fails when whoever asked does not wait any more.
                let _ = answer.send(self.list());
            }
            Command::Knows(name, answer) => {
                let _ = answer.send(self.known.contains_key(&name));
            }
            Command::Disconnect(id, answer) => {
                let _ = answer.send(self.disconnect(id));
            }
            Command::Check => self.check(),
        }
    }

    fn answer(&mut self, key: usize, signal: Signal) {
        let viewer = &mut self.viewers[key];
        match signal {
            Signal::Ping(payload) => {
                viewer.line.pong(&payload);
                self.pump(key);
            }
            Signal::Close(code) => viewer.line.close(close_reply(code), "closed by the viewer"),
            Signal::Fail(code) => viewer.fail(code, self.common.hub.notices()),
            // Not collected from viewers.
            Signal::Text(_) | Signal::Binary => {}
        }
    }

    fn join(&mut self, new: NewViewer, since: Instant) {
        let topic = new.guest.presence.entry().name().clone();
        let list = self.topics.entry(topic).or_default();
        self.joined += 1;
        let id = self.joined * self.shards as u64 + self.index as u64;
        let hub = &self.common.hub;
        let times = (since, hub.flow().ping);
        let (viewer, early) = Viewer::new(new, id, times, list.len(), &self.common.held);
        let inbound = Inbound::new(hub.limits(), viewer.encoding.deflate);
        let goodbye = hub.limits().stall_timeout.max(LINGER);
        let socket = viewer.line.socket.clone();
        let key = self.viewers.insert(viewer);
        list.push(key);
        self.replace_older(key);
        self.welcome(key);
        let mut reader = Reader {
            key,
            socket,
            inbound,
            shard: self.commands.clone(),
            start: self.start,
            goodbye,
            blocked: false,
        };
        let mut early = early.to_vec();
        // Borrowed from the task itself: moved into `run`, the reader would be in the task twice.
        let read = async move { reader.run(&mut early).await };
        self.common.tasks.spawn(read);
    }

    /// Ends the connection that the same viewer had before.
    fn replace_older(&mut self, key: usize) {
        let name = known_name(&self.viewers[key]);
        let older = name.and_then(|name| self.known.insert(name, key));
        if let Some(older) = older.and_then(|older| self.viewers.get_mut(older)) {
            older.replace();
        }
    }

    fn welcome(&mut self, key: usize) {
        let viewer = &mut self.viewers[key];
        if self.stopping {
            viewer.leave("stopping", close::GOING_AWAY, back_in(key, key));
        } else if viewer.pass.revoked().is_cancelled() {
            viewer.send_away(Away::Revoked, self.common.hub.notices(), back_in(key, key));
        } else {
            self.catch_up(key);
        }
    }

    fn remove(&mut self, key: usize) {
        let viewer = self.viewers.remove(key);
        viewer.line.gone("viewer");
        if let Some(name) = known_name(&viewer)
            && self.known.get(&name) == Some(&key)
        {
            self.known.remove(&name);
        }
        let name = viewer.presence.entry().name();
        let Some(list) = self.topics.get_mut(name) else {
            return;
        };
        list.swap_remove(viewer.place);
        if let Some(&moved) = list.get(viewer.place) {
            self.viewers[moved].place = viewer.place;
        }
        if list.is_empty() {
            self.topics.remove(name);
        }
    }

    fn list(&self) -> Vec<ViewerInfo> {
        let viewers = self.viewers.iter().map(|(_, viewer)| viewer);
        let counted = viewers.filter(|viewer| viewer.presence.is_counted());
        counted.map(Viewer::info).collect()
    }

    fn disconnect(&mut self, id: u64) -> bool {
        let found = self
            .viewers
            .iter_mut()
            .find(|(_, viewer)| viewer.line.id == id);
        let Some((_, viewer)) = found else {
            return false;
        };
        viewer.send_away(Away::Kicked, self.common.hub.notices(), 60_000);
        true
    }
}

/// What a viewer is known by to its own next connection.
fn known_name(viewer: &Viewer) -> Option<(TopicName, Box<str>)> {
    let id = viewer.name.clone()?;
    Some((viewer.presence.entry().name().clone(), id))
}

/// When to come back, in milliseconds: spread, so that viewers do not all come at once. A host
/// that starts its daemon again by hand has a small room back within half a second.
fn back_in(key: usize, viewers: usize) -> u64 {
    100 + (key as u64 * 7_919) % (400 + viewers as u64)
}
