//! What can change while the daemon runs: who may connect, the certificate, the links.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::watch;

use super::links::Links;
use super::options::LinkOptions;
use super::tls::Certificate;
use crate::access::{Access, AccessOptions};
use crate::discovery::address::Candidate;

/// The current settings. Each connection and each request reads them once.
#[derive(Clone)]
pub struct Live {
    /// Who may connect.
    pub access: Arc<Access>,
    /// Where viewers find the daemon.
    pub links: Links,
    /// How many addresses further on in the list the links lead than at the start.
    pub turn: usize,
    /// For `https` and `wss`.
    pub tls: Option<Arc<Certificate>>,
}

/// Holds the current settings.
pub struct Current(watch::Sender<Arc<Live>>);

/// What the settings need besides the options.
pub struct Found {
    /// The machine's names, under which requests may address it.
    pub names: Vec<String>,
    /// The machine's addresses.
    pub addresses: Vec<Candidate>,
    /// The certificate that the options name.
    pub tls: Option<Arc<Certificate>>,
}

/// What [`Server::reload`](crate::server::Server::reload) has changed, besides who may connect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reloaded {
    /// New connections get a different certificate, or none.
    pub certificate: bool,
    /// The links are different, so new ones have to be handed out.
    pub links: bool,
}

impl Live {
    /// The settings with which a daemon starts that listens on `local`.
    ///
    /// # Errors
    /// When the system cannot supply randomness.
    pub fn new(
        (access, link): (&AccessOptions, &LinkOptions),
        local: SocketAddr,
        found: Found,
    ) -> Result<Live, getrandom::Error> {
        let access = Access::new(access, found.names)?;
        Ok(Live {
            links: Links::new(link, found.tls.is_some(), local, &found.addresses, &access),
            turn: 0,
            access: Arc::new(access),
            tls: found.tls,
        })
    }
}

impl Current {
    /// Starts with these settings.
    pub fn new(live: Live) -> Current {
        Current(watch::Sender::new(Arc::new(live)))
    }

    /// The current settings.
    pub fn get(&self) -> Arc<Live> {
        self.0.borrow().clone()
    }

    /// Is marked when the settings change.
    pub fn changes(&self) -> watch::Receiver<Arc<Live>> {
        self.0.subscribe()
    }

    /// Replaces the settings according to new options.
    ///
    /// # Errors
    /// When the system cannot supply randomness; then nothing has changed.
    pub fn renew(
        &self,
        (access, link): (&AccessOptions, &LinkOptions),
        local: SocketAddr,
        found: Found,
    ) -> Result<Reloaded, getrandom::Error> {
        let mut done = Ok(Reloaded::default());
        self.0.send_if_modified(|live| {
            done = live.access.renew(access, found.names).map(|access| {
                let links = Links::new(link, found.tls.is_some(), local, &found.addresses, &access);
                let (turn, links) = (live.turn, links.turned(live.turn));
                let reloaded = Reloaded {
                    certificate: !same(&live.tls, &found.tls),
                    links: links != live.links,
                };
                let (access, tls) = (Arc::new(access), found.tls);
                *live = Arc::new(Live {
                    access,
                    links,
                    turn,
                    tls,
                });
                reloaded
            });
            done.is_ok()
        });
        done
    }

    /// Lets the links lead to the next address of the list; returns the new ones.
    pub fn next_address(&self) -> Links {
        self.0.send_modify(|live| {
            let live = Arc::make_mut(live);
            live.turn += 1;
            live.links = live.links.clone().turned(1);
        });
        self.get().links.clone()
    }

    /// Replaces a certificate with a new one, if it is still in use. Returns whether it was.
    pub fn replace_certificate(&self, old: &Arc<Certificate>, new: Arc<Certificate>) -> bool {
        self.0.send_if_modified(|live| {
            let in_use = live.tls.as_ref().is_some_and(|tls| Arc::ptr_eq(tls, old));
            if in_use {
                Arc::make_mut(live).tls = Some(new);
            }
            in_use
        })
    }
}

fn same(one: &Option<Arc<Certificate>>, other: &Option<Arc<Certificate>>) -> bool {
    one.as_ref().map(Arc::as_ptr) == other.as_ref().map(Arc::as_ptr)
}
