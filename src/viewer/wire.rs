//! A connected byte stream that is read and written without waiting: TCP, or TLS over it.

use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use rustls::ServerConnection;
use socket2::SockRef;
use tokio::io::Ready;
use tokio::net::TcpStream;

/// The stream.
pub enum Wire {
    /// TCP.
    Plain(TcpStream),
    /// TLS over TCP; rare, so it does not make the other one larger.
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

    fn tcp(&self) -> &TcpStream {
        match self {
            Wire::Plain(tcp) => tcp,
            Wire::Tls(tls) => &tls.tcp,
        }
    }

    /// As much as the stream takes now. What is `apart` is not joined by the kernel to what else
    /// waits there.
    pub fn try_write(&self, bytes: &[u8], apart: bool) -> io::Result<usize> {
        match self {
            Wire::Plain(tcp) => send(tcp, bytes, apart),
            Wire::Tls(tls) => tls.try_write(bytes, apart),
        }
    }

    /// Whether all that was taken has been given to the kernel; if not, the next write goes on
    /// with it, even one of nothing.
    pub fn is_flushed(&self) -> bool {
        match self {
            Wire::Plain(_) => true,
            Wire::Tls(tls) => !tls.session().wants_write(),
        }
    }

    /// As much as has arrived; 0 at the end.
    pub fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Wire::Plain(tcp) => tcp.try_read(buffer),
            Wire::Tls(tls) => tls.try_read(buffer),
        }
    }

    /// Whether the stream can be read, or written if that is `wanted` too. One task at a time
    /// is told of it. It takes the place of the one that served the request, whose memory,
    /// kilobytes of it, would else stay for as long as the stream does.
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

    /// Ends the sending half, or both.
    pub fn shutdown(&self, how: Shutdown) {
        if let Wire::Tls(tls) = self {
            tls.session().send_close_notify();
            // What a closing peer does not take is lost to it anyway.
            let _ = tls.try_write(&[], false);
        }
        // A socket that is gone already needs no end.
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

    /// Gives the kernel what is encrypted already, as much as it takes.
    fn flush(&self, session: &mut ServerConnection, apart: bool) -> io::Result<()> {
        while session.wants_write() {
            match session.write_tls(&mut Kernel(&self.tcp, apart)) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// What is decrypted already comes first: the socket does not tell of it.
    fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut session = self.session();
        loop {
            match session.reader().read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                result => return result,
            }
            if session.read_tls(&mut Kernel(&self.tcp, false))? == 0 {
                return Ok(0);
            }
            let processed = session.process_new_packets();
            self.flush(&mut session, false)?;
            processed.map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
        }
    }
}

/// What is sent like any other bytes, the kernel joins to what waits there already, however much
/// that is. What is sent `apart`, as a record of its own (`MSG_EOR`), has to wait for its turn.
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

/// The socket as `rustls` wants it.
struct Kernel<'a>(&'a TcpStream, bool);

impl Read for Kernel<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buffer)
    }
}

impl Write for Kernel<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        send(self.0, bytes, self.1)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
