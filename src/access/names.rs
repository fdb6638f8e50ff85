//! Host names as requests write them: whose they are, and whose they cannot be.

use std::net::IpAddr;

/// The host of `host[:port]`, without its port; none when malformed.
pub fn host_name(authority: &str) -> Option<&str> {
    let (name, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']')?;
            address.parse::<std::net::Ipv6Addr>().ok()?;
            (&authority[..address.len() + 2], port)
        }
        None => authority
            .find(':')
            .map_or((authority, ""), |at| authority.split_at(at)),
    };
    // A sign is no digit, though a number may be parsed with it.
    let is_port = |digits: &str| {
        digits.is_empty() || digits.parse::<u16>().is_ok() && !digits.starts_with('+')
    };
    let port_is_fine = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
    let in_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let name_is_fine = name.starts_with('[')
        || (!name.is_empty() && name.len() <= 253 && name.chars().all(in_name));
    (port_is_fine && name_is_fine).then_some(name)
}

/// An address, with or without the brackets of IPv6.
pub fn address(name: &str) -> Option<IpAddr> {
    name.trim_start_matches('[')
        .trim_end_matches(']')
        .parse()
        .ok()
}

/// A name of this machine for itself.
pub fn is_loopback_name(name: &str) -> bool {
    name == "localhost"
        || name.ends_with(".localhost")
        || address(name).is_some_and(|ip| ip.is_loopback())
}

/// Names that no stranger can point here: addresses, and loopback's. Not `*.local`: anybody in
/// the network may answer to such a name.
pub fn is_always_ours(name: &str) -> bool {
    address(name).is_some() || is_loopback_name(name)
}
