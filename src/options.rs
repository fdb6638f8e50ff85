//! Everything that can be set, with its default. Plain values: `config` fills them from
//! flags, environment and file; a program that embeds onlooker fills them itself.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use indexmap::IndexMap;

pub use crate::access::{AccessOptions, HostToken};
pub use crate::http::{LinkOptions, Page, TlsFiles};
pub use crate::hub::{Flow, HubOptions, Limits, MIN_CAPACITY, StoreFailure};
use crate::state::fields::Field;
use crate::state::name::TopicName;

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
    pub access: AccessOptions,
    /// What a stranger cannot exceed.
    pub limits: Limits,
    /// What is served at `/`.
    pub page: Page,
    /// Under which address viewers find this machine.
    pub link: LinkOptions,
    /// The file that keeps topics across restarts.
    pub store: Option<PathBuf>,
    /// What becomes of changes while the store cannot keep them.
    pub store_failure: StoreFailure,
    /// Certificate chain and private key, as PEM files.
    pub tls: Option<TlsFiles>,
}

/// Where state comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A JSON or TOML file, watched.
    File(PathBuf),
    /// NDJSON on standard input.
    Stdin,
}

impl Options {
    /// What concerns topics.
    pub(crate) fn hub(&self) -> HubOptions {
        HubOptions {
            topic: self.topic.clone(),
            fields: self.fields.clone(),
            ignore: self.ignore.clone(),
            flow: self.flow.clone(),
            limits: self.limits.clone(),
            store_failure: self.store_failure,
        }
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
            access: AccessOptions::default(),
            limits: Limits::default(),
            page: Page::default(),
            link: LinkOptions::default(),
            store: None,
            store_failure: StoreFailure::default(),
            tls: None,
        }
    }
}
