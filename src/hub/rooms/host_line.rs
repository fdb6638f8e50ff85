//! A connected host of a room, where it decides on what the room's people want.

use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::{Mutex, mpsc, oneshot};
use tokio_util::sync::DropGuard;

use super::asker::Asker;
use super::entry::RoomEntry;
use super::hosts::{QUESTIONS, Waiting};
use super::reply::{Answer, Denied, Reply};
use super::usage::RoomUse;
use super::write::Wanted;
use crate::hub::Hub;
use crate::hub::receipt::WriteError;
use crate::state::json::Json;
use crate::state::room::{Edit, Refused, RoomName, refused};
use crate::wire::room::{Asked, FromHost};

/// A connected host of a room, which is asked what its people want.
pub struct HostLine {
    usage: RoomUse,
    number: u64,
    questions: Mutex<mpsc::Receiver<String>>,
    /// The people of other daemons are answered for as long as it is there.
    _answers: Option<DropGuard>,
}

impl Hub {
    /// Connects a host to a room.
    ///
    /// # Errors
    /// When there are too many rooms already.
    pub fn attach_to_room(&self, name: &RoomName) -> Result<HostLine, WriteError> {
        let usage = self.use_room(name)?;
        let (line, questions) = mpsc::channel(QUESTIONS);
        let number = {
            let mut asked = usage.room().hosts.asked();
            asked.numbers += 1;
            let number = asked.numbers;
            asked.lines.push((number, line));
            number
        };
        self.mark_change();
        Ok(HostLine {
            usage,
            number,
            questions: Mutex::new(questions),
            _answers: self.answer_for_host(name),
        })
    }
}

impl HostLine {
    /// The room.
    pub fn room(&self) -> &Arc<RoomEntry> {
        self.usage.room()
    }

    /// What it is asked next.
    pub async fn next(&self) -> Option<String> {
        self.questions.lock().await.recv().await
    }

    /// Does what the host says, which is at an address. Returns whether that needs an answer: what
    /// nobody asked for does.
    ///
    /// # Errors
    /// Says what is wrong with it; whoever waits for it is told that too.
    pub async fn hear(&self, said: FromHost, address: IpAddr) -> Result<bool, Denied> {
        match said {
            FromHost::Refuse { id, error } => {
                let Waiting { reply, .. } = self.answered(id).ok_or_else(|| not_waiting(id))?;
                self.refuse(reply, "the host has refused it", error);
                Ok(false)
            }
            FromHost::Rows { id, channel, rows } => match (self.answered(id), channel) {
                (Some(waiting), _) => self.answer(waiting, &rows).await.map(|()| false),
                (None, Some(channel)) => self.write_unasked(channel, &rows, address).await,
                (None, None) => Err(not_waiting(id).into()),
            },
            FromHost::Unasked { channel, rows } => {
                self.write_unasked(channel, &rows, address).await
            }
        }
    }

    /// Where the answer goes to rows that nobody asked for.
    fn unasked(&self, channel: String, address: IpAddr, answer: oneshot::Sender<Answer>) -> Reply {
        let rows = Asked {
            id: Json::null(),
            channel,
            action: Json::of(&serde_json::json!({ "type": "rows" })),
        };
        let (hub, host) = (self.usage.hub(), Asker::host(address));
        Reply {
            by: None,
            answer,
            line: hub.action_line(self.room(), &rows, &host),
        }
    }

    async fn answer(&self, waiting: Waiting, rows: &[Json]) -> Result<(), Denied> {
        let Waiting { channel, reply, .. } = waiting;
        match self.edits(channel, rows) {
            Ok(edits) => self.write(channel, edits, reply).await,
            Err(reason) => {
                let told = "the host has answered with rows that do not fit its columns";
                self.refuse(reply, told, refused(told));
                Err(reason.into())
            }
        }
    }

    async fn write_unasked(
        &self,
        channel: String,
        rows: &[Json],
        address: IpAddr,
    ) -> Result<bool, Denied> {
        let hub = self.usage.hub();
        let place = hub.channels().get_index_of(&channel);
        let place = place.ok_or_else(|| refused(hub.no_channel(&channel)))?;
        let edits = self.edits(place, rows)?;
        let (answer, answered) = oneshot::channel();
        let reply = self.unasked(channel, address, answer);
        self.write(place, edits, reply).await?;
        let answer = answered.await.unwrap_or(Err(Denied::Stopping));
        answer.map(|_| true)
    }

    /// What the host has answered cannot be understood: nobody has to wait for it any more.
    pub fn give_up(&self, id: u64) {
        if let Some(Waiting { reply, .. }) = self.answered(id) {
            let told = "the host has answered with what is no answer";
            self.refuse(reply, told, refused(told));
        }
    }

    /// The question of this number, if somebody waits for its answer. One that took too long is
    /// still known here.
    fn answered(&self, id: u64) -> Option<Waiting> {
        let mut asked = self.room().hosts.asked();
        let waiting = asked.waiting.get(&id)?;
        (waiting.host == self.number).then(|| asked.waiting.remove(&id))?
    }

    fn edits(&self, channel: usize, rows: &[Json]) -> Result<Vec<Edit>, Refused> {
        let channels = self.usage.hub().channels();
        let declared = channels.get_index(channel).map(|(_, declared)| declared);
        let edit = |row: &Json| declared.ok_or_else(Refused::new)?.host_row(row);
        rows.iter().map(edit).collect()
    }

    async fn write(&self, channel: usize, edits: Vec<Edit>, reply: Reply) -> Result<(), Denied> {
        let (hub, edits) = (self.usage.hub(), Wanted::Edits(edits));
        hub.write_rows(self.room(), channel, edits, reply).await
    }

    fn refuse(&self, reply: Reply, told: &str, reason: Refused) {
        let hub = self.usage.hub();
        hub.refuse_untold(self.room(), reply, told, reason);
    }
}

fn not_waiting(id: u64) -> Refused {
    refused(format_args!(
        "action {id} is not waiting for an answer; rows that nobody waits for have to name their channel"
    ))
}

impl Drop for HostLine {
    fn drop(&mut self) {
        let left: Vec<Reply> = {
            let mut asked = self.room().hosts.asked();
            asked.lines.retain(|(number, _)| *number != self.number);
            let number = self.number;
            let left = asked
                .waiting
                .extract_if(|_, waiting| waiting.host == number);
            left.map(|(_, waiting)| waiting.reply).collect()
        };
        for reply in left {
            let told = "the host has gone before it has answered";
            self.refuse(reply, told, refused(told));
        }
    }
}
