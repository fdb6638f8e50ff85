//! `nft -j list ruleset`: the rules are gone through as the kernel would for a phone's first packet.
//! What a rule looks at besides port, interface and protocol is not known, so it may fit or not.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Fate, Packet};

/// A chain is not followed further than this, and not more rules than these are looked at.
const DEEPEST: usize = 16;
const MOST_RULES: usize = 50_000;

/// Family, table and chain.
type Name<'a> = (&'a str, &'a str, &'a str);

/// A chain that packets come in by, and whether it drops what no rule decides.
struct Entrance<'a> {
    name: Name<'a>,
    drops: bool,
}

struct Rules<'a> {
    chains: BTreeMap<Name<'a>, Vec<&'a Value>>,
    entrances: Vec<Entrance<'a>>,
    packet: Packet<'a>,
}

/// Whether a rule fits the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    No,
    Maybe,
    Yes,
}

/// How the way through a chain ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Accepted,
    Dropped,
    /// Nothing has decided.
    Open,
}

/// What happened on the way.
#[derive(Default)]
struct Way {
    seen: usize,
    may_accept: bool,
    may_drop: bool,
    /// The handle of the rule that dropped it.
    by: Option<u64>,
}

/// What the rules do with a packet; `None` if nothing filters what comes in, or it is no list of
/// rules.
pub fn judge(list: &str, packet: &Packet) -> Option<Fate> {
    let list: Value = serde_json::from_str(list).ok()?;
    let rules = Rules::read(list["nftables"].as_array()?, *packet);
    let fates = rules.entrances.iter().map(|entrance| rules.enter(entrance));
    // Every entrance has to let it in.
    fates.max_by_key(|fate| match fate {
        Fate::Let(_) => 0,
        Fate::Unknown(..) => 1,
        Fate::Dropped { .. } => 2,
    })
}

impl<'a> Rules<'a> {
    fn read(list: &'a [Value], packet: Packet<'a>) -> Rules<'a> {
        let mut rules = Rules {
            chains: BTreeMap::new(),
            entrances: Vec::new(),
            packet,
        };
        let text = |of: &'a Value, key: &str| of[key].as_str().unwrap_or_default();
        let family = if packet.is_v6 { "ip6" } else { "ip" };
        for entry in list {
            let (chain, rule) = (&entry["chain"], &entry["rule"]);
            if rule.is_object() {
                let name = (
                    text(rule, "family"),
                    text(rule, "table"),
                    text(rule, "chain"),
                );
                rules.chains.entry(name).or_default().push(rule);
            }
            let is_entrance = chain["hook"] == "input" && chain["type"] == "filter";
            let name = (
                text(chain, "family"),
                text(chain, "table"),
                text(chain, "name"),
            );
            if is_entrance && (name.0 == "inet" || name.0 == family) {
                let drops = chain["policy"] == "drop";
                rules.entrances.push(Entrance { name, drops });
            }
        }
        rules
    }

    fn enter(&self, entrance: &Entrance) -> Fate {
        let mut way = Way::default();
        let end = match self.follow(entrance.name, 0, &mut way) {
            End::Open if entrance.drops => End::Dropped,
            End::Open => End::Accepted,
            end => end,
        };
        let (family, table, chain) = entrance.name;
        let (place, port) = (format!("{family} {table} {chain}"), self.packet.port);
        match end {
            _ if way.seen >= MOST_RULES => {
                unknown(format!("nft: {place} has too many rules"), entrance)
            }
            End::Dropped if !way.may_accept => Fate::Dropped {
                found: match way.by {
                    Some(handle) => {
                        format!("nft: the rule with handle {handle} in {place} drops TCP {port}")
                    }
                    None => format!(
                        "nft: {place} drops what no rule accepts, and none accepts TCP {port}"
                    ),
                },
                way_out: "let the port in; in /etc/nftables.conf, too, to keep it",
                command: format!("sudo nft insert rule {place} tcp dport {port} accept"),
            },
            End::Accepted if !way.may_drop => Fate::Let(format!("nft: {place} lets TCP {port} in")),
            _ => unknown(
                format!(
                    "nft: {place} has rules for TCP {port} that look at more than port and interface"
                ),
                entrance,
            ),
        }
    }

    /// Goes through a chain.
    fn follow(&self, name: Name, depth: usize, way: &mut Way) -> End {
        if depth > DEEPEST {
            return End::Open;
        }
        for rule in self.chains.get(&name).into_iter().flatten() {
            way.seen += 1;
            if way.seen >= MOST_RULES {
                return End::Open;
            }
            match self.apply(rule, name, depth, way) {
                Some(End::Open) => return End::Open,
                Some(end) => return end,
                None => {}
            }
        }
        End::Open
    }

    /// What a rule decides; `None`: the next one is looked at.
    fn apply(&self, rule: &Value, name: Name, depth: usize, way: &mut Way) -> Option<End> {
        let mut fit = Fit::Yes;
        for part in rule["expr"].as_array()? {
            let (kind, what) = part.as_object()?.iter().next()?;
            let end = match kind.as_str() {
                "accept" => End::Accepted,
                "drop" | "reject" => End::Dropped,
                "return" => return (fit == Fit::Yes).then_some(End::Open),
                "jump" | "goto" => {
                    let target = (name.0, name.1, what["target"].as_str()?);
                    let end = self.follow(target, depth + 1, way);
                    match (end, fit, kind.as_str()) {
                        (End::Open, Fit::Yes, "goto") => return Some(End::Open),
                        (End::Open, ..) => return None,
                        _ => end,
                    }
                }
                _ => {
                    fit = fit.min(self.fits(kind, what));
                    match fit {
                        Fit::No => return None,
                        _ => continue,
                    }
                }
            };
            return way.decide(end, fit, rule);
        }
        None
    }

    /// Whether a part of a rule lets the rest of it be.
    fn fits(&self, kind: &str, what: &Value) -> Fit {
        match kind {
            "match" => self.matches(what),
            // They only note something.
            "counter" | "log" | "comment" | "mangle" | "notrack" => Fit::Yes,
            // A list of verdicts, a limit, or what iptables knows and nft does not.
            _ => Fit::Maybe,
        }
    }

    fn matches(&self, what: &Value) -> Fit {
        let (left, right) = (&what["left"], &what["right"]);
        let (payload, meta) = (&left["payload"], &left["meta"]["key"]);
        let named = |name: &str| fit_of(right, &|one| same_name(one, name));
        let fit = match (payload["protocol"].as_str(), payload["field"].as_str()) {
            (Some("tcp"), Some("dport")) => fit_of(right, &|one| same_port(one, self.packet.port)),
            // `th` is whatever the packet has above IP.
            (Some("th"), Some("dport")) => fit_of(right, &|one| same_port(one, self.packet.port)),
            (Some("udp" | "icmp" | "icmpv6" | "sctp" | "dccp" | "igmp"), _) => return Fit::No,
            (Some("ip"), Some("protocol")) | (Some("ip6"), Some("nexthdr")) => named("tcp"),
            (Some("ip"), _) if self.packet.is_v6 => return Fit::No,
            (Some("ip6"), _) if !self.packet.is_v6 => return Fit::No,
            _ => match (meta.as_str(), self.packet.interface) {
                (Some("iif" | "iifname"), Some(interface)) => named(interface),
                // It does not come from this machine.
                (Some("iif" | "iifname"), None) if named("lo") == Fit::Yes => Fit::No,
                (Some("l4proto"), _) => named("tcp"),
                (Some("nfproto"), _) if self.packet.is_v6 => named("ipv6"),
                (Some("nfproto"), _) => named("ipv4"),
                _ if left["ct"]["key"] == "state" => named("new"),
                _ => Fit::Maybe,
            },
        };
        match what["op"].as_str() {
            Some("!=") => fit.opposite(),
            _ => fit,
        }
    }
}

impl Way {
    fn decide(&mut self, end: End, fit: Fit, rule: &Value) -> Option<End> {
        match (fit, end) {
            (Fit::Yes, _) => {
                if end == End::Dropped && self.by.is_none() {
                    self.by = rule["handle"].as_u64();
                }
                return Some(end);
            }
            (_, End::Accepted) => self.may_accept = true,
            (_, End::Dropped) => self.may_drop = true,
            (_, End::Open) => {}
        }
        None
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

fn unknown(why: String, entrance: &Entrance) -> Fate {
    let (family, table, chain) = entrance.name;
    Fate::Unknown(why, format!("sudo nft list chain {family} {table} {chain}"))
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

#[cfg(test)]
mod tests;
