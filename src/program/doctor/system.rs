//! What Linux shows of itself under `/proc` and `/sys`.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use super::facts::{Link, Process, Routes};

/// How many open files are looked at to find whose a socket is.
const MOST_FILES: usize = 200_000;

/// Who listens on a port, and at which of its addresses; `None` if it is another user's.
pub fn holder(bind: IpAddr, port: u16) -> Option<Process> {
    let table = ["/proc/net/tcp", "/proc/net/tcp6"];
    let text = table.map(|path| fs::read_to_string(path).unwrap_or_default());
    let sockets = text.iter().flat_map(|text| listeners(text));
    let met = |address: IpAddr| {
        address.is_unspecified() || bind.is_unspecified() || address.to_canonical() == bind
    };
    let wanted: Vec<String> = sockets
        .filter(|(address, at, _)| *at == port && met(*address))
        .map(|(_, _, inode)| format!("socket:[{inode}]"))
        .collect();
    owner(&wanted)
}

/// Whether another user's program is at the other end of a connection within this machine. Root's
/// is not another's: it can read everything anyway. Where Linux does not show it, it is not known.
pub fn is_from_another_user(peer: SocketAddr, here: SocketAddr) -> bool {
    let Ok(v4) = fs::read_to_string("/proc/net/tcp") else {
        return false;
    };
    // There is none where IPv6 is switched off.
    let v6 = fs::read_to_string("/proc/net/tcp6").unwrap_or_default();
    let user = user_at([&v4, &v6], peer, here);
    let ours = rustix::process::getuid().as_raw();
    // What Windows' browsers ask comes from outside of this Linux.
    user.map_or(!is_wsl(), |user| user != ours && user != 0)
}

/// The number of the user who has the end `peer` of an open connection to `here`.
fn user_at(tables: [&str; 2], peer: SocketAddr, here: SocketAddr) -> Option<u32> {
    /// TCP_ESTABLISHED: the rows of what has been closed name no user.
    const OPEN: &str = "01";
    let mut sockets = tables.into_iter().flat_map(sockets);
    let meets =
        |socket: &Socket| socket.state == OPEN && socket.local == peer && socket.remote == here;
    sockets.find(meets).map(|socket| socket.user)
}

/// Address, port and inode of each socket in `/proc/net/tcp` that listens.
fn listeners(table: &str) -> Vec<(IpAddr, u16, u64)> {
    /// TCP_LISTEN.
    const LISTENING: &str = "0A";
    let listening = sockets(table).filter(|socket| socket.state == LISTENING);
    let row = |socket: Socket| (socket.local.ip(), socket.local.port(), socket.inode);
    listening.map(row).collect()
}

/// A row of `/proc/net/tcp`.
struct Socket<'a> {
    local: SocketAddr,
    remote: SocketAddr,
    state: &'a str,
    user: u32,
    inode: u64,
}

/// `sl local_address rem_address st queues timer retrnsmt uid timeout inode …`
fn sockets(table: &str) -> impl Iterator<Item = Socket<'_>> {
    let end = |text: &str| {
        let (address, port) = text.split_once(':')?;
        let port = u16::from_str_radix(port, 16).ok()?;
        // To a socket of IPv6, IPv4's addresses are some of its own.
        Some(SocketAddr::new(address_of(address)?.to_canonical(), port))
    };
    let row = move |line| {
        let columns: Vec<&str> = str::split_whitespace(line).collect();
        Some(Socket {
            local: end(columns.get(1)?)?,
            remote: end(columns.get(2)?)?,
            state: columns.get(3)?,
            user: columns.get(7)?.parse().ok()?,
            inode: columns.get(9)?.parse().ok()?,
        })
    };
    table.lines().skip(1).filter_map(row)
}

/// Words of 32 bits in the machine's order, as `/proc/net/tcp` writes addresses.
fn address_of(hex: &str) -> Option<IpAddr> {
    let word = |at: usize| {
        let text = hex.get(at * 8..at * 8 + 8)?;
        Some(u32::from_str_radix(text, 16).ok()?.to_ne_bytes())
    };
    match hex.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let mut bytes = [0; 16];
            for (at, part) in bytes.chunks_exact_mut(4).enumerate() {
                part.copy_from_slice(&word(at)?);
            }
            Some(Ipv6Addr::from(bytes).into())
        }
        _ => None,
    }
}

/// The process that has one of these sockets open.
fn owner(sockets: &[String]) -> Option<Process> {
    let mut left = MOST_FILES;
    for entry in fs::read_dir("/proc").ok()?.filter_map(Result::ok) {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        let files = fs::read_dir(entry.path().join("fd")).into_iter().flatten();
        for file in files.filter_map(Result::ok) {
            left = left.checked_sub(1)?;
            let Ok(target) = fs::read_link(file.path()) else {
                continue;
            };
            if sockets.iter().any(|socket| target == Path::new(socket)) {
                let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
                let name = name.trim().to_owned();
                return Some(Process { pid, name });
            }
        }
    }
    None
}

/// The routes of IPv4 and IPv6.
pub fn routes() -> Option<Routes> {
    let v4 = fs::read_to_string("/proc/net/route").ok()?;
    // There is none where IPv6 is switched off.
    let v6 = fs::read_to_string("/proc/net/ipv6_route").unwrap_or_default();
    Some(read_routes(&v4, &v6))
}

fn read_routes(v4: &str, v6: &str) -> Routes {
    let mut found: Vec<Route> = v4.lines().skip(1).filter_map(route_v4).collect();
    found.extend(v6.lines().filter_map(route_v6));
    let defaults = found.iter().filter(|route| route.is_default);
    Routes {
        // The first among equals: IPv4's come first.
        default: defaults
            .min_by_key(|route| route.metric)
            .map(|route| route.interface.to_owned()),
        interfaces: found
            .iter()
            .map(|route| route.interface.to_owned())
            .collect(),
    }
}

struct Route<'a> {
    interface: &'a str,
    is_default: bool,
    metric: u64,
}

/// `Iface Destination Gateway Flags RefCnt Use Metric Mask …`
fn route_v4(line: &str) -> Option<Route<'_>> {
    let columns: Vec<&str> = line.split_whitespace().collect();
    let flags = u32::from_str_radix(columns.get(3)?, 16).ok()?;
    let is_up = flags & 1 == 1 && flags & REJECT == 0;
    let zero = |at: usize| columns.get(at).is_some_and(|text| *text == "00000000");
    is_up.then_some(Route {
        interface: columns[0],
        is_default: zero(1) && zero(7),
        metric: columns.get(6)?.parse().ok()?,
    })
}

/// `destination length source length gateway metric references use flags interface`
fn route_v6(line: &str) -> Option<Route<'_>> {
    let columns: Vec<&str> = line.split_whitespace().collect();
    let (flags, interface) = (columns.get(8)?, *columns.get(9)?);
    let flags = u32::from_str_radix(flags, 16).ok()?;
    // The system gives every interface one for fe80:: and one for multicast, which lead nowhere.
    let is_local = columns[0].starts_with("fe80") || columns[0].starts_with("ff");
    let is_route = flags & 1 == 1 && flags & REJECT == 0 && interface != "lo" && !is_local;
    is_route.then_some(Route {
        interface,
        is_default: columns[1] == "00",
        // After those of IPv4.
        metric: (1 << 32) + u64::from_str_radix(columns.get(5)?, 16).ok()?,
    })
}

/// Of a route that refuses.
const REJECT: u32 = 0x200;

/// How an interface is.
pub fn link(interface: &str) -> Option<Link> {
    let folder = Path::new("/sys/class/net").join(interface);
    let read = |name: &str| fs::read_to_string(folder.join(name)).ok();
    let state = read("operstate")?;
    // While an interface is down, it cannot be asked for its carrier.
    let carrier = read("carrier").unwrap_or_default();
    Some(Link {
        is_down: state.trim() == "down" && carrier.trim().is_empty(),
        has_no_carrier: carrier.trim() == "0",
        is_paired: read("iflink")? != read("ifindex")?,
    })
}

/// Which kind of container this is.
pub fn container() -> Option<&'static str> {
    let cgroup = fs::read_to_string("/proc/1/cgroup").unwrap_or_default();
    match () {
        () if Path::new("/run/.containerenv").exists() => Some("Podman"),
        () if Path::new("/.dockerenv").exists() => Some("Docker"),
        () => in_cgroup(&cgroup),
    }
}

fn in_cgroup(cgroup: &str) -> Option<&'static str> {
    const KINDS: [(&str, &str); 4] = [
        ("docker", "Docker"),
        ("libpod", "Podman"),
        ("kubepods", "Kubernetes"),
        ("lxc", "LXC"),
    ];
    let found = KINDS.iter().find(|(word, _)| cgroup.contains(word));
    found.map(|(_, name)| *name)
}

/// Whether this is the Linux inside of Windows.
pub fn is_wsl() -> bool {
    let version = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    version.to_ascii_lowercase().contains("microsoft")
}

/// Whether there are rules of the older iptables, which `nft` does not list.
pub fn has_legacy_rules() -> bool {
    let names = ["/proc/net/ip_tables_names", "/proc/net/ip6_tables_names"];
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    names.iter().any(|path| !read(path).trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn listeners_are_told_from_connections() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:2694 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4711 1 0000000000000000 100 0 0 10 0
   1: 0100007F:2694 0100007F:D431 01 00000000:00000000 00:00000000 00000000  1000        0 4712 1 0000000000000000 20 4 30 10 -1
";
        let loopback = IpAddr::from([127, 0, 0, 1]);
        assert_eq!(listeners(table), [(loopback, 9876, 4711)]);
        let six = "h\n   0: 00000000000000000000000001000000:2694 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 9 1";
        assert_eq!(listeners(six), [(Ipv6Addr::LOCALHOST.into(), 9876, 9)]);
        assert_eq!(listeners("h\n garbage\n 0: zz:zz"), []);
        let at = |port: u16| SocketAddr::new(loopback, port);
        assert_eq!(user_at([table, six], at(9876), at(54321)), Some(1000));
        assert_eq!(user_at([table, six], at(9876), at(54320)), None);
    }

    #[test]
    fn the_default_route_with_the_smallest_metric_counts() {
        let v4 = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT
eth0\t00000000\t0100A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0
tun0\t00000000\t0100080A\t0003\t0\t0\t50\t00000000\t0\t0\t0
eth0\t0000A8C0\t00000000\t0001\t0\t0\t600\t00FFFFFF\t0\t0\t0
";
        let v6 = "00000000000000000000000000000000 00 00000000000000000000000000000000 00 00000000000000000000000000000000 ffffffff 00000001 00000000 00200200       lo
fe800000000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001     wlan0
";
        let routes = read_routes(v4, v6);
        assert_eq!(routes.default.as_deref(), Some("tun0"));
        assert_eq!(routes.interfaces, ["eth0", "tun0", "eth0"]);
        assert_eq!(read_routes("", v6), Routes::default());
        let six = "00000000000000000000000000000000 00 00000000000000000000000000000000 00 fe800000000000000000000000000001 00000400 00000001 00000000 00000003     eth0\n";
        assert_eq!(read_routes("", six).default.as_deref(), Some("eth0"));
    }

    #[test]
    fn a_container_is_known_by_its_group() {
        assert_eq!(
            in_cgroup("0::/system.slice/docker-4f.scope"),
            Some("Docker")
        );
        assert_eq!(in_cgroup("0::/init.scope"), None);
    }
}
