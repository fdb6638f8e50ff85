//! Everything that can be set, with its default and what it must not be. Plain values: the
//! program fills them from flags, environment and file; a program that embeds onlooker fills
//! them itself.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use indexmap::IndexMap;

use crate::access::Token;
pub use crate::access::{AccessOptions, HostToken};
pub use crate::http::{LinkOptions, Page, TlsFiles};
pub use crate::hub::{Flow, HubOptions, Limits, MIN_CAPACITY};
use crate::state::fields::Field;
use crate::state::name::TopicName;
use crate::state::session::is_member;
pub use crate::store::StoreFailure;

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

/// An option that has a value it cannot have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{option}: {reason}")]
pub struct Invalid {
    /// Its path within [`Options`]: `limits.viewers`.
    pub option: &'static str,
    /// What it may be. Tokens are never quoted.
    pub reason: String,
}

/// An option's path, and its value.
type Named<T> = (&'static str, T);

/// A clock that is asked for a time further ahead may not be able to name it.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Shorter tokens can be guessed in an afternoon.
const SHORTEST_TOKEN: usize = 8;

/// What separates a host from the rest of a URL.
const AROUND_A_HOST: [char; 4] = ['/', '#', '?', '@'];

impl Options {
    /// Checks each value by itself, as far as that is possible without looking at the system.
    ///
    /// # Errors
    /// The first option that cannot be so.
    pub fn check_values(&self) -> Result<(), Invalid> {
        self.check_numbers()?;
        self.check_durations()?;
        self.check_access()?;
        for pointer in &self.ignore {
            check_ignored(pointer)?;
        }
        let advertise = self.link.advertise.as_deref().unwrap_or_default();
        require(("link.advertise", !is_around_a_host(advertise)), || {
            "give HOST or HOST:PORT and nothing around it, like 192.168.1.20:9876".to_owned()
        })
    }

    /// Checks the values by themselves and beside each other.
    ///
    /// # Errors
    /// The first option that cannot be so.
    pub(crate) fn check(&self) -> Result<(), Invalid> {
        self.check_values()?;
        let after_durable = self.flow.after_durable;
        let is_kept = !after_durable || self.store.is_some();
        require(("flow.after_durable", is_kept), || {
            "nothing is durable without a store".to_owned()
        })?;
        let agree = !after_durable || self.store_failure == StoreFailure::Refuse;
        require(("flow.after_durable", agree), || {
            "contradicts store_failure = serve, which shows what cannot be kept: choose one"
                .to_owned()
        })
    }

    fn check_numbers(&self) -> Result<(), Invalid> {
        let limits = &self.limits;
        let counts = [
            ("flow.capacity", self.flow.capacity, MIN_CAPACITY),
            ("limits.viewers", limits.viewers, 1),
            ("limits.per_address", limits.per_address, 1),
            ("limits.unauthenticated", limits.unauthenticated, 1),
            ("limits.topics", limits.topics, 1),
            ("limits.inbound_bytes", limits.inbound_bytes, 1),
        ];
        for (option, count, least) in counts {
            require((option, count >= least), || format!("the least is {least}"))?;
        }
        let has_frames = limits.inbound_frames >= 1;
        require(("limits.inbound_frames", has_frames), || {
            "the least is 1".to_owned()
        })?;
        let sizes = [
            ("limits.session", limits.session, 1),
            ("limits.in_flight", limits.in_flight, 1),
            // With less, hyper panics when a connection opens.
            ("limits.header", limits.header, 8),
        ];
        for (option, bytes, least) in sizes {
            require((option, bytes >= least * 1024), || {
                format!("the least is {least}KiB")
            })?;
        }
        Ok(())
    }

    fn check_durations(&self) -> Result<(), Invalid> {
        let flow = &self.flow;
        let nonzero = [
            // Without pings, dead viewers would stay.
            ("flow.ping", flow.ping),
            ("flow.max_wait", flow.max_wait.unwrap_or(LONGEST)),
            ("limits.head_timeout", self.limits.head_timeout),
            ("limits.stall_timeout", self.limits.stall_timeout),
        ];
        for (option, duration) in nonzero {
            require((option, !duration.is_zero()), || {
                "give more than zero, like 15s".to_owned()
            })?;
        }
        for (option, duration) in nonzero
            .into_iter()
            .chain([("flow.debounce", flow.debounce)])
        {
            require((option, duration <= LONGEST), || {
                "a week (168h) is the longest".to_owned()
            })?;
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
            let is_origin = origin
                .split_once("://")
                .is_some_and(|(_, host)| !host.is_empty() && !host.contains(['/', '?', '#']));
            require(("access.allow_origin", is_origin), || {
                format!(
                    "{origin:?} is not an origin: give scheme and host without a path, like https://app.example"
                )
            })?;
        }
        for name in &access.allow_host {
            let is_name = !name.is_empty() && !is_around_a_host(name);
            require(("access.allow_host", is_name), || {
                format!(
                    "{name:?} is not a host name: give it without a scheme, like preview.example"
                )
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

fn require((option, is_fine): Named<bool>, reason: impl FnOnce() -> String) -> Result<(), Invalid> {
    match is_fine {
        true => Ok(()),
        false => Err(Invalid {
            option,
            reason: reason(),
        }),
    }
}

fn is_around_a_host(text: &str) -> bool {
    text.contains(AROUND_A_HOST) || text.contains(char::is_whitespace)
}

fn check_token(option: &'static str, token: &Token) -> Result<(), Invalid> {
    let text = token.reveal();
    let is_fine = text.len() >= SHORTEST_TOKEN && text.bytes().all(|byte| byte.is_ascii_graphic());
    require((option, is_fine), || {
        format!("give {SHORTEST_TOKEN} or more visible ASCII characters, or random for a good one")
    })
}

/// A pointer to no part of a session would promise a privacy that is not there.
fn check_ignored(pointer: &str) -> Result<(), Invalid> {
    let path = pointer.strip_prefix('/');
    require(("ignore", path.is_some()), || {
        format!("{pointer:?} is not a JSON Pointer: start it with /, like /metadata/ui")
    })?;
    let member = path.unwrap_or_default().split('/').next();
    require(("ignore", member.is_some_and(is_member)), || {
        format!(
            "a session has only name, data, config and metadata; a document that is not a session becomes its data (/data{pointer})"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let wait = wrong(|options| options.flow.max_wait = Some(Duration::MAX));
        assert_eq!(wait, "flow.max_wait: a week (168h) is the longest");
        let token = wrong(|options| options.access.viewer_token = Some(Token::new("open it")));
        assert!(token.starts_with("access.viewer_token: give 8") && !token.contains("open it"));
        let durable = wrong(|options| options.flow.after_durable = true);
        assert_eq!(
            durable,
            "flow.after_durable: nothing is durable without a store"
        );
    }
}
