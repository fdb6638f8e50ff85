//! Whether what a rule looks at is what a phone's first packet has.

use std::net::IpAddr;

use serde_json::Value;

use super::super::Packet;

/// Whether a rule fits the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fit {
    No,
    Maybe,
    Yes,
}

/// Whether a comparison is true of the packet.
pub fn matches(packet: &Packet, op: &str, left: &Value, right: &Value) -> Fit {
    let (payload, meta) = (&left["payload"], &left["meta"]["key"]);
    let named = |name: &str| fit_of(right, &|one| same_name(one, name));
    let fit = match (payload["protocol"].as_str(), payload["field"].as_str()) {
        (Some("udp" | "icmp" | "icmpv6" | "sctp" | "dccp" | "igmp"), _) => return Fit::No,
        (Some("ip"), _) if packet.is_v6 => return Fit::No,
        (Some("ip6"), _) if !packet.is_v6 => return Fit::No,
        // `th` is whatever the packet has above IP.
        (Some("tcp" | "th"), Some("dport")) => fit_of(right, &|one| same_port(one, packet.port)),
        (Some("ip"), Some("protocol")) | (Some("ip6"), Some("nexthdr")) => named("tcp"),
        (Some("ip" | "ip6"), Some("daddr")) => fit_of(right, &|one| same_address(one, packet.to)),
        _ => match (meta.as_str(), packet.interface) {
            (Some("iif" | "iifname"), Some(interface)) => named(interface),
            // It does not come from this machine.
            (Some("iif" | "iifname"), None) => fit_of(right, &|one| match one == "lo" {
                true => Fit::No,
                false => Fit::Maybe,
            }),
            (Some("l4proto"), _) => named("tcp"),
            (Some("nfproto"), _) if packet.is_v6 => named("ipv6"),
            (Some("nfproto"), _) => named("ipv4"),
            _ if left["ct"]["key"] == "state" => named("new"),
            _ => Fit::Maybe,
        },
    };
    match op {
        "==" | "in" => fit,
        "!=" => fit.opposite(),
        // Greater or less.
        _ => Fit::Maybe,
    }
}

impl Fit {
    fn opposite(self) -> Fit {
        match self {
            Fit::No => Fit::Yes,
            Fit::Maybe => Fit::Maybe,
            Fit::Yes => Fit::No,
        }
    }
}

/// A value, or a set or list of which one has to fit.
fn fit_of(right: &Value, one: &dyn Fn(&Value) -> Fit) -> Fit {
    let parts = right.as_array().or_else(|| right["set"].as_array());
    match parts {
        Some(parts) => parts.iter().map(one).max().unwrap_or(Fit::No),
        None => one(right),
    }
}

fn same_port(value: &Value, port: u16) -> Fit {
    let range = value["range"].as_array();
    let bounds = range.and_then(|ends| Some((ends.first()?.as_u64()?, ends.get(1)?.as_u64()?)));
    let port = u64::from(port);
    match (value.as_u64(), bounds) {
        (Some(number), _) => sure(number == port),
        (_, Some((from, to))) => sure((from..=to).contains(&port)),
        // A set with a name, a service with one.
        _ => Fit::Maybe,
    }
}

fn same_address(value: &Value, address: Option<IpAddr>) -> Fit {
    match (value.as_str().and_then(|text| text.parse().ok()), address) {
        (Some::<IpAddr>(named), Some(address)) => sure(named == address),
        // A network, a set with a name.
        _ => Fit::Maybe,
    }
}

fn same_name(value: &Value, name: &str) -> Fit {
    match value.as_str() {
        Some(text) if text.starts_with('@') => Fit::Maybe,
        Some(text) => match text.strip_suffix('*') {
            Some(start) => sure(name.starts_with(start)),
            None => sure(text == name),
        },
        None => Fit::Maybe,
    }
}

fn sure(fits: bool) -> Fit {
    if fits { Fit::Yes } else { Fit::No }
}
