//! Machines as they are found, and the line that matters about each.

use std::net::IpAddr;

use super::*;
use crate::discovery::address::{Candidate, Reach};
use crate::options::Options;
use crate::program::doctor::external::Ran;
use crate::program::doctor::facts::{
    Holder, Link, Looks, Machine, Network, Process, Routes, Serving, Wanted,
};
use crate::wire::Verdict;

fn candidate(interface: &str, address: &str, reach: Reach) -> Candidate {
    Candidate {
        address: address.parse().unwrap(),
        interface: interface.to_owned(),
        reach,
    }
}

/// A laptop in a Wi-Fi, with nothing in the way.
fn laptop() -> Facts {
    let wlan = candidate("wlan0", "192.168.1.20", Reach::Private);
    let lo = candidate("lo", "127.0.0.1", Reach::Loopback);
    Facts {
        wanted: Wanted::of(&Options::default()),
        holder: Holder::Nobody,
        reached: vec![(wlan.address, Ok(()))],
        addresses: Ok(vec![wlan, lo]),
        network: Network {
            outgoing: Some("wlan0".to_owned()),
            routes: Some(routes(Some("wlan0"), &["wlan0"])),
            link: Some(Link::default()),
        },
        machine: Machine {
            files: Some(1 << 20),
            year: 2026,
            ..Machine::default()
        },
        looks: Looks {
            nft: Ran::Said(r#"{"nftables":[]}"#.to_owned()),
            ..Looks::default()
        },
    }
}

fn routes(default: Option<&str>, interfaces: &[&str]) -> Routes {
    Routes {
        default: default.map(str::to_owned),
        interfaces: interfaces.iter().map(|name| (*name).to_owned()).collect(),
    }
}

fn with(change: impl FnOnce(&mut Facts)) -> Vec<CheckLine> {
    let mut facts = laptop();
    change(&mut facts);
    judge(&facts)
}

/// The one line that is not good, and that it has a way out.
fn found(lines: &[CheckLine]) -> (&'static str, Verdict, String) {
    let bad: Vec<_> = lines
        .iter()
        .filter(|line| line.verdict != Verdict::Good)
        .collect();
    let [line] = bad.as_slice() else {
        panic!("one line was expected: {lines:#?}");
    };
    assert!(line.way_out.is_some(), "{line:?}");
    (line.check, line.verdict, line.found.clone())
}

/// What changes about the laptop, the check that tells of it, its verdict, and what it says.
type Case<'a> = (&'a str, fn(&mut Facts), &'a str, Verdict, &'a str);

#[test]
fn nothing_in_the_way_is_all_good() {
    let lines = judge(&laptop());
    assert!(
        lines.iter().all(|line| line.verdict == Verdict::Good),
        "{lines:#?}"
    );
    let names: Vec<&str> = lines.iter().map(|line| line.check).collect();
    let expected = [
        "port",
        "address",
        "addresses",
        "route",
        "firewall",
        "reach",
        "files",
        "clock",
    ];
    #[cfg(target_os = "linux")]
    assert_eq!(names, expected);
    assert_eq!(
        lines[1].found,
        "the code leads to 192.168.1.20 (wlan0: private, physical)"
    );
}

fn addresses(facts: &mut Facts, list: &[(&str, &str, Reach)]) {
    let found = list
        .iter()
        .map(|(name, address, reach)| candidate(name, address, *reach));
    facts.addresses = Ok(found.collect());
    facts.reached.clear();
}

#[rustfmt::skip]
const CASES: &[Case] = &[
    ("taken", |f| f.holder = Holder::Other(Some(Process { pid: 7, name: "node".into() })),
        "port", Verdict::Wrong, "another program has 9876: node (process 7)"),
    ("taken by somebody", |f| f.holder = Holder::Other(None),
        "port", Verdict::Wrong, "may not see which"),
    ("a low port", |f| { f.wanted.port = 80; f.holder = Holder::Unusable("Permission denied".into()) },
        "port", Verdict::Wrong, "Permission denied"),
    ("bound to loopback", |f| { f.wanted.bind = IpAddr::from([127, 0, 0, 1]); },
        "address", Verdict::Wrong, "listens on 127.0.0.1 only"),
    ("only a tunnel", |f| { addresses(f, &[("tun0", "10.8.0.2", Reach::Vpn), ("lo", "127.0.0.1", Reach::Loopback)]);
            f.network = Network::default() },
        "address", Verdict::Wrong, "10.8.0.2 (tun0: VPN), which a phone cannot reach"),
    ("only Docker's bridge", |f| { addresses(f, &[("docker0", "172.17.0.1", Reach::Container)]); f.network.routes = None },
        "address", Verdict::Wrong, "172.17.0.1 (docker0: Docker or another container)"),
    ("only itself", |f| { addresses(f, &[("lo", "127.0.0.1", Reach::Loopback)]); },
        "address", Verdict::Wrong, "127.0.0.1 (lo: loopback, this machine only)"),
    ("IPv6 alone", |f| { addresses(f, &[("wlan0", "fd00::2", Reach::Private)]); },
        "address", Verdict::Wrong, "an IPv6 address, and onlooker listens on IPv4 only"),
    ("no address at all", |f| addresses(f, &[]),
        "address", Verdict::Wrong, "no address"),
    ("a wrong interface", |f| f.wanted.interface = Some("eth9".into()),
        "address", Verdict::Wrong, "no interface \"eth9\" with an address; this machine has wlan0"),
    ("a tunnel on purpose", |f| { addresses(f, &[("wlan0", "192.168.1.20", Reach::Private), ("tun0", "10.8.0.2", Reach::Vpn)]);
            f.wanted.interface = Some("tun0".into()); },
        "address", Verdict::Note, "as --interface says"),
    ("advertised elsewhere", |f| f.wanted.advertise = Some("203.0.113.1:80".into()),
        "address", Verdict::Note, "203.0.113.1:80, as --advertise says, which is no address of this machine"),
    ("switched off", |f| f.network.link = Some(Link { is_down: true, ..Link::default() }),
        "interface", Verdict::Wrong, "wlan0 is switched off"),
    ("no cable", |f| f.network.link = Some(Link { has_no_carrier: true, ..Link::default() }),
        "interface", Verdict::Wrong, "wlan0 is not connected"),
    ("no route", |f| f.network.routes = Some(routes(None, &["eth0"])),
        "route", Verdict::Wrong, "no route leads through wlan0"),
    ("no default route", |f| f.network.routes = Some(routes(None, &["wlan0"])),
        "route", Verdict::Note, "no default route"),
    ("another network", |f| f.network.routes = Some(routes(Some("eth0"), &["eth0", "wlan0"])),
        "route", Verdict::Note, "leaves by eth0, and the code leads to wlan0"),
    ("a container", |f| f.machine.container = Some("Docker"),
        "container", Verdict::Note, "a container (Docker)"),
    ("few files", |f| f.machine.files = Some(256),
        "files", Verdict::Wrong, "256 open files at most: enough for about 192 viewers"),
    ("not quite enough files", |f| f.machine.files = Some(4096),
        "files", Verdict::Note, "about 4032 viewers (--max-viewers is 10000)"),
    ("an empty battery", |f| f.machine.year = 1970,
        "clock", Verdict::Wrong, "set to 1970"),
    ("a kill switch", |f| f.reached[0].1 = Err("no answer".into()),
        "reach", Verdict::Wrong, "cannot even reach itself at 192.168.1.20: no answer"),
];

#[test]
fn each_obstacle_has_its_line() {
    for (what, change, check, verdict, text) in CASES {
        let lines = with(change);
        let line = found(&lines);
        assert_eq!((line.0, line.1), (*check, *verdict), "{what}: {lines:#?}");
        assert!(line.2.contains(text), "{what}: {}", line.2);
    }
}

#[test]
fn what_to_type_is_for_the_kind_of_container() {
    let typed = |kind: &'static str| {
        let lines = with(|facts| facts.machine.container = Some(kind));
        let line = lines.into_iter().find(|line| line.check == "container");
        line.unwrap().command.unwrap_or_default()
    };
    assert!(typed("Docker").starts_with("docker run -p 9876:9876 "));
    assert!(typed("Podman").starts_with("podman run -p 9876:9876 "));
    assert_eq!(typed("Kubernetes"), "");
}

#[test]
fn our_own_daemon_is_welcome_to_the_port() {
    let lines = with(|facts| {
        let process = Process {
            pid: 7,
            name: "onlooker".to_owned(),
        };
        let topics = Some(vec!["main".to_owned(), "scene".to_owned()]);
        let viewers = Some(2);
        facts.holder = Holder::Ours(Some(process), Serving { topics, viewers });
    });
    assert_eq!(lines[0].verdict, Verdict::Good);
    assert_eq!(
        lines[0].found,
        "onlooker (process 7) has 9876 and serves main, scene to 2 viewers"
    );
}

#[test]
fn a_vpn_with_the_default_route_is_told_even_if_only_rules_lead_there() {
    let change = |routed: &'static str| {
        move |facts: &mut Facts| {
            let tunnel = candidate("wg0", "10.8.0.2", Reach::Vpn);
            facts.addresses.as_mut().unwrap().push(tunnel);
            facts.network.routes = Some(routes(Some(routed), &["wg0", "wlan0"]));
            facts.network.outgoing = Some("wg0".to_owned());
        }
    };
    for routed in ["wg0", "wlan0"] {
        let line = found(&with(change(routed)));
        assert_eq!((line.0, line.1), ("vpn", Verdict::Note), "{routed}");
    }
}

/// What Docker gives a container, and Windows its Linux.
const INNER: &str = "172.17.0.2";

#[test]
fn an_inner_network_is_wrong_unless_the_outer_address_is_named() {
    let inner = |facts: &mut Facts| {
        addresses(facts, &[("eth0", INNER, Reach::Private)]);
        facts.network.routes = Some(routes(Some("eth0"), &["eth0"]));
        let is_paired = true;
        facts.network.link = Some(Link {
            is_paired,
            ..Link::default()
        });
    };
    let docker = with(|facts| {
        inner(facts);
        facts.machine.container = Some("Docker");
    });
    let line = found(&docker);
    assert_eq!((line.0, line.1), ("container", Verdict::Wrong));
    assert!(line.2.contains(INNER), "{}", line.2);
    let wsl = with(|facts| {
        inner(facts);
        facts.machine.is_wsl = true;
    });
    assert_eq!(found(&wsl).0, "wsl");
    let named = with(|facts| {
        inner(facts);
        facts.machine.container = Some("Docker");
        facts.wanted.advertise = Some("192.168.1.20".to_owned());
    });
    assert_eq!(found(&named).0, "address", "a note, since nobody can tell");
}
