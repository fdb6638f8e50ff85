//! Writing to a TCP socket without waiting.

use std::io;

use tokio::net::TcpStream;

/// Normally the kernel appends bytes to what it already holds, however much that is. What is sent
/// `apart`, as a record of its own (`MSG_EOR`), is only taken when it is its turn.
#[cfg(any(target_os = "android", target_os = "linux"))]
pub fn send(tcp: &TcpStream, bytes: &[u8], apart: bool) -> io::Result<usize> {
    use rustix::net::SendFlags;
    if !apart {
        return tcp.try_write(bytes);
    }
    let flags = SendFlags::EOR | SendFlags::NOSIGNAL;
    let send = || Ok(rustix::net::send(tcp, bytes, flags)?);
    tcp.try_io(tokio::io::Interest::WRITABLE, send)
}

#[cfg(not(any(target_os = "android", target_os = "linux")))]
pub fn send(tcp: &TcpStream, bytes: &[u8], _apart: bool) -> io::Result<usize> {
    tcp.try_write(bytes)
}

/// Fails when the kernel takes nothing now.
#[cfg(all(unix, feature = "tls"))]
pub fn takes(tcp: &TcpStream) -> io::Result<()> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    tcp.try_io(tokio::io::Interest::WRITABLE, || {
        let mut sockets = [PollFd::new(tcp, PollFlags::OUT)];
        match poll(&mut sockets, Some(&Timespec::default()))? {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            _ => Ok(()),
        }
    })
}

#[cfg(all(not(unix), feature = "tls"))]
pub fn takes(_: &TcpStream) -> io::Result<()> {
    Ok(())
}
