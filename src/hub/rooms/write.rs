//! Actions: who may ask for one, who decides on it, and what becomes of its rows.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tokio::sync::oneshot;

use super::asker::Asker;
use super::entry::RoomEntry;
use super::handed::{RowsHandedOver, RowsIntent};
use super::hosts::Question;
use super::line::ActionLine;
use super::reply::{Answer, Denied, Done, Reply};
use crate::hub::Hub;
use crate::hub::clock::unix_micros;
use crate::hub::job::Permit;
use crate::state::room::{
    Action, Actions, Book, Channel, Edit, Refused, RowsChange, Writers, refused,
};
use crate::wire::room::Asked;

/// What is to become of rows.
pub enum Wanted {
    /// What the daemon's own action does.
    Action(Action),
    /// What a host says.
    Edits(Vec<Edit>),
}

/// Who decides on an action.
enum Decides {
    Daemon(Action),
    Host,
}

/// More rows than this are changed on a thread of their own.
const MANY: usize = 1_000;

impl Hub {
    /// Does what an action asks for, or asks the room's host. The answer comes when its rows are
    /// durable, or need not be.
    pub async fn act(
        &self,
        room: &Arc<RoomEntry>,
        asked: &Asked,
        asker: &Asker<'_>,
        answer: oneshot::Sender<Answer>,
    ) {
        let reply = Reply {
            by: asker.seat,
            answer,
            line: self.action_line(room, asked, asker),
        };
        let channels = &self.0.rooms.channels;
        let found = channels.get_full(&asked.channel);
        let Some((place, _, channel)) = found else {
            let reason = self.no_channel(&asked.channel);
            return self.refuse(room, reply, refused(reason));
        };
        match decides(channel, asked, asker) {
            Ok(Decides::Daemon(action)) => {
                let action = Wanted::Action(action);
                // The answer says so too.
                let _ = self.write_rows(room, place, action, reply).await;
            }
            Ok(Decides::Host) => {
                let question = Question {
                    channel: place,
                    name: &asked.channel,
                    action: &asked.action,
                    from: (asker.name, asker.device),
                };
                let elsewhere = self.0.cluster.as_ref().filter(|_| room.hosts() == 0);
                if let Some(cluster) = elsewhere {
                    self.ask_elsewhere(cluster, room, &question, reply);
                } else if let Err((reply, reason)) = room.hosts.ask(&question, reply) {
                    self.refuse(room, reply, refused(reason));
                }
            }
            Err(reason) => self.refuse(room, reply, reason),
        }
    }

    /// That no channel of this name is declared.
    pub fn no_channel(&self, name: &str) -> String {
        let declared = self.0.rooms.channels.keys().cloned();
        let declared = declared.collect::<Vec<_>>().join(", ");
        let name: String = name.chars().take(80).collect();
        format!("there is no channel {name:?}; declared: {declared} ([rooms.channels])")
    }

    /// Changes rows of a channel, as soon as the store has a place for them.
    ///
    /// # Errors
    /// Says why it cannot be, as whoever waits for the answer is told.
    pub(super) async fn write_rows(
        &self,
        room: &Arc<RoomEntry>,
        channel: usize,
        wanted: Wanted,
        reply: Reply,
    ) -> Result<(), Denied> {
        if let Some(cluster) = &self.0.cluster {
            return self.share_rows(cluster, room, channel, wanted, reply).await;
        }
        let Ok(permit) = self.permit().await else {
            self.refuse(room, reply, Denied::Stopping);
            return Err(Denied::Stopping);
        };
        let many = match &wanted {
            Wanted::Action(Action::DeleteAll) => room.book().table(channel).len(),
            Wanted::Action(_) => 1,
            Wanted::Edits(edits) => edits.len(),
        };
        if many <= MANY {
            return self.write_now(room, channel, wanted, reply, permit);
        }
        let (hub, room) = (self.clone(), room.clone());
        let work = move || hub.write_now(&room, channel, wanted, reply, permit);
        // Ends early only with the daemon.
        self.0.tasks.spawn_blocking(work).await.unwrap_or(Ok(()))
    }

    fn write_now(
        &self,
        room: &Arc<RoomEntry>,
        channel: usize,
        wanted: Wanted,
        reply: Reply,
        permit: Option<Permit>,
    ) -> Result<(), Denied> {
        let mut book = room.book();
        let change = match self.change(&mut book, channel, wanted) {
            Ok(change) => change,
            Err((reason, told)) => {
                drop(book);
                self.refuse_untold(room, reply, &told, reason.clone());
                return Err(reason.into());
            }
        };
        let intent = RowsIntent::Change(change, reply);
        match permit {
            None => {
                let line = intent.keep(self, room, &mut book);
                drop(book);
                drop(line);
                self.mark_change();
            }
            // Under the lock, so that rows are queued in the order of their times.
            Some(permit) => permit.send_rows(RowsHandedOver {
                room: room.clone(),
                intent,
            }),
        }
        Ok(())
    }

    /// What becomes of the rows. Fails with the reason, and with what the log is told of it: the
    /// reason may hold values.
    fn change(
        &self,
        book: &mut Book,
        channel: usize,
        wanted: Wanted,
    ) -> Result<RowsChange, (Refused, String)> {
        let now = unix_micros() / 1000;
        let unfit = |reason| (reason, "it does not fit the rows".to_owned());
        let edits = match wanted {
            Wanted::Action(action) => book.edits(channel, action, now, fresh_id).map_err(unfit)?,
            Wanted::Edits(edits) => edits,
        };
        let edits = self.has_room_for(edits);
        let change = edits.and_then(|edits| book.write(channel, edits, now));
        change.map_err(|reason| {
            let told = reason.join("; ");
            (reason, told)
        })
    }

    /// Passes edits on, unless they need room that is not there for all rooms together.
    pub(in crate::hub) fn has_room_for(&self, edits: Vec<Edit>) -> Result<Vec<Edit>, Refused> {
        let sizes = edits.iter().map(|edit| match edit {
            Edit::Put(_, values, _) => values.len(),
            Edit::Delete(_) => 0,
        });
        let (more, most): (usize, _) = (sizes.sum(), self.0.limits.rows_size);
        let size = self.0.rooms.size.load(Ordering::Relaxed);
        match more == 0 || size.saturating_add(more) <= most {
            true => Ok(edits),
            false => Err(refused(format_args!(
                "the rows of all rooms take {size} bytes, no more fit into {most} (--max-rows-size)"
            ))),
        }
    }

    /// Answers that rows have changed.
    pub(in crate::hub) fn answer_action(&self, room: &Arc<RoomEntry>, reply: Reply, done: Done) {
        let Reply { by, answer, line } = reply;
        if let Some(mut line) = line {
            line.done(done.rows.len());
        }
        // Nobody may be there to hear of it.
        let _ = answer.send(Ok(done));
        self.wake(room, by);
    }

    /// Answers that nothing has changed, for a reason without values, and has whoever waits look.
    pub(in crate::hub) fn refuse(
        &self,
        room: &Arc<RoomEntry>,
        reply: Reply,
        reason: impl Into<Denied>,
    ) {
        let reason = reason.into();
        let told = reason.clone().reasons().join("; ");
        self.refuse_untold(room, reply, &told, reason);
    }

    /// The same, for a reason that may hold values: the log is told something else.
    pub(in crate::hub) fn refuse_untold(
        &self,
        room: &Arc<RoomEntry>,
        reply: Reply,
        told: &str,
        reason: impl Into<Denied>,
    ) {
        self.count_refusal(reply.line, told);
        // Nobody may be there to hear of it.
        let _ = reply.answer.send(Err(reason.into()));
        self.wake(room, reply.by);
    }

    /// Counts an action that is refused.
    pub(super) fn count_refusal(&self, line: Option<Box<ActionLine>>, told: &str) {
        let refusals = &self.0.counts.refused_actions;
        refusals.fetch_add(1, Ordering::Relaxed);
        if let Some(mut line) = line {
            line.refused(told);
        }
    }

    /// What the log tells of an action.
    pub(super) fn action_line(
        &self,
        room: &RoomEntry,
        asked: &Asked,
        asker: &Asker<'_>,
    ) -> Option<Box<ActionLine>> {
        ActionLine::of(&self.0.notices, room.name(), asked, asker)
    }
}

/// Who decides on an action, if whoever asks may ask for it.
fn decides(channel: &Channel, asked: &Asked, asker: &Asker<'_>) -> Result<Decides, Refused> {
    let needs_token = channel.writers == Writers::Host && !asker.is_host;
    match channel.actions {
        Actions::None if !asker.is_outside => Err(refused(format_args!(
            "only the host writes to {}",
            asked.channel
        ))),
        _ if needs_token => Err(refused(format_args!(
            "only who shows the host token writes to {0}: give it as ?token=, or set writers = \"viewers\" in [rooms.channels.{0}]",
            asked.channel
        ))),
        Actions::Host => Ok(Decides::Host),
        Actions::Rows | Actions::None => Ok(Decides::Daemon(Action::parse(&asked.action)?)),
    }
}

/// An id that nobody else makes.
pub fn fresh_id() -> String {
    let mut bytes = [0; 12];
    // Without randomness, ids of rows differ by the check for those in use.
    let _ = getrandom::fill(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}
