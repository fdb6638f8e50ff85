//! The certificate and key for `https` and `wss`.

use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use hyper::upgrade::{Parts, Upgraded};
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::fs;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tokio_rustls::{Accept, TlsAcceptor};

use super::options::TlsFiles;
use super::patience::Patient;
use crate::viewer::{TlsWire, Wire};

type Tcp = Patient<TcpStream>;

/// The largest certificate chain or key that is read, in bytes.
const LARGEST: u64 = 1024 * 1024;

/// A certificate and its key, as read from their files.
pub struct Certificate {
    acceptor: TlsAcceptor,
    files: TlsFiles,
    cert: Vec<u8>,
    key: Vec<u8>,
}

impl Certificate {
    /// Reads both files; returns `known` if they have not changed since it was read.
    ///
    /// # Errors
    /// Names the file and what is wrong with it, or says that the two do not belong together.
    pub async fn read(
        files: &TlsFiles,
        known: Option<&Arc<Certificate>>,
    ) -> Result<Arc<Certificate>, String> {
        let known = known.filter(|known| known.files == *files);
        let (cert, key) = (content(&files.cert).await?, content(&files.key).await?);
        match known.filter(|known| known.cert == cert && known.key == key) {
            Some(known) => Ok(known.clone()),
            None => Ok(Arc::new(Certificate {
                acceptor: acceptor(files, &cert, &key)?,
                files: files.clone(),
                cert,
                key,
            })),
        }
    }

    /// Accepts a TLS connection with them.
    ///
    /// # Errors
    /// What is wrong with the handshake.
    pub fn accept(&self, tcp: Tcp) -> Accept<Tcp> {
        self.acceptor.accept(tcp)
    }

    /// The same files, read again.
    ///
    /// # Errors
    /// As [`Certificate::read`].
    pub async fn read_again(self: &Arc<Certificate>) -> Result<Arc<Certificate>, String> {
        Certificate::read(&self.files, Some(self)).await
    }
}

/// The socket of an upgraded TLS connection, and what arrived behind the request.
pub fn wire(upgraded: Upgraded) -> Option<(Wire, Bytes)> {
    let tls = upgraded.downcast::<TokioIo<TlsStream<Tcp>>>();
    let Parts { io, read_buf, .. } = tls.ok()?;
    let (tcp, session) = io.into_inner().into_inner();
    let wire = TlsWire::new(tcp.into_inner(), session);
    Some((Wire::Tls(Box::new(wire)), read_buf))
}

/// The content of a regular file of reasonable size: a pipe would block, and can be read only
/// once.
async fn content(path: &Path) -> Result<Vec<u8>, String> {
    let failed = |error: io::Error| wrong(path, &error);
    let found = fs::metadata(path).await.map_err(failed)?;
    if !found.is_file() {
        return Err(wrong(path, &"is not a regular file"));
    }
    if found.len() > LARGEST {
        return Err(wrong(path, &"is over the limit of 1 MiB"));
    }
    let file = fs::File::open(path).await.map_err(failed)?;
    let mut content = Vec::new();
    let read = file.take(LARGEST).read_to_end(&mut content).await;
    read.map_err(failed)?;
    Ok(content)
}

fn acceptor(files: &TlsFiles, cert: &[u8], key: &[u8]) -> Result<TlsAcceptor, String> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(cert).collect();
    let chain = chain.map_err(|error| wrong(&files.cert, &error))?;
    if chain.is_empty() {
        return Err(wrong(&files.cert, &"holds no PEM certificate"));
    }
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| match error {
        pem::Error::NoItemsFound => wrong(&files.key, &"holds no private key in PEM"),
        error => wrong(&files.key, &error),
    })?;
    let versions = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions();
    let builder = versions
        .map_err(|error| error.to_string())?
        .with_no_client_auth();
    let mut config = builder
        .with_single_cert(chain, key)
        .map_err(|error| unfit(files, &error))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Why they cannot be used together.
fn unfit(files: &TlsFiles, error: &rustls::Error) -> String {
    match error {
        rustls::Error::InconsistentKeys(_) => {
            let key = files.key.display();
            wrong(&files.cert, &format!("does not belong to the key {key}"))
        }
        rustls::Error::InvalidCertificate(_) => {
            wrong(&files.cert, &"its first certificate cannot be read")
        }
        // The remaining errors are about the key.
        error => wrong(&files.key, error),
    }
}

fn wrong(path: &Path, error: &dyn std::fmt::Display) -> String {
    format!("{}: {error}", path.display())
}
