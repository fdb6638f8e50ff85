//! What is known about this machine, before anybody judges it.

use std::net::IpAddr;

use super::external::Ran;
use crate::discovery::address::{Candidate, Reach};
use crate::options::Options;

/// What a judgement goes by.
#[derive(Clone, Debug)]
pub struct Facts {
    /// What the configuration says.
    pub wanted: Wanted,
    /// Who has the port that it names.
    pub holder: Holder,
    /// This machine's addresses, the best first; or why they are unknown.
    pub addresses: Result<Vec<Candidate>, String>,
    pub network: Network,
    pub machine: Machine,
    pub looks: Looks,
    /// Which of the addresses this machine itself reached, and why not.
    pub reached: Vec<(IpAddr, Result<(), String>)>,
}

/// What `onlooker serve` would do with this configuration.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub bind: IpAddr,
    pub port: u16,
    pub advertise: Option<String>,
    pub interface: Option<String>,
    pub viewers: usize,
}

/// Who has a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holder {
    Nobody,
    /// A running onlooker.
    Ours(Option<Process>, Serving),
    Other(Option<Process>),
    /// Another program has this usual one, and the wanted one is the next that is free.
    Passed(u16, Option<Process>),
    /// It cannot be listened on at all, for this reason.
    Unusable(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    pub pid: u32,
    pub name: String,
}

/// What a daemon says of itself, as far as it says anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Serving {
    pub topics: Option<Vec<String>>,
    pub viewers: Option<u64>,
}

/// How packets leave this machine.
#[derive(Clone, Debug, Default)]
pub struct Network {
    /// The interface by which it reaches the rest of the world.
    pub outgoing: Option<String>,
    /// None where the system does not show them.
    pub routes: Option<Routes>,
    /// The interface of the code's address, if the system shows how it is.
    pub link: Option<Link>,
}

/// What the routing table leads to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Routes {
    /// The interface of the default route.
    pub default: Option<String>,
    /// Interfaces with a route of any kind.
    pub interfaces: Vec<String>,
}

/// An interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    pub is_down: bool,
    /// The cable is out, or the Wi-Fi has no network.
    pub has_no_carrier: bool,
    /// Its other end is on this machine, outside of the container.
    pub is_paired: bool,
}

/// What kind of machine it is.
#[derive(Clone, Debug, Default)]
pub struct Machine {
    /// Which kind of container.
    pub container: Option<&'static str>,
    pub is_wsl: bool,
    /// The most files that the process can open.
    pub files: Option<u64>,
    /// By its clock.
    pub year: u64,
}

/// What the programs of firewalls said.
#[derive(Clone, Debug, Default)]
pub struct Looks {
    /// `nft -j list ruleset`
    pub nft: Ran,
    /// `ufw status verbose`
    pub ufw: Ran,
    /// `firewall-cmd --state`
    pub firewalld: Ran,
    /// `firewall-cmd --list-all`, of the interface's zone
    pub zone: Ran,
    /// Whether there are rules of an older kind, which `nft` does not show.
    pub has_legacy: bool,
}

/// Where the code leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code<'a> {
    Advertised(&'a str),
    Found(&'a Candidate),
    Nowhere,
}

impl Wanted {
    pub fn of(options: &Options) -> Wanted {
        Wanted {
            bind: options.bind,
            port: options.port,
            advertise: options.link.advertise.clone(),
            interface: options.link.interface.clone(),
            viewers: options.limits.viewers,
        }
    }

    /// Whether viewers at this address are listened to, and its interface is the wanted one.
    pub fn takes(&self, candidate: &Candidate) -> bool {
        let is_wanted = |name: &String| name.eq_ignore_ascii_case(&candidate.interface);
        let is_bound = self.bind.is_unspecified() || self.bind == candidate.address;
        is_bound && self.interface.as_ref().is_none_or(is_wanted)
    }
}

impl Facts {
    pub fn candidates(&self) -> &[Candidate] {
        self.addresses.as_deref().unwrap_or_default()
    }

    /// Where the code leads.
    pub fn code(&self) -> Code<'_> {
        let found = || self.candidates().iter().find(|one| self.wanted.takes(one));
        match &self.wanted.advertise {
            Some(place) => Code::Advertised(place),
            None => found().map_or(Code::Nowhere, Code::Found),
        }
    }

    /// The interface of the code's address.
    pub fn interface(&self) -> Option<&str> {
        match self.code() {
            Code::Found(candidate) => Some(&candidate.interface),
            _ => None,
        }
    }

    /// What kind of network an interface belongs to.
    pub fn reach_of(&self, interface: &str) -> Option<Reach> {
        let mut candidates = self.candidates().iter();
        let found = candidates.find(|candidate| candidate.interface == interface);
        found.map(|candidate| candidate.reach)
    }
}
