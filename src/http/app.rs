//! What every request can reach.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::Serialize;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::live::Current;
use super::options::{LinkOptions, Page};
use crate::access::Access;
use crate::access::{PageLink, Token};
use crate::discovery::address::{self, Candidate};
use crate::hub::Hub;
use crate::state::name::TopicName;
use crate::viewer::Viewers;

/// The parts of one running daemon, shared by its connections.
pub struct App {
    /// Topics.
    pub hub: Hub,
    /// Those who watch.
    pub viewers: Viewers,
    /// Who may, where they find it, and what may change besides.
    pub live: Current,
    /// What is served at `/`.
    pub page: Page,
    /// Where the daemon listens.
    pub local: SocketAddr,
    /// All tasks of the daemon.
    pub tasks: TaskTracker,
    /// Nothing new is accepted from then on.
    pub stop: CancellationToken,
    /// Connections by address.
    pub addresses: Arc<Mutex<BTreeMap<IpAddr, usize>>>,
}

/// Where people and programs find the daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Links {
    /// The page, with the viewer token in its fragment if there is one.
    pub page: PageLink,
    /// The viewer socket.
    pub socket: String,
    /// The host panel, with the host token in its fragment if there is one.
    pub host: PageLink,
    /// The advertised or first found address.
    pub local_ip: String,
    /// All addresses: the page's URL and what was found out about the address.
    pub candidates: Vec<(PageLink, String)>,
}

/// What `GET /api/status` tells.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Always: who asks a stopped daemon gets no answer.
    pub running: bool,
    /// The TCP port.
    pub port: u16,
    /// The advertised or first found address.
    pub local_ip: String,
    /// How many viewers are connected.
    pub client_count: usize,
    /// Pages, best address first.
    pub urls: Vec<PageLink>,
    /// The topic of who asks for none.
    pub default_topic: String,
    /// Topics that have a session.
    pub topics: Vec<TopicStatus>,
    /// How the store does, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store: Option<StoreStatus>,
    /// This program's version.
    pub version: &'static str,
    /// How long ago the last flush was.
    #[serde(skip)]
    pub last_push: Option<Duration>,
}

/// How a store does. It says nothing while it keeps all changes.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StoreStatus {
    /// Since when changes are not kept, in milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failing_since_ms: Option<u64>,
    /// What the system said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// One topic in lists.
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
        let live = self.live.get();
        Status {
            running: true,
            port: self.local.port(),
            local_ip: live.links.local_ip.clone(),
            client_count: self.hub.viewers(),
            urls: live
                .links
                .candidates
                .iter()
                .map(|(url, _)| url.clone())
                .collect(),
            default_topic: self.hub.default_topic().to_string(),
            topics: self.topics(),
            store: self.hub.store_errors().map(|_| self.store()),
            version: env!("CARGO_PKG_VERSION"),
            last_push: self
                .hub
                .topics()
                .iter()
                .filter_map(|entry| entry.last_push())
                .min(),
        }
    }

    fn store(&self) -> StoreStatus {
        let failure = self.hub.store_failure();
        failure.map_or_else(StoreStatus::default, |failure| StoreStatus {
            failing_since_ms: Some(failure.since_ms),
            error: Some(failure.error),
        })
    }

    /// Topics that have a session, the default one first, the others by name.
    pub fn topics(&self) -> Vec<TopicStatus> {
        let mut entries = self.hub.topics();
        entries.sort_by_key(|entry| entry.name() != self.hub.default_topic());
        let status = |entry: &Arc<crate::hub::TopicEntry>| {
            let (revision, session) = entry.session()?;
            let name = session.name.as_string().unwrap_or_default();
            Some(TopicStatus {
                topic: entry.name().to_string(),
                revision: revision.to_string(),
                viewers: entry.viewers(),
                name,
            })
        };
        entries.iter().filter_map(status).collect()
    }
}

impl Links {
    /// The page's link for another topic than the default one.
    pub fn page_of(&self, topic: &TopicName) -> PageLink {
        let (page, fragment) = self.page.split_once('#').unwrap_or((&self.page, ""));
        let hash = if fragment.is_empty() { "" } else { "#" };
        PageLink::new(format!("{page}?topic={topic}{hash}{fragment}"))
    }

    /// Where a daemon that listens on `local` is found, on these addresses.
    pub fn new(
        options: &LinkOptions,
        encrypted: bool,
        local: SocketAddr,
        found: &[Candidate],
        access: &Access,
    ) -> Links {
        let (http, ws) = if encrypted {
            ("https", "wss")
        } else {
            ("http", "ws")
        };
        let mut places = places(options, local, found);
        if places.is_empty() {
            let own = address::from_here(local.ip());
            places.push((
                address::url_host(own),
                local.port(),
                "this machine only".to_owned(),
            ));
        }
        let (host, port, _) = places[0].clone();
        let fragment = |key: char, token: Option<&Token>| {
            token.map_or(String::new(), |token| format!("#{key}={}", token.reveal()))
        };
        let watch = fragment('t', access.viewer_token());
        let page = |host: &str, port: u16| PageLink::new(format!("{http}://{host}:{port}/{watch}"));
        Links {
            page: page(&host, port),
            socket: format!("{ws}://{host}:{port}"),
            host: PageLink::new(format!(
                "{http}://{host}:{port}/host{}",
                fragment('h', access.host_token())
            )),
            local_ip: host,
            candidates: places
                .into_iter()
                .map(|(host, port, reason)| (page(&host, port), reason))
                .collect(),
        }
    }
}

/// Host, port and reason of each address, best first.
fn places(
    options: &LinkOptions,
    local: SocketAddr,
    found: &[Candidate],
) -> Vec<(String, u16, String)> {
    let advertised = options.advertise.iter().map(|advertised| {
        let (host, port) = split_port(advertised, local.port());
        (host.to_owned(), port, "as advertised".to_owned())
    });
    let bound =
        |candidate: &&Candidate| local.ip().is_unspecified() || candidate.address == local.ip();
    let reachable = found.iter().filter(bound).map(|candidate| {
        let reason = format!("{}: {}", candidate.interface, candidate.reach);
        (address::url_host(candidate.address), local.port(), reason)
    });
    advertised.chain(reachable).collect()
}

/// `HOST[:PORT]`, with IPv6 addresses in brackets where a port follows.
fn split_port(text: &str, default: u16) -> (&str, u16) {
    match text
        .rsplit_once(':')
        .map(|(host, port)| (host, port.parse()))
    {
        Some((host, Ok(port))) if !host.contains(':') || host.ends_with(']') => (host, port),
        _ => (text, default),
    }
}
