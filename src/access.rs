//! Who may connect: decided once, before routing and before the 101, from the request's
//! head alone. What is decided becomes a value that the next function demands.

use std::collections::HashMap;
use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyper::header::{
    AUTHORIZATION, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN, SEC_WEBSOCKET_PROTOCOL,
};
use hyper::http::request::Parts;
use hyper::{Method, Version};
use subtle::ConstantTimeEq;

use crate::options::{self, HostToken};
use crate::protocol::{Problem, TOKEN_SUBPROTOCOL};

/// The right to watch.
#[derive(Clone, Debug)]
pub struct ViewerPass(());

/// The right to write.
#[derive(Clone, Debug)]
pub struct HostPass(());

/// What a request may do.
#[derive(Clone, Debug)]
pub struct Pass {
    /// Watch the state.
    pub viewer: Option<ViewerPass>,
    /// Change the state.
    pub host: Option<HostPass>,
    /// The other origin that asks, and may read the answer.
    pub cross_origin: Option<HeaderValue>,
    /// The host name as the peer knows it, with its port.
    pub authority: String,
}

/// What a request needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Only a proper request: pages and probes.
    Nothing,
    /// To watch.
    Viewer,
    /// To write.
    Host,
}

/// Wrong tokens from one address within [`GUESS_SPAN`] until it has to wait.
const GUESSES: u32 = 10;
const GUESS_SPAN: Duration = Duration::from_secs(60);
/// How many addresses and origins are remembered.
const REMEMBERED: usize = 4096;

/// The rules of one daemon.
pub struct Access {
    host_token: Option<String>,
    viewer_token: Option<String>,
    allow_origin: Vec<String>,
    allow_host: Vec<String>,
    guesses: Mutex<HashMap<IpAddr, (Instant, u32)>>,
    told: Mutex<HashSet<String>>,
}

impl Access {
    /// The rules as they were set; makes a token where none was given. `names` are this
    /// machine's own.
    ///
    /// # Errors
    /// When the system has no randomness to give.
    pub fn new(options: &options::Access, names: Vec<String>) -> Result<Access, getrandom::Error> {
        let host_token = match &options.host_token {
            HostToken::Random => Some(random_token()?),
            HostToken::Given(token) => Some(token.clone()),
            HostToken::LoopbackOnly => None,
        };
        let allow_host = options
            .allow_host
            .iter()
            .chain(&names)
            .map(|name| name.to_ascii_lowercase())
            .collect();
        Ok(Access {
            host_token,
            viewer_token: options.viewer_token.clone(),
            allow_origin: options
                .allow_origin
                .iter()
                .map(|origin| origin.trim_end_matches('/').to_ascii_lowercase())
                .collect(),
            allow_host,
            guesses: Mutex::default(),
            told: Mutex::default(),
        })
    }

    /// What writers show; none when writers on this machine need nothing.
    pub fn host_token(&self) -> Option<&str> {
        self.host_token.as_deref()
    }

    /// What viewers show, if they have to.
    pub fn viewer_token(&self) -> Option<&str> {
        self.viewer_token.as_deref()
    }

    /// The one gate: Host, Origin, method and token of a request.
    ///
    /// # Errors
    /// The answer to send instead.
    pub fn admit(&self, request: &Parts, peer: SocketAddr, need: Need) -> Result<Pass, Problem> {
        let authority = self.check_host(request)?;
        let cross_origin = self.check_origin(&request.headers, &authority)?;
        check_method(&request.method)?;
        let mut pass = Pass {
            viewer: None,
            host: None,
            cross_origin,
            authority,
        };
        if request.method == Method::OPTIONS {
            return Ok(pass);
        }
        self.check_tokens(request, peer, &mut pass)?;
        match need {
            Need::Viewer if pass.viewer.is_none() => Err(unauthorized(
                "watching needs the viewer token: Authorization: Bearer, ?token= or the link that the host shows",
            )),
            Need::Host if pass.host.is_none() && self.host_token.is_none() => Err(forbidden(
                "writing is for programs on the host's own machine (--host-token none)",
            )),
            Need::Host if pass.host.is_none() => Err(unauthorized(
                "writing needs the host token: Authorization: Bearer TOKEN (`onlooker token` prints it)",
            )),
            _ => Ok(pass),
        }
    }

    /// Exactly one proper Host that is ours. With DNS rebinding Origin equals Host, so this
    /// list is the defence.
    fn check_host(&self, request: &Parts) -> Result<String, Problem> {
        if request.version < Version::HTTP_11 && !request.headers.contains_key(HOST) {
            return Err(bad_request("a Host header is needed"));
        }
        let mut hosts = request.headers.get_all(HOST).iter();
        let (Some(host), None) = (hosts.next(), hosts.next()) else {
            return Err(bad_request("exactly one Host header is needed"));
        };
        let text = host
            .to_str()
            .map_err(|_| bad_request("the Host header is malformed"))?
            .to_ascii_lowercase();
        let name = host_name(&text).ok_or_else(|| bad_request("the Host header is malformed"))?;
        if request
            .uri
            .authority()
            .is_some_and(|target| target.as_str().to_ascii_lowercase() != text)
        {
            return Err(bad_request(
                "the Host header differs from the request's target",
            ));
        }
        if is_always_ours(name) || self.allow_host.iter().any(|allowed| allowed == name) {
            return Ok(text);
        }
        Err(Problem::new(
            421,
            "Misdirected Request",
            format!("this is not {name:?}: --allow-host {name} makes it answer to that name"),
        ))
    }

    /// The origin to answer to, if another one asks and may.
    fn check_origin(
        &self,
        headers: &HeaderMap,
        authority: &str,
    ) -> Result<Option<HeaderValue>, Problem> {
        let mut origins = headers.get_all(ORIGIN).iter();
        let Some(header) = origins.next() else {
            return Ok(None);
        };
        let origin = header.to_str().unwrap_or_default().to_ascii_lowercase();
        let name = origin
            .split_once("://")
            .and_then(|(_, rest)| host_name(rest));
        let allowed = match name {
            Some(name) => {
                host_name(authority) == Some(name)
                    || is_loopback_name(name)
                    || self.allow_origin.contains(&origin)
            }
            None => false,
        };
        if origins.next().is_some() || !allowed {
            self.tell_of(&origin);
            return Err(forbidden(&format!(
                "the origin {origin:?} may not connect: --allow-origin lets it in"
            )));
        }
        let own = origin
            .split_once("://")
            .is_some_and(|(_, rest)| rest == authority);
        Ok((!own).then(|| header.clone()))
    }

    fn tell_of(&self, origin: &str) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() < REMEMBERED && told.insert(origin.to_owned()) {
            tracing::warn!(
                origin,
                "refused a page of another origin; --allow-origin {origin} would let it in"
            );
        }
    }

    fn check_tokens(
        &self,
        request: &Parts,
        peer: SocketAddr,
        pass: &mut Pass,
    ) -> Result<(), Problem> {
        let shown = shown_token(request);
        let is_host = match (&self.host_token, &shown) {
            (Some(token), Some(shown)) => same(token, shown),
            (Some(_), None) => false,
            (None, _) => peer.ip().to_canonical().is_loopback(),
        };
        let is_viewer = match (&self.viewer_token, &shown) {
            (Some(token), Some(shown)) => same(token, shown),
            (Some(_), None) => false,
            (None, _) => true,
        };
        let wrong = shown.is_some() && !is_host && (self.viewer_token.is_none() || !is_viewer);
        if shown.is_some() {
            self.count_guess(peer.ip(), wrong)?;
        }
        // A wrong token is nobody's, even where none is needed to watch.
        pass.host = is_host.then_some(HostPass(()));
        pass.viewer = (is_host || is_viewer).then_some(ViewerPass(()));
        Ok(())
    }

    fn count_guess(&self, address: IpAddr, wrong: bool) -> Result<(), Problem> {
        let mut guesses = self.guesses.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        guesses.retain(|_, (since, _)| now.duration_since(*since) < GUESS_SPAN);
        let known = guesses.get(&address).map_or(0, |(_, count)| *count);
        if known >= GUESSES {
            return Err(Problem::new(
                429,
                "Too Many Requests",
                "too many wrong tokens from this address: wait a minute",
            ));
        }
        if wrong && guesses.len() < REMEMBERED {
            guesses.entry(address).or_insert((now, 0)).1 += 1;
        }
        Ok(())
    }
}

fn check_method(method: &Method) -> Result<(), Problem> {
    let known = [
        Method::GET,
        Method::HEAD,
        Method::PUT,
        Method::PATCH,
        Method::POST,
        Method::DELETE,
        Method::OPTIONS,
    ];
    match known.contains(method) {
        true => Ok(()),
        false => Err(Problem::new(
            405,
            "Method Not Allowed",
            format!("{method} is not understood here"),
        )),
    }
}

fn bad_request(detail: &str) -> Problem {
    Problem::new(400, "Bad Request", detail)
}

fn unauthorized(detail: &str) -> Problem {
    Problem::new(401, "Unauthorized", detail)
}

fn forbidden(detail: &str) -> Problem {
    Problem::new(403, "Forbidden", detail)
}

/// At least 128 random bits, as text that fits a URL.
///
/// # Errors
/// When the system has no randomness to give.
pub fn random_token() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 18];
    getrandom::fill(&mut bytes)?;
    // Begins with a letter: after `--token` a hyphen would begin another flag.
    bytes[0] &= 0x7f;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// In constant time for tokens of one length.
fn same(token: &str, shown: &str) -> bool {
    token.as_bytes().ct_eq(shown.as_bytes()).into()
}

/// The token that came with a request: as a header, a subprotocol, or in the query.
fn shown_token(request: &Parts) -> Option<String> {
    let bearer = |value: &HeaderValue| {
        let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
        scheme
            .eq_ignore_ascii_case("bearer")
            .then(|| token.trim().to_owned())
    };
    let header = || request.headers.get(AUTHORIZATION).and_then(bearer);
    let subprotocol = || {
        subprotocols(&request.headers)
            .into_iter()
            .find_map(|offered| token_of(&offered))
    };
    header()
        .or_else(subprotocol)
        .or_else(|| query(request.uri.query()?, "token"))
}

fn token_of(subprotocol: &str) -> Option<String> {
    let encoded = subprotocol.strip_prefix(TOKEN_SUBPROTOCOL)?;
    String::from_utf8(URL_SAFE_NO_PAD.decode(encoded.trim_end_matches('=')).ok()?).ok()
}

/// The subprotocols that a request offers, in its order.
pub fn subprotocols(headers: &HeaderMap) -> Vec<String> {
    list(headers, SEC_WEBSOCKET_PROTOCOL)
}

/// The items of a header that is a comma-separated list.
pub fn list(headers: &HeaderMap, name: HeaderName) -> Vec<String> {
    let values = headers
        .get_all(name)
        .into_iter()
        .filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split(','))
        .map(|item| item.trim().to_owned())
        .filter(|item| !item.is_empty())
        .collect()
}

/// The first value of a query parameter.
pub fn query(query: &str, key: &str) -> Option<String> {
    queries(query, key).into_iter().next()
}

/// All values of a query parameter.
pub fn queries(query: &str, key: &str) -> Vec<String> {
    let pairs = query
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let decode = |value: &str| {
        percent_encoding::percent_decode_str(&value.replace('+', " "))
            .decode_utf8_lossy()
            .into_owned()
    };
    pairs
        .filter(|(name, _)| *name == key)
        .map(|(_, value)| decode(value))
        .collect()
}

/// The host of `host[:port]`, without its port; none when malformed.
fn host_name(authority: &str) -> Option<&str> {
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
    let port_is_fine = port.is_empty()
        || port
            .strip_prefix(':')
            .is_some_and(|digits| digits.is_empty() || digits.parse::<u16>().is_ok());
    let in_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let name_is_fine = name.starts_with('[')
        || (!name.is_empty() && name.len() <= 253 && name.chars().all(in_name));
    (port_is_fine && name_is_fine).then_some(name)
}

fn address(name: &str) -> Option<IpAddr> {
    name.trim_start_matches('[')
        .trim_end_matches(']')
        .parse()
        .ok()
}

fn is_loopback_name(name: &str) -> bool {
    name == "localhost"
        || name.ends_with(".localhost")
        || address(name).is_some_and(|ip| ip.is_loopback())
}

/// Names that no stranger's DNS can point here: addresses and local names.
fn is_always_ours(name: &str) -> bool {
    address(name).is_some() || is_loopback_name(name) || name.ends_with(".local")
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::Request;

    fn access(options: &options::Access) -> Access {
        Access::new(options, vec!["studio".into()]).unwrap()
    }

    fn given(host: &str, viewer: Option<&str>) -> Access {
        let host_token = HostToken::Given(host.into());
        access(&options::Access {
            host_token,
            viewer_token: viewer.map(Into::into),
            allow_origin: vec!["https://app.example".into()],
            ..Default::default()
        })
    }

    fn admit(
        access: &Access,
        need: Need,
        uri: &str,
        headers: &[(&str, &str)],
    ) -> Result<Pass, u16> {
        let request = headers
            .iter()
            .fold(Request::get(uri), |request, (name, value)| {
                request.header(*name, *value)
            });
        let (parts, ()) = request.body(()).unwrap().into_parts();
        access
            .admit(&parts, "192.168.1.9:5000".parse().unwrap(), need)
            .map_err(|problem| problem.status)
    }

    fn host_status(host: &str) -> u16 {
        admit(&given("t", None), Need::Nothing, "/", &[("host", host)])
            .map_or_else(|status| status, |_| 200)
    }

    #[test]
    fn hosts() {
        for good in [
            "127.0.0.1",
            "192.168.1.5:9876",
            "[::1]:9876",
            "localhost",
            "a.localhost:1",
            "printer.local",
            "STUDIO:80",
            "studio",
        ] {
            assert_eq!(host_status(good), 200, "{good}");
        }
        for foreign in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "localhost.",
        ] {
            assert_eq!(host_status(foreign), 421, "{foreign}");
        }
        for malformed in ["", "a b", "[::1", "host:99999", "a@b", "host:x"] {
            assert_eq!(host_status(malformed), 400, "{malformed:?}");
        }
        assert_eq!(
            admit(&given("t", None), Need::Nothing, "/", &[]).unwrap_err(),
            400
        );
        assert_eq!(
            admit(
                &given("t", None),
                Need::Nothing,
                "/",
                &[("host", "a.local"), ("host", "a.local")]
            )
            .unwrap_err(),
            400
        );
    }

    #[test]
    fn origins() {
        let status = |origin: &str| {
            let headers = [("host", "192.168.1.5:9876"), ("origin", origin)];
            admit(&given("t", None), Need::Nothing, "/", &headers)
                .map_or_else(|status| status, |_| 200)
        };
        for good in [
            "http://192.168.1.5:9876",
            "http://192.168.1.5:3000",
            "http://localhost:5173",
            "capacitor://localhost",
            "https://app.example",
            "http://[::1]:80",
        ] {
            assert_eq!(status(good), 200, "{good}");
        }
        for bad in [
            "null",
            "https://evil.example",
            "http://192.168.1.6",
            "file://",
            "https://app.example.evil.example",
            "http://localhost.evil.example",
        ] {
            assert_eq!(status(bad), 403, "{bad}");
        }
    }

    #[test]
    fn only_another_origin_gets_an_answer_to_it() {
        let cross = |origin| {
            admit(
                &given("t", None),
                Need::Nothing,
                "/",
                &[("host", "127.0.0.1:9876"), ("origin", origin)],
            )
            .unwrap()
            .cross_origin
        };
        assert!(cross("http://127.0.0.1:9876").is_none());
        assert_eq!(
            cross("http://localhost:5173").unwrap(),
            "http://localhost:5173"
        );
    }

    #[test]
    fn tokens_in_all_three_places() {
        let access = given("secret", Some("watch"));
        let host = ("host", "localhost");
        let encoded = format!(
            "onlooker.v1, {TOKEN_SUBPROTOCOL}{}",
            URL_SAFE_NO_PAD.encode("secret")
        );
        assert!(
            admit(
                &access,
                Need::Host,
                "/",
                &[host, ("authorization", "Bearer secret")]
            )
            .is_ok()
        );
        assert!(admit(&access, Need::Host, "/?token=secret", &[host]).is_ok());
        assert!(
            admit(
                &access,
                Need::Host,
                "/",
                &[host, ("sec-websocket-protocol", &encoded)]
            )
            .is_ok()
        );
        assert!(admit(&access, Need::Viewer, "/?token=watch", &[host]).is_ok());
        assert!(admit(&access, Need::Viewer, "/?token=secret", &[host]).is_ok());
        assert_eq!(
            admit(&access, Need::Host, "/?token=watch", &[host]).unwrap_err(),
            401
        );
        assert_eq!(admit(&access, Need::Viewer, "/", &[host]).unwrap_err(), 401);
        assert!(admit(&access, Need::Nothing, "/", &[host]).is_ok());
    }

    #[test]
    fn made_tokens_can_be_typed_after_a_flag() {
        for _ in 0..500 {
            let token = random_token().unwrap();
            assert!(
                token.starts_with(|c: char| c.is_ascii_alphabetic()),
                "{token}"
            );
            assert_eq!(token.len(), 24);
        }
    }

    #[test]
    fn guessing_earns_a_pause() {
        let access = given("secret", None);
        for _ in 0..GUESSES {
            assert_eq!(
                admit(
                    &access,
                    Need::Host,
                    "/?token=guess",
                    &[("host", "localhost")]
                )
                .unwrap_err(),
                401
            );
        }
        assert_eq!(
            admit(
                &access,
                Need::Host,
                "/?token=secret",
                &[("host", "localhost")]
            )
            .unwrap_err(),
            429
        );
        assert!(
            admit(&access, Need::Viewer, "/", &[("host", "localhost")]).is_ok(),
            "who shows no token guesses none"
        );
    }

    #[test]
    fn without_a_token_only_this_machine_writes() {
        let access = access(&options::Access {
            host_token: HostToken::LoopbackOnly,
            ..Default::default()
        });
        assert_eq!(
            admit(&access, Need::Host, "/", &[("host", "localhost")]).unwrap_err(),
            403
        );
        let (parts, ()) = Request::get("/")
            .header("host", "localhost")
            .body(())
            .unwrap()
            .into_parts();
        assert!(
            access
                .admit(&parts, "127.0.0.1:5".parse().unwrap(), Need::Host)
                .is_ok()
        );
    }
}
