//! Everything that a configuration can say.

use std::path::PathBuf;

use crate::access::Token;
use crate::options::Options;

/// Everything a key can say.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    pub options: Options,
    /// What becomes the access option of that name: `random` is only made when a server starts.
    pub viewer_token: ViewerToken,
    /// Half of [`Options::tls`]: the certificate.
    pub tls_cert: Option<PathBuf>,
    pub tls_key: Option<PathBuf>,
    /// What the code in the terminal leads to.
    pub qr: Qr,
    pub log_format: LogFormat,
}

/// What a viewer must show, as written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ViewerToken {
    /// Everybody may watch.
    #[default]
    None,
    Random,
    Given(Token),
}

/// What the code in the terminal leads to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Qr {
    #[default]
    Page,
    /// The viewer socket, for an app that scans it.
    Ws,
    None,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}
