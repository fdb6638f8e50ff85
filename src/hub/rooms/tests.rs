//! People in rooms without sockets: what they are told, and when.

mod histories;
mod seats;
mod store;
mod tellings;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::broadcast;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::*;
use crate::hub::{Hub, HubOptions};
use crate::state::fields::Field;
use crate::state::json::Kind;
use crate::state::room::{Actions, Channel, RoomName, Writers};
use crate::store::disk::Disk;

/// A daemon's rooms, perhaps with a disk under them.
struct House {
    hub: Hub,
    stop: CancellationToken,
    disk: Option<Disk>,
}

fn channel(actions: Actions) -> Channel {
    let columns = [("id", Kind::String), ("text", Kind::String)];
    let columns = columns.map(|(name, kind)| (name.to_owned(), Field::of(kind)));
    let mut channel = Channel::new(columns.into_iter().collect()).expect("columns");
    (channel.actions, channel.writers) = (actions, Writers::Viewers);
    channel
}

/// Two channels on which the daemon decides, and one on which a host does.
fn options() -> HubOptions {
    let mut options = HubOptions::default();
    for (name, actions) in [
        ("todos", Actions::Rows),
        ("notes", Actions::Rows),
        ("hosted", Actions::Host),
    ] {
        let channels = &mut options.rooms.channels;
        channels.insert(name.to_owned(), channel(actions));
    }
    options
}

/// Where everybody is.
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn name() -> RoomName {
    "main/lobby".parse().expect("a name")
}

impl House {
    fn new(options: &HubOptions) -> House {
        House::on(options, None)
    }

    fn on(options: &HubOptions, disk: Option<Disk>) -> House {
        let store = disk.as_ref().map(|disk| disk.store().expect("it opens"));
        let stop = CancellationToken::new();
        let hub = Hub::new(options, store, TaskTracker::new(), stop.clone());
        House { hub, stop, disk }
    }

    /// Somebody comes whose client calls it so.
    fn person(&self, client: Option<&str>) -> Person {
        let usage = self.hub.use_room(&name()).expect("there is room");
        let sitter = Sitter {
            is_host: false,
            name: client.map(Into::into),
            device: "phone".into(),
            address: HERE,
        };
        let place = self.hub.place().expect("there is room");
        let seat = self.hub.sit_down(usage, sitter, place);
        Person {
            telling: Telling::new(seat.room()),
            seat: Arc::new(seat),
            open: String::new(),
        }
    }

    fn host(&self) -> HostLine {
        self.hub.attach_to_room(&name()).expect("there is room")
    }

    /// The rows of a channel by their ids, as the room has them; the deleted ones among them.
    fn rows(&self, channel: usize) -> Rows {
        let room = self.hub.room(&name());
        room.map_or_else(Rows::default, |room| rows_of(&room, channel))
    }
}

/// By id, as people receive them.
type Rows = BTreeMap<String, Value>;

fn rows_of(room: &RoomEntry, channel: usize) -> Rows {
    let book = room.book();
    let table = book.table(channel);
    let rows = [true, false].into_iter().flat_map(|deleted| {
        let rows = table.between(deleted, 0, u64::MAX);
        rows.map(|row| {
            let mut text = String::new();
            row.write(&mut text);
            parsed(&text)
        })
    });
    rows.map(|row| (id_in(&row), row)).collect()
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

fn id_in(row: &Value) -> String {
    row[0].as_str().expect("an id").to_owned()
}

/// When a row became what it is: the last but one of its members.
fn updated(row: &Value) -> u64 {
    let row = row.as_array().expect("a row");
    row[row.len() - 2].as_u64().expect("a time")
}

fn is_deleted(row: &Value) -> bool {
    row.as_array().expect("a row").last() != Some(&Value::Null)
}

/// The rows of a message.
fn rows_in(message: &Value) -> &[Value] {
    let rows = message.get("payload").or(message.get("result"));
    rows.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Somebody in the room, and what is told to it.
struct Person {
    seat: Arc<Seat>,
    telling: Telling,
    /// What has arrived of a message.
    open: String,
}

impl Person {
    async fn says(&self, message: Value) {
        self.seat.hear(&message.to_string()).await;
    }

    async fn acts(&self, id: impl Into<Value>, channel: &str, action: Value) {
        let id = id.into();
        let message = json!({"id": id, "channel": channel, "rpc": true, "action": action});
        self.says(message).await;
    }

    async fn creates(&self, id: impl Into<Value>, channel: &str, row: &str) {
        let payload = json!({"id": row, "text": "x"});
        let action = json!({"type": "create", "payload": payload});
        self.acts(id, channel, action).await;
    }

    async fn syncs(&self, channel: &str, from: impl Into<Value>) {
        let from = from.into();
        let message = json!({"channel": channel, "sync": true, "from": from});
        self.says(message).await;
    }

    /// The next piece of what it is told, as its socket takes it; the message, if that is whole.
    fn piece(&mut self) -> Option<Option<Value>> {
        let bytes = self.telling.next(&self.seat)?;
        Some(self.take(&bytes))
    }

    /// All that it is told now.
    fn told(&mut self) -> Vec<Value> {
        let pieces = std::iter::from_fn(|| self.piece());
        pieces.flatten().collect()
    }

    /// Takes one frame of a server.
    fn take(&mut self, frame: &[u8]) -> Option<Value> {
        let (first, head) = (frame[0], [2, 4, 10]);
        let head = head[usize::from(frame[1]).saturating_sub(125).min(2)];
        assert_eq!(first & 0x0f == 0, !self.open.is_empty(), "no other between");
        self.open += std::str::from_utf8(&frame[head..]).expect("text");
        let is_whole = first & 0x80 != 0;
        is_whole.then(|| parsed(&std::mem::take(&mut self.open)))
    }

    /// All that it is told within this time, on the paused clock.
    async fn within(&mut self, time: Duration) -> Vec<Value> {
        let end = Instant::now() + time;
        let mut told = self.told();
        while timeout_at(end, self.seat.overdue()).await.is_ok() {
            self.seat.hurry();
            told.extend(self.told());
        }
        told
    }
}

fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn said_by_host(message: Value) -> crate::wire::room::FromHost {
    let (_, said) = crate::wire::room::FromHost::parse(message.to_string().as_bytes());
    said.expect("a message")
}
