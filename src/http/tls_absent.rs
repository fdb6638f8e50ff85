//! In place of TLS, in a library that is built without the feature `tls`.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use hyper::upgrade::Upgraded;
use tokio::net::TcpStream;

use super::options::TlsFiles;
use super::patience::Patient;
use crate::viewer::Wire;

/// There is none.
pub enum Certificate {}

impl Certificate {
    /// Reads nothing.
    ///
    /// # Errors
    /// Always.
    pub async fn read(
        files: &TlsFiles,
        _: Option<&Arc<Certificate>>,
    ) -> Result<Arc<Certificate>, String> {
        let cert = files.cert.display();
        Err(format!(
            "{cert}: this program does not speak TLS: it was built without the feature `tls`"
        ))
    }

    /// Is never called.
    ///
    /// # Errors
    /// None.
    pub async fn accept(&self, _: Patient<TcpStream>) -> io::Result<Patient<TcpStream>> {
        match *self {}
    }

    /// Is never called.
    ///
    /// # Errors
    /// None.
    pub async fn read_again(self: &Arc<Certificate>) -> Result<Arc<Certificate>, String> {
        match **self {}
    }
}

/// No connection is one of TLS.
pub fn wire(_: Upgraded) -> Option<(Wire, Bytes)> {
    None
}
