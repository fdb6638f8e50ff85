//! What can be set about topics.

use std::collections::BTreeMap;
use std::time::Duration;

use indexmap::IndexMap;

use crate::state::fields::Field;
use crate::state::name::TopicName;
use crate::state::room::Channel;

/// What becomes of changes that the store cannot keep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StoreFailure {
    /// They are taken back, and their writers told.
    #[default]
    Refuse,
    /// They stand, and are kept when that is possible again.
    Serve,
}

/// How a hub is set up.
#[derive(Clone, Debug)]
pub struct HubOptions {
    /// The default topic's name.
    pub topic: TopicName,
    /// The declared whitelist; none: it is learned.
    pub fields: Option<IndexMap<String, Field>>,
    /// JSON Pointers (RFC 6901) to parts of the session that stay on the host.
    pub ignore: Vec<String>,
    /// When changes leave, and how.
    pub flow: Flow,
    /// Limits that no stranger can exceed.
    pub limits: Limits,
    /// What becomes of changes while the store cannot keep them.
    pub store_failure: StoreFailure,
    /// Rows that several people edit.
    pub rooms: RoomOptions,
    /// The topics that are relayed, and their upstreams without tokens.
    pub relays: BTreeMap<TopicName, String>,
}

/// Rows that several people edit, in rooms.
#[derive(Clone, Debug, PartialEq)]
pub struct RoomOptions {
    /// The parties that may have rooms: letters, digits, `_` and `-`.
    pub parties: Vec<String>,
    /// How long deleted rows are remembered, for people who were away.
    pub keep_deleted: Duration,
    /// The channels of every room, by name. Without any there are no rooms.
    pub channels: IndexMap<String, Channel>,
}

/// When changes leave, and how.
#[derive(Clone, Debug)]
pub struct Flow {
    /// How long a pause in the changes must be before they leave; zero: at once.
    pub debounce: Duration,
    /// The longest wait while changes keep coming; none: without end. A wait shorter than the
    /// pause takes its place.
    pub max_wait: Option<Duration>,
    /// How many flushes the channel to the viewers holds; at least 16.
    pub capacity: usize,
    /// How often a viewer is pinged; it is given up after two unanswered pings.
    pub ping: Duration,
    /// Whether viewers and readers see a change only when the store has made it durable.
    pub after_durable: bool,
}

/// The smallest [`Flow::capacity`].
pub const MIN_CAPACITY: usize = 16;

/// Limits that no stranger can exceed.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Viewers at a time; more get 503.
    pub viewers: usize,
    /// Connections at a time from one address.
    pub per_address: usize,
    /// Connections that have not shown yet that they may do anything.
    pub unauthenticated: usize,
    /// Topics at a time.
    pub topics: usize,
    /// Frames a viewer may send in ten seconds.
    pub inbound_frames: u32,
    /// Bytes a viewer may send in ten seconds, and in one message.
    pub inbound_bytes: usize,
    /// Bytes in flight to all viewers together; at least two sessions.
    pub in_flight: usize,
    /// Bytes of a request's headers.
    pub header: usize,
    /// Bytes of a session, wherever it comes from.
    pub session: usize,
    /// Rooms at a time; more get 503.
    pub rooms: usize,
    /// Live rows in a room.
    pub rows: usize,
    /// Bytes of a row, as JSON.
    pub row: usize,
    /// Bytes of the rows of all rooms together.
    pub rows_size: usize,
    /// Actions that one connection may ask for in ten seconds.
    pub actions: u32,
    /// How long a request's headers may take to arrive.
    pub head_timeout: Duration,
    /// How long a peer may go without taking any of what it is sent.
    pub stall_timeout: Duration,
}

impl Default for HubOptions {
    fn default() -> HubOptions {
        HubOptions {
            topic: TopicName::from_lossy("main"),
            fields: None,
            ignore: Vec::new(),
            flow: Flow::default(),
            limits: Limits::default(),
            store_failure: StoreFailure::default(),
            rooms: RoomOptions::default(),
            relays: BTreeMap::new(),
        }
    }
}

impl Default for RoomOptions {
    fn default() -> RoomOptions {
        RoomOptions {
            parties: vec!["main".to_owned()],
            keep_deleted: Duration::from_secs(24 * 60 * 60),
            channels: IndexMap::new(),
        }
    }
}

impl Default for Flow {
    fn default() -> Flow {
        Flow {
            debounce: Duration::from_millis(250),
            max_wait: Some(Duration::from_millis(500)),
            capacity: 64,
            ping: Duration::from_secs(15),
            after_durable: false,
        }
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            viewers: 10_000,
            per_address: 1_000,
            unauthenticated: 512,
            topics: 1_000,
            inbound_frames: 100,
            inbound_bytes: 64 * 1024,
            in_flight: 256 * 1024 * 1024,
            header: 16 * 1024,
            session: 16 * 1024 * 1024,
            rooms: 1_000,
            rows: 100_000,
            row: 64 * 1024,
            rows_size: 256 * 1024 * 1024,
            actions: 100,
            head_timeout: Duration::from_secs(10),
            stall_timeout: Duration::from_secs(20),
        }
    }
}
