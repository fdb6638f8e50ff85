//! Which of this machine's addresses a phone in the same room can reach.
//!
//! The first thing people complain about is a QR code that leads nowhere: to a VPN, a container
//! bridge or a virtual machine's network. So addresses are ranked by the kind of their interface,
//! and every candidate is printed with the reason for its rank.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use indexmap::IndexSet;

/// An address at which viewers may reach this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The address.
    pub address: IpAddr,
    /// The network interface that has it.
    pub interface: String,
    /// What was found out about it, which decides its rank.
    pub reach: Reach,
}

/// What kind of network an address belongs to, the most reachable first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Reach {
    Private,
    Public,
    Vpn,
    VirtualMachine,
    Container,
    LinkLocal,
    Loopback,
}

/// Why there is no address to print.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// The wanted interface does not exist or has no address.
    #[error("no interface {wanted:?} with an address; known: {known}")]
    Unknown {
        /// The name that was asked for.
        wanted: String,
        /// The names that exist.
        known: String,
    },
    /// The system does not list its interfaces.
    #[error("cannot list the network interfaces: {0}; name the address to print yourself")]
    System(String),
}

impl Reach {
    /// Whether it is a network of people's devices, not one inside this machine or a tunnel.
    pub fn is_physical(self) -> bool {
        matches!(self, Reach::Private | Reach::Public)
    }

    fn of(interface: &str, address: IpAddr) -> Reach {
        let name = interface.to_ascii_lowercase();
        if address.is_loopback() {
            Reach::Loopback
        } else if is_link_local(address) {
            Reach::LinkLocal
        } else if named(&name, VIRTUAL_MACHINES) {
            Reach::VirtualMachine
        } else if named(&name, CONTAINERS) {
            Reach::Container
        } else if named(&name, VPNS) || is_carrier_grade(address) {
            Reach::Vpn
        } else if is_private(address) {
            Reach::Private
        } else {
            Reach::Public
        }
    }
}

impl fmt::Display for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reach::Private => "private, physical",
            Reach::Public => "public, physical",
            Reach::Vpn => "VPN",
            Reach::VirtualMachine => "virtual machine",
            Reach::Container => "Docker or another container",
            Reach::LinkLocal => "link-local",
            Reach::Loopback => "loopback, this machine only",
        })
    }
}

/// How interface names start, in lower case.
const VPNS: &str =
    "tun utun tap wg tailscale ppp zt zerotier ipsec nordlynx wireguard openvpn hamachi radmin";
// macOS: bridge100 and up lead to virtual machines, bridge0 to cables.
const VIRTUAL_MACHINES: &str = "virbr vmnet vmware vnet vethernet virtualbox vboxnet bridge10";
const CONTAINERS: &str = "docker br- veth lxc lxd podman cni flannel cali";

fn named(name: &str, starts: &str) -> bool {
    starts.split(' ').any(|start| name.starts_with(start))
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_private(),
        IpAddr::V6(v6) => v6.is_unique_local(),
    }
}

/// 100.64.0.0/10: what Tailscale and mobile carriers hand out.
fn is_carrier_grade(address: IpAddr) -> bool {
    matches!(address, IpAddr::V4(v4) if v4.octets()[0] == 100 && v4.octets()[1] & 0xc0 == 64)
}

/// Whether a URL can contain it at all: a link-local IPv6 address needs a zone, which browsers
/// refuse.
fn is_usable(address: IpAddr) -> bool {
    let zoned = matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local());
    !zoned && !address.is_unspecified() && !address.is_multicast()
}

/// Orders this machine's addresses: physical networks first, among them IPv4 before IPv6 and
/// private before public; equals keep the system's order.
fn rank(interfaces: &[(String, IpAddr)]) -> Vec<Candidate> {
    let candidate = |(interface, address): &(String, IpAddr)| Candidate {
        address: *address,
        interface: interface.clone(),
        reach: Reach::of(interface, *address),
    };
    let usable = interfaces.iter().filter(|(_, address)| is_usable(*address));
    let mut candidates: Vec<Candidate> = usable.map(candidate).collect();
    candidates.sort_by_key(place);
    candidates
}

fn place(candidate: &Candidate) -> (Option<Reach>, bool, Reach) {
    let reach = candidate.reach;
    let elsewhere = (!reach.is_physical()).then_some(reach);
    (elsewhere, candidate.address.is_ipv6(), reach)
}

/// Keeps the candidates of one interface, whatever the case of its name.
fn only(
    candidates: Vec<Candidate>,
    interface: Option<&str>,
) -> Result<Vec<Candidate>, AddressError> {
    let Some(wanted) = interface else {
        return Ok(candidates);
    };
    let (kept, others): (Vec<_>, Vec<_>) = candidates
        .into_iter()
        .partition(|candidate| candidate.interface.eq_ignore_ascii_case(wanted));
    match kept.is_empty() {
        true => Err(AddressError::Unknown {
            wanted: wanted.to_owned(),
            known: names(&others),
        }),
        false => Ok(kept),
    }
}

fn names(candidates: &[Candidate]) -> String {
    let names = candidates.iter().map(|candidate| &*candidate.interface);
    let names: IndexSet<&str> = names.collect();
    match names.is_empty() {
        true => "none".to_owned(),
        false => names.into_iter().collect::<Vec<_>>().join(", "),
    }
}

/// This machine's addresses, the best first; only those of `interface` when it is given.
pub fn candidates(interface: Option<&str>) -> Result<Vec<Candidate>, AddressError> {
    let mut found = local_ip_address::list_afinet_netifas()
        .map_err(|error| AddressError::System(error.to_string()))?;
    // Among equals, the one by which the machine itself goes out is the likeliest.
    if let Ok(default) = local_ip_address::local_ip() {
        found.sort_by_key(|(_, address)| *address != default);
    }
    only(rank(&found), interface)
}

/// An address as the host part of a URL: IPv6 in brackets, one mapped from IPv4 as IPv4.
pub fn url_host(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => format!("[{v6}]"),
    }
}

/// The address at which this machine itself reaches a listener: for an unspecified one, loopback.
pub fn from_here(bind: IpAddr) -> IpAddr {
    match bind {
        IpAddr::V4(v4) if v4.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(v6) if v6.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        specific => specific,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interfaces(list: &[(&str, &str)]) -> Vec<(String, IpAddr)> {
        list.iter()
            .map(|(name, address)| ((*name).to_owned(), address.parse().unwrap()))
            .collect()
    }

    fn order(list: &[(&str, &str)]) -> Vec<String> {
        let shown = |c: Candidate| format!("{} {}", c.interface, c.address);
        rank(&interfaces(list)).into_iter().map(shown).collect()
    }

    #[test]
    fn every_kind_is_told_by_name_or_address() {
        #[rustfmt::skip]
        let table = [
            ("eth0", "192.168.1.5", Reach::Private),
            ("wlp3s0", "10.0.0.7", Reach::Private),
            ("en0", "172.16.4.1", Reach::Private),
            ("Wi-Fi", "192.168.0.2", Reach::Private),
            ("br0", "192.168.1.5", Reach::Private),
            ("bridge0", "192.168.1.5", Reach::Private),
            ("eth0", "fd00::2", Reach::Private),
            ("eth0", "203.0.113.7", Reach::Public),
            ("eth0", "172.32.0.1", Reach::Public),
            ("eth0", "2001:db8::1", Reach::Public),
            ("eth0", "100.128.0.1", Reach::Public),
            ("eth0", "100.64.0.1", Reach::Vpn),
            ("en0", "100.127.255.1", Reach::Vpn),
            ("tun0", "10.8.0.2", Reach::Vpn),
            ("utun4", "192.168.9.9", Reach::Vpn),
            ("wg0", "10.6.0.2", Reach::Vpn),
            ("tailscale0", "100.101.102.103", Reach::Vpn),
            ("tailscale0", "fd7a:115c:a1e0::1", Reach::Vpn),
            ("ppp0", "10.1.1.1", Reach::Vpn),
            ("ztabcdef12", "10.147.17.2", Reach::Vpn),
            ("docker0", "172.17.0.1", Reach::Container),
            ("br-5f2a9c", "172.18.0.1", Reach::Container),
            ("veth12ab", "10.88.0.1", Reach::Container),
            ("lxcbr0", "10.0.3.1", Reach::Container),
            ("podman0", "10.88.0.1", Reach::Container),
            ("virbr0", "192.168.122.1", Reach::VirtualMachine),
            ("vmnet8", "192.168.64.1", Reach::VirtualMachine),
            ("vEthernet (WSL)", "172.20.0.1", Reach::VirtualMachine),
            ("VirtualBox Host-Only Network", "192.168.56.1", Reach::VirtualMachine),
            ("VMware Network Adapter VMnet1", "192.168.56.1", Reach::VirtualMachine),
            ("vboxnet0", "192.168.56.1", Reach::VirtualMachine),
            ("bridge100", "192.168.64.1", Reach::VirtualMachine),
            ("eth0", "169.254.3.4", Reach::LinkLocal),
            ("lo", "127.0.0.1", Reach::Loopback),
            ("lo", "::1", Reach::Loopback),
        ];
        for (name, address, reach) in table {
            let found = Reach::of(name, address.parse().unwrap());
            assert_eq!(found, reach, "{name} {address}");
        }
    }

    #[test]
    fn the_room_s_network_comes_first() {
        let laptop = [
            ("lo", "127.0.0.1"),
            ("docker0", "172.17.0.1"),
            ("tun0", "10.8.0.2"),
            ("virbr0", "192.168.122.1"),
            ("eth1", "169.254.3.4"),
            ("eth0", "2001:db8::1"),
            ("eth0", "fd00::2"),
            ("eth0", "203.0.113.7"),
            ("wlan0", "192.168.1.5"),
        ];
        let expected = [
            "wlan0 192.168.1.5",
            "eth0 203.0.113.7",
            "eth0 fd00::2",
            "eth0 2001:db8::1",
            "tun0 10.8.0.2",
            "virbr0 192.168.122.1",
            "docker0 172.17.0.1",
            "eth1 169.254.3.4",
            "lo 127.0.0.1",
        ];
        assert_eq!(order(&laptop), expected);
    }

    #[test]
    fn ipv6_serves_where_there_is_no_ipv4() {
        let list = [("lo", "127.0.0.1"), ("en0", "fd00::2"), ("en0", "fe80::1")];
        assert_eq!(order(&list), ["en0 fd00::2", "lo 127.0.0.1"]);
        assert_eq!(url_host("fd00::2".parse().unwrap()), "[fd00::2]");
        assert_eq!(url_host("::ffff:10.0.0.1".parse().unwrap()), "10.0.0.1");
    }

    #[test]
    fn equals_keep_the_system_s_order() {
        let list = [("b", "10.0.0.1"), ("a", "192.168.0.1"), ("c", "172.16.0.1")];
        assert_eq!(
            order(&list),
            ["b 10.0.0.1", "a 192.168.0.1", "c 172.16.0.1"]
        );
    }

    #[test]
    fn an_interface_can_be_chosen() {
        let all = || rank(&interfaces(&[("wg0", "10.6.0.2"), ("eth0", "10.0.0.1")]));
        let chosen = only(all(), Some("WG0")).unwrap();
        assert_eq!(chosen[0].address.to_string(), "10.6.0.2");
        assert_eq!(only(all(), None).unwrap().len(), 2);
        assert_eq!(
            only(all(), Some("eth9")).unwrap_err().to_string(),
            "no interface \"eth9\" with an address; known: eth0, wg0"
        );
    }

    #[test]
    fn this_machine_lists_at_least_its_loopback() {
        let found = candidates(None).unwrap();
        assert!(found.iter().any(|c| c.reach == Reach::Loopback));
    }

    #[test]
    fn loopback_stands_for_every_address() {
        assert_eq!(
            from_here("0.0.0.0".parse().unwrap()).to_string(),
            "127.0.0.1"
        );
        assert_eq!(from_here("::".parse().unwrap()).to_string(), "::1");
        assert_eq!(
            from_here("10.0.0.1".parse().unwrap()).to_string(),
            "10.0.0.1"
        );
    }
}
