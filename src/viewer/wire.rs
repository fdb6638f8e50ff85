//! A connection that is read and written without waiting: TCP, or TLS over TCP.

use std::io;
use std::net::Shutdown;
use std::task::{Context, Poll};

use socket2::SockRef;
use tokio::io::Ready;
use tokio::net::TcpStream;

use super::tcp::send;
#[cfg(feature = "tls")]
use super::tls::TlsWire;

/// A connection.
pub enum Wire {
    /// TCP.
    Plain(TcpStream),
    /// TLS over TCP. Boxed, so that plain TCP is small.
    #[cfg(feature = "tls")]
    Tls(Box<TlsWire>),
}

impl Wire {
    /// The TCP socket.
    pub fn tcp(&self) -> &TcpStream {
        match self {
            Wire::Plain(tcp) => tcp,
            #[cfg(feature = "tls")]
            Wire::Tls(tls) => tls.tcp(),
        }
    }

    /// Writes as much as the connection takes now. What is sent `apart` is not queued in the kernel
    /// behind anything else.
    pub fn try_write(&self, bytes: &[u8], apart: bool) -> io::Result<usize> {
        match self {
            Wire::Plain(tcp) => send(tcp, bytes, apart),
            #[cfg(feature = "tls")]
            Wire::Tls(tls) => tls.try_write(bytes, apart),
        }
    }

    /// Whether everything that was taken has been given to the kernel. If not, the next write goes
    /// on with it, even a write of nothing.
    pub fn is_flushed(&self) -> bool {
        match self {
            Wire::Plain(_) => true,
            #[cfg(feature = "tls")]
            Wire::Tls(tls) => tls.is_flushed(),
        }
    }

    /// Reads what has arrived. Returns 0 at the end.
    pub fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Wire::Plain(tcp) => tcp.try_read(buffer),
            #[cfg(feature = "tls")]
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
        #[cfg(feature = "tls")]
        if let Wire::Tls(tls) = self {
            tls.send_close_notify();
        }
        // Fails for a socket that has ended already.
        let _ = SockRef::from(self.tcp()).shutdown(how);
    }
}
