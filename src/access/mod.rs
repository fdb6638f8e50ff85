//! Who may connect: decided once, before routing and before the 101, from the request's
//! head alone. What is decided becomes a value that the next function demands.

mod guesses;
mod head;
mod names;
mod options;
mod shown;
mod token;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use hyper::header::{HOST, HeaderMap, HeaderValue, ORIGIN};
use hyper::http::request::Parts;
use hyper::{Method, Version};
use tokio_util::sync::CancellationToken;

use guesses::Guesses;
pub use head::{list, queries, query, subprotocols};
use names::{host_name, is_always_ours, is_loopback_name};
pub use options::{AccessOptions, HostToken};
pub use shown::random_token;
use shown::shown_token;
pub use token::{PageLink, Token};

use crate::wire::Problem;

/// The right to watch, until it is taken back.
#[derive(Clone, Debug)]
pub struct ViewerPass(CancellationToken);

/// The right to write, until it is taken back.
#[derive(Clone, Debug)]
pub struct HostPass(CancellationToken);

impl ViewerPass {
    /// Cancelled when it is taken back.
    pub fn revoked(&self) -> &CancellationToken {
        &self.0
    }
}

impl HostPass {
    /// Cancelled when it is taken back.
    pub fn revoked(&self) -> &CancellationToken {
        &self.0
    }
}

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
    /// Only a proper request: pages, and whether the process is up.
    Nothing,
    /// To know how the daemon does: to watch, or to be on this machine.
    Probe,
    /// To watch.
    Viewer,
    /// To write.
    Host,
}

/// How many addresses are remembered.
const REMEMBERED: usize = 4096;

/// The rules of one daemon.
pub struct Access {
    /// What was said of the host token.
    host_setting: HostToken,
    host_token: Option<Token>,
    viewer_token: Option<Token>,
    allow_origin: Vec<String>,
    allow_host: Vec<String>,
    /// Cancelled for all who may watch because of the viewer token, or because none is needed.
    watching: CancellationToken,
    /// The same for the host token.
    writing: CancellationToken,
    guesses: Arc<Guesses>,
}

impl Access {
    /// The rules as they were set; makes a token where none was given. `names` are this
    /// machine's own.
    ///
    /// # Errors
    /// When the system has no randomness to give.
    pub fn new(options: &AccessOptions, names: Vec<String>) -> Result<Access, getrandom::Error> {
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
            host_setting: options.host_token.clone(),
            host_token,
            viewer_token: options.viewer_token.clone(),
            allow_origin: options
                .allow_origin
                .iter()
                .map(|origin| origin.trim_end_matches('/').to_ascii_lowercase())
                .collect(),
            allow_host,
            watching: CancellationToken::new(),
            writing: CancellationToken::new(),
            guesses: Arc::new(Guesses::new()),
        })
    }

    /// The rules that hold from now on instead of these. A token that was made stays where one
    /// is to be made still. Passes are taken back that rest on a token which has changed, and all
    /// of them where an origin or a name is allowed no more.
    ///
    /// # Errors
    /// When the system has no randomness to give; nothing is taken back then.
    pub fn renew(
        &self,
        options: &AccessOptions,
        names: Vec<String>,
    ) -> Result<Access, getrandom::Error> {
        let mut next = Access::new(options, names)?;
        if next.host_setting == self.host_setting {
            next.host_token.clone_from(&self.host_token);
        }
        let same_host = next.host_token == self.host_token;
        let same_viewer = next.viewer_token == self.viewer_token;
        if same_host && same_viewer {
            next.guesses = self.guesses.clone();
        } else {
            next.guesses = Arc::new(self.guesses.forgotten());
        }
        let narrower = lacks(&next.allow_host, &self.allow_host)
            || lacks(&next.allow_origin, &self.allow_origin);
        if same_host && !narrower {
            next.writing = self.writing.clone();
        } else {
            self.writing.cancel();
        }
        if (same_viewer || next.viewer_token.is_none()) && !narrower {
            next.watching = self.watching.clone();
        } else {
            self.watching.cancel();
        }
        Ok(next)
    }

    /// What writers show; none when writers on this machine need nothing.
    pub fn host_token(&self) -> Option<&Token> {
        self.host_token.as_ref()
    }

    /// What viewers show, if they have to.
    pub fn viewer_token(&self) -> Option<&Token> {
        self.viewer_token.as_ref()
    }

    /// How often an address has shown so many wrong tokens that more are refused.
    pub fn lock_outs(&self) -> u64 {
        self.guesses.lock_outs()
    }

    /// The one gate: Host, Origin, method and token of a request. Waits only with the right
    /// token from where many wrong ones came.
    ///
    /// # Errors
    /// The answer to send instead.
    pub async fn admit(
        &self,
        request: &Parts,
        peer: SocketAddr,
        need: Need,
    ) -> Result<Pass, Problem> {
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
        let shown = shown_token(request);
        let rights = self.rights(shown.as_ref(), peer.ip());
        let guessed = shown.is_some() && self.count(rights, need, peer.ip()).await?;
        let what = if guessed { "a wrong token: " } else { "" };
        let host = rights.host.then(|| HostPass(self.writing.clone()));
        let through_host = host.as_ref().map(|HostPass(writing)| writing);
        let watching = rights.watcher.then_some(&self.watching);
        pass.viewer = watching.or(through_host).cloned().map(ViewerPass);
        pass.host = host;
        match need {
            _ if rights.suffice(need) => Ok(pass),
            Need::Host if self.host_token.is_none() => Err(forbidden(
                "writing is for programs on the host's own machine (--host-token none)",
            )),
            Need::Host => Err(unauthorized(format!(
                "{what}writing needs the host token: Authorization: Bearer TOKEN (`onlooker token` prints it)",
            ))),
            _ => Err(unauthorized(format!(
                "{what}watching needs the viewer token: Authorization: Bearer, ?token= or the link that the host shows",
            ))),
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
            return Err(forbidden(&format!(
                "the origin {origin:?} may not connect: --allow-origin lets it in"
            )));
        }
        let own = origin
            .split_once("://")
            .is_some_and(|(_, rest)| rest == authority);
        Ok((!own).then(|| header.clone()))
    }

    /// What a peer may do with this token, or with none.
    fn rights(&self, shown: Option<&Token>, peer: IpAddr) -> Rights {
        let is_here = peer.to_canonical().is_loopback();
        let host = match &self.host_token {
            Some(token) => shown == Some(token),
            None => is_here,
        };
        let watcher = match &self.viewer_token {
            Some(token) => shown == Some(token),
            None => true,
        };
        Rights {
            host,
            watcher,
            is_here,
        }
    }

    /// Counts a token where one is needed. Elsewhere, whatever is shown takes nothing away: a
    /// link may be older than the daemon's options. Tells whether it is a wrong one.
    async fn count(&self, rights: Rights, need: Need, peer: IpAddr) -> Result<bool, Problem> {
        let without = self.rights(None, peer);
        if without.suffice(need) {
            Ok(false)
        } else if rights.suffice(need) {
            self.guesses.right(peer).await.map(|()| false)
        } else if rights == without {
            self.guesses.wrong(peer).map(|()| true)
        } else {
            // A viewer's token, to write: too little, but no guess.
            Ok(false)
        }
    }
}

/// What a request may do.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Rights {
    host: bool,
    /// Without being a host, who may watch as well.
    watcher: bool,
    is_here: bool,
}

impl Rights {
    fn suffice(self, need: Need) -> bool {
        match need {
            Need::Nothing => true,
            Need::Probe => self.host || self.watcher || self.is_here,
            Need::Viewer => self.host || self.watcher,
            Need::Host => self.host,
        }
    }
}

/// Whether something of `before` is not there any more.
fn lacks(now: &[String], before: &[String]) -> bool {
    before.iter().any(|name| !now.contains(name))
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

fn bad_request(detail: &'static str) -> Problem {
    Problem::new(400, "Bad Request", detail).because(detail)
}

fn unauthorized(detail: String) -> Problem {
    Problem::new(401, "Unauthorized", detail)
}

fn forbidden(detail: &str) -> Problem {
    Problem::new(403, "Forbidden", detail)
}

#[cfg(test)]
mod tests;
