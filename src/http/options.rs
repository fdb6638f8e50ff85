//! The settings for pages, links and certificates.

use std::path::PathBuf;

/// What is served at `/`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Page {
    /// The built-in viewer.
    #[default]
    Viewer,
    /// The built-in demo.
    Demo,
    /// A static site.
    Directory(PathBuf),
}

/// At which address viewers find this machine.
#[derive(Clone, Debug, Default)]
pub struct LinkOptions {
    /// `HOST[:PORT]` to print instead of an address that was found.
    pub advertise: Option<String>,
    /// The network interface whose address is printed.
    pub interface: Option<String>,
}

/// Certificate chain and private key, as PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct TlsFiles {
    pub cert: PathBuf,
    pub key: PathBuf,
}
