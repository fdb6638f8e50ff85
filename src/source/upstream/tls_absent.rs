//! Without TLS only `ws` links are read.

use tokio::net::TcpStream;

/// A connection.
pub type Secured = TcpStream;

/// Whether this program has TLS.
pub const IS_THERE: bool = false;

/// Without TLS.
pub fn plain(tcp: TcpStream) -> Secured {
    tcp
}

/// Cannot be asked for.
///
/// # Errors
/// Always.
pub async fn secure(host: &str, _: TcpStream) -> Result<Secured, String> {
    Err(format!(
        "{host}: this program was made without it (feature tls)"
    ))
}
