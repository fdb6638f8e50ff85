//! The daemon's state at a glance.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::app::App;
use crate::access::PageLink;
use crate::hub::TopicEntry;

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
    /// Whether a host has frozen what viewers see.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub frozen: bool,
    /// How the store is doing, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store: Option<StoreStatus>,
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
            frozen: hub.is_frozen(),
            frozen_for: hub.frozen(),
            store: hub.store_errors().map(|_| store),
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
}
