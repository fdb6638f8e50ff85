//! Whether a firewall lets a phone's first packet in.

use std::net::IpAddr;

use super::super::external::Ran;
use super::super::facts::{Code, Facts, Looks};
use super::super::firewall::{Fate, Packet, firewalld, nft, ufw};
use crate::wire::CheckLine;

const CHECK: &str = "firewall";

pub fn firewall(facts: &Facts) -> CheckLine {
    if cfg!(target_os = "macos") {
        return macos();
    }
    if cfg!(windows) {
        return windows(facts.wanted.port);
    }
    let address = match facts.code() {
        Code::Found(code) => Some(code.address),
        Code::Advertised(_) | Code::Nowhere => None,
    };
    let packet = Packet {
        port: facts.wanted.port,
        interface: facts.interface(),
        to: address,
        is_v6: matches!(address, Some(IpAddr::V6(_))),
    };
    by_looks(&facts.looks, &packet)
}

/// A program that manages the rules knows best; otherwise they are gone through.
fn by_looks(looks: &Looks, packet: &Packet) -> CheckLine {
    let ufw = looks
        .ufw
        .text()
        .and_then(|status| ufw::judge(status, packet));
    let runs = looks.firewalld.text().map(str::trim) == Some("running");
    let firewalld = looks.zone.text().filter(|_| runs);
    let managed = ufw.or_else(|| Some(firewalld::judge(firewalld?, packet)));
    match (managed, &looks.nft) {
        (Some(fate), _) => line(fate),
        (None, Ran::Said(rules)) => match nft::judge(rules, packet) {
            Some(fate) => line(fate),
            None if looks.has_legacy => legacy(),
            None => CheckLine::good(CHECK, "no rules that filter what comes in"),
        },
        (None, Ran::Failed(reason)) => not_read("nft", reason, packet),
        (None, Ran::Missing) => match &looks.ufw {
            Ran::Failed(reason) => not_read("ufw", reason, packet),
            _ if looks.has_legacy => legacy(),
            _ => CheckLine::note(
                CHECK,
                "could not be judged: none of ufw, firewall-cmd and nft is here to ask",
                "if the phone gets no answer, look whether this machine filters what comes in",
            ),
        },
    }
}

fn line(fate: Fate) -> CheckLine {
    match fate {
        Fate::Let(found) => CheckLine::good(CHECK, found),
        Fate::Dropped {
            found,
            way_out,
            command,
        } => CheckLine::wrong(CHECK, found, way_out).typing(command),
        Fate::Unknown(why, command) => {
            let found = format!("could not be judged: {why}");
            CheckLine::note(CHECK, found, "look yourself").typing(command)
        }
    }
}

fn not_read(program: &str, reason: &str, packet: &Packet) -> CheckLine {
    let needs_root = ["not permitted", "root", "denied"];
    let found = match needs_root.iter().any(|word| reason.contains(word)) {
        true => format!("could not be judged: {program} shows its rules only to root"),
        false => {
            let line = reason.lines().next().unwrap_or_default();
            format!("could not be judged: {program}: {line}")
        }
    };
    let way = "look again as root";
    CheckLine::note(CHECK, found, way)
        .typing(format!("sudo onlooker doctor --port {}", packet.port))
}

fn legacy() -> CheckLine {
    CheckLine::note(
        CHECK,
        "could not be judged: there are rules of the older iptables",
        "look yourself",
    )
    .typing("sudo iptables-legacy -S INPUT")
}

fn macos() -> CheckLine {
    CheckLine::note(
        CHECK,
        "cannot be judged from here",
        "System Settings, Network, Firewall, Options: onlooker has to allow incoming connections, and \"Block all incoming connections\" has to be off",
    )
    .typing("/usr/libexec/ApplicationFirewall/socketfilterfw --listapps")
}

fn windows(port: u16) -> CheckLine {
    CheckLine::note(
        CHECK,
        "cannot be judged from here",
        "let the port in (in a terminal of an administrator), and set the network to private: on a public one, Windows lets nothing in",
    )
    .typing(format!(
        "netsh advfirewall firewall add rule name=onlooker dir=in action=allow protocol=TCP localport={port}"
    ))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use crate::wire::Verdict;

    const PACKET: Packet = Packet {
        port: 9876,
        interface: None,
        to: None,
        is_v6: false,
    };

    fn said(text: &str) -> Ran {
        Ran::Said(text.to_owned())
    }

    #[test]
    fn a_manager_is_believed_before_its_rules() {
        let drops = r#"{"nftables":[{"chain":{"family":"ip","table":"f","name":"i","type":"filter","hook":"input","policy":"drop"}}]}"#;
        let mut looks = Looks {
            nft: said(drops),
            ..Looks::default()
        };
        assert_eq!(by_looks(&looks, &PACKET).verdict, Verdict::Wrong);
        looks.ufw = said("Status: inactive\n");
        assert_eq!(by_looks(&looks, &PACKET).verdict, Verdict::Wrong);
        looks.ufw = said("Status: active\n9876/tcp  ALLOW IN  Anywhere\n");
        assert_eq!(by_looks(&looks, &PACKET).verdict, Verdict::Good);
        looks.ufw = Ran::Missing;
        looks.firewalld = said("running\n");
        looks.zone = said("public\n  target: default\n  ports: 9876/tcp\n");
        assert_eq!(by_looks(&looks, &PACKET).verdict, Verdict::Good);
        looks.firewalld = Ran::Failed("not running".to_owned());
        assert_eq!(by_looks(&looks, &PACKET).verdict, Verdict::Wrong);
    }

    #[test]
    fn what_could_not_be_read_is_said_and_how_it_can() {
        let denied = |text: &str| Ran::Failed(text.to_owned());
        let nft = Looks {
            nft: denied("Operation not permitted (you must be root)\nnetlink: Error"),
            ..Looks::default()
        };
        let ufw = Looks {
            ufw: denied("ERROR: You need to be root to run this script\n"),
            ..Looks::default()
        };
        for looks in [nft, ufw] {
            let line = by_looks(&looks, &PACKET);
            assert_eq!(line.verdict, Verdict::Note);
            assert!(line.found.contains("only to root"), "{line:?}");
            let command = line.command.as_deref();
            assert_eq!(command, Some("sudo onlooker doctor --port 9876"));
        }
        assert!(
            by_looks(&Looks::default(), &PACKET)
                .found
                .contains("could not be judged")
        );
        let legacy = Looks {
            nft: said(r#"{"nftables":[]}"#),
            has_legacy: true,
            ..Looks::default()
        };
        assert!(by_looks(&legacy, &PACKET).found.contains("older iptables"));
    }
}
