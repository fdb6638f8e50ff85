//! What a request needs, and the passes it is given.

use hyper::header::HeaderValue;
use tokio_util::sync::CancellationToken;

/// The right to watch, until it is revoked.
#[derive(Clone, Debug)]
pub struct ViewerPass(pub(super) CancellationToken);

/// The right to write, until it is revoked.
#[derive(Clone, Debug)]
pub struct HostPass(pub(super) CancellationToken);

impl ViewerPass {
    /// Cancelled when the pass is revoked.
    pub fn revoked(&self) -> &CancellationToken {
        &self.0
    }
}

impl HostPass {
    /// Cancelled when the pass is revoked.
    pub fn revoked(&self) -> &CancellationToken {
        &self.0
    }
}

/// What a request that was let in may do.
#[derive(Clone, Debug)]
pub struct Pass {
    /// Watch the state.
    pub viewer: Option<ViewerPass>,
    /// Change the state.
    pub host: Option<HostPass>,
    /// The other origin that asks and may read the answer.
    pub cross_origin: Option<HeaderValue>,
    /// The daemon's host name and port as the peer knows them.
    pub authority: String,
}

/// What a request needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Only to be well-formed: pages, and whether the process is up.
    Nothing,
    /// The right to watch, or to come from this machine: how the daemon is doing.
    Probe,
    /// The right to watch.
    Viewer,
    /// The right to write.
    Host,
}
