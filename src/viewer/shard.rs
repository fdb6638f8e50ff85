//! A shard: one task that owns the write side of its viewers.

use std::collections::HashMap;
use std::net::Shutdown;
use std::sync::Arc;
use std::time::Duration;

use slab::Slab;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_tungstenite::tungstenite::protocol::frame::coding::Control;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::burst::{Burst, Load};
use super::held::Held;
use super::inbound::Inbound;
use super::reader::{LINGER, Reader};
use super::write_side::{HEARTBEAT, Viewer};
use super::{NewViewer, ViewerInfo};
use crate::hub::notices::Away;
use crate::hub::{Catchup, Event, Hub, TopicEntry, millis};
use crate::state::name::TopicName;
use crate::state::revision::Revision;
use crate::wire::frame::{Frame, close as close_frame, control};
use crate::wire::{Own, close};

/// After so many viewers of one flush, other tasks get a turn.
const TURN: usize = 128;

/// How long viewers may take what is in flight when the daemon stops, and how often it is looked
/// whether they do.
const STOP: Duration = Duration::from_secs(4);
const STOP_LOOKS: Duration = Duration::from_millis(500);

/// What readers and the rest of the daemon ask of a shard.
pub enum Command {
    Join(Box<NewViewer>, Instant),
    /// The socket takes more.
    Writable(usize),
    /// A large frame is ready for the viewer of this place and id, and brings it there.
    Encoded(usize, u64, Option<Revision>, Arc<Frame>),
    Pong(usize, Box<[u8]>),
    /// The last frame to send: the answer to a close.
    Close(usize, Option<u16>),
    /// The same: the code of a broken rule.
    Fail(usize, u16),
    /// The socket has ended.
    Gone(usize),
    List(oneshot::Sender<Vec<ViewerInfo>>),
    Disconnect(u64, oneshot::Sender<bool>),
    /// Passes were taken back.
    Check,
}

/// One task's viewers.
pub struct Shard {
    index: usize,
    shards: usize,
    hub: Hub,
    commands: mpsc::Sender<Command>,
    tasks: TaskTracker,
    held: Arc<Held>,
    viewers: Slab<Viewer>,
    /// Who watches what, in lists that are quick to walk.
    topics: HashMap<TopicName, Vec<usize>>,
    joined: u64,
    next_heartbeat: Instant,
    start: Instant,
    /// Who still comes is sent away at once.
    stopping: bool,
}

impl Shard {
    /// A shard without viewers: which one, of how many.
    pub fn new(
        (index, shards): (usize, usize),
        hub: Hub,
        commands: mpsc::Sender<Command>,
        tasks: TaskTracker,
        held: &Arc<Held>,
    ) -> Shard {
        let start = Instant::now();
        Shard {
            index,
            shards,
            hub,
            commands,
            tasks,
            held: held.clone(),
            viewers: Slab::new(),
            topics: HashMap::new(),
            joined: 0,
            next_heartbeat: start + HEARTBEAT,
            start,
            stopping: false,
        }
    }

    /// Serves until `stop`, then closes everybody with 1001.
    pub async fn run(
        mut self,
        mut orders: mpsc::Receiver<Command>,
        mut events: broadcast::Receiver<Event>,
        stop: CancellationToken,
    ) {
        let mut ticks = interval(
            self.hub
                .flow()
                .ping
                .clamp(Duration::from_millis(1), Duration::from_secs(1)),
        );
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut over = self.held.over();
        loop {
            tokio::select! {
                event = events.recv() => self.hear(event, &mut events).await,
                Some(order) = orders.recv() => self.obey(order),
                _ = ticks.tick() => self.tick(),
                Ok(()) = over.changed() => self.give_up(),
                () = stop.cancelled() => break,
            }
        }
        while !events.is_empty() {
            let event = events.recv().await;
            self.hear(event, &mut events).await;
        }
        self.say_goodbye(&mut orders).await;
    }

    async fn hear(
        &mut self,
        first: Result<Event, RecvError>,
        events: &mut broadcast::Receiver<Event>,
    ) {
        match first {
            Ok(event) => {
                let (bursts, lagged) = Burst::collect(event, events);
                for burst in bursts {
                    self.deliver(&burst).await;
                }
                if lagged {
                    self.catch_up_all().await;
                }
            }
            Err(RecvError::Lagged(_)) => self.catch_up_all().await,
            // The hub lives as long as this shard, which holds it.
            Err(RecvError::Closed) => {}
        }
    }

    async fn deliver(&mut self, burst: &Burst) {
        let Some(keys) = self.topics.remove(burst.entry.name()) else {
            return;
        };
        let mut given = 0;
        for (count, &key) in keys.iter().enumerate() {
            if Arc::ptr_eq(self.viewers[key].presence.entry(), &burst.entry) {
                given += usize::from(self.offer(key, burst));
            }
            if count % TURN == TURN - 1 {
                tokio::task::yield_now().await;
            }
        }
        burst.given_to(given);
        self.topics.insert(burst.entry.name().clone(), keys);
    }

    /// The hot path: usually a comparison and one write of shared bytes. Tells whether the
    /// viewer was given it.
    fn offer(&mut self, key: usize, burst: &Burst) -> bool {
        let viewer = &mut self.viewers[key];
        if viewer.closing.is_some() {
            return false;
        }
        match burst.load {
            Load::Flush { to, .. } if viewer.outbox.is_busy() || viewer.revision >= Some(to) => {}
            Load::Flush { from, to } if viewer.revision.unwrap_or_default() == from => {
                let bytes = burst.bytes(viewer.encoding);
                if bytes.is_none_or(|bytes| viewer.offer(bytes)) {
                    viewer.revision = Some(to);
                }
            }
            Load::Text => {
                let bytes = burst.bytes(viewer.encoding);
                return bytes.is_some_and(|bytes| viewer.send_text(bytes));
            }
            Load::Flush { .. } | Load::Resend | Load::Deleted => self.catch_up(key),
        }
        true
    }

    /// Brings a viewer to now, whatever it has missed: its topic's end, a wish to send
    /// everything again, changes. If something is in flight, it is sent when that has left.
    fn catch_up(&mut self, key: usize) {
        let viewer = &mut self.viewers[key];
        if viewer.closing.is_some() {
            return;
        }
        let entry = viewer.presence.entry();
        if entry.has_ended() {
            viewer.tell(Away::Deleted, self.hub.notices());
            return viewer.leave("deleted", close::TOPIC_GONE, 15_000);
        }
        let resends = entry.resends();
        if viewer.resends != resends {
            (viewer.resends, viewer.revision) = (resends, None);
        }
        if !viewer.outbox.is_busy() {
            let catchup = viewer.presence.entry().since(viewer.revision);
            self.bring(key, catchup);
        }
    }

    fn bring(&mut self, key: usize, catchup: Catchup) {
        let viewer = &mut self.viewers[key];
        let (encoding, id, revision) = (viewer.encoding, viewer.id, catchup.revision);
        let Some(frame) = catchup.frame else {
            viewer.revision = revision;
            return;
        };
        if frame.is_encoded(encoding) || !frame.is_large() {
            if viewer.offer(frame.bytes(encoding)) {
                viewer.revision = revision;
            }
            return;
        }
        viewer.outbox.expect_encoded();
        let commands = self.commands.clone();
        self.tasks.spawn_blocking(move || {
            frame.bytes(encoding);
            // A shard that has ended needs no frames.
            let _ = commands.blocking_send(Command::Encoded(key, id, revision, frame));
        });
    }

    async fn catch_up_all(&mut self) {
        let keys: Vec<usize> = self.viewers.iter().map(|(key, _)| key).collect();
        for (count, key) in keys.into_iter().enumerate() {
            self.catch_up(key);
            if count % TURN == TURN - 1 {
                tokio::task::yield_now().await;
            }
        }
    }

    fn obey(&mut self, order: Command) {
        match order {
            Command::Join(viewer, since) => self.join(*viewer, since),
            Command::Writable(key) => self.pump(key),
            Command::Encoded(key, id, revision, frame) => {
                // The viewer may have gone meanwhile, and its place may be another's.
                let viewer = self.viewers.get_mut(key);
                if viewer.is_some_and(|viewer| viewer.id == id && viewer.encoded(revision, &frame))
                {
                    self.pump(key);
                }
            }
            Command::Pong(key, payload) => {
                let viewer = &mut self.viewers[key];
                // Nothing follows a close frame (RFC 6455 §5.5.1).
                if viewer.closing.is_none() {
                    viewer.outbox.push_pong(control(Control::Pong, &payload));
                    self.pump(key);
                }
            }
            Command::Close(key, code) => {
                let bytes = code.map_or_else(|| control(Control::Close, &[]), close_frame);
                self.viewers[key].close(bytes);
            }
            Command::Fail(key, code) => self.fail(key, code),
            Command::Gone(key) => self.remove(key),
            Command::List(answer) => {
                _ = answer.send(
                    self.viewers
                        .iter()
                        .map(|(_, viewer)| viewer.info())
                        .collect(),
                )
            }
            Command::Disconnect(id, answer) => {
                let found = self.viewers.iter_mut().find(|(_, viewer)| viewer.id == id);
                let _ = answer.send(found.is_some());
                if let Some((_, viewer)) = found {
                    viewer.tell(Away::Kicked, self.hub.notices());
                    viewer.leave("kicked", close::POLICY, 60_000);
                }
            }
            Command::Check => self.check(),
        }
    }

    fn fail(&mut self, key: usize, code: u16) {
        let viewer = &mut self.viewers[key];
        if viewer.closing.is_none() {
            viewer.tell(Away::of(code), self.hub.notices());
        }
        viewer.close(close_frame(code));
    }

    fn join(&mut self, new: NewViewer, since: Instant) {
        let list = self
            .topics
            .entry(new.presence.entry().name().clone())
            .or_default();
        self.joined += 1;
        let id = self.joined * self.shards as u64 + self.index as u64;
        let (viewer, early) = Viewer::new(new, id, since, list.len(), &self.held);
        let (link, encoding) = (viewer.link.clone(), viewer.encoding);
        let key = self.viewers.insert(viewer);
        list.push(key);
        self.viewers[key].next_ping = since + self.hub.flow().ping;
        self.welcome(key);
        let inbound = Inbound::new(self.hub.limits(), encoding.deflate);
        let mut reader = Reader {
            key,
            link,
            inbound,
            shard: self.commands.clone(),
            start: self.start,
            goodbye: self.hub.limits().stall_timeout.max(LINGER),
        };
        let mut early = early.to_vec();
        // Borrowed from the task itself: moved into `run`, it would be in the task twice.
        self.tasks
            .spawn(async move { reader.run(&mut early).await });
    }

    /// Greets a viewer and sends it what it lacks: one answer for both, so that they agree.
    fn welcome(&mut self, key: usize) {
        let viewer = &mut self.viewers[key];
        if self.stopping {
            return viewer.leave("stopping", close::GOING_AWAY, back_in(key, key));
        }
        if viewer.pass.revoked().is_cancelled() {
            viewer.tell(Away::Revoked, self.hub.notices());
            return viewer.leave("revoked", close::POLICY, back_in(key, key));
        }
        let catchup = viewer.presence.entry().since(viewer.revision);
        viewer.greet(&catchup);
        // Its topic may have ended before it came here; a greeting may not fit the socket.
        match viewer.outbox.is_busy() || viewer.presence.entry().has_ended() {
            true => self.catch_up(key),
            false => self.bring(key, catchup),
        }
    }

    fn check(&mut self) {
        let spread = self.viewers.len();
        for (key, viewer) in &mut self.viewers {
            if viewer.pass.revoked().is_cancelled() && viewer.closing.is_none() {
                viewer.tell(Away::Revoked, self.hub.notices());
                viewer.leave("revoked", close::POLICY, back_in(key, spread));
            }
        }
    }

    /// Sends what waits, then what the viewer has missed meanwhile.
    fn pump(&mut self, key: usize) {
        let viewer = &mut self.viewers[key];
        viewer.pump();
        self.catch_up(key);
    }

    fn remove(&mut self, key: usize) {
        let viewer = self.viewers.remove(key);
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

    fn tick(&mut self) {
        let now = Instant::now();
        let (ping, stall) = (self.hub.flow().ping, self.hub.limits().stall_timeout);
        let spread = self.viewers.len();
        for (key, viewer) in &mut self.viewers {
            if let Some(away) = viewer.look(now, ping, stall, back_in(key, spread)) {
                viewer.tell(away, self.hub.notices());
            }
        }
        if self.held.is_over() {
            self.give_up();
        }
        if self.next_heartbeat <= now {
            self.next_heartbeat = now + HEARTBEAT;
            self.heartbeat();
        }
    }

    /// Cuts off those for whom too much is kept: a close frame would wait behind that.
    fn give_up(&mut self) {
        for (_, viewer) in &mut self.viewers {
            if !viewer.outbox.is_given_up() {
                continue;
            }
            if viewer.closing.is_none() {
                viewer.tell(Away::InFlight, self.hub.notices());
            }
            viewer.cut_off();
        }
    }

    fn heartbeat(&mut self) {
        let mut frames: HashMap<TopicName, Frame> = HashMap::new();
        for (_, viewer) in self
            .viewers
            .iter_mut()
            .filter(|(_, viewer)| viewer.own && viewer.closing.is_none())
        {
            let entry = viewer.presence.entry();
            let frame = frames
                .entry(entry.name().clone())
                .or_insert_with(|| heartbeat(entry));
            let bytes = frame.bytes(viewer.encoding);
            if !viewer.outbox.is_busy() {
                viewer.send(bytes);
            }
        }
    }

    async fn say_goodbye(&mut self, orders: &mut mpsc::Receiver<Command>) {
        self.stopping = true;
        let spread = self.viewers.len();
        for (key, viewer) in &mut self.viewers {
            viewer.leave("stopping", close::GOING_AWAY, back_in(key, spread));
        }
        let mut looks = interval(STOP_LOOKS);
        let all_gone = async {
            loop {
                if self.viewers.is_empty() {
                    // Who comes from now on is closed where it comes from.
                    orders.close();
                }
                // Some may have been on their way here.
                while let Ok(order) = orders.try_recv() {
                    self.obey(order);
                }
                tokio::select! {
                    order = orders.recv() => match order {
                        Some(order) => self.obey(order),
                        None => break,
                    },
                    _ = looks.tick() => self.tick(),
                }
            }
        };
        if tokio::time::timeout(STOP, all_gone).await.is_err() {
            self.viewers
                .iter()
                .for_each(|(_, viewer)| viewer.link.shutdown(Shutdown::Both));
        }
    }
}

/// When to come back, in milliseconds: spread, so that not all come at once.
fn back_in(key: usize, viewers: usize) -> u64 {
    500 + (key as u64 * 7_919) % (1_000 + viewers as u64)
}

fn heartbeat(entry: &TopicEntry) -> Frame {
    let (silence, source) = entry.host();
    let revision = entry.revision().to_string();
    Frame::json(
        Own::Heartbeat {
            revision,
            host_seen_ms: millis(silence),
            source,
        }
        .text(),
    )
}
