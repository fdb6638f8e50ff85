//! A connection that is read and written without waiting: TCP, or TLS over TCP.

use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use rustls::ServerConnection;
use socket2::SockRef;
use tokio::io::Ready;
use tokio::net::TcpStream;

/// A connection.
pub enum Wire {
    /// TCP.
    Plain(TcpStream),
    /// TLS over TCP. Boxed, so that plain TCP is small.
    Tls(Box<TlsWire>),
}

/// TLS over TCP.
pub struct TlsWire {
    tcp: TcpStream,
    session: Mutex<ServerConnection>,
}

impl Wire {
    /// TLS after its handshake.
    pub fn tls(tcp: TcpStream, session: ServerConnection) -> Wire {
        Wire::Tls(Box::new(TlsWire {
            tcp,
            session: Mutex::new(session),
        }))
    }

    /// The TCP socket.
    pub fn tcp(&self) -> &TcpStream {
        match self {
            Wire::Plain(tcp) => tcp,
            Wire::Tls(tls) => &tls.tcp,
        }
    }

    /// Writes as much as the connection takes now. What is sent `apart` is not queued in the kernel
    /// behind anything else.
    pub fn try_write(&self, bytes: &[u8], apart: bool) -> io::Result<usize> {
        match self {
            Wire::Plain(tcp) => send(tcp, bytes, apart),
            Wire::Tls(tls) => tls.try_write(bytes, apart),
        }
    }

    /// Whether everything that was taken has been given to the kernel. If not, the next write goes
    /// on with it, even a write of nothing.
    pub fn is_flushed(&self) -> bool {
        match self {
            Wire::Plain(_) => true,
            Wire::Tls(tls) => !tls.session().wants_write(),
        }
    }

    /// Reads what has arrived. Returns 0 at the end.
    pub fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Wire::Plain(tcp) => tcp.try_read(buffer),
            Wire::Tls(tls) => tls.try_read(buffer),
        }
    }

    /// Whether the connection can be read, or, if that is `wanted` too, written. Only the last task
    /// that asked is woken: it replaces the one that served the request, of which the socket would
    /// otherwise keep kilobytes of memory.
    pub fn poll_ready(&self, wanted: bool, context: &mut Context<'_>) -> Poll<io::Result<Ready>> {
        let mut ready = Ready::EMPTY;
        if let Poll::Ready(read) = self.tcp().poll_read_ready(context) {
            read?;
            ready |= Ready::READABLE;
        }
        if wanted && let Poll::Ready(written) = self.tcp().poll_write_ready(context) {
            written?;
            ready |= Ready::WRITABLE;
        }
        if ready.is_empty() {
            Poll::Pending
        } else {
            Poll::Ready(Ok(ready))
        }
    }

    /// Ends the sending direction, or both.
    pub fn shutdown(&self, how: Shutdown) {
        if let Wire::Tls(tls) = self {
            tls.session().send_close_notify();
            // If the peer does not take it, there is nothing more to be done.
            let _ = tls.try_write(&[], false);
        }
        // Fails for a socket that has ended already.
        let _ = SockRef::from(self.tcp()).shutdown(how);
    }
}

impl TlsWire {
    fn session(&self) -> MutexGuard<'_, ServerConnection> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn try_write(&self, bytes: &[u8], apart: bool) -> io::Result<usize> {
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
    fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
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

/// Normally the kernel appends bytes to what it already holds, however much that is. What is sent
/// `apart`, as a record of its own (`MSG_EOR`), is only taken when it is its turn.
#[cfg(any(target_os = "android", target_os = "linux"))]
fn send(tcp: &TcpStream, bytes: &[u8], apart: bool) -> io::Result<usize> {
    use rustix::net::SendFlags;
    if !apart {
        return tcp.try_write(bytes);
    }
    let flags = SendFlags::EOR | SendFlags::NOSIGNAL;
    let send = || Ok(rustix::net::send(tcp, bytes, flags)?);
    tcp.try_io(tokio::io::Interest::WRITABLE, send)
}

#[cfg(not(any(target_os = "android", target_os = "linux")))]
fn send(tcp: &TcpStream, bytes: &[u8], _apart: bool) -> io::Result<usize> {
    tcp.try_write(bytes)
}

/// Fails when the kernel takes nothing now.
#[cfg(unix)]
fn takes(tcp: &TcpStream) -> io::Result<()> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    tcp.try_io(tokio::io::Interest::WRITABLE, || {
        let mut sockets = [PollFd::new(tcp, PollFlags::OUT)];
        match poll(&mut sockets, Some(&Timespec::default()))? {
            0 => Err(ErrorKind::WouldBlock.into()),
            _ => Ok(()),
        }
    })
}

#[cfg(not(unix))]
fn takes(_: &TcpStream) -> io::Result<()> {
    Ok(())
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
