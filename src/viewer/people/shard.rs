//! A shard of people: one task that owns their write sides.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use bytes::Bytes;
use slab::Slab;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use super::command::Command;
use super::person::{NewPerson, Person};
use super::reader::{Reader, Share};
use crate::hub::Hub;
use crate::hub::notices::Away;
use crate::hub::rooms::RowsTold;
use crate::state::room::RoomName;
use crate::viewer::ViewerInfo;
use crate::viewer::held::Held;
use crate::viewer::inbound::{Inbound, Signal};
use crate::viewer::pulse::{LINGER, Round};
use crate::viewer::shard::{STOP, STOP_LOOKS, TURN};
use crate::wire::close;
use crate::wire::frame::close_reply;

#[derive(Clone)]
pub struct Common {
    pub hub: Hub,
    pub tasks: TaskTracker,
    pub held: Arc<Held>,
    /// How many bytes are held of messages that are still arriving.
    pub unfinished: Arc<AtomicUsize>,
}

pub struct Shard {
    /// Its place among all shards, and how many there are: ids are told apart by it.
    index: usize,
    shards: usize,
    common: Common,
    commands: mpsc::Sender<Command>,
    people: Slab<Person>,
    /// The keys of each room's people.
    rooms: HashMap<RoomName, Vec<usize>>,
    /// The keys by the numbers of the seats.
    seats: HashMap<u64, usize>,
    /// The keys of those who need another turn.
    hungry: VecDeque<usize>,
    joined: u64,
    start: Instant,
    /// The daemon stops: newcomers are sent away at once.
    stopping: bool,
}

/// Changes of one room that follow each other.
type Burst = Vec<Arc<RowsTold>>;

impl Shard {
    pub fn new(
        (index, shards): (usize, usize),
        common: Common,
        commands: mpsc::Sender<Command>,
    ) -> Shard {
        Shard {
            index,
            shards,
            common,
            commands,
            people: Slab::new(),
            rooms: HashMap::new(),
            seats: HashMap::new(),
            hungry: VecDeque::new(),
            joined: 0,
            start: Instant::now(),
            stopping: false,
        }
    }

    /// Serves until `stop`, then closes all people with 1001.
    pub async fn run(
        mut self,
        mut commands: mpsc::Receiver<Command>,
        mut told: broadcast::Receiver<Arc<RowsTold>>,
        stop: CancellationToken,
    ) {
        let (shortest, longest) = (Duration::from_millis(1), Duration::from_secs(1));
        let ping = self.common.hub.flow().ping;
        let mut ticks = interval(ping.clamp(shortest, longest));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut over = self.common.held.over();
        loop {
            tokio::select! {
                first = told.recv() => self.hear(first, &mut told).await,
                Some(command) = commands.recv() => self.obey(command),
                () = tokio::task::yield_now(), if !self.hungry.is_empty() => self.feed(),
                _ = ticks.tick() => self.tick(),
                Ok(()) = over.changed() => self.give_up(),
                () = stop.cancelled() => break,
            }
        }
        self.catch_up_all().await;
        self.say_goodbye(&mut commands).await;
    }

    async fn hear(
        &mut self,
        first: Result<Arc<RowsTold>, RecvError>,
        told: &mut broadcast::Receiver<Arc<RowsTold>>,
    ) {
        let (mut next, mut bursts) = (first, HashMap::<RoomName, Burst>::new());
        loop {
            match next {
                Ok(told) => {
                    let name = told.room.name();
                    // A room without people here costs nothing more.
                    if self.rooms.contains_key(name) {
                        bursts.entry(name.clone()).or_default().push(told);
                    }
                }
                Err(RecvError::Lagged(_)) => return self.catch_up_all().await,
                // Cannot be: this shard holds the hub.
                Err(RecvError::Closed) => return,
            }
            next = match told.try_recv() {
                Ok(told) => Ok(told),
                Err(broadcast::error::TryRecvError::Lagged(count)) => Err(RecvError::Lagged(count)),
                Err(_) => break,
            };
        }
        for (name, burst) in bursts {
            self.deliver(&name, burst).await;
        }
    }

    async fn deliver(&mut self, name: &RoomName, mut burst: Burst) {
        // Those who have a reply come first.
        for told in &burst {
            if let Some(&key) = told.by.and_then(|seat| self.seats.get(&seat)) {
                self.pump(key);
            }
        }
        burst.retain(|told| told.from < told.to);
        if burst.is_empty() {
            return;
        }
        let Some(keys) = self.rooms.remove(name) else {
            return;
        };
        let bytes = joined(&burst);
        for (count, &key) in keys.iter().enumerate() {
            if self.people[key].offer(&burst, bytes.as_ref()) {
                self.hungry.push_back(key);
            }
            if count % TURN == TURN - 1 {
                tokio::task::yield_now().await;
            }
        }
        self.rooms.insert(name.clone(), keys);
    }

    async fn catch_up_all(&mut self) {
        let keys: Vec<usize> = self.people.iter().map(|(key, _)| key).collect();
        for (count, key) in keys.into_iter().enumerate() {
            self.pump(key);
            if count % TURN == TURN - 1 {
                tokio::task::yield_now().await;
            }
        }
    }

    /// Sends one what it lacks, as much as is sent in a turn.
    fn pump(&mut self, key: usize) {
        if self.people[key].pump() {
            self.hungry.push_back(key);
        }
    }

    /// Gives another turn to who needs it the longest.
    fn feed(&mut self) {
        let key = self.hungry.pop_front();
        // It may have gone meanwhile, and the key may be somebody else's.
        let person = key.and_then(|key| Some((key, self.people.get_mut(key)?)));
        if let Some((key, person)) = person {
            person.is_hungry = false;
            self.pump(key);
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Join(person, since) => self.join(*person, since),
            Command::Pump(key) => self.pump(key),
            Command::Heard(key, signal) => self.answer(key, signal),
            Command::Gone(key) => self.remove(key),
            Command::List(answer) => {
                // Fails when whoever asked does not wait any more.
                let _ = answer.send(self.list());
            }
            Command::Disconnect(id, answer) => {
                let _ = answer.send(self.disconnect(id));
            }
            Command::Check => self.check(),
        }
    }

    fn list(&self) -> Vec<ViewerInfo> {
        self.people
            .iter()
            .map(|(_, person)| person.info())
            .collect()
    }

    fn answer(&mut self, key: usize, signal: Signal) {
        let person = &mut self.people[key];
        match signal {
            Signal::Ping(payload) => {
                person.line.pong(&payload);
                self.pump(key);
            }
            Signal::Close(code) => person.line.close(close_reply(code), "closed by the person"),
            Signal::Fail(code) => person.fail(code, self.common.hub.notices()),
            // The reader has done what they ask for.
            Signal::Text(_) | Signal::Binary => {}
        }
    }

    fn join(&mut self, new: NewPerson, since: Instant) {
        let list = self
            .rooms
            .entry(new.seat.room().name().clone())
            .or_default();
        self.joined += 1;
        let id = self.joined * self.shards as u64 + self.index as u64;
        let hub = &self.common.hub;
        let times = (since, hub.flow().ping);
        let (person, early) = Person::new(new, id, times, list.len(), &self.common.held);
        tracing::debug!(parent: &person.line.peer.span, id, "person joined");
        let (seat, socket) = (person.seat.clone(), person.line.socket.clone());
        let span = person.line.peer.span.clone();
        let key = self.people.insert(person);
        list.push(key);
        self.seats.insert(seat.number(), key);
        let person = &mut self.people[key];
        if self.stopping {
            person.line.close_with(close::GOING_AWAY, "stopping");
        } else if person.is_revoked() {
            person.send_away(Away::Revoked, hub.notices());
        }
        let mut reader = Reader {
            key,
            socket,
            seat,
            inbound: Inbound::of_people(hub.limits()),
            shard: self.commands.clone(),
            start: self.start,
            goodbye: hub.limits().stall_timeout.max(LINGER),
            blocked: false,
            unfinished: Share::new(&self.common.unfinished, hub.limits().in_flight),
        };
        let mut early = early.to_vec();
        // Borrowed from the task itself: moved into `run`, the reader would be in the task twice.
        let read = async move { reader.run(&mut early).await };
        self.common.tasks.spawn(read.instrument(span));
    }

    fn remove(&mut self, key: usize) {
        let person = self.people.remove(key);
        person.line.gone("person");
        self.seats.remove(&person.seat.number());
        let name = person.seat.room().name();
        let Some(list) = self.rooms.get_mut(name) else {
            return;
        };
        list.swap_remove(person.place);
        if let Some(&moved) = list.get(person.place) {
            self.people[moved].place = person.place;
        }
        if list.is_empty() {
            self.rooms.remove(name);
        }
    }

    fn disconnect(&mut self, id: u64) -> bool {
        let mut people = self.people.iter_mut().map(|(_, person)| person);
        let Some(person) = people.find(|person| person.line.id == id) else {
            return false;
        };
        person.send_away(Away::Kicked, self.common.hub.notices());
        true
    }

    fn check(&mut self) {
        let notices = self.common.hub.notices();
        let people = self.people.iter_mut().map(|(_, person)| person);
        for person in people.filter(|person| person.is_revoked()) {
            person.send_away(Away::Revoked, notices);
        }
    }

    fn tick(&mut self) {
        let hub = &self.common.hub;
        let round = Round {
            now: Instant::now(),
            ping: hub.flow().ping,
            stall: hub.limits().stall_timeout,
        };
        for (_, person) in &mut self.people {
            if let Some(away) = person.line.look(&round) {
                person.send_away(away, hub.notices());
            }
        }
        if self.common.held.is_over() {
            self.give_up();
        }
    }

    /// Cuts off people for whom too much is kept: a close frame would wait behind it.
    fn give_up(&mut self) {
        let notices = self.common.hub.notices();
        for (_, person) in &mut self.people {
            if person.line.outbox.is_given_up() {
                person.send_away(Away::InFlight, notices);
            }
        }
    }

    async fn say_goodbye(&mut self, commands: &mut mpsc::Receiver<Command>) {
        self.stopping = true;
        for (_, person) in &mut self.people {
            person.line.close_with(close::GOING_AWAY, "stopping");
        }
        let seen_off = tokio::time::timeout(STOP, self.see_off(commands)).await;
        if seen_off.is_err() {
            let people = self.people.iter();
            people.for_each(|(_, person)| person.line.socket.hang_up());
        }
    }

    async fn see_off(&mut self, commands: &mut mpsc::Receiver<Command>) {
        let mut looks = interval(STOP_LOOKS);
        loop {
            if self.people.is_empty() {
                // From now on newcomers are closed where they come from.
                commands.close();
            }
            tokio::select! {
                command = commands.recv() => match command {
                    Some(command) => self.obey(command),
                    None => return,
                },
                _ = looks.tick() => self.tick(),
            }
        }
    }
}

/// All messages of a burst as one piece, if each of them is there and follows the one before.
fn joined(burst: &[Arc<RowsTold>]) -> Option<Bytes> {
    let follows = |pair: &[Arc<RowsTold>]| pair[0].to == pair[1].from;
    if !burst.windows(2).all(follows) {
        return None;
    }
    let frames = burst.iter().map(|told| told.frame.as_ref());
    let frames: Vec<&Bytes> = frames.collect::<Option<_>>()?;
    match frames[..] {
        [only] => Some(only.clone()),
        _ => {
            let all: Vec<&[u8]> = frames.iter().map(|frame| &frame[..]).collect();
            Some(all.concat().into())
        }
    }
}
