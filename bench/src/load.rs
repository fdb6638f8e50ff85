//! All viewers on one thread: connected, read, and each delivery timed.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use socket2::{Domain, Socket, Type};

use crate::frames::{Arrival, Frames, masked, number};
use crate::stream::{Certificate, Stream};

/// How long a message may take to reach everybody before it counts as missing.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// How long all viewers together may take to connect.
const CONNECTING: Duration = Duration::from_secs(90);
/// How long a look for arrivals pauses when there are none.
const NAP: Duration = Duration::from_micros(20);
/// So many connections are under way at a time, except in a storm.
const AT_A_TIME: usize = 64;

/// What the viewers ask for.
#[derive(Clone, Default)]
pub struct Wish {
    /// They offer permessage-deflate. Their messages are told apart by their order.
    pub deflate: bool,
    /// They count as connected when their first message is there.
    pub first_message: bool,
    /// They speak TLS and trust this.
    pub tls: Option<Rc<Certificate>>,
    /// What they watch, without the first slash.
    pub path: &'static str,
    /// Messages that begin with this are counted apart.
    pub awaited: &'static str,
}

/// Viewers of one server.
pub struct Load {
    address: SocketAddr,
    wish: Wish,
    request: Vec<u8>,
    epoll: Epoll,
    events: Vec<EpollEvent>,
    buffer: Vec<u8>,
    viewers: Vec<Viewer>,
    open: usize,
    /// What was sent and has not reached everybody.
    flights: VecDeque<Flight>,
    totals: Totals,
}

/// Counts since the start.
#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    /// Messages that arrived in time.
    pub delivered: u64,
    /// Messages that nobody waited for: snapshots, and what came too late.
    pub others: u64,
    /// Messages that began as was wished.
    pub awaited: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Connections that the server ended.
    pub dropped: u64,
}

/// One message on its way to everybody.
pub struct Flight {
    number: u64,
    sent: Instant,
    /// How long each delivery took.
    pub times: Vec<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Closed,
    Dialling,
    Upgrading,
    /// Upgraded, and waiting for the first message.
    Waiting,
    Open,
}

struct Viewer {
    stream: Option<Stream>,
    stage: Stage,
    frames: Frames,
    answer: Vec<u8>,
    /// The number of the last message.
    last: u64,
    /// When it was connected, from the start of the connecting.
    opened: Duration,
}

impl Load {
    pub fn new(address: SocketAddr, wish: Wish) -> Result<Load> {
        let offer = if wish.deflate {
            "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
        } else {
            ""
        };
        let path = wish.path;
        let request = format!(
            "GET /{path} HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: b25sb29rZXIgaXMgd2F0Yw==\r\n{offer}\r\n"
        );
        Ok(Load {
            address,
            wish,
            request: request.into_bytes(),
            epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?,
            events: vec![EpollEvent::empty(); 512],
            buffer: vec![0; 512 * 1024],
            viewers: Vec::new(),
            open: 0,
            flights: VecDeque::new(),
            totals: Totals::default(),
        })
    }

    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// How many viewers are connected.
    pub fn open(&self) -> usize {
        self.open
    }

    /// How many messages are on their way.
    pub fn in_flight(&self) -> usize {
        self.flights.len()
    }

    /// Connects viewers until there are `count`, some at a time.
    pub fn connect(&mut self, count: usize) -> Result<Duration> {
        self.connect_at_a_time(count, AT_A_TIME)
    }

    /// Connects all viewers at once; tells how long each one took, the quickest first.
    pub fn storm(&mut self, count: usize) -> Result<Vec<Duration>> {
        ensure!(self.viewers.is_empty(), "a storm begins with nobody");
        self.connect_at_a_time(count, count)?;
        let mut times: Vec<_> = self.viewers.iter().map(|viewer| viewer.opened).collect();
        times.sort();
        Ok(times)
    }

    fn connect_at_a_time(&mut self, count: usize, at_a_time: usize) -> Result<Duration> {
        let start = Instant::now();
        while self.open < count {
            while self.viewers.len() < count && self.viewers.len() - self.open < at_a_time {
                self.dial(start)?;
                if self.viewers.len().is_multiple_of(64) {
                    self.poll(start, 0)?;
                }
            }
            self.poll(start, 1)?;
            if start.elapsed() > CONNECTING {
                bail!("only {} of {count} viewers could connect", self.open);
            }
            ensure!(self.totals.dropped == 0, "a viewer was refused or dropped");
        }
        Ok(start.elapsed())
    }

    fn dial(&mut self, start: Instant) -> Result<()> {
        let socket = Socket::new(Domain::for_address(self.address), Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        // Closed by a reset, so that no port stays taken behind it.
        socket.set_linger(Some(Duration::ZERO))?;
        if let Err(error) = socket.connect(&self.address.into()) {
            let waits = error.raw_os_error() == Some(nix::errno::Errno::EINPROGRESS as i32);
            ensure!(waits, "connecting: {error}");
        }
        let key = self.viewers.len() as u64;
        self.epoll
            .add(&socket, EpollEvent::new(EpollFlags::EPOLLOUT, key))?;
        let stream = match &self.wish.tls {
            None => Stream::Plain(socket.into()),
            Some(certificate) => certificate.connect(socket.into())?,
        };
        self.viewers.push(Viewer {
            stream: Some(stream),
            stage: Stage::Dialling,
            frames: Frames::default(),
            answer: Vec::new(),
            last: 0,
            opened: start.elapsed(),
        });
        Ok(())
    }

    /// Ends all connections at once.
    pub fn close(&mut self) {
        self.viewers.clear();
        self.open = 0;
        self.totals.dropped = 0;
    }

    /// Expects a message to arrive everywhere, sent now. Its number is the next one.
    pub fn expect(&mut self, number: u64) {
        self.flights.push_back(Flight {
            number,
            sent: Instant::now(),
            times: Vec::with_capacity(self.open),
        });
    }

    /// Lets one of them say something.
    pub fn say(&mut self, viewer: usize, text: &str) -> Result<()> {
        let stream = self.viewers[viewer].stream.as_mut();
        let stream = stream.context("it is not connected any more")?;
        Ok(stream.write_all(&masked(0x81, text.as_bytes()))?)
    }

    /// Waits until the oldest message has reached everybody, or long enough.
    pub fn land(&mut self) -> Result<Flight> {
        loop {
            let oldest = self.flights.front().context("nothing is on its way")?;
            let over = oldest.times.len() >= self.open || oldest.sent.elapsed() > PATIENCE;
            match over.then(|| self.flights.pop_front()).flatten() {
                Some(flight) => return Ok(flight),
                None => self.look()?,
            }
        }
    }

    /// Takes what has arrived. The thread never sleeps where a packet wakes it: no server pays
    /// for that, as none does whose viewers are elsewhere.
    fn look(&mut self) -> Result<()> {
        if !self.poll(Instant::now(), 0)? {
            std::thread::sleep(NAP);
        }
        Ok(())
    }

    /// Reads whatever comes for a while.
    pub fn idle(&mut self, time: Duration) -> Result<()> {
        let start = Instant::now();
        while start.elapsed() < time {
            self.poll(start, 5)?;
        }
        Ok(())
    }

    /// How many connected viewers have seen the message of this number last.
    pub fn converged(&self, number: u64) -> usize {
        self.viewers
            .iter()
            .filter(|viewer| viewer.stage == Stage::Open && viewer.last == number)
            .count()
    }

    /// Begins the count of messages that cannot be read at `number`.
    pub fn number_from(&mut self, number: u64) {
        self.viewers
            .iter_mut()
            .for_each(|viewer| viewer.last = number - 1);
    }

    fn poll(&mut self, start: Instant, milliseconds: u8) -> Result<bool> {
        let mut events = std::mem::take(&mut self.events);
        let count = match self
            .epoll
            .wait(&mut events, EpollTimeout::from(milliseconds))
        {
            Err(nix::errno::Errno::EINTR) => 0,
            result => result?,
        };
        for event in &events[..count] {
            self.handle(usize::try_from(event.data())?, start)?;
        }
        self.events = events;
        Ok(count > 0)
    }

    fn handle(&mut self, key: usize, start: Instant) -> Result<()> {
        // A viewer that was closed meanwhile.
        let Some(viewer) = self.viewers.get_mut(key) else {
            return Ok(());
        };
        let Some(stream) = &mut viewer.stream else {
            return Ok(());
        };
        if viewer.stage == Stage::Dialling {
            viewer.stage = Stage::Upgrading;
            let mut event = EpollEvent::new(EpollFlags::EPOLLIN, key as u64);
            self.epoll.modify(stream.tcp().as_fd(), &mut event)?;
            if stream.write_all(&self.request).is_err() {
                self.drop_viewer(key);
            }
            return Ok(());
        }
        let read = match stream.read(&mut self.buffer) {
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(_) => 0,
        };
        if read == 0 {
            self.drop_viewer(key);
            return Ok(());
        }
        self.totals.bytes += read as u64;
        let buffer = std::mem::take(&mut self.buffer);
        let fed = self.feed(key, &buffer[..read], start);
        self.buffer = buffer;
        fed
    }

    fn drop_viewer(&mut self, key: usize) {
        let viewer = &mut self.viewers[key];
        viewer.stream = None;
        self.open -= usize::from(viewer.stage == Stage::Open);
        viewer.stage = Stage::Closed;
        self.totals.dropped += 1;
    }

    fn feed(&mut self, key: usize, bytes: &[u8], start: Instant) -> Result<()> {
        let viewer = &mut self.viewers[key];
        if viewer.stage != Stage::Upgrading {
            return self.receive(key, bytes, start);
        }
        viewer.answer.extend_from_slice(bytes);
        let Some(end) = viewer
            .answer
            .windows(4)
            .position(|window| window == b"\r\n\r\n")
        else {
            return Ok(());
        };
        let answer = std::mem::take(&mut viewer.answer);
        check(&answer[..end], self.wish.deflate)?;
        viewer.stage = Stage::Waiting;
        if !self.wish.first_message {
            self.opened(key, start);
        }
        match &answer[end + 4..] {
            [] => Ok(()),
            rest => self.receive(key, rest, start),
        }
    }

    fn opened(&mut self, key: usize, start: Instant) {
        let viewer = &mut self.viewers[key];
        viewer.stage = Stage::Open;
        viewer.opened = start.elapsed();
        self.open += 1;
    }

    fn receive(&mut self, key: usize, bytes: &[u8], start: Instant) -> Result<()> {
        let now = Instant::now();
        let (deflate, awaited) = (self.wish.deflate, self.wish.awaited.as_bytes());
        let viewer = &mut self.viewers[key];
        let (mut messages, mut closed, mut answered) = (0, false, true);
        let (flights, totals, stream) = (&mut self.flights, &mut self.totals, &mut viewer.stream);
        let last = &mut viewer.last;
        viewer.frames.feed(bytes, |arrival| match arrival {
            Arrival::Message(head) => {
                messages += 1;
                let is_awaited = !awaited.is_empty() && head.starts_with(awaited);
                totals.awaited += u64::from(is_awaited);
                let number = if deflate {
                    Some(*last + 1)
                } else {
                    number(head)
                };
                *last = number.unwrap_or(*last);
                match number.and_then(|number| flight(flights, number)) {
                    Some(flight) => {
                        flight.times.push(now - flight.sent);
                        totals.delivered += 1;
                    }
                    None => totals.others += 1,
                }
            }
            Arrival::Ping(payload) => {
                answered &= stream
                    .as_mut()
                    .is_some_and(|stream| stream.write_all(&masked(0x8a, payload)).is_ok());
            }
            Arrival::Close => closed = true,
            Arrival::Pong => {}
        });
        if closed || !answered {
            self.drop_viewer(key);
        } else if messages > 0 && self.viewers[key].stage == Stage::Waiting {
            self.opened(key, start);
        }
        Ok(())
    }
}

fn flight(flights: &mut VecDeque<Flight>, number: u64) -> Option<&mut Flight> {
    let place = number.checked_sub(flights.front()?.number)?;
    flights.get_mut(usize::try_from(place).ok()?)
}

fn check(answer: &[u8], deflate: bool) -> Result<()> {
    let answer = String::from_utf8_lossy(answer);
    ensure!(
        answer.starts_with("HTTP/1.1 101"),
        "the upgrade was refused: {answer}"
    );
    let deflates = answer.to_lowercase().contains("permessage-deflate");
    ensure!(
        deflates == deflate,
        "permessage-deflate was not agreed on as wished"
    );
    Ok(())
}
