//! `ufw status verbose`.

use super::{Fate, Packet};

/// What ufw does with a packet; `None` if it is not switched on.
pub fn judge(status: &str, packet: &Packet) -> Option<Fate> {
    status
        .lines()
        .find(|line| line.trim() == "Status: active")?;
    for rule in status.lines().filter_map(Rule::read) {
        if !rule.takes_port(packet.port) || !rule.takes_interface(packet.interface) {
            continue;
        }
        return Some(match (rule.lets, rule.from_anywhere) {
            (true, true) => Fate::Let(format!("ufw lets TCP {} in", packet.port)),
            (false, true) => dropped(format!("ufw: {} {}", rule.to, rule.action), packet),
            (_, false) => Fate::Unknown(
                format!("ufw has a rule for some senders only: {}", rule.line),
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
    to: &'a str,
    interface: Option<&'a str>,
    action: &'static str,
    lets: bool,
    from_anywhere: bool,
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
        let to = to.trim().trim_end_matches(" (v6)");
        let (to, interface) = match to.split_once(" on ") {
            Some((to, interface)) => (to, Some(interface)),
            None => (to, None),
        };
        Some(Rule {
            line: line.trim(),
            to: to.trim_end_matches(" (v6)"),
            interface,
            action,
            lets,
            from_anywhere: from.starts_with("Anywhere"),
        })
    }

    fn takes_port(&self, port: u16) -> bool {
        let (ports, protocol) = self.to.split_once('/').unwrap_or((self.to, "tcp"));
        let takes = |part: &str| match part.split_once(':') {
            Some((from, to)) => {
                let bounds = (from.parse::<u16>(), to.parse::<u16>());
                matches!(bounds, (Ok(from), Ok(to)) if (from..=to).contains(&port))
            }
            None => part.parse() == Ok(port),
        };
        protocol == "tcp" && (ports == "Anywhere" || ports.split(',').any(takes))
    }

    /// An interface that is not known could be any.
    fn takes_interface(&self, interface: Option<&str>) -> bool {
        let (Some(wanted), Some(found)) = (self.interface, interface) else {
            return true;
        };
        wanted == found
    }
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
            "9876/tcp (v6)              ALLOW IN    Anywhere (v6)",
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
    fn some_senders_are_not_all() {
        let rule = "9876/tcp                   ALLOW IN    192.168.1.0/24";
        assert!(matches!(fate(rule, "deny"), Some(Fate::Unknown(..))));
    }
}
