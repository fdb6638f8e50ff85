//! People who change their own row as fast as they are answered: all on one thread.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use crate::frames::{Arrival, Frames, masked};
use crate::room::{REFUSAL, SUCCESS, sync, todo};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(12);

/// All of them.
pub struct Writers {
    epoll: Epoll,
    writers: Vec<Writer>,
    buffer: Vec<u8>,
    /// How long each answer took.
    pub times: Vec<Duration>,
    /// Messages about what others did.
    pub told: u64,
}

struct Writer {
    tcp: TcpStream,
    frames: Frames,
    asked: Instant,
    changes: u64,
}

impl Writers {
    /// Connects so many, the next one to the next room, and lets each make its row.
    pub fn come(address: SocketAddr, count: usize, rooms: usize) -> Result<Writers> {
        let mut writers = Writers {
            epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?,
            writers: Vec::new(),
            buffer: vec![0; 1 << 18],
            times: Vec::new(),
            told: 0,
        };
        for number in 0..count {
            let writer = Writer::come(address, number, rooms)?;
            let event = EpollEvent::new(EpollFlags::EPOLLIN, number as u64);
            writers.epoll.add(writer.tcp.as_fd(), event)?;
            writers.writers.push(writer);
        }
        Ok(writers)
    }

    /// Lets them write for a while.
    pub fn write(&mut self, time: Duration) -> Result<()> {
        let (start, mut waiting) = (Instant::now(), self.writers.len());
        (self.times, self.told) = (Vec::new(), 0);
        for (number, writer) in self.writers.iter_mut().enumerate() {
            writer.ask(number)?;
        }
        let mut events = vec![EpollEvent::empty(); 256];
        while waiting > 0 {
            ensure!(start.elapsed() < time + PATIENCE, "answers are missing");
            let count = match self.epoll.wait(&mut events, EpollTimeout::from(100_u8)) {
                Err(nix::errno::Errno::EINTR) => 0,
                result => result?,
            };
            for event in &events[..count] {
                let number = usize::try_from(event.data())?;
                if self.read(number)? {
                    match start.elapsed() < time {
                        true => self.writers[number].ask(number)?,
                        false => waiting -= 1,
                    }
                }
            }
        }
        Ok(())
    }

    /// Takes what has arrived for one; tells whether it was answered.
    fn read(&mut self, number: usize) -> Result<bool> {
        let writer = &mut self.writers[number];
        let read = match writer.tcp.read(&mut self.buffer) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            read => read?,
        };
        ensure!(read > 0, "a writer was sent away");
        let (now, mut answered, mut refused) = (Instant::now(), false, None);
        let (times, told, asked) = (&mut self.times, &mut self.told, writer.asked);
        writer
            .frames
            .feed(&self.buffer[..read], |arrival| match arrival {
                Arrival::Message(head) if head.starts_with(SUCCESS.as_bytes()) => {
                    answered = true;
                    times.push(now - asked);
                }
                Arrival::Message(head) if head.starts_with(REFUSAL.as_bytes()) => {
                    refused = Some(String::from_utf8_lossy(head).into_owned());
                }
                Arrival::Message(_) => *told += 1,
                _ => {}
            });
        match refused {
            Some(refused) => Err(anyhow::anyhow!("a writer was refused: {refused}")),
            None => Ok(answered),
        }
    }
}

impl Writer {
    fn come(address: SocketAddr, number: usize, rooms: usize) -> Result<Writer> {
        let mut tcp = TcpStream::connect(address)?;
        tcp.set_nodelay(true)?;
        let room = number % rooms;
        let request = format!(
            "GET /parties/main/desk{room}?_pk=writer{number} HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: b25sb29rZXIgaXMgd2F0Yw==\r\n\r\n"
        );
        tcp.write_all(request.as_bytes())?;
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            tcp.read_exact(&mut byte).context("the upgrade")?;
            answer.push(byte[0]);
        }
        ensure!(
            answer.starts_with(b"HTTP/1.1 101"),
            "the upgrade was refused"
        );
        let mut frames = Frames::default();
        tcp.write_all(&masked(0x81, sync(None).as_bytes()))?;
        tcp.write_all(&masked(0x81, todo("create", number, 0).as_bytes()))?;
        let (mut made, mut buffer) = (false, [0; 4096]);
        while !made {
            let read = tcp.read(&mut buffer)?;
            ensure!(read > 0, "a writer was sent away");
            frames.feed(&buffer[..read], |arrival| {
                made |= matches!(arrival, Arrival::Message(head) if head.starts_with(SUCCESS.as_bytes()));
            });
        }
        tcp.set_nonblocking(true)?;
        Ok(Writer {
            tcp,
            frames,
            asked: Instant::now(),
            changes: 0,
        })
    }

    fn ask(&mut self, number: usize) -> Result<()> {
        self.changes += 1;
        let action = todo("update", number, self.changes);
        self.asked = Instant::now();
        Ok(self.tcp.write_all(&masked(0x81, action.as_bytes()))?)
    }
}
