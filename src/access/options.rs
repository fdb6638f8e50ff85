//! The settings for who may connect.

use super::token::Token;

/// Who may connect.
#[derive(Clone, Debug, Default)]
pub struct AccessOptions {
    /// What a writer must show.
    pub host_token: HostToken,
    /// What a viewer must show; `None`: everybody may watch.
    pub viewer_token: Option<Token>,
    /// Origins besides this host and loopback names, such as `https://app.example`.
    pub allow_origin: Vec<String>,
    /// Host names besides addresses, `localhost` and this machine's name (plain or `.local`).
    pub allow_host: Vec<String>,
}

/// What a writer must show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum HostToken {
    /// A token generated at the start.
    #[default]
    Random,
    /// This token.
    Given(Token),
    /// Nothing, but only peers on this machine may write.
    LoopbackOnly,
}
