//! TLS to another daemon, by the certificates that this system trusts.

use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;

/// A connection, with TLS or without.
pub type Secured = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// Whether this program has TLS.
pub const IS_THERE: bool = true;

/// Without TLS.
pub fn plain(tcp: TcpStream) -> Secured {
    Either::Left(tcp)
}

/// With TLS to this host.
///
/// # Errors
/// When its certificate is not trusted, or the handshake fails.
pub async fn secure(host: &str, tcp: TcpStream) -> Result<Secured, String> {
    let name = ServerName::try_from(host.to_owned()).map_err(|error| error.to_string())?;
    // The files of the system may take their time.
    let config = tokio::task::spawn_blocking(config).await;
    let config = config.map_err(|error| error.to_string()).flatten();
    let connector = TlsConnector::from(Arc::new(config?));
    let stream = connector.connect(name, tcp).await.map_err(|error| {
        format!("{error}: this system has to trust its certificate (SSL_CERT_FILE names others)")
    })?;
    Ok(Either::Right(Box::new(stream)))
}

fn config() -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(ring::default_provider());
    let versions =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = versions.map_err(|error| error.to_string())?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}
