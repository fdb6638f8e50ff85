//! Everything that can be set, with its default. Plain values: `config` fills them from
//! flags, environment and file; a program that embeds onlooker fills them itself.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use indexmap::IndexMap;

use crate::fields::Field;
use crate::name::TopicName;
use crate::token::Token;

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
    /// When changes leave, and how.
    pub flow: Flow,
    /// The declared whitelist; none: it is learned.
    pub fields: Option<IndexMap<String, Field>>,
    /// JSON Pointers (RFC 6901) to parts of the session that stay on the host.
    pub ignore: Vec<String>,
    /// Who may connect.
    pub access: Access,
    /// What a stranger cannot exceed.
    pub limits: Limits,
    /// What is served at `/`.
    pub page: Page,
    /// Under which address viewers find this machine.
    pub link: Link,
    /// The file that keeps topics across restarts.
    pub store: Option<PathBuf>,
    /// What becomes of changes while the store cannot keep them.
    pub store_failure: StoreFailure,
    /// Certificate chain and private key, as PEM files.
    pub tls: Option<Tls>,
}

/// What becomes of changes that the store cannot keep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StoreFailure {
    /// They are taken back, and their writers told.
    #[default]
    Refuse,
    /// They stand, and are kept when that can be done again.
    Serve,
}

/// Where state comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A JSON or TOML file, watched.
    File(PathBuf),
    /// NDJSON on standard input.
    Stdin,
}

/// When changes leave, and how.
#[derive(Clone, Debug)]
pub struct Flow {
    /// How long a pause in the changes must be before they leave; zero: at once.
    pub debounce: Duration,
    /// The longest wait under continuous change.
    pub max_wait: Option<Duration>,
    /// How many flushes the channel to the viewers holds; at least [`MIN_CAPACITY`].
    pub capacity: usize,
    /// How often a viewer is pinged; it is gone after two unanswered.
    pub ping: Duration,
    /// Whether viewers and readers see a change only when the store has made it durable.
    pub after_durable: bool,
}

/// The smallest [`Flow::capacity`].
pub const MIN_CAPACITY: usize = 16;

/// Who may connect.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// What a writer must show.
    pub host_token: HostToken,
    /// What a viewer must show; none: everybody may watch.
    pub viewer_token: Option<Token>,
    /// Origins beside this host and loopback names, as `https://app.example`.
    pub allow_origin: Vec<String>,
    /// Host names beside addresses, `localhost` and this machine's name, also with `.local`.
    pub allow_host: Vec<String>,
}

/// What a writer must show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum HostToken {
    /// A token made at start.
    #[default]
    Random,
    /// This token.
    Given(Token),
    /// Nothing, for peers on this machine only.
    LoopbackOnly,
}

/// What a stranger cannot exceed.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Viewers at a time; more get 503.
    pub viewers: usize,
    /// Connections at a time from one address.
    pub per_address: usize,
    /// Connections that have not shown yet what they may do.
    pub unauthenticated: usize,
    /// Topics at a time.
    pub topics: usize,
    /// Frames a viewer may send in ten seconds.
    pub inbound_frames: u32,
    /// Bytes a viewer may send in ten seconds, and in one message.
    pub inbound_bytes: usize,
    /// Bytes that all viewers together may not have taken yet; two sessions at least.
    pub in_flight: usize,
    /// Bytes of a request's head.
    pub header: usize,
    /// Bytes of a session, wherever it comes from.
    pub session: usize,
    /// How long a request's head may take.
    pub head_timeout: Duration,
    /// How long a peer may take nothing of what it is sent.
    pub stall_timeout: Duration,
}

/// What is served at `/`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Page {
    /// The built-in viewer.
    #[default]
    Viewer,
    /// The built-in demo.
    Demo,
    /// A static site.
    Directory(PathBuf),
}

/// Under which address viewers find this machine.
#[derive(Clone, Debug, Default)]
pub struct Link {
    /// `HOST[:PORT]` to print instead of a found address.
    pub advertise: Option<String>,
    /// The network interface whose address is printed.
    pub interface: Option<String>,
}

/// Certificate chain and private key, as PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Tls {
    pub cert: PathBuf,
    pub key: PathBuf,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            bind: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            port: 9876,
            topic: TopicName::from_lossy("main"),
            sources: Vec::new(),
            flow: Flow::default(),
            fields: None,
            ignore: Vec::new(),
            access: Access::default(),
            limits: Limits::default(),
            page: Page::default(),
            link: Link::default(),
            store: None,
            store_failure: StoreFailure::default(),
            tls: None,
        }
    }
}

impl Default for Flow {
    fn default() -> Flow {
        Flow {
            debounce: Duration::from_millis(250),
            max_wait: None,
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
            head_timeout: Duration::from_secs(10),
            stall_timeout: Duration::from_secs(20),
        }
    }
}
