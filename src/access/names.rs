//! The names by which this daemon may be addressed, and the origins that may address it.

use std::net::IpAddr;

use hyper::Version;
use hyper::header::{HOST, HeaderMap, HeaderValue, ORIGIN};
use hyper::http::request::Parts;

use super::options::AccessOptions;
use crate::wire::Problem;

/// The host names and origins that are allowed, in lower case.
pub struct Names {
    hosts: Vec<String>,
    origins: Vec<String>,
}

impl Names {
    /// The names of the options; `own` are this machine's.
    pub fn new(options: &AccessOptions, own: &[String]) -> Names {
        let hosts = options.allow_host.iter().chain(own);
        let origins = options.allow_origin.iter();
        Names {
            hosts: hosts.map(|name| name.to_ascii_lowercase()).collect(),
            origins: origins
                .map(|origin| origin.trim_end_matches('/').to_ascii_lowercase())
                .collect(),
        }
    }

    /// Whether some of the `earlier` names are no longer allowed.
    pub fn are_fewer_than(&self, earlier: &Names) -> bool {
        let lacks =
            |now: &[String], before: &[String]| before.iter().any(|name| !now.contains(name));
        lacks(&self.hosts, &earlier.hosts) || lacks(&self.origins, &earlier.origins)
    }

    /// The one well-formed Host header, if it names this daemon. With DNS rebinding, Origin
    /// equals Host, so this list is the defence.
    /// Fails with 400 if it is malformed, 421 if it names another host.
    pub fn check_host(&self, request: &Parts) -> Result<String, Problem> {
        let malformed = || bad_request("the Host header is malformed");
        if request.version < Version::HTTP_11 && !request.headers.contains_key(HOST) {
            return Err(bad_request("a Host header is needed"));
        }
        let mut hosts = request.headers.get_all(HOST).iter();
        let (Some(host), None) = (hosts.next(), hosts.next()) else {
            return Err(bad_request("exactly one Host header is needed"));
        };
        let text = host.to_str().map_err(|_| malformed())?;
        let text = text.to_ascii_lowercase();
        let name = host_name(&text).ok_or_else(malformed)?;
        let target = request.uri.authority();
        if target.is_some_and(|target| target.as_str().to_ascii_lowercase() != text) {
            let detail = "the Host header differs from the request's target";
            return Err(bad_request(detail));
        }
        if is_always_ours(name) || self.hosts.iter().any(|allowed| allowed == name) {
            return Ok(text);
        }
        let detail =
            format!("{name:?} is not a name of this machine: --allow-host {name} allows it");
        Err(Problem::new(421, detail))
    }

    /// The origin that may read the answer, if it is not the daemon's own.
    /// Fails with 403 for an origin that may not connect.
    pub fn check_origin(
        &self,
        headers: &HeaderMap,
        authority: &str,
    ) -> Result<Option<HeaderValue>, Problem> {
        let mut origins = headers.get_all(ORIGIN).iter();
        let Some(header) = origins.next() else {
            return Ok(None);
        };
        let origin = header.to_str().unwrap_or_default().to_ascii_lowercase();
        let (_, place) = origin.split_once("://").unwrap_or_default();
        let allowed = host_name(place).is_some_and(|name| {
            host_name(authority) == Some(name)
                || is_loopback_name(name)
                || self.origins.contains(&origin)
        });
        if origins.next().is_some() || !allowed {
            let detail =
                format!("the origin {origin:?} may not connect: --allow-origin lets it in");
            return Err(Problem::new(403, detail));
        }
        Ok((place != authority).then(|| header.clone()))
    }
}

fn bad_request(detail: &'static str) -> Problem {
    Problem::bad_request(detail).because(detail)
}

/// The host of `host[:port]`, without its port; `None` if malformed.
fn host_name(authority: &str) -> Option<&str> {
    let (name, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']')?;
            address.parse::<std::net::Ipv6Addr>().ok()?;
            (&authority[..address.len() + 2], port)
        }
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    // Parsing would accept a plus sign.
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
fn address(name: &str) -> Option<IpAddr> {
    let name = name.trim_start_matches('[').trim_end_matches(']');
    name.parse().ok()
}

/// Whether this is a name by which a machine knows itself.
fn is_loopback_name(name: &str) -> bool {
    name == "localhost"
        || name.ends_with(".localhost")
        || address(name).is_some_and(|ip| ip.is_loopback())
}

/// Whether no stranger can point this name here: an address, or a loopback name. Not `*.local`:
/// anybody on the network may claim such a name.
fn is_always_ours(name: &str) -> bool {
    address(name).is_some() || is_loopback_name(name)
}
