//! Where the code leads, and how packets get there and back.

use super::super::facts::{Code, Facts};
use crate::discovery::address::{Candidate, Reach};
use crate::wire::CheckLine;

/// More of them are only counted.
const MOST_SHOWN: usize = 8;

/// The address that the code leads to.
pub fn address(facts: &Facts) -> CheckLine {
    const CHECK: &str = "address";
    let wanted = &facts.wanted;
    let code = match facts.code() {
        Code::Advertised(place) => return advertised(facts, place),
        Code::Nowhere => return nowhere(facts),
        Code::Found(code) => code,
    };
    let found = format!("the code leads to {}", shown(code));
    if code.reach == Reach::Loopback && wanted.bind.is_loopback() {
        return CheckLine::wrong(
            CHECK,
            format!("onlooker listens on {} only: no other device can connect", wanted.bind),
            "listen on every address: leave --bind out, also as bind in onlooker.toml and as ONLOOKER_BIND",
        )
        .typing("onlooker config | grep bind");
    }
    if wanted.bind.is_ipv4() && code.address.is_ipv6() {
        let found = format!("{found}, an IPv6 address, and onlooker listens on IPv4 only");
        return CheckLine::wrong(CHECK, found, "listen on both").typing("onlooker --bind ::");
    }
    match code.reach.is_physical() {
        true => CheckLine::good(CHECK, found),
        false if wanted.interface.is_some() => CheckLine::note(
            CHECK,
            format!("{found}, as --interface says"),
            "a phone reaches it only if it is in that network too",
        ),
        false => unreachable(found, facts),
    }
}

/// No address in a network of people's devices.
fn unreachable(found: String, facts: &Facts) -> CheckLine {
    let found = format!("{found}, which a phone cannot reach, and this machine has no better one");
    let way = "connect this machine to the phone's Wi-Fi (or by cable); if a phone does reach it by a way of its own, say so with --interface or --advertise";
    let command = match facts.candidates().first() {
        Some(first) if first.reach == Reach::Loopback => "onlooker --advertise ADDRESS".to_owned(),
        Some(first) => format!("onlooker --interface {}", first.interface),
        None => "onlooker --advertise ADDRESS".to_owned(),
    };
    CheckLine::wrong("address", found, way).typing(command)
}

fn advertised(facts: &Facts, place: &str) -> CheckLine {
    let host = place.rsplit_once(':').map_or(place, |(host, _)| host);
    let is_ours = |candidate: &&Candidate| {
        let address = candidate.address.to_string();
        address == place || address == host.trim_matches(['[', ']'])
    };
    let found = format!("the code leads to {place}, as --advertise says");
    match facts.candidates().iter().find(is_ours) {
        Some(own) if own.reach.is_physical() => CheckLine::good(
            "address",
            format!("{found} ({}: {})", own.interface, own.reach),
        ),
        Some(own) => CheckLine::note(
            "address",
            format!("{found} ({}: {})", own.interface, own.reach),
            "a phone reaches it only if it is in that network too",
        ),
        None => CheckLine::note(
            "address",
            format!("{found}, which is no address of this machine"),
            "whatever is there has to pass connections on to this machine: a container's host, a router, a tunnel",
        ),
    }
}

fn nowhere(facts: &Facts) -> CheckLine {
    let others = facts.candidates().iter();
    let others = others.filter(|one| one.reach != Reach::Loopback);
    let names = others.map(|one| one.interface.as_str());
    let mut names: Vec<&str> = names.collect();
    names.dedup();
    let command = match names.first() {
        Some(name) if facts.wanted.interface.is_some() => format!("onlooker --interface {name}"),
        _ => "onlooker --advertise ADDRESS".to_owned(),
    };
    match (&facts.addresses, &facts.wanted.interface) {
        (Err(reason), _) => CheckLine::wrong("address", reason, "name the address yourself"),
        (_, Some(interface)) => CheckLine::wrong(
            "address",
            format!(
                "no interface {interface:?} with an address; this machine has {}",
                if names.is_empty() {
                    "none".to_owned()
                } else {
                    names.join(", ")
                }
            ),
            "name one of those, or leave --interface out",
        ),
        (_, None) => CheckLine::wrong(
            "address",
            format!(
                "this machine has no address to which onlooker listens ({})",
                facts.wanted.bind
            ),
            "connect it to a network, and leave --bind out",
        ),
    }
    .typing(command)
}

/// Every address in its order.
pub fn others(facts: &Facts) -> Option<CheckLine> {
    let all = facts.candidates();
    let rows = all.iter().take(MOST_SHOWN).enumerate();
    let rows = rows.map(|(at, candidate)| format!("{}. {}", at + 1, shown(candidate)));
    let mut found = rows.collect::<Vec<_>>().join("; ");
    if all.len() > MOST_SHOWN {
        found.push_str(&format!("; and {} more", all.len() - MOST_SHOWN));
    }
    (!all.is_empty()).then(|| CheckLine::good("addresses", found))
}

fn shown(candidate: &Candidate) -> String {
    let Candidate {
        address,
        interface,
        reach,
    } = candidate;
    format!("{address} ({interface}: {reach})")
}

/// Whether the interface of the code's address is there at all.
pub fn interface(facts: &Facts) -> Option<CheckLine> {
    let (name, link) = (facts.interface()?, facts.network.link.as_ref()?);
    if link.is_down {
        let found = format!("{name} is switched off");
        let line = CheckLine::wrong("interface", found, "switch it on");
        return Some(line.typing(format!("sudo ip link set {name} up")));
    }
    link.has_no_carrier.then(|| {
        CheckLine::wrong(
            "interface",
            format!("{name} is not connected: no cable, or no Wi-Fi network"),
            "connect it, or name another interface with --interface",
        )
    })
}

/// Whether answers find their way back to a phone.
pub fn route(facts: &Facts) -> Option<CheckLine> {
    const CHECK: &str = "route";
    let (routes, name) = (facts.network.routes.as_ref()?, facts.interface()?);
    if facts.reach_of(name) == Some(Reach::Loopback) {
        return None;
    }
    let Some(default) = &routes.default else {
        return Some(match routes.interfaces.iter().any(|known| known == name) {
            false => CheckLine::wrong(
                CHECK,
                format!("no route leads through {name}: answers to a phone have no way out"),
                "get an address from the network again (reconnect), or give it with its prefix, like 192.168.1.20/24",
            )
            .typing("ip route"),
            true => CheckLine::note(
                CHECK,
                format!("no default route: {name} reaches its own network, and no other"),
                "fine if the phone is in that network (same Wi-Fi, same address range); otherwise this machine needs a gateway",
            ),
        });
    };
    match default == name || facts.wanted.interface.is_some() {
        true => Some(CheckLine::good(
            CHECK,
            format!("the default route leaves by {default}"),
        )),
        // Then that is the line about the VPN.
        false if facts.reach_of(default) == Some(Reach::Vpn) => None,
        false => Some(
            CheckLine::note(
                CHECK,
                format!("the default route leaves by {default}, and the code leads to {name}"),
                format!("if phones are in the network of {default}, name that interface"),
            )
            .typing(format!("onlooker --interface {default}")),
        ),
    }
}

/// A VPN through which everything goes: many of them cut off the local network.
pub fn vpn(facts: &Facts) -> Option<CheckLine> {
    if facts.code() == Code::Nowhere {
        return None;
    }
    let network = &facts.network;
    let default = network
        .routes
        .as_ref()
        .and_then(|routes| routes.default.as_ref());
    // If the code itself leads into the VPN, the line about the address says so.
    let is_vpn = |name: &&String| {
        facts.reach_of(name) == Some(Reach::Vpn) && facts.interface() != Some(name.as_str())
    };
    let through = [default, network.outgoing.as_ref()];
    let through = through.into_iter().flatten().find(is_vpn)?;
    Some(CheckLine::note(
        "vpn",
        format!("a VPN ({through}) has the default route, and may keep the local network out"),
        "if the phone does not connect: allow local network access in the VPN's settings, or disconnect it for a moment",
    ))
}
