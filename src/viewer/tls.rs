//! TLS over a TCP connection that is read and written without waiting.

use std::io::{self, ErrorKind, Read, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustls::ServerConnection;
use tokio::net::TcpStream;

use super::tcp::{send, takes};

/// TLS over TCP.
pub struct TlsWire {
    tcp: TcpStream,
    session: Mutex<ServerConnection>,
}

impl TlsWire {
    /// After the handshake.
    pub fn new(tcp: TcpStream, session: ServerConnection) -> TlsWire {
        let session = Mutex::new(session);
        TlsWire { tcp, session }
    }

    /// The TCP socket.
    pub fn tcp(&self) -> &TcpStream {
        &self.tcp
    }

    /// Whether everything that was taken has been given to the kernel.
    pub fn is_flushed(&self) -> bool {
        !self.session().wants_write()
    }

    /// Says that nothing more will be sent.
    pub fn send_close_notify(&self) {
        self.session().send_close_notify();
        // If the peer does not take it, there is nothing more to be done.
        let _ = self.try_write(&[], false);
    }

    fn session(&self) -> MutexGuard<'_, ServerConnection> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As [`Wire::try_write`](super::Wire::try_write).
    pub fn try_write(&self, bytes: &[u8], apart: bool) -> io::Result<usize> {
        let mut session = self.session();
        let mut taken = 0;
        // Once encrypted, it has to be sent, even if there is something newer by then.
        if apart && !bytes.is_empty() && !session.wants_write() {
            takes(&self.tcp)?;
        }
        loop {
            self.flush(&mut session, apart)?;
            if session.wants_write() || taken == bytes.len() {
                break;
            }
            taken += session.writer().write(&bytes[taken..])?;
        }
        match taken {
            0 if !bytes.is_empty() => Err(ErrorKind::WouldBlock.into()),
            taken => Ok(taken),
        }
    }

    /// Gives the kernel as much of what is encrypted as it takes.
    fn flush(&self, session: &mut ServerConnection, apart: bool) -> io::Result<()> {
        while session.wants_write() {
            match session.write_tls(&mut Tcp(&self.tcp, apart)) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads what is decrypted already first: the socket's readiness does not include it.
    pub fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut session = self.session();
        loop {
            match session.reader().read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                result => return result,
            }
            if session.read_tls(&mut Tcp(&self.tcp, false))? == 0 {
                return Ok(0);
            }
            let processed = session.process_new_packets();
            self.flush(&mut session, false)?;
            processed.map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
        }
    }
}

/// The socket as `rustls` wants it, and whether what is written goes apart.
struct Tcp<'a>(&'a TcpStream, bool);

impl Read for Tcp<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buffer)
    }
}

impl Write for Tcp<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        send(self.0, bytes, self.1)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
