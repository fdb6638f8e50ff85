//! A room as a topic, for those who only watch: its live rows as objects. It is made when somebody
//! looks at it, made anew after the room's changes while somebody watches, and goes within a minute
//! of the last of them.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::broadcast::{Receiver, error::RecvError, error::TryRecvError};
use tokio::time::sleep;

use super::entry::RoomEntry;
use super::told::RowsTold;
use crate::hub::Hub;
use crate::hub::change::Write;
use crate::hub::clock::unix_micros;
use crate::hub::entry::TopicEntry;
use crate::hub::receipt::{WriteError, WriteOptions};
use crate::state::json::{Json, LARGE};
use crate::state::name::TopicName;
use crate::state::room::{Channel, RoomName, Row};
use crate::state::session::Session;
use crate::state::topic::Change;

impl Hub {
    /// The room that a topic of this name shows, which need not exist.
    pub fn shown_room(&self, topic: &TopicName) -> Option<RoomName> {
        if self.0.rooms.shown.channels.is_empty() {
            return None;
        }
        let (party, room) = topic.as_str().split_once('.')?;
        let room = RoomName::new(party, room).ok()?;
        self.has_party(party).then_some(room)
    }

    /// Refuses to write to a topic that shows a room, or what another daemon has.
    pub(in crate::hub) fn may_be_written(&self, topic: &TopicName) -> Result<(), WriteError> {
        match self.shown_room(topic) {
            Some(room) => Err(WriteError::Room(room.to_string())),
            None => self.is_own(topic),
        }
    }

    /// Brings the topic up to date that shows a room, for somebody who looks at it now; `comes`
    /// tells that it will be watched, even before the room exists. Does nothing for other topics.
    pub async fn show(&self, topic: &TopicName, comes: bool) {
        let Some(name) = self.shown_room(topic) else {
            return;
        };
        let room = self.room(&name);
        if room.is_none() && !comes {
            return;
        }
        let turn = self.0.rooms.shown.turn.clone().lock_owned().await;
        let head = room.as_ref().map_or(0, |room| room.book().head());
        let entry = match self.topic(topic) {
            Some(entry) if entry.shows_room_at(head) => return,
            Some(entry) => entry,
            None if self.has_room_to_show() => self.unlisted(topic, self.sources(topic)),
            None => return,
        };
        let (hub, size) = (self.clone(), self.shown_size(room.as_deref()));
        if size > self.0.limits.session {
            return self.warn_of_size(&name);
        }
        let write = move || {
            // Even if whoever looks has gone meanwhile.
            let _turn = turn;
            hub.write_shown(&name, &entry, room.as_deref(), head);
        };
        match size > LARGE {
            // Ends early only with the daemon.
            true => _ = self.0.tasks.spawn_blocking(write).await,
            false => write(),
        }
    }

    /// How many bytes the rows that are shown have at least.
    fn shown_size(&self, room: Option<&RoomEntry>) -> usize {
        let shown = self.0.rooms.shown.channels.iter();
        room.map_or(0, |room| {
            let book = room.book();
            shown.map(|channel| book.table(*channel).live_size()).sum()
        })
    }

    fn warn_of_size(&self, room: &RoomName) {
        let warned = self.0.rooms.shown.warned.lock();
        let mut warned = warned.unwrap_or_else(PoisonError::into_inner);
        if warned.insert(room.clone()) {
            tracing::warn!(%room, "a room is too large for the topic that shows it, which stays as it was (--max-session)");
        }
    }

    fn write_shown(
        &self,
        name: &RoomName,
        entry: &Arc<TopicEntry>,
        room: Option<&RoomEntry>,
        head: u64,
    ) {
        let session = Session::of_data(&name.to_string(), self.shown_rows(room));
        let write = Write {
            change: Change::Replace(session),
            options: WriteOptions {
                source: Some("room".into()),
                age: Duration::from_millis((unix_micros() / 1000).saturating_sub(head)),
                ..WriteOptions::default()
            },
        };
        match self.accept(entry, &write, None, None) {
            Ok(_) => entry.show_room_at(head),
            Err(WriteError::Refused(_)) => self.warn_of_size(name),
            // It ends at this moment, or the daemon does.
            Err(_) => {}
        }
    }

    /// The live rows of the channels that are shown, each as an object, the oldest first.
    fn shown_rows(&self, room: Option<&RoomEntry>) -> Json {
        let channels = &self.0.rooms.channels;
        let shown = self.0.rooms.shown.channels.iter();
        let shown = shown.filter_map(|place| Some((*place, channels.get_index(*place)?)));
        let data: Vec<(&str, Json)> = shown
            .map(|(place, (name, declared))| {
                (
                    name.as_str(),
                    room.map_or_else(Vec::new, |room| room.live(place)),
                    declared,
                )
            })
            .map(|(name, rows, declared)| (name, objects(&rows, declared)))
            .collect();
        Json::object(data.iter().map(|(name, rows)| (*name, rows)))
    }

    /// Keeps the topics that are watched up to date, until the daemon stops.
    pub(in crate::hub) async fn follow_rooms(self) {
        let mut told = self.rows_told();
        let follow = async {
            while let Some(changed) = heard(&mut told).await {
                let changed = changed.unwrap_or_else(|| {
                    self.rooms()
                        .iter()
                        .map(|room| room.name().clone())
                        .collect()
                });
                for name in changed {
                    if self.is_watched(name.topic()) {
                        self.show(name.topic(), true).await;
                    }
                }
                // The topic waits for a pause itself: more often than that is for nothing.
                sleep(self.0.flow.debounce).await;
            }
        };
        self.0.stop.run_until_cancelled(follow).await;
    }

    /// Whether somebody would notice a change of a topic that shows a room.
    fn is_watched(&self, topic: &TopicName) -> bool {
        let entry = self.topic(topic);
        entry.is_some_and(|entry| entry.is_used()) || self.0.rooms.interests.is_wanted(topic)
    }

    /// Ends the topics of rooms that nobody watches.
    pub(super) fn end_unwatched(&self) {
        let shows = |entry: &Arc<TopicEntry>| self.shown_room(entry.name()).is_some();
        for entry in self.topics().into_iter().filter(shows) {
            let name = entry.name();
            if *name == self.0.default_topic || self.is_watched(name) {
                continue;
            }
            let mut topics = self.topics_mut();
            if entry.end_unwatched() {
                self.unlist(&mut topics, &entry);
            }
        }
    }

    /// Whether another topic may show a room.
    fn has_room_to_show(&self) -> bool {
        let topics = self.topics();
        let shown = topics
            .iter()
            .filter(|entry| self.shown_room(entry.name()).is_some());
        shown.count() < self.0.limits.rooms
    }
}

/// The rooms that have changed; of `None`, all may have. Nothing when the daemon has ended.
async fn heard(told: &mut Receiver<Arc<RowsTold>>) -> Option<Option<BTreeSet<RoomName>>> {
    let mut changed = BTreeSet::new();
    match told.recv().await {
        Ok(told) => _ = changed.insert(told.room.name().clone()),
        Err(RecvError::Lagged(_)) => return Some(None),
        Err(RecvError::Closed) => return None,
    }
    loop {
        match told.try_recv() {
            Ok(told) => _ = changed.insert(told.room.name().clone()),
            Err(TryRecvError::Lagged(_)) => return Some(None),
            Err(_) => return Some(Some(changed)),
        }
    }
}

impl RoomEntry {
    /// The live rows of a channel, the oldest first.
    fn live(&self, channel: usize) -> Vec<Arc<Row>> {
        let mut rows: Vec<Arc<Row>> = self.book().table(channel).live().cloned().collect();
        rows.sort_by_key(|row| (row.created, row.updated));
        rows
    }
}

fn objects(rows: &[Arc<Row>], declared: &Channel) -> Json {
    let objects: Vec<Json> = rows
        .iter()
        .map(|row| row.object(&declared.columns))
        .collect();
    Json::of(&objects)
}
