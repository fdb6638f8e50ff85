//! `firewall-cmd --list-all`, of the zone that phones come in by.

use super::{Fate, Packet};

/// What firewalld does with a packet.
pub fn judge(zone: &str, packet: &Packet) -> Fate {
    let port = packet.port;
    let name = zone.split_whitespace().next().unwrap_or("its zone");
    let value = |key: &str| {
        let line = zone.lines().find_map(|line| line.trim().strip_prefix(key));
        line.unwrap_or_default().trim()
    };
    let lets = |entry: &str| is_in(entry, port);
    let has_rich_rules = zone
        .lines()
        .any(|line| line.trim_start().starts_with("rule "));
    if value("target:") == "ACCEPT" {
        Fate::Let(format!("firewalld: the zone {name} lets everything in"))
    } else if value("ports:").split_whitespace().any(lets) {
        Fate::Let(format!("firewalld: the zone {name} lets TCP {port} in"))
    } else if let Some(what) = more(value("services:"), value("protocols:")) {
        Fate::Unknown(
            format!("firewalld: the zone {name} lets {what} in, which may take TCP {port}"),
            format!("sudo firewall-cmd --zone={name} --list-all; firewall-cmd --info-service=NAME"),
        )
    } else if has_rich_rules {
        Fate::Unknown(
            format!("firewalld: the zone {name} has rich rules, which were not judged"),
            format!("sudo firewall-cmd --zone={name} --list-rich-rules"),
        )
    } else {
        Fate::Dropped {
            found: format!("firewalld: the zone {name} does not let TCP {port} in"),
            way_out: "let the port in; a second time with --permanent to keep it",
            command: format!("sudo firewall-cmd --zone={name} --add-port={port}/tcp"),
        }
    }
}

/// What may take any port: protocols, and services besides those that zones usually have.
fn more<'a>(services: &'a str, protocols: &'a str) -> Option<&'a str> {
    const USUAL: [&str; 6] = [
        "ssh",
        "dhcpv6-client",
        "mdns",
        "samba-client",
        "cockpit",
        "ipp-client",
    ];
    let mut others = services.split_whitespace();
    let service = others.find(|service| !USUAL.contains(service));
    service.or_else(|| protocols.split_whitespace().find(|name| *name == "tcp"))
}

/// Whether a port is in `9876/tcp` or `1025-65535/tcp`.
fn is_in(entry: &str, port: u16) -> bool {
    let Some(ports) = entry.strip_suffix("/tcp") else {
        return false;
    };
    let (from, to) = ports.split_once('-').unwrap_or((ports, ports));
    matches!((from.parse::<u16>(), to.parse::<u16>()), (Ok(from), Ok(to)) if (from..=to).contains(&port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fate(target: &str, ports: &str, rules: &str) -> Fate {
        with("ssh dhcpv6-client", "", target, ports, rules)
    }

    fn with(services: &str, protocols: &str, target: &str, ports: &str, rules: &str) -> Fate {
        let zone = format!(
            "public (active)\n  target: {target}\n  interfaces: wlan0\n  services: {services}\n  ports: {ports}\n  protocols: {protocols}\n  forward-ports: \n  rich rules: \n{rules}"
        );
        let packet = Packet {
            port: 9876,
            interface: None,
            to: None,
            is_v6: false,
        };
        judge(&zone, &packet)
    }

    #[test]
    fn a_zone_lets_ports_in_or_everything() {
        for ports in ["9876/tcp", "22/tcp 1025-65535/udp 1025-65535/tcp"] {
            assert!(
                matches!(fate("default", ports, ""), Fate::Let(_)),
                "{ports}"
            );
        }
        assert!(matches!(fate("ACCEPT", "", ""), Fate::Let(_)));
        for ports in ["", "22/tcp", "9876/udp", "80-90/tcp"] {
            let Fate::Dropped { found, command, .. } = fate("default", ports, "") else {
                panic!("{ports}");
            };
            assert!(found.contains("the zone public"), "{found}");
            assert_eq!(
                command,
                "sudo firewall-cmd --zone=public --add-port=9876/tcp"
            );
        }
        let rule = "\trule family=\"ipv4\" source address=\"192.168.1.0/24\" accept\n";
        assert!(matches!(fate("default", "", rule), Fate::Unknown(..)));
    }

    #[test]
    fn a_service_or_protocol_may_let_it_in() {
        for (services, protocols) in [("ssh http", ""), ("ssh", "tcp")] {
            let fate = with(services, protocols, "default", "", "");
            assert!(matches!(&fate, Fate::Unknown(..)), "{fate:?}");
        }
        let fate = with("mdns ssh", "igmp", "default", "", "");
        assert!(matches!(fate, Fate::Dropped { .. }));
    }
}
