//! A room's host is connected to one of the daemons: people of the others ask it by way of NATS, at most
//! once.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};
use tokio_util::sync::DropGuard;

use super::super::Hub;
use super::super::receipt::WriteError;
use super::super::rooms::{Denied, Done, PATIENCE, Question, Reply, RoomEntry};
use super::part::Cluster;
use crate::cluster::{Asker, RowKey, key_of};
use crate::state::json::Json;
use crate::state::room::{Actions, RoomName, refused};

/// How long the rows of an answer may take to come here.
const COMING: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_secs(1);

#[derive(Serialize, Deserialize)]
struct Asked<'a> {
    channel: &'a str,
    #[serde(borrow)]
    action: &'a RawValue,
    /// What its client calls whoever asks, and its device.
    from: (String, String),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Told {
    /// The ids of the rows that have changed, and the bucket's numbers for them.
    Done(Vec<(String, u64)>),
    Refused(Vec<String>),
}

impl Hub {
    /// Has a host decide that is connected to another daemon.
    pub(in crate::hub) fn ask_elsewhere(
        &self,
        cluster: &Arc<Cluster>,
        room: &Arc<RoomEntry>,
        question: &Question<'_>,
        reply: Reply,
    ) {
        let (from, device) = question.from;
        // What was JSON is JSON.
        let action = RawValue::from_string(question.action.to_string()).unwrap_or_default();
        let asked = Asked {
            channel: question.name,
            action: &action,
            from: (from.to_owned(), device.to_owned()),
        };
        let text = serde_json::to_string(&asked).unwrap_or_default();
        let (hub, cluster, room, channel) = (
            self.clone(),
            cluster.clone(),
            room.clone(),
            question.channel,
        );
        let mut ask = Box::pin(async move {
            match hub.told_elsewhere(&cluster, &room, channel, text).await {
                Ok(done) => hub.answer_action(&room, reply, done),
                Err(reason) => hub.refuse_untold(&room, reply, &reason.told(), reason),
            }
        });
        // It is sent before what is asked for next, whenever the answer comes.
        if (&mut ask).now_or_never().is_none() {
            let stop = self.0.stop.clone();
            self.0
                .tasks
                .spawn(async move { stop.run_until_cancelled(ask).await });
        }
    }

    async fn told_elsewhere(
        &self,
        cluster: &Cluster,
        room: &RoomEntry,
        channel: usize,
        text: String,
    ) -> Result<Done, Denied> {
        if !cluster.connection.link().borrow().connected {
            let reason = "there is no connection, and the host may be at another daemon";
            return Err(WriteError::Cluster(reason.to_owned()).into());
        }
        let about = about(room.name());
        let asked = cluster.connection.ask(&about, text, PATIENCE);
        let told = asked.await.map_err(WriteError::Unknown)?;
        let told = told.ok_or_else(|| {
            refused("no host is connected to any daemon, which would decide on it (/host?room=)")
        })?;
        let rows = match serde_json::from_slice(&told) {
            Ok(Told::Done(rows)) => rows,
            Ok(Told::Refused(reasons)) => return Err(reasons.into()),
            Err(error) => return Err(WriteError::Unknown(error.to_string()).into()),
        };
        // What does not come in time is told as others' changes are.
        let _ = timeout(COMING, self.await_rows(cluster, room, channel, &rows)).await;
        let head = room.book().head();
        Ok(Done {
            channel,
            rows: rows.into_iter().map(|(id, _)| id.into()).collect(),
            from: head,
            to: head,
        })
    }

    async fn await_rows(
        &self,
        cluster: &Cluster,
        room: &RoomEntry,
        channel: usize,
        rows: &[(String, u64)],
    ) {
        let mut changes = self.changes();
        let is_there = |(id, number): &(String, u64)| {
            let key = self.key_of_row(room.name(), channel, id);
            key.is_none_or(|key| cluster.rows.slots().get(&key).number >= *number)
        };
        while !rows.iter().all(is_there) {
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    fn key_of_row(&self, room: &RoomName, channel: usize, id: &str) -> Option<RowKey> {
        let (channel, _) = self.channels().get_index(channel)?;
        Some(RowKey {
            room: room.clone(),
            channel: channel.as_str().into(),
            id: id.into(),
        })
    }

    /// Answers what people of other daemons ask a room's host, until what is returned is dropped.
    pub(in crate::hub) fn answer_for_host(&self, room: &RoomName) -> Option<DropGuard> {
        let cluster = self.0.cluster.clone()?;
        let (gone, hub, name) = (self.0.stop.child_token(), self.clone(), room.clone());
        let guard = gone.clone().drop_guard();
        let answer = async move {
            loop {
                if let Ok(mut questions) = cluster.connection.questions(&about(&name)).await {
                    while let Some((asked, to)) = questions.next().await {
                        let answer = hub.clone().answer(cluster.clone(), name.clone(), asked, to);
                        hub.0.tasks.spawn(answer);
                    }
                }
                sleep(PAUSE).await;
            }
        };
        let answer = async move { gone.run_until_cancelled(answer).await };
        self.0.tasks.spawn(answer);
        Some(guard)
    }

    async fn answer(self, cluster: Arc<Cluster>, room: RoomName, asked: bytes::Bytes, to: Asker) {
        let told = timeout(PATIENCE, self.ask_here(&cluster, &room, &asked)).await;
        // Whoever asked has given up by then.
        let Ok(told) = told else { return };
        let told = told.unwrap_or_else(|reason| Told::Refused(reason.reasons()));
        let text = serde_json::to_string(&told).unwrap_or_default();
        if let Err(error) = cluster.connection.answer(to, text).await {
            tracing::warn!(%room, "another daemon was not told what its host has decided: {error} (--nats)");
        }
    }

    async fn ask_here(
        &self,
        cluster: &Cluster,
        name: &RoomName,
        asked: &[u8],
    ) -> Result<Told, Denied> {
        let wrong = |error: serde_json::Error| refused(error);
        let asked: Asked = serde_json::from_slice(asked).map_err(wrong)?;
        let action = Json::parse(asked.action.get().as_bytes()).map_err(refused)?;
        let declared = self.channels().get_full(asked.channel);
        let declared = declared.filter(|(.., channel)| channel.actions == Actions::Host);
        let (channel, ..) = declared.ok_or_else(|| refused(self.no_channel(asked.channel)))?;
        let room = self
            .room(name)
            .ok_or_else(|| refused("the host has gone"))?;
        let question = Question {
            channel,
            name: asked.channel,
            action: &action,
            from: (&asked.from.0, &asked.from.1),
        };
        let (answer, answered) = oneshot::channel();
        let reply = Reply {
            by: None,
            answer,
            line: None,
        };
        room.ask_host(&question, reply)
            .map_err(|(_, reason)| refused(reason))?;
        let done = answered.await.unwrap_or(Err(Denied::Stopping))?;
        let number = |id: &str| {
            let key = self.key_of_row(name, channel, id)?;
            Some(cluster.rows.slots().get(&key).number)
        };
        let rows = done.rows.iter();
        let rows = rows.map(|id| (id.to_string(), number(id).unwrap_or_default()));
        Ok(Told::Done(rows.collect()))
    }
}

/// What the daemons that have a host of a room answer questions about.
fn about(room: &RoomName) -> String {
    format!("host.{}", key_of(room.topic()))
}
