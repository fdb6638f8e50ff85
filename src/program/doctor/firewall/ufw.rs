//! `ufw status verbose`.

use std::net::IpAddr;

use super::{Fate, Packet};

/// What ufw does with a packet; `None` if it is not switched on.
pub fn judge(status: &str, packet: &Packet) -> Option<Fate> {
    status
        .lines()
        .find(|line| line.trim() == "Status: active")?;
    for rule in status.lines().filter_map(Rule::read) {
        if rule.is_v6 != packet.is_v6 || !rule.may_take_port(packet.port) {
            continue;
        }
        let is_clear = match (rule.interface, packet.interface) {
            (Some(wanted), Some(found)) if wanted != found => continue,
            (wanted, found) => wanted.is_none() || found.is_some(),
        };
        return Some(match (rule.lets, is_clear && rule.is_for_all) {
            (true, true) => Fate::Let(format!("ufw lets TCP {} in", packet.port)),
            (false, true) => dropped(format!("ufw: {} {}", rule.to, rule.action), packet),
            (_, false) => Fate::Unknown(
                format!("ufw has a rule for some packets only: {}", rule.line),
                "sudo ufw status verbose".to_owned(),
            ),
        });
    }
    let lets_all = status
        .lines()
        .filter_map(|line| line.strip_prefix("Default:"))
        .any(|line| line.trim().starts_with("allow (incoming)"));
    Some(match lets_all {
        true => Fate::Let("ufw lets in whatever no rule forbids".to_owned()),
        false => {
            let found = format!(
                "ufw lets in only what a rule allows, and none allows TCP {}",
                packet.port
            );
            dropped(found, packet)
        }
    })
}

fn dropped(found: String, packet: &Packet) -> Fate {
    Fate::Dropped {
        found,
        way_out: "let the port in",
        command: format!("sudo ufw allow {}/tcp", packet.port),
    }
}

/// `9000:9999/tcp on wlan0   ALLOW IN   Anywhere`
struct Rule<'a> {
    line: &'a str,
    /// The ports, and their protocol.
    to: &'a str,
    interface: Option<&'a str>,
    action: &'static str,
    lets: bool,
    is_v6: bool,
    /// Neither a sender nor an address of this machine is named.
    is_for_all: bool,
}

impl Rule<'_> {
    fn read(line: &str) -> Option<Rule<'_>> {
        const ACTIONS: [(&str, bool); 4] = [
            ("ALLOW", true),
            ("LIMIT", true),
            ("DENY", false),
            ("REJECT", false),
        ];
        let found = ACTIONS.into_iter().find_map(|(action, lets)| {
            let (to, from) = line.split_once(&format!(" {action}"))?;
            Some((to, from, action, lets))
        });
        let (to, from, action, lets) = found?;
        // Without the direction, it is "in".
        let from = from.trim_start_matches(" IN").trim();
        if from.starts_with("OUT") || from.starts_with("FWD") {
            return None;
        }
        // `192.168.1.20 9876/tcp (v6) on wlan0`, `80,443/tcp (WWW Full)`
        let words = || {
            to.split_whitespace()
                .take_while(|word| !word.starts_with('('))
        };
        let interface = to.split_once(" on ").map(|(_, name)| name);
        let interface = interface.and_then(|name| name.split_whitespace().next());
        let mut place = words().take_while(|word| *word != "on");
        let first = place.next()?;
        let (address, to) = match place.next() {
            Some(ports) => (Some(first), ports),
            None => (None, first),
        };
        let named = address.or(Some(to)).map(without_prefix);
        let named = named.and_then(|text| text.parse::<IpAddr>().ok());
        Some(Rule {
            line: line.trim(),
            to,
            interface,
            action,
            lets,
            is_v6: line.contains("(v6)") || named.is_some_and(|address| address.is_ipv6()),
            is_for_all: named.is_none() && from.starts_with("Anywhere"),
        })
    }

    /// One for an address without a port is for every port.
    fn may_take_port(&self, port: u16) -> bool {
        let (ports, protocol) = self.to.split_once('/').unwrap_or((self.to, "tcp"));
        let takes = |part: &str| match part.split_once(':') {
            Some((from, to)) => {
                let bounds = (from.parse::<u16>(), to.parse::<u16>());
                matches!(bounds, (Ok(from), Ok(to)) if (from..=to).contains(&port))
            }
            None => part.parse() == Ok(port),
        };
        let is_address = without_prefix(self.to).parse::<IpAddr>().is_ok();
        is_address || protocol == "tcp" && (ports == "Anywhere" || ports.split(',').any(takes))
    }
}

fn without_prefix(address: &str) -> &str {
    address.split('/').next().unwrap_or(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKET: Packet = Packet {
        port: 9876,
        interface: Some("wlan0"),
        to: None,
        is_v6: false,
    };

    fn fate(rules: &str, default: &str) -> Option<Fate> {
        let text = format!(
            "Status: active\nLogging: on (low)\nDefault: {default} (incoming), allow (outgoing), disabled (routed)\nNew profiles: skip\n\nTo                         Action      From\n--                         ------      ----\n{rules}\n"
        );
        judge(&text, &PACKET)
    }

    #[test]
    fn one_that_is_off_says_nothing() {
        assert_eq!(judge("Status: inactive\n", &PACKET), None);
    }

    #[test]
    fn the_first_rule_that_fits_decides() {
        let lets = [
            "9876                       ALLOW IN    Anywhere",
            "9876/tcp                   ALLOW IN    Anywhere                   # preview",
            "80,9876/tcp                LIMIT IN    Anywhere",
            "9000:9999/tcp on wlan0     ALLOW IN    Anywhere",
            "Anywhere on wlan0          ALLOW IN    Anywhere",
            "9876/tcp (Preview)         ALLOW IN    Anywhere",
            "9876/tcp (v6)              DENY IN     Anywhere (v6)\n9876/tcp  ALLOW IN  Anywhere",
            "9876/tcp                   ALLOW IN    Anywhere\n9876/tcp  DENY IN  Anywhere",
        ];
        for rules in lets {
            let expected = Fate::Let("ufw lets TCP 9876 in".to_owned());
            assert_eq!(fate(rules, "deny"), Some(expected), "{rules}");
        }
        let denied = fate("9876/tcp                   DENY IN     Anywhere", "allow");
        let Some(Fate::Dropped { found, command, .. }) = denied else {
            panic!("{denied:?}");
        };
        assert_eq!(found, "ufw: 9876/tcp DENY");
        assert_eq!(command, "sudo ufw allow 9876/tcp");
    }

    #[test]
    fn where_none_fits_the_default_does() {
        let others = [
            "",
            "22/tcp                     ALLOW IN    Anywhere",
            "9876/udp                   ALLOW IN    Anywhere",
            "9876/tcp on eth0           ALLOW IN    Anywhere",
            "9876/tcp (v6)              ALLOW IN    Anywhere (v6)",
            "9876/tcp (v6) on wlan0     ALLOW IN    Anywhere (v6)",
            "192.168.1.20 22/tcp        ALLOW IN    Anywhere",
            "80,443/tcp (WWW Full)      ALLOW IN    Anywhere",
            "OpenSSH                    ALLOW IN    Anywhere",
            "9876/tcp                   ALLOW OUT   Anywhere",
        ];
        for rules in others {
            let dropped = fate(rules, "deny");
            assert!(
                matches!(&dropped, Some(Fate::Dropped { found, .. }) if found.contains("none allows TCP 9876")),
                "{rules}: {dropped:?}"
            );
            assert!(
                matches!(fate(rules, "allow"), Some(Fate::Let(_))),
                "{rules}"
            );
        }
    }

    #[test]
    fn rules_for_some_packets_are_not_judged() {
        let some = [
            "9876/tcp                   ALLOW IN    192.168.1.0/24",
            "192.168.1.20 9876/tcp      ALLOW IN    Anywhere",
            "192.168.1.0/24             DENY IN     Anywhere",
        ];
        for rule in some {
            for default in ["deny", "allow"] {
                assert!(
                    matches!(fate(rule, default), Some(Fate::Unknown(..))),
                    "{rule}"
                );
            }
        }
    }

    #[test]
    fn a_rule_of_an_interface_needs_to_know_it() {
        let status =
            "Status: active\nDefault: deny (incoming)\n9876/tcp on eth0  ALLOW IN  Anywhere\n";
        let anywhere = Packet {
            interface: None,
            ..PACKET
        };
        assert!(matches!(judge(status, &anywhere), Some(Fate::Unknown(..))));
    }

    #[test]
    fn rules_for_ipv6_are_for_it_alone() {
        let status =
            "Status: active\nDefault: deny (incoming)\n9876/tcp (v6)  ALLOW IN  Anywhere (v6)\n";
        let six = Packet {
            is_v6: true,
            ..PACKET
        };
        assert!(matches!(judge(status, &six), Some(Fate::Let(_))));
        assert!(matches!(judge(status, &PACKET), Some(Fate::Dropped { .. })));
    }
}
