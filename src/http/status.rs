//! The daemon's state at a glance.

use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;
use serde::Serialize;

use super::app::App;
use crate::access::PageLink;
use crate::hub::cluster::ClusterState;
use crate::hub::rooms::RoomEntry;
use crate::hub::{RelayState, TopicEntry};
use crate::state::name::TopicName;
use crate::state::room::{Actions, Channel, Writers};

/// What `GET /api/status` answers.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Always true: a stopped daemon does not answer.
    pub running: bool,
    /// The TCP port.
    pub port: u16,
    /// The advertised address, or the first one found.
    pub local_ip: String,
    /// How many viewers are connected.
    pub client_count: usize,
    /// Pages, best address first.
    pub urls: Vec<PageLink>,
    /// The topic for those who do not ask for one.
    pub default_topic: String,
    /// The topics that have a session.
    pub topics: Vec<TopicStatus>,
    /// The rooms that somebody uses or that have rows, by name. Absent where no channels are
    /// declared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rooms: Option<Vec<RoomStatus>>,
    /// The channels that every room has.
    #[serde(skip_serializing_if = "IndexMap::is_empty")]
    pub channels: IndexMap<String, ChannelStatus>,
    /// The topics that are relayed, by name, and their upstreams. Absent where none is.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub relays: Vec<RelayStatus>,
    /// Whether a host has frozen what viewers see.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub frozen: bool,
    /// How the store is doing, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store: Option<StoreStatus>,
    /// How the cluster is, if the daemon is in one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<ClusterState>,
    /// This program's version.
    pub version: &'static str,
    /// How long ago the last flush was.
    #[serde(skip)]
    pub last_push: Option<Duration>,
    /// For how long viewers have been frozen, if they are.
    #[serde(skip)]
    pub frozen_for: Option<Duration>,
}

/// How a store is doing. Empty while it keeps all changes.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StoreStatus {
    /// Since when changes have not been kept, in milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failing_since_ms: Option<u64>,
    /// What the system said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// One topic in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TopicStatus {
    /// Its name.
    pub topic: String,
    /// Its revision.
    pub revision: String,
    /// How many viewers watch it.
    pub viewers: usize,
    /// Its session's name.
    pub name: String,
}

/// One topic that is relayed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RelayStatus {
    /// The topic here.
    pub topic: String,
    /// The other daemon, without its token.
    pub url: String,
    /// `connected` or `lost`.
    pub state: &'static str,
    /// Since when it has been like that, in milliseconds since 1970.
    pub since_ms: u64,
    /// Why it is lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// One room in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RoomStatus {
    /// Its name: `main/lobby`.
    pub room: String,
    /// How many people are connected to it.
    pub people: usize,
    /// How many hosts are.
    pub hosts: usize,
    /// How many rows each of its channels has.
    pub rows: IndexMap<String, usize>,
    /// The topic that shows it, where one of its channels is shown.
    pub topic: String,
}

/// What is declared of a channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ChannelStatus {
    /// The names of all members of a row, the three times last.
    pub columns: Vec<String>,
    /// Who decides what an action does.
    pub actions: Actions,
    /// Who may ask for one.
    pub writers: Writers,
    /// Whether the room's topic shows it.
    pub show: bool,
}

impl App {
    /// The daemon's state at a glance.
    pub fn status(&self) -> Status {
        let (live, hub) = (self.live.get(), &self.hub);
        let urls = live.links.candidates.iter().map(|(url, _)| url.clone());
        let (pushes, failure) = (hub.topics(), hub.store_failure());
        let store = StoreStatus {
            failing_since_ms: failure.as_ref().map(|failure| failure.since_ms),
            error: failure.map(|failure| failure.error),
        };
        Status {
            running: true,
            port: self.local.port(),
            local_ip: live.links.local_ip.clone(),
            client_count: hub.viewers(),
            urls: urls.collect(),
            default_topic: hub.default_topic().to_string(),
            topics: self.topics(),
            rooms: (!hub.channels().is_empty()).then(|| self.rooms()),
            channels: hub.channels().iter().map(ChannelStatus::of).collect(),
            relays: hub.relays().into_iter().map(RelayStatus::of).collect(),
            frozen: hub.is_frozen(),
            frozen_for: hub.frozen(),
            store: hub.store_errors().map(|_| store),
            cluster: hub.cluster(),
            version: env!("CARGO_PKG_VERSION"),
            last_push: pushes.iter().filter_map(|entry| entry.last_push()).min(),
        }
    }

    /// Topics that have a session, the default one first, the others by name.
    pub fn topics(&self) -> Vec<TopicStatus> {
        let mut entries = self.hub.topics();
        entries.sort_by_key(|entry| entry.name() != self.hub.default_topic());
        let status = |entry: &Arc<TopicEntry>| {
            let (revision, session) = entry.session()?;
            Some(TopicStatus {
                topic: entry.name().to_string(),
                revision: revision.to_string(),
                viewers: entry.viewers(),
                name: session.name.as_string().unwrap_or_default(),
            })
        };
        entries.iter().filter_map(status).collect()
    }

    fn rooms(&self) -> Vec<RoomStatus> {
        let status = |room: &Arc<RoomEntry>| {
            let names = self.hub.channels().keys().cloned();
            RoomStatus {
                room: room.name().to_string(),
                people: room.people(),
                hosts: room.hosts(),
                rows: names.zip(room.row_counts()).collect(),
                topic: room.name().topic().to_string(),
            }
        };
        self.hub.rooms().iter().map(status).collect()
    }
}

impl Status {
    /// How many people are connected, to how many rooms.
    pub fn people(&self) -> (usize, usize) {
        let rooms = self.rooms.iter().flatten();
        let people = rooms.map(|room| room.people).filter(|people| *people > 0);
        people.fold((0, 0), |(all, rooms), people| (all + people, rooms + 1))
    }
}

impl RelayStatus {
    fn of((topic, relay): (TopicName, RelayState)) -> RelayStatus {
        RelayStatus {
            topic: topic.to_string(),
            url: relay.url,
            state: if relay.lost.is_some() {
                "lost"
            } else {
                "connected"
            },
            since_ms: relay.since_ms,
            reason: relay.lost,
        }
    }
}

impl ChannelStatus {
    fn of((name, channel): (&String, &Channel)) -> (String, ChannelStatus) {
        let status = ChannelStatus {
            columns: channel.names().map(str::to_owned).collect(),
            actions: channel.actions,
            writers: channel.writers,
            show: channel.show,
        };
        (name.clone(), status)
    }
}
