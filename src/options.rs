//! Everything that can be set, with its default and what it must not be. Plain values: the
//! program fills them from flags, environment and file; a program that embeds onlooker fills
//! them itself.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use indexmap::IndexMap;

use crate::access::Token;
pub use crate::access::{AccessOptions, HostToken};
pub use crate::cluster::{ClusterOptions, NatsUrl};
pub use crate::http::{LinkOptions, Page, TlsFiles};
pub use crate::hub::{Flow, HubOptions, Limits, MIN_CAPACITY, RoomOptions, StoreFailure};
pub use crate::source::upstream::Upstream;
use crate::state::fields::Field;
use crate::state::name::TopicName;
use crate::state::room::{LONGEST_PARTY, check_channel, is_party};
use crate::state::session::is_member;

/// How a server is set up.
#[derive(Clone, Debug)]
pub struct Options {
    /// The address to listen on.
    pub bind: IpAddr,
    /// The TCP port; 0 picks a free one.
    pub port: u16,
    /// The default topic's name.
    pub topic: TopicName,
    /// Where state comes from besides the network.
    pub sources: Vec<Source>,
    /// When changes are sent, and how.
    pub flow: Flow,
    /// The declared whitelist; none: it is learned.
    pub fields: Option<IndexMap<String, Field>>,
    /// JSON Pointers (RFC 6901) to parts of the session that stay on the host.
    pub ignore: Vec<String>,
    /// Rows that several people edit.
    pub rooms: RoomOptions,
    /// Who may connect.
    pub access: AccessOptions,
    /// What a stranger cannot exceed.
    pub limits: Limits,
    /// What is served at `/`.
    pub page: Page,
    /// At which address viewers find this machine.
    pub link: LinkOptions,
    /// The file that keeps topics and rooms across restarts.
    pub store: Option<PathBuf>,
    /// What happens to changes while the store cannot keep them.
    pub store_failure: StoreFailure,
    /// The cluster of daemons that share their topics and rooms.
    pub cluster: ClusterOptions,
    /// Certificate chain and private key, as PEM files.
    pub tls: Option<TlsFiles>,
}

/// Where state comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file, watched; its extension tells how it is written: JSON, JSON with comments, YAML,
    /// TOML, NDJSON or CSV.
    File(PathBuf),
    /// NDJSON on standard input.
    Stdin,
    /// Another daemon, watched: its topic is shown under the same revisions, read-only.
    Relay(Upstream),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::File(path) => path.display().fmt(f),
            Source::Stdin => f.write_str("standard input"),
            Source::Relay(upstream) => upstream.fmt(f),
        }
    }
}

/// An option that has a value it cannot have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{option}: {reason}")]
pub struct Invalid {
    /// Its path within [`Options`]: `limits.viewers`.
    pub option: &'static str,
    /// What it may be. Tokens are never quoted.
    pub reason: String,
}

/// A clock that is asked for a time further ahead may not be able to name it.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// A room grows by what it remembers of its deleted rows.
const LONGEST_MEMORY: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// The channel is allocated as a whole.
const MAX_CAPACITY: usize = 65_536;

/// Room for what NATS puts around the name.
const LONGEST_BUCKET: usize = 64;

/// As many as JetStream keeps.
const MOST_REPLICAS: usize = 5;

/// Shorter tokens can be guessed in an afternoon.
const SHORTEST_TOKEN: usize = 8;

impl Options {
    /// Checks each value by itself, as far as that is possible without looking at the system.
    pub fn check_values(&self) -> Result<(), Invalid> {
        self.check_numbers()?;
        self.check_durations()?;
        self.check_access()?;
        self.check_cluster()?;
        self.check_relays()?;
        for pointer in &self.ignore {
            check_ignored(pointer)?;
        }
        self.check_rooms()?;
        let advertise = self.link.advertise.as_deref().unwrap_or_default();
        require(
            "link.advertise",
            !is_around_a_host(advertise),
            "give HOST or HOST:PORT and nothing around it, like 192.168.1.20:9876",
        )
    }

    /// Checks the values by themselves, and whether they fit together.
    pub(crate) fn check(&self) -> Result<(), Invalid> {
        self.check_values()?;
        let waits = self.flow.after_durable;
        let is_kept = self.store.is_some();
        require(
            "cluster.servers",
            !is_kept || self.cluster.servers.is_empty(),
            "contradicts --store: NATS keeps the topics of a cluster, so choose one",
        )?;
        require(
            "flow.after_durable",
            is_kept || !waits,
            "nothing is durable without a store (--store)",
        )?;
        require(
            "flow.after_durable",
            self.store_failure == StoreFailure::Refuse || !waits,
            "contradicts --store-failure serve, which shows what cannot be kept: choose one",
        )
    }

    fn check_numbers(&self) -> Result<(), Invalid> {
        let (flow, limits) = (&self.flow, &self.limits);
        let frames = usize::try_from(limits.inbound_frames).unwrap_or(usize::MAX);
        let actions = usize::try_from(limits.actions).unwrap_or(usize::MAX);
        let least = [
            ("flow.capacity", flow.capacity, MIN_CAPACITY),
            ("limits.viewers", limits.viewers, 1),
            ("limits.per_address", limits.per_address, 1),
            ("limits.unauthenticated", limits.unauthenticated, 1),
            ("limits.topics", limits.topics, 1),
            ("limits.inbound_frames", frames, 1),
            ("limits.inbound_bytes", limits.inbound_bytes, 1),
            ("limits.rooms", limits.rooms, 1),
            ("limits.rows", limits.rows, 1),
            ("limits.row", limits.row, 1024),
            ("limits.rows_size", limits.rows_size, 1024),
            ("limits.actions", actions, 1),
            ("limits.session", limits.session, 1024),
            ("limits.in_flight", limits.in_flight, 1024),
            // With less, the HTTP library refuses to start.
            ("limits.header", limits.header, 8 * 1024),
        ];
        for (option, value, least) in least {
            let shown = match least / 1024 {
                0 => least.to_string(),
                kib => format!("{kib}KiB"),
            };
            require(option, value >= least, format_args!("the least is {shown}"))?;
        }
        require(
            "flow.capacity",
            flow.capacity <= MAX_CAPACITY,
            format_args!("the most is {MAX_CAPACITY}"),
        )
    }

    fn check_durations(&self) -> Result<(), Invalid> {
        let (flow, limits) = (&self.flow, &self.limits);
        let durations = [
            ("flow.debounce", flow.debounce, false),
            ("flow.max_wait", flow.max_wait.unwrap_or(LONGEST), true),
            // Without pings, dead viewers would stay.
            ("flow.ping", flow.ping, true),
            ("limits.head_timeout", limits.head_timeout, true),
            ("limits.stall_timeout", limits.stall_timeout, true),
        ];
        for (option, duration, is_some) in durations {
            let long_enough = !is_some || !duration.is_zero();
            let or_off = if option == "flow.max_wait" {
                ", or off"
            } else {
                ""
            };
            let reason = format_args!("give more than zero, like 15s{or_off}");
            require(option, long_enough, reason)?;
            require(option, duration <= LONGEST, "a week (168h) is the longest")?;
        }
        Ok(())
    }

    fn check_access(&self) -> Result<(), Invalid> {
        let access = &self.access;
        if let HostToken::Given(token) = &access.host_token {
            check_token("access.host_token", token)?;
        }
        if let Some(token) = &access.viewer_token {
            check_token("access.viewer_token", token)?;
        }
        for origin in &access.allow_origin {
            let host = origin.split_once("://").map_or("", |(_, host)| host);
            let reason = format_args!(
                "{origin:?} is not an origin: give scheme and host without a path, like https://app.example"
            );
            let is_origin = !host.is_empty() && !host.contains(['/', '?', '#']);
            require("access.allow_origin", is_origin, reason)?;
        }
        for name in &access.allow_host {
            let reason = format_args!(
                "{name:?} is not a host name: give it without a scheme, like preview.example"
            );
            let is_name = !name.is_empty() && !is_around_a_host(name);
            require("access.allow_host", is_name, reason)?;
        }
        Ok(())
    }

    fn check_cluster(&self) -> Result<(), Invalid> {
        let ClusterOptions {
            bucket, replicas, ..
        } = &self.cluster;
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        let is_name = (1..=LONGEST_BUCKET).contains(&bucket.len()) && bucket.bytes().all(is_plain);
        let reason = format_args!(
            "{bucket:?} cannot name a bucket: use 1 to {LONGEST_BUCKET} of letters, digits, '_' and '-'"
        );
        require("cluster.bucket", is_name, reason)?;
        let is_fine = replicas.is_none_or(|replicas| (1..=MOST_REPLICAS).contains(&replicas));
        let reason = format_args!("give 1 to {MOST_REPLICAS}, an odd number");
        require("cluster.replicas", is_fine, reason)
    }

    /// What another daemon has is neither shared nor made of rows here.
    fn check_relays(&self) -> Result<(), Invalid> {
        let shows = self.rooms.channels.values().any(|channel| channel.show);
        let is_party = |name: &str| self.rooms.parties.iter().any(|party| party == name);
        for (topic, url) in self.relays() {
            let alone = self.cluster.servers.is_empty();
            let reason =
                format_args!("{url} contradicts --nats: a relay's topic is its upstream's");
            require("sources", alone, reason)?;
            let party = topic.as_str().split_once('.').map(|(party, _)| party);
            let is_free = !shows || !party.is_some_and(is_party);
            let reason = format_args!("{url} cannot feed the topic {topic:?}: it shows a room");
            require("sources", is_free, reason)?;
        }
        Ok(())
    }

    fn check_rooms(&self) -> Result<(), Invalid> {
        let (rooms, option) = (&self.rooms, "rooms.parties");
        let is_any = !rooms.parties.is_empty();
        require(option, is_any, "name at least one, like main")?;
        for name in &rooms.parties {
            let reason = format_args!(
                "{name:?} cannot name a party: use 1 to {LONGEST_PARTY} of letters, digits, '_' and '-'"
            );
            require(option, is_party(name), reason)?;
        }
        let (option, time) = ("rooms.keep_deleted", rooms.keep_deleted);
        require(option, !time.is_zero(), "give more than zero, like 24h")?;
        let is_short_enough = time <= LONGEST_MEMORY;
        require(option, is_short_enough, "a year (8760h) is the longest")?;
        for (name, channel) in &rooms.channels {
            let named = |reason| format!("{name}: {reason}");
            let checked = check_channel(name).and_then(|()| channel.check().map_err(named));
            checked.map_err(|reason| Invalid {
                option: "rooms.channels",
                reason,
            })?;
        }
        Ok(())
    }

    /// What concerns topics.
    pub(crate) fn hub(&self) -> HubOptions {
        HubOptions {
            topic: self.topic.clone(),
            fields: self.fields.clone(),
            ignore: self.ignore.clone(),
            flow: self.flow.clone(),
            limits: self.limits.clone(),
            store_failure: self.store_failure,
            rooms: self.rooms.clone(),
            relays: self.relays(),
        }
    }

    /// The sources and the topics that they feed: the first one the default topic, every other one
    /// a topic named by its file or by the upstream's.
    pub(crate) fn sources_with_topics(&self) -> Vec<(Source, TopicName)> {
        let topic = |(index, source): (usize, &Source)| {
            let name = match source {
                _ if index == 0 => self.topic.clone(),
                Source::File(path) => {
                    TopicName::from_lossy(&path.file_stem().unwrap_or_default().to_string_lossy())
                }
                Source::Stdin => TopicName::from_lossy("stdin"),
                Source::Relay(upstream) => {
                    let topic = upstream.topic().cloned();
                    topic.unwrap_or_else(|| TopicName::from_lossy("main"))
                }
            };
            (source.clone(), name)
        };
        self.sources.iter().enumerate().map(topic).collect()
    }

    fn relays(&self) -> BTreeMap<TopicName, String> {
        let sources = self.sources_with_topics().into_iter();
        let relay = |(source, topic)| match source {
            Source::Relay(upstream) => Some((topic, upstream.to_string())),
            Source::File(_) | Source::Stdin => None,
        };
        sources.filter_map(relay).collect()
    }
}

impl Default for Options {
    fn default() -> Options {
        Options {
            bind: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            port: 9876,
            topic: HubOptions::default().topic,
            sources: Vec::new(),
            flow: Flow::default(),
            fields: None,
            ignore: Vec::new(),
            rooms: RoomOptions::default(),
            access: AccessOptions::default(),
            limits: Limits::default(),
            page: Page::default(),
            link: LinkOptions::default(),
            store: None,
            store_failure: StoreFailure::default(),
            cluster: ClusterOptions::default(),
            tls: None,
        }
    }
}

fn require(option: &'static str, is_fine: bool, reason: impl ToString) -> Result<(), Invalid> {
    match is_fine {
        true => Ok(()),
        false => Err(Invalid {
            option,
            reason: reason.to_string(),
        }),
    }
}

/// Whether a text is more of a URL than its host and port.
fn is_around_a_host(text: &str) -> bool {
    text.contains(['/', '#', '?', '@']) || text.contains(char::is_whitespace)
}

fn check_token(option: &'static str, token: &Token) -> Result<(), Invalid> {
    let text = token.reveal();
    let is_fine = text.len() >= SHORTEST_TOKEN && text.bytes().all(|byte| byte.is_ascii_graphic());
    require(
        option,
        is_fine,
        format_args!(
            "give {SHORTEST_TOKEN} or more visible ASCII characters, or random for a good one"
        ),
    )
}

/// A pointer to no part of a session would promise a privacy that is not there.
fn check_ignored(pointer: &str) -> Result<(), Invalid> {
    let path = pointer.strip_prefix('/');
    let reason =
        format_args!("{pointer:?} is not a JSON Pointer: start it with /, like /metadata/ui");
    require("ignore", path.is_some(), reason)?;
    let member = path.unwrap_or_default().split('/').next();
    let reason = format_args!(
        "a session has only name, data, config and metadata; a document that is not a session becomes its data (/data{pointer})"
    );
    require("ignore", member.is_some_and(is_member), reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::json::Kind;
    use crate::state::room::Channel;

    #[test]
    fn what_can_never_be_ignored_is_named() {
        let ignoring = |pointer: &str| Options {
            ignore: vec![pointer.to_owned()],
            ..Options::default()
        };
        for pointer in ["", "metadata/ui", "/", "/ui", "/list/0"] {
            let refused = ignoring(pointer).check_values().unwrap_err();
            assert_eq!(refused.option, "ignore");
            assert!(refused.reason.contains(pointer), "{refused}");
        }
        for pointer in ["/metadata/ui", "/data", "/data/list/0", "/config/a~1b"] {
            assert_eq!(ignoring(pointer).check_values(), Ok(()), "{pointer}");
        }
    }

    #[test]
    fn a_relay_feeds_what_is_nobody_elses() {
        let refused = |set: fn(&mut Options)| {
            let mut options = Options {
                sources: vec![Source::Relay("ws://10.0.0.5:9876".parse().unwrap())],
                ..Options::default()
            };
            options.topic = TopicName::from_lossy("main.lobby");
            assert_eq!(options.check_values(), Ok(()));
            set(&mut options);
            options.check_values().unwrap_err().to_string()
        };
        let shared = refused(|options| {
            options.cluster.servers = vec![NatsUrl::parse("nats://10.0.0.6").unwrap()];
        });
        assert!(shared.contains("contradicts --nats"), "{shared}");
        let room = refused(|options| {
            let mut channel = channel("id");
            channel.show = true;
            options.rooms.channels.insert("todos".to_owned(), channel);
        });
        assert!(room.contains("it shows a room"), "{room}");
    }

    #[test]
    fn the_defaults_can_be() {
        assert_eq!(Options::default().check(), Ok(()));
    }

    #[test]
    fn what_could_not_work_is_named_by_its_path() {
        let wrong = |set: fn(&mut Options)| {
            let mut options = Options::default();
            set(&mut options);
            options.check().unwrap_err().to_string()
        };
        let header = wrong(|options| options.limits.header = 4096);
        assert_eq!(header, "limits.header: the least is 8KiB");
        let ping = wrong(|options| options.flow.ping = Duration::ZERO);
        assert_eq!(ping, "flow.ping: give more than zero, like 15s");
        let none = wrong(|options| options.flow.max_wait = Some(Duration::ZERO));
        assert_eq!(none, "flow.max_wait: give more than zero, like 15s, or off");
        let wait = wrong(|options| options.flow.max_wait = Some(Duration::MAX));
        assert_eq!(wait, "flow.max_wait: a week (168h) is the longest");
        let token = wrong(|options| options.access.viewer_token = Some(Token::new("open it")));
        assert!(token.starts_with("access.viewer_token: give 8") && !token.contains("open it"));
        let durable = wrong(|options| options.flow.after_durable = true);
        assert_eq!(
            durable,
            "flow.after_durable: nothing is durable without a store (--store)"
        );
    }
    #[test]
    fn rooms_that_could_not_be_are_named() {
        let wrong = |set: fn(&mut RoomOptions)| {
            let mut options = Options::default();
            set(&mut options.rooms);
            options.check_values().unwrap_err().to_string()
        };
        let none = wrong(|rooms| rooms.parties.clear());
        assert_eq!(none, "rooms.parties: name at least one, like main");
        let party = wrong(|rooms| rooms.parties.push("a.b".to_owned()));
        assert_eq!(
            party,
            "rooms.parties: \"a.b\" cannot name a party: use 1 to 126 of letters, digits, '_' and '-'"
        );
        let forgetful = wrong(|rooms| rooms.keep_deleted = Duration::ZERO);
        assert_eq!(
            forgetful,
            "rooms.keep_deleted: give more than zero, like 24h"
        );
        let long = wrong(|rooms| rooms.keep_deleted = Duration::MAX);
        assert_eq!(long, "rooms.keep_deleted: a year (8760h) is the longest");
        let name = wrong(|rooms| drop(rooms.channels.insert("to do".to_owned(), channel("id"))));
        assert_eq!(
            name,
            "rooms.channels: \"to do\" cannot name a channel: use 1 to 64 of letters, digits, '_' and '-'"
        );
        // As a program can make it, past `Channel::new`.
        let column = wrong(|rooms| drop(rooms.channels.insert("todos".to_owned(), channel("key"))));
        assert_eq!(
            column,
            "rooms.channels: todos: the first column has to be id, a string or a number"
        );
    }

    fn channel(first: &str) -> Channel {
        let columns = |name: &str| [(name.to_owned(), Field::of(Kind::String))].into();
        let mut channel = Channel::new(columns("id")).unwrap();
        channel.columns = columns(first);
        channel
    }
}
