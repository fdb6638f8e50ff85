//! One of a room's people: what it asks for, and the replies that it has yet to be sent.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::task::unconstrained;
use tokio::time::{Instant, sleep_until, timeout};

use super::asker::Asker;
use super::entry::RoomEntry;
use super::reply::{Answer, Done};
use super::usage::RoomUse;
use crate::hub::Hub;
use crate::hub::presence::Place;
use crate::state::json::Json;
use crate::state::room::refused;
use crate::wire::room::{Asked, FromPeople, exception, refusal};

/// How long an action may take: clients give up after 10 s.
pub const PATIENCE: Duration = Duration::from_secs(9);
/// A client that has asked for nothing by then has reconnected, and asks for nothing any more.
const HEAL_AFTER: Duration = Duration::from_millis(300);
/// How many replies may wait for one person before no more is read from it: those to the actions
/// that it may ask for, within these bounds. An action that is not read is not answered in time.
const REPLIES: std::ops::RangeInclusive<usize> = 128..=4096;
/// The span over which actions are counted.
const SPAN: Duration = Duration::from_secs(10);

/// Who takes a seat.
pub struct Sitter {
    /// Whether it has shown the host token.
    pub is_host: bool,
    /// Where it is.
    pub address: IpAddr,
    /// What its client calls it, over all its connections.
    pub name: Option<Box<str>>,
    /// What kind of device it is.
    pub device: Box<str>,
}

/// A place in a room, taken while this lives.
pub struct Seat {
    usage: RoomUse,
    sitter: Sitter,
    number: u64,
    mail: Mutex<Mail>,
    /// There is room for another reply.
    drained: Notify,
    _place: Place,
}

/// What one person waits for.
struct Mail {
    slots: VecDeque<Slot>,
    /// How many replies were taken out of them.
    taken: u64,
    syncs: VecDeque<Wish>,
    /// The channels that it had asked for on connections before, if that is known.
    before: Option<Vec<usize>>,
    /// It is known, and has not been told of any rows yet.
    comes_back: bool,
    /// The channels that it has asked for on this connection.
    asked: Vec<usize>,
    /// When it is sent what it has not asked for.
    heal_at: Option<Instant>,
    /// Since when its actions are counted, and how many they were.
    counted: (Instant, u32),
    /// An action has waited in vain for a place in the store's queue: those that came behind it
    /// have waited as long, and get one at once or never.
    is_stuck: bool,
}

/// The reply to one action.
enum Slot {
    /// It is not there yet.
    Waiting(Arc<Asked>, Instant, oneshot::Receiver<Answer>),
    /// Its rows are.
    Done(Arc<Asked>, Done),
    /// It is a message without rows.
    Said(String),
}

/// The rows of a channel that a person wants.
pub struct Wish {
    /// The place of the channel.
    pub channel: usize,
    /// Since when; none: all of them.
    pub from: Option<u64>,
    /// Whether the deletions are wanted with all rows.
    pub heals: bool,
    /// How many replies may be taken before it: none of what was asked for later, which would tell
    /// the client's next mount that it has all that is older.
    after: u64,
}

/// A reply whose turn it is.
pub enum Due {
    /// Rows follow.
    Done(Arc<Asked>, Done),
    /// A whole message.
    Said(String),
    /// Rows follow when those that changed up to this time have been sent.
    After(u64),
}

impl Hub {
    /// Takes a seat in a room.
    pub fn sit_down(&self, usage: RoomUse, sitter: Sitter, place: Place) -> Seat {
        usage.room().count_person(true);
        self.mark_change();
        let now = Instant::now();
        let before = sitter.name.as_ref().and_then(|person| {
            let before = self.0.rooms.before.lock();
            let before = before.unwrap_or_else(PoisonError::into_inner);
            before.of(usage.room().name(), person)
        });
        Seat {
            usage,
            sitter,
            number: 1 + self.0.rooms.seats.fetch_add(1, Ordering::Relaxed),
            mail: Mutex::new(Mail {
                slots: VecDeque::new(),
                taken: 0,
                syncs: VecDeque::new(),
                asked: Vec::new(),
                comes_back: before.is_some(),
                before,
                heal_at: Some(now + HEAL_AFTER),
                counted: (now, 0),
                is_stuck: false,
            }),
            drained: Notify::new(),
            _place: place,
        }
    }
}

impl Seat {
    /// The room.
    pub fn room(&self) -> &Arc<RoomEntry> {
        self.usage.room()
    }

    /// Unique while the daemon runs.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Does what a text message asks for.
    pub async fn hear(&self, text: &str) {
        match FromPeople::parse(text) {
            Ok(FromPeople::Act(asked)) => self.act(asked).await,
            Ok(FromPeople::Sync { channel, from }) => self.sync(channel, from),
            Err(reason) => self.say(exception(&reason)),
        }
    }

    /// Answers what is no text message.
    pub fn hear_binary(&self) {
        self.say(exception("expected a text message"));
    }

    fn sync(&self, name: String, from: Option<u64>) {
        let hub = self.usage.hub();
        let Some(channel) = hub.channels().get_index_of(&name) else {
            let reason = hub.no_channel(&name);
            let asked = Asked {
                id: Json::null(),
                channel: name,
                action: Json::null(),
            };
            return self.say(refusal(&asked, &[reason]));
        };
        if let Some(person) = &self.sitter.name {
            let before = hub.0.rooms.before.lock();
            let mut before = before.unwrap_or_else(PoisonError::into_inner);
            before.note(self.room().name(), person, channel);
        }
        let mut mail = self.mail();
        if !mail.asked.contains(&channel) {
            mail.asked.push(channel);
        }
        let after = mail.taken + mail.slots.len() as u64;
        mail.syncs.push_back(Wish {
            channel,
            from,
            heals: false,
            after,
        });
    }

    async fn act(&self, asked: Asked) {
        let (hub, asker) = (self.usage.hub(), self.asker());
        let most = hub.limits().actions;
        if !self.mail().count_action(most) {
            let reason = format!("over {most} actions in ten seconds (--max-actions)");
            hub.count_refusal(hub.action_line(self.room(), &asked, &asker), &reason);
            return self.say(refusal(&asked, &[reason]));
        }
        let deadline = Instant::now() + PATIENCE;
        let (answer, answered) = oneshot::channel();
        // What was asked for may be large, and is needed for the answer no more.
        let call = Arc::new(Asked {
            action: Json::null(),
            ..asked.clone()
        });
        let slot = Slot::Waiting(call, deadline, answered);
        self.mail().slots.push_back(slot);
        let acted = hub.act(self.room(), &asked, &asker, answer);
        // In a cluster one action follows another, and none takes that long.
        let patience = match self.mail().is_stuck && !hub.is_in_cluster() {
            true => Duration::ZERO,
            false => PATIENCE,
        };
        // A disk that does not answer keeps nobody waiting: the slot says so in time. A place that
        // is there is taken even by a task that has done much already.
        let acted = timeout(patience, unconstrained(acted)).await;
        self.mail().is_stuck = acted.is_err();
    }

    fn asker(&self) -> Asker<'_> {
        Asker {
            seat: Some(self.number),
            is_host: self.sitter.is_host,
            is_outside: false,
            address: self.sitter.address,
            name: self.sitter.name.as_deref().unwrap_or_default(),
            device: &self.sitter.device,
        }
    }

    fn say(&self, message: String) {
        self.mail().slots.push_back(Slot::Said(message));
    }

    /// Waits until there is something to do without having heard anything: a reply that takes too
    /// long, or what a client that has come back does not ask for.
    pub async fn overdue(&self) {
        let due = self.mail().next_due();
        match due {
            Some(due) => sleep_until(due).await,
            None => std::future::pending().await,
        }
    }

    /// Does it.
    pub fn hurry(&self) {
        let now = Instant::now();
        let mut mail = self.mail();
        mail.slots.iter_mut().for_each(|slot| slot.settle(now));
        if mail.heal_at.is_some_and(|at| at <= now) {
            (mail.heal_at, mail.comes_back) = (None, false);
            let all = 0..self.usage.hub().channels().len();
            mail.heal(all.collect());
        }
    }

    /// Before it is told of any rows, somebody who has come back gets those that it had: otherwise
    /// they would tell the client's next mount that it has all that is older.
    pub fn heal_first(&self) {
        let mut mail = self.mail();
        if std::mem::take(&mut mail.comes_back) {
            if mail.slots.is_empty() {
                mail.heal_at = None;
            }
            // Otherwise again: a client that has given up on an action by now, which it sent when
            // it was back, does not look at the reply.
            mail.heal(Vec::new());
        }
    }

    /// Whether that is still to come.
    pub fn comes_back(&self) -> bool {
        self.mail().comes_back
    }

    /// Whether there is room for another reply, or another wish.
    pub fn has_room(&self) -> bool {
        let actions = self.usage.hub().limits().actions as usize;
        let most = actions.clamp(*REPLIES.start(), *REPLIES.end());
        let mail = self.mail();
        mail.slots.len() < most && mail.syncs.len() < *REPLIES.start()
    }

    /// Waits until a reply has been taken.
    pub async fn drained(&self) {
        self.drained.notified().await;
    }

    /// The reply whose turn it is, if it is there, for somebody who has been sent all changes up to
    /// one time, and is to be sent them up to another: a reply comes after what others have changed
    /// before it.
    pub fn next_reply(&self, reached: u64, head: u64) -> Option<Due> {
        let (now, mut mail) = (Instant::now(), self.mail());
        let wish = mail.syncs.front();
        if wish.is_some_and(|wish| wish.after <= mail.taken) {
            return None;
        }
        mail.slots.iter_mut().for_each(|slot| slot.settle(now));
        let from = |slot: &Slot| match slot {
            Slot::Done(_, done) => Some(done.from),
            _ => None,
        };
        // The rows of a reply are not those of others.
        let before = mail.slots.iter().find_map(from).unwrap_or(head);
        match mail.slots.front()? {
            Slot::Waiting(..) => return None,
            _ if before > reached => return Some(Due::After(before)),
            _ => {}
        }
        let due = match mail.slots.pop_front()? {
            Slot::Done(asked, done) => Due::Done(asked, done),
            Slot::Said(message) => Due::Said(message),
            Slot::Waiting(..) => return None,
        };
        mail.taken += 1;
        self.drained.notify_one();
        Some(due)
    }

    /// The next channel that it has not asked for, but is sent before the replies to its actions.
    pub fn next_healing(&self) -> Option<Wish> {
        let mut mail = self.mail();
        let place = mail.syncs.iter().position(|wish| wish.heals)?;
        self.drained.notify_one();
        mail.syncs.remove(place)
    }

    /// The next channel that it wants the rows of, if it is the turn of one.
    pub fn next_wish_if(&self, is_turn: bool) -> Option<Wish> {
        let wish = is_turn.then(|| self.mail().syncs.pop_front())??;
        self.drained.notify_one();
        Some(wish)
    }

    fn mail(&self) -> MutexGuard<'_, Mail> {
        // A panic elsewhere leaves it whole.
        self.mail.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Mail {
    /// Wishes for what a client needs that does not ask for it: the channels of its connections
    /// before that it has not asked for on this one. Where they are not known, and it has asked for
    /// nothing, it is all of these.
    fn heal(&mut self, all: Vec<usize>) {
        let unknown = if self.asked.is_empty() {
            all
        } else {
            Vec::new()
        };
        let channels = self.before.clone().unwrap_or(unknown);
        let missing = channels
            .into_iter()
            .filter(|channel| !self.asked.contains(channel));
        let wish = |channel| Wish {
            channel,
            from: None,
            heals: true,
            after: 0,
        };
        self.syncs.extend(missing.map(wish));
    }

    /// Counts an action; returns whether it is within the limit.
    fn count_action(&mut self, most: u32) -> bool {
        let now = Instant::now();
        if now - self.counted.0 >= SPAN {
            self.counted = (now, 0);
        }
        self.counted.1 = self.counted.1.saturating_add(1);
        self.counted.1 <= most
    }

    /// Replies are due in their order, so the first one that waits is the next.
    fn next_due(&self) -> Option<Instant> {
        let deadline = |slot: &Slot| match slot {
            Slot::Waiting(_, deadline, _) => Some(*deadline),
            _ => None,
        };
        let first = self.slots.iter().find_map(deadline);
        first.into_iter().chain(self.heal_at).min()
    }
}

impl Slot {
    /// Takes the answer if it is there, and gives up on one that takes too long.
    fn settle(&mut self, now: Instant) {
        let Slot::Waiting(asked, deadline, answered) = self else {
            return;
        };
        let answer = match answered.try_recv() {
            Ok(answer) => answer,
            Err(oneshot::error::TryRecvError::Empty) if now < *deadline => return,
            Err(_) => Err(refused("no answer within 9 s: it may still be done").into()),
        };
        let asked = asked.clone();
        *self = match answer {
            Ok(done) => Slot::Done(asked, done),
            Err(reason) => Slot::Said(refusal(&asked, &reason.reasons())),
        };
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.room().count_person(false);
    }
}
