//! What can be set about who may connect.

use super::Token;

/// Who may connect.
#[derive(Clone, Debug, Default)]
pub struct AccessOptions {
    /// What a writer must show.
    pub host_token: HostToken,
    /// What a viewer must show; none: everybody may watch.
    pub viewer_token: Option<Token>,
    /// Origins beside this host and loopback names, as `https://app.example`.
    pub allow_origin: Vec<String>,
    /// Host names beside addresses, `localhost` and this machine's name, also with `.local`.
    pub allow_host: Vec<String>,
}

/// What a writer must show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum HostToken {
    /// A token made at start.
    #[default]
    Random,
    /// This token.
    Given(Token),
    /// Nothing, for peers on this machine only.
    LoopbackOnly,
}
