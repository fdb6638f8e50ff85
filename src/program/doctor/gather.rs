//! Reads this machine: everything that is judged later comes from here.

use std::net::{IpAddr, SocketAddr, TcpListener};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::net::TcpStream;

use super::external::{Ran, ask};
use super::facts::{Facts, Holder, Looks, Machine, Network, Serving, Wanted};
use super::system;
use crate::discovery::address::{self, Candidate};

/// How long this machine may take to reach itself.
const TIMEOUT: Duration = Duration::from_secs(2);
/// More addresses than these are not tried.
const MOST_ADDRESSES: usize = 16;

/// Whether a port can be listened on, and why not.
pub fn try_port(bind: IpAddr, port: u16) -> Result<(), std::io::Error> {
    TcpListener::bind((bind, port)).map(drop)
}

/// Who has the wanted port. `serving`, which is asked only then: what onlooker says that has it, if
/// it is one.
pub async fn holder(wanted: &Wanted, serving: impl Future<Output = Option<Serving>>) -> Holder {
    let (bind, port) = (wanted.bind, wanted.port);
    let Err(error) = try_port(bind, port) else {
        return Holder::Nobody;
    };
    if error.kind() != std::io::ErrorKind::AddrInUse {
        return Holder::Unusable(error.to_string());
    }
    let found = tokio::task::spawn_blocking(move || system::holder(bind, port));
    let (found, serving) = tokio::join!(found, serving);
    let process = found.ok().flatten();
    let is_ours = process
        .as_ref()
        .is_some_and(|process| process.name == "onlooker");
    match serving.or_else(|| is_ours.then(Serving::default)) {
        Some(serving) => Holder::Ours(process, serving),
        None => Holder::Other(process),
    }
}

/// Everything else but what takes a listener.
pub async fn facts(wanted: Wanted, holder: Holder) -> Facts {
    let found = address::candidates(None).map_err(|error| error.to_string());
    let mut facts = Facts {
        wanted,
        holder,
        addresses: found,
        network: Network::default(),
        machine: machine(),
        looks: Looks::default(),
        reached: Vec::new(),
    };
    facts.network = network(&facts);
    facts.looks = look(facts.interface()).await;
    facts
}

fn machine() -> Machine {
    /// The mean one of the calendar.
    const YEAR: u64 = 31_556_952;
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    Machine {
        container: system::container(),
        is_wsl: system::is_wsl(),
        files: most_files(),
        year: 1970 + since.map_or(0, |since| since.as_secs() / YEAR),
    }
}

/// The limit to which the daemon raises its own.
#[cfg(unix)]
fn most_files() -> Option<u64> {
    let (_, hard) = rlimit::getrlimit(rlimit::Resource::NOFILE).ok()?;
    Some(hard)
}

#[cfg(not(unix))]
fn most_files() -> Option<u64> {
    None
}

fn network(facts: &Facts) -> Network {
    // The system is asked which address it would send from, which heeds every rule of routing.
    let from = local_ip_address::local_ip().ok();
    let has = |candidate: &&Candidate| Some(candidate.address) == from;
    let outgoing = facts.candidates().iter().find(has);
    Network {
        outgoing: outgoing.map(|candidate| candidate.interface.clone()),
        routes: system::routes(),
        link: facts.interface().and_then(system::link),
    }
}

/// Asks the programs of firewalls.
async fn look(interface: Option<&str>) -> Looks {
    if !cfg!(target_os = "linux") {
        return Looks::default();
    }
    let (nft, ufw, (firewalld, zone)) = tokio::join!(
        ask("nft", &["-j", "list", "ruleset"]),
        ask("ufw", &["status", "verbose"]),
        firewalld(interface)
    );
    Looks {
        nft,
        ufw,
        firewalld,
        zone,
        has_legacy: system::has_legacy_rules(),
    }
}

async fn firewalld(interface: Option<&str>) -> (Ran, Ran) {
    let state = ask("firewall-cmd", &["--state"]).await;
    if state.text().is_none() {
        return (state, Ran::Missing);
    }
    let asked = interface.map(|name| format!("--get-zone-of-interface={name}"));
    let zone = match asked {
        Some(asked) => ask("firewall-cmd", &[&asked]).await,
        None => Ran::Missing,
    };
    // An interface without a zone is in the default one.
    let named = zone
        .text()
        .map(str::trim)
        .filter(|zone| !zone.contains(' '));
    let named = named.map(|zone| format!("--zone={zone}"));
    let args = named.as_deref().into_iter().chain(["--list-all"]);
    let args: Vec<&str> = args.collect();
    (state, ask("firewall-cmd", &args).await)
}

/// Whether this machine reaches its own listener at each address that the code could lead to.
pub async fn reach(facts: &Facts, port: u16) -> Vec<(IpAddr, Result<(), String>)> {
    let taken = facts.candidates().iter().filter(|candidate| {
        let bind = facts.wanted.bind;
        // A listener at :: takes IPv4, too, unless the system is set up otherwise.
        let takes = bind.is_ipv6() || candidate.address.is_ipv4();
        bind.is_unspecified() && takes || bind == candidate.address
    });
    let tries = taken.take(MOST_ADDRESSES).map(|candidate| async move {
        let place = SocketAddr::new(candidate.address, port);
        let tried = tokio::time::timeout(TIMEOUT, TcpStream::connect(place)).await;
        let came = match tried {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("no answer".to_owned()),
        };
        (candidate.address, came)
    });
    futures_util::future::join_all(tries).await
}
