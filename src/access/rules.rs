//! The rules of one daemon, applied to a request.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use hyper::Method;
use hyper::http::request::Parts;
use tokio_util::sync::CancellationToken;

use super::guesses::Guesses;
use super::head::shown_token;
use super::names::Names;
use super::options::{AccessOptions, HostToken};
use super::pass::{HostPass, Need, Pass, ViewerPass};
use super::token::{Token, random_token};
use crate::wire::Problem;

/// Methods that are understood; CONNECT, TRACE and inventions are not.
const METHODS: [Method; 7] = [
    Method::GET,
    Method::HEAD,
    Method::PUT,
    Method::PATCH,
    Method::POST,
    Method::DELETE,
    Method::OPTIONS,
];

/// The rules of one daemon.
pub struct Access {
    /// What the options say about the host token.
    host_setting: HostToken,
    /// What writers must show; `None` if writers on this machine need nothing.
    pub host_token: Option<Token>,
    /// What viewers must show, if anything.
    pub viewer_token: Option<Token>,
    names: Names,
    /// Cancelled for everybody who may watch because of the viewer token, or because none is
    /// needed.
    watching: CancellationToken,
    /// The same for the host token.
    writing: CancellationToken,
    guesses: Arc<Guesses>,
}

impl Access {
    /// The rules that the options set; generates a token if none was given. `own_names` are
    /// this machine's.
    ///
    /// # Errors
    /// When the system cannot supply randomness.
    pub fn new(
        options: &AccessOptions,
        own_names: Vec<String>,
    ) -> Result<Access, getrandom::Error> {
        let host_token = match &options.host_token {
            HostToken::Random => Some(random_token()?),
            HostToken::Given(token) => Some(token.clone()),
            HostToken::LoopbackOnly => None,
        };
        Ok(Access {
            host_setting: options.host_token.clone(),
            host_token,
            viewer_token: options.viewer_token.clone(),
            names: Names::new(options, &own_names),
            watching: CancellationToken::new(),
            writing: CancellationToken::new(),
            guesses: Arc::default(),
        })
    }

    /// The rules that replace these from now on. A generated token stays while the options
    /// still ask for one. Passes that rest on a token that has changed are revoked, and all
    /// passes if an origin or a name is no longer allowed.
    ///
    /// # Errors
    /// When the system cannot supply randomness; then nothing is revoked.
    pub fn renew(
        &self,
        options: &AccessOptions,
        own_names: Vec<String>,
    ) -> Result<Access, getrandom::Error> {
        let mut next = Access::new(options, own_names)?;
        if next.host_setting == self.host_setting {
            next.host_token.clone_from(&self.host_token);
        }
        let same_host = next.host_token == self.host_token;
        let same_viewer = next.viewer_token == self.viewer_token;
        next.guesses = match same_host && same_viewer {
            true => self.guesses.clone(),
            false => Arc::new(self.guesses.forgotten()),
        };
        let as_wide = !next.names.are_fewer_than(&self.names);
        if same_host && as_wide {
            next.writing = self.writing.clone();
        } else {
            self.writing.cancel();
        }
        if (same_viewer || next.viewer_token.is_none()) && as_wide {
            next.watching = self.watching.clone();
        } else {
            self.watching.cancel();
        }
        Ok(next)
    }

    /// How many times an address was locked out for showing too many wrong tokens.
    pub fn lock_outs(&self) -> u64 {
        self.guesses.lock_outs()
    }

    /// Checks the Host, Origin, method and token of a request. Delays only the right token from
    /// an address that has shown many wrong ones.
    ///
    /// # Errors
    /// The answer to send instead.
    pub async fn admit(
        &self,
        request: &Parts,
        peer: SocketAddr,
        need: Need,
    ) -> Result<Pass, Problem> {
        let authority = self.names.check_host(request)?;
        let cross_origin = self.names.check_origin(&request.headers, &authority)?;
        let method = &request.method;
        if !METHODS.contains(method) {
            let detail = format!("{method} is not understood here");
            return Err(Problem::new(405, detail));
        }
        let mut pass = Pass {
            viewer: None,
            host: None,
            cross_origin,
            authority,
        };
        // A preflight carries no token and gets no rights.
        if method == Method::OPTIONS {
            return Ok(pass);
        }
        let shown = shown_token(request);
        let rights = self.rights(shown.as_ref(), peer.ip());
        let guessed = shown.is_some() && self.count(rights, need, peer.ip()).await?;
        if !rights.suffice(need) {
            return Err(self.refusal(need, guessed));
        }
        pass.host = rights.host.then(|| HostPass(self.writing.clone()));
        pass.viewer = match rights.watcher {
            true => Some(ViewerPass(self.watching.clone())),
            false => rights.host.then(|| ViewerPass(self.writing.clone())),
        };
        Ok(pass)
    }

    fn refusal(&self, need: Need, guessed: bool) -> Problem {
        let what = if guessed { "wrong token: " } else { "" };
        let (right, way) = match need {
            Need::Host if self.host_token.is_none() => {
                let detail =
                    "writing is for programs on the host's own machine (--host-token none)";
                return Problem::new(403, detail);
            }
            Need::Host => (
                "writing needs the host token",
                "Authorization: Bearer TOKEN (`onlooker token` prints it)",
            ),
            _ => (
                "watching needs the viewer token",
                "Authorization: Bearer, ?token= or the link that the host shows",
            ),
        };
        Problem::new(401, format!("{what}{right}: {way}"))
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

    /// Counts a token where one is needed, and says whether it is a wrong one. Where none is
    /// needed a wrong one does no harm: a link may be older than the daemon's options.
    async fn count(&self, rights: Rights, need: Need, peer: IpAddr) -> Result<bool, Problem> {
        let without = self.rights(None, peer);
        if without.suffice(need) {
            Ok(false)
        } else if rights.suffice(need) {
            self.guesses.right(peer).await.map(|()| false)
        } else if rights == without {
            self.guesses.wrong(peer).map(|()| true)
        } else {
            // A viewer's token in a request to write: not enough, but not a guess either.
            Ok(false)
        }
    }
}

/// What a peer may do.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Rights {
    host: bool,
    /// May watch even without being a host.
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
