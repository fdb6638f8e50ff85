//! The LIMIT: the least that sending one message to everybody can cost on this path. A frame is
//! made once and given to each socket by one call that does not wait, all on one thread.

use std::io::{ErrorKind, Read, Write, stdin};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;

use anyhow::{Context, Result};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use socket2::{Domain, Socket, Type};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

const STDIN: u64 = 0;
const LISTENER: u64 = 1;
const FIRST_VIEWER: u64 = 2;
const BACKLOG: i32 = 4096;

struct Viewer {
    tcp: TcpStream,
    request: Vec<u8>,
    open: bool,
    /// What the socket did not take yet.
    rest: Vec<u8>,
}

struct Limit {
    epoll: Epoll,
    listener: TcpListener,
    /// By the key of their events, which is their place and [`FIRST_VIEWER`].
    viewers: Vec<Option<Viewer>>,
    free: Vec<usize>,
    line: Vec<u8>,
    buffer: Vec<u8>,
}

/// Serves until standard input ends.
pub fn run(port: u16) -> Result<()> {
    let listener = listen(port)?;
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    epoll.add(stdin(), EpollEvent::new(EpollFlags::EPOLLIN, STDIN))?;
    epoll.add(&listener, EpollEvent::new(EpollFlags::EPOLLIN, LISTENER))?;
    let mut limit = Limit {
        epoll,
        listener,
        viewers: Vec::new(),
        free: Vec::new(),
        line: Vec::new(),
        buffer: vec![0; 1 << 20],
    };
    let mut events = vec![EpollEvent::empty(); 512];
    loop {
        let count = limit.epoll.wait(&mut events, EpollTimeout::NONE)?;
        for event in &events[..count] {
            match event.data() {
                STDIN if !limit.publish()? => return Ok(()),
                STDIN => {}
                LISTENER => limit.accept()?,
                viewer => limit.serve(viewer, event.events()),
            }
        }
    }
}

fn listen(port: u16) -> Result<TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

impl Limit {
    /// Sends the lines that have come; false at the end of the input.
    fn publish(&mut self) -> Result<bool> {
        let read = stdin().lock().read(&mut self.buffer)?;
        if read == 0 {
            return Ok(false);
        }
        let mut bytes = &self.buffer[..read];
        let mut frames = Vec::new();
        while let Some(end) = bytes.iter().position(|&byte| byte == b'\n') {
            self.line.extend_from_slice(&bytes[..end]);
            frames.push(frame(&self.line));
            self.line.clear();
            bytes = &bytes[end + 1..];
        }
        self.line.extend_from_slice(bytes);
        frames.iter().for_each(|frame| self.send(frame));
        Ok(true)
    }

    fn send(&mut self, frame: &[u8]) {
        let open = self.viewers.iter_mut().zip(FIRST_VIEWER..);
        let open = open.filter_map(|(viewer, key)| Some((viewer.as_mut()?, key)));
        for (viewer, key) in open.filter(|(viewer, _)| viewer.open) {
            if !viewer.rest.is_empty() {
                viewer.rest.extend_from_slice(frame);
                continue;
            }
            let sent = viewer.tcp.write(frame).unwrap_or(0);
            if sent < frame.len() {
                viewer.rest.extend_from_slice(&frame[sent..]);
                let both = EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT;
                // A socket that is gone tells so when it is read.
                let _ = self
                    .epoll
                    .modify(viewer.tcp.as_fd(), &mut EpollEvent::new(both, key));
            }
        }
    }

    fn accept(&mut self) -> Result<()> {
        loop {
            let tcp = match self.listener.accept() {
                Ok((tcp, _)) => tcp,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error).context("accepting"),
            };
            tcp.set_nodelay(true)?;
            tcp.set_nonblocking(true)?;
            let place = self.free.pop().unwrap_or(self.viewers.len());
            let key = place as u64 + FIRST_VIEWER;
            self.epoll
                .add(&tcp, EpollEvent::new(EpollFlags::EPOLLIN, key))?;
            self.viewers
                .resize_with(self.viewers.len().max(place + 1), || None);
            self.viewers[place] = Some(Viewer {
                tcp,
                request: Vec::new(),
                open: false,
                rest: Vec::new(),
            });
        }
    }

    fn serve(&mut self, key: u64, flags: EpollFlags) {
        let place = (key - FIRST_VIEWER) as usize;
        let Some(viewer) = &mut self.viewers[place] else {
            return;
        };
        let alive = (!flags.contains(EpollFlags::EPOLLOUT) || drain(&self.epoll, key, viewer))
            && (flags == EpollFlags::EPOLLOUT || read(viewer, &mut self.buffer));
        if !alive {
            self.viewers[place] = None;
            self.free.push(place);
        }
    }
}

/// Sends what waited; false when the socket has ended.
fn drain(epoll: &Epoll, key: u64, viewer: &mut Viewer) -> bool {
    match viewer.tcp.write(&viewer.rest) {
        Ok(sent) if sent == viewer.rest.len() => viewer.rest = Vec::new(),
        Ok(sent) => _ = viewer.rest.drain(..sent),
        Err(error) if error.kind() == ErrorKind::WouldBlock => {}
        Err(_) => return false,
    }
    if !viewer.rest.is_empty() {
        return true;
    }
    let mut event = EpollEvent::new(EpollFlags::EPOLLIN, key);
    epoll.modify(viewer.tcp.as_fd(), &mut event).is_ok()
}

/// Answers the upgrade, drops everything later; false when the socket has ended.
fn read(viewer: &mut Viewer, buffer: &mut [u8]) -> bool {
    let read = match viewer.tcp.read(buffer) {
        Ok(0) => return false,
        Ok(read) => read,
        Err(error) => return error.kind() == ErrorKind::WouldBlock,
    };
    if viewer.open {
        return true;
    }
    viewer.request.extend_from_slice(&buffer[..read]);
    if !viewer.request.ends_with(b"\r\n\r\n") {
        return true;
    }
    let request = String::from_utf8_lossy(&viewer.request);
    let key = request
        .lines()
        .find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "));
    let Some(key) = key else { return false };
    let accept = derive_accept_key(key.as_bytes());
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    viewer.open = viewer.tcp.write_all(answer.as_bytes()).is_ok();
    viewer.request = Vec::new();
    viewer.open
}

/// One unmasked text frame (RFC 6455 §5.2).
fn frame(text: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(text.len() + 10);
    frame.push(0x81);
    match text.len() {
        length @ 0..126 => frame.push(length as u8),
        length @ 126..65536 => {
            frame.push(126);
            frame.extend((length as u16).to_be_bytes());
        }
        length => {
            frame.push(127);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(text);
    frame
}
