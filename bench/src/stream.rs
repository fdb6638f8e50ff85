//! A viewer's connection: TCP, or TLS over it.

use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore};

/// The connection. Neither direction waits.
pub enum Stream {
    Plain(TcpStream),
    Tls(Box<ClientConnection>, TcpStream),
}

/// A certificate for 127.0.0.1, its key, and who trusts it.
pub struct Certificate {
    chain: PathBuf,
    key: PathBuf,
    trust: Arc<ClientConfig>,
}

impl Certificate {
    /// Makes one, in files that the server can read.
    pub fn new() -> Result<Certificate> {
        let made = rcgen::generate_simple_self_signed([Ipv4Addr::LOCALHOST.to_string()])?;
        let directory = std::env::temp_dir().join(format!("onlooker-bench-{}", std::process::id()));
        fs::create_dir_all(&directory)?;
        let (chain, key) = (directory.join("chain.pem"), directory.join("key.pem"));
        fs::write(&chain, made.cert.pem())?;
        fs::write(&key, made.signing_key.serialize_pem())?;
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone())?;
        let trust = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Certificate {
            chain,
            key,
            trust: Arc::new(trust),
        })
    }

    /// The daemon's flags for it.
    pub fn flags(&self) -> Vec<String> {
        let (chain, key) = (self.chain.display(), self.key.display());
        vec![format!("--tls-cert={chain}"), format!("--tls-key={key}")]
    }

    /// Begins a viewer's handshake.
    pub fn connect(&self, tcp: TcpStream) -> Result<Stream> {
        let name = ServerName::from(Ipv4Addr::LOCALHOST);
        let session = ClientConnection::new(self.trust.clone(), name)?;
        Ok(Stream::Tls(Box::new(session), tcp))
    }
}

impl Drop for Certificate {
    fn drop(&mut self) {
        // What is left in the system's temporary directory does no harm.
        let _ = self.chain.parent().map(fs::remove_dir_all);
    }
}

impl Stream {
    pub fn tcp(&self) -> &TcpStream {
        match self {
            Stream::Plain(tcp) | Stream::Tls(_, tcp) => tcp,
        }
    }

    /// As much as has arrived; 0 at the end.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (session, tcp) = match self {
            Stream::Plain(tcp) => return tcp.read(buffer),
            Stream::Tls(session, tcp) => (session, tcp),
        };
        if session.read_tls(tcp)? == 0 {
            return Ok(0);
        }
        let processed = session.process_new_packets();
        flush(session, tcp)?;
        processed.map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
        session.reader().read(buffer)
    }

    /// All of it, which is little.
    pub fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Stream::Plain(tcp) => tcp.write_all(bytes),
            Stream::Tls(session, tcp) => {
                // Kept until the handshake is over.
                session.writer().write_all(bytes)?;
                flush(session, tcp)
            }
        }
    }
}

fn flush(session: &mut ClientConnection, tcp: &mut TcpStream) -> io::Result<()> {
    while session.wants_write() {
        session.write_tls(tcp)?;
    }
    Ok(())
}
