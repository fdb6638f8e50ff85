//! `nft -j list ruleset`: the rules are gone through as the kernel would for a phone's first packet.
//! What a rule looks at besides port, interface and protocol is not known, so it may fit or not.

mod fit;

use std::collections::BTreeMap;

use serde_json::Value;

use self::fit::Fit;
use super::{Fate, Packet};

/// A chain is not followed further than this, and not more rules than these are looked at.
const DEEPEST: usize = 16;
const MOST_RULES: usize = 50_000;

/// Family, table and chain.
type Name<'a> = (&'a str, &'a str, &'a str);

/// A chain that packets come in by.
struct Entrance<'a> {
    name: Name<'a>,
    /// Whether it drops what no rule decides.
    drops: bool,
    /// It sees them before their way is known (prerouting, ingress).
    is_early: bool,
}

/// A rule, where it stands.
#[derive(Clone, Copy)]
struct At<'a> {
    rule: &'a Value,
    name: Name<'a>,
    depth: usize,
}

struct Rules<'a> {
    chains: BTreeMap<Name<'a>, Vec<&'a Value>>,
    entrances: Vec<Entrance<'a>>,
    packet: Packet<'a>,
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
struct Way<'a> {
    seen: usize,
    may_accept: bool,
    may_drop: bool,
    /// The rule that dropped it: its chain and handle.
    by: Option<(Name<'a>, u64)>,
}

/// What the rules do with a packet; `None` if nothing filters what comes in, or it is no list of
/// rules.
pub fn judge(list: &str, packet: &Packet) -> Option<Fate> {
    let list: Value = serde_json::from_str(list).ok()?;
    let rules = Rules::read(list["nftables"].as_array()?, *packet);
    let fates = rules.entrances.iter().filter_map(|entrance| {
        let fate = rules.enter(entrance);
        match (entrance.is_early, &fate) {
            (false, _) => Some(fate),
            // It lets the packet go on to those for what comes in.
            (true, Fate::Let(_)) => None,
            (true, _) => Some(unknown(
                "filters before the packet's way is known",
                entrance,
            )),
        }
    });
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
            let hook = text(chain, "hook");
            let is_early = matches!(hook, "prerouting" | "ingress");
            let is_entrance = chain["type"] == "filter" && (is_early || hook == "input");
            let name = (
                text(chain, "family"),
                text(chain, "table"),
                text(chain, "name"),
            );
            if is_entrance && ["inet", "netdev", family].contains(&name.0) {
                rules.entrances.push(Entrance {
                    name,
                    drops: chain["policy"] == "drop",
                    is_early,
                });
            }
        }
        rules
    }

    fn enter(&self, entrance: &Entrance<'a>) -> Fate {
        let mut way = Way::default();
        let end = match self.follow(entrance.name, 0, &mut way) {
            End::Open if entrance.drops => End::Dropped,
            End::Open => End::Accepted,
            end => end,
        };
        let (place, port) = (words(entrance.name), self.packet.port);
        match end {
            _ if way.seen >= MOST_RULES => unknown("has too many rules", entrance),
            End::Dropped if !way.may_accept => Fate::Dropped {
                found: match way.by {
                    Some((name, handle)) => {
                        let place = words(name);
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
                &format!("has rules for TCP {port} that look at more than port and interface"),
                entrance,
            ),
        }
    }

    /// Goes through a chain.
    fn follow(&self, name: Name<'a>, depth: usize, way: &mut Way<'a>) -> End {
        if depth > DEEPEST {
            return End::Open;
        }
        for rule in self.chains.get(&name).into_iter().flatten() {
            way.seen += 1;
            if way.seen >= MOST_RULES {
                return End::Open;
            }
            if let Some(end) = self.apply(At { rule, name, depth }, way) {
                return end;
            }
        }
        End::Open
    }

    /// What a rule decides; `None`: the next one is looked at.
    fn apply(&self, at: At<'a>, way: &mut Way<'a>) -> Option<End> {
        let mut fit = Fit::Yes;
        for part in at.rule["expr"].as_array()? {
            let Some((kind, what)) = only(part) else {
                return way.open_both();
            };
            fit = fit.min(match kind {
                "match" => {
                    let op = what["op"].as_str().unwrap_or_default();
                    fit::matches(&self.packet, op, &what["left"], &what["right"])
                }
                // They only note something.
                "counter" | "log" | "comment" | "mangle" | "notrack" => Fit::Yes,
                "vmap" => return self.look_up(what, fit, at, way),
                "accept" | "drop" | "reject" | "continue" | "return" | "jump" | "goto"
                | "queue" | "synproxy" => return self.decide(kind, what, fit, at, way),
                // What iptables knows and nft does not.
                "xt" if what["type"] != "match" => return way.open_both(),
                // A limit, say.
                _ => Fit::Maybe,
            });
            if fit == Fit::No {
                return None;
            }
        }
        None
    }

    /// What a list of verdicts decides for a packet that fits so well.
    fn look_up(&self, map: &'a Value, fit: Fit, at: At<'a>, way: &mut Way<'a>) -> Option<End> {
        // One with a name changes while packets come.
        let Some(pairs) = map["data"]["set"].as_array() else {
            return way.open_both();
        };
        for pair in pairs {
            way.seen += 1;
            let fit = fit.min(fit::matches(&self.packet, "==", &map["key"], &pair[0]));
            let end = match only(&pair[1]) {
                _ if fit == Fit::No => continue,
                Some((kind, what)) => self.decide(kind, what, fit, at, way),
                None => way.open_both(),
            };
            if end.is_some() || fit == Fit::Yes {
                return end;
            }
        }
        None
    }

    /// What a verdict decides for a packet that fits so well.
    fn decide(
        &self,
        kind: &str,
        what: &'a Value,
        fit: Fit,
        at: At<'a>,
        way: &mut Way<'a>,
    ) -> Option<End> {
        match (kind, what["target"].as_str()) {
            ("accept", _) => way.end(End::Accepted, fit, at),
            ("drop" | "reject", _) => way.end(End::Dropped, fit, at),
            ("continue", _) => None,
            ("return", _) if fit == Fit::Yes => Some(End::Open),
            ("jump" | "goto", Some(target)) => {
                let (family, table, _) = at.name;
                let by = way.by;
                let end = self.follow((family, table, target), at.depth + 1, way);
                if fit != Fit::Yes {
                    way.by = by;
                }
                match (end, kind) {
                    (End::Open, "jump") => None,
                    (End::Open, _) if fit == Fit::Yes => Some(End::Open),
                    (End::Open, _) => way.open_both(),
                    _ => way.end(end, fit, at),
                }
            }
            // Another program decides, or the rules behind this one may be skipped.
            _ => way.open_both(),
        }
    }
}

impl<'a> Way<'a> {
    fn end(&mut self, end: End, fit: Fit, at: At<'a>) -> Option<End> {
        match (fit, end) {
            (Fit::Yes, _) => {
                if end == End::Dropped && self.by.is_none() {
                    self.by = at.rule["handle"].as_u64().map(|handle| (at.name, handle));
                }
                return Some(end);
            }
            (_, End::Accepted) => self.may_accept = true,
            (_, End::Dropped) => self.may_drop = true,
            (_, End::Open) => {}
        }
        None
    }

    /// From here on, either end is possible.
    fn open_both(&mut self) -> Option<End> {
        (self.may_accept, self.may_drop) = (true, true);
        None
    }
}

/// What something is, and what that consists of: `{"jump": {"target": "lan"}}`.
fn only(part: &Value) -> Option<(&str, &Value)> {
    let (kind, what) = part.as_object()?.iter().next()?;
    Some((kind, what))
}

fn words((family, table, chain): Name) -> String {
    format!("{family} {table} {chain}")
}

fn unknown(why: &str, entrance: &Entrance) -> Fate {
    let place = words(entrance.name);
    Fate::Unknown(
        format!("nft: {place} {why}"),
        format!("sudo nft list chain {place}"),
    )
}

#[cfg(test)]
mod tests;
