//! A host that writes by HTTP, and a viewer that times what it is shown.

use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use tokio_tungstenite::tungstenite;

use crate::http::{Client, Revision};

/// The longest wait for a viewer's frame.
const PATIENCE: Duration = Duration::from_secs(300);

/// Who writes, with a viewer beside it.
pub struct Host {
    requests: Client,
    frames: Receiver<Arrival>,
}

/// When a viewer had a frame, and the frame's first bytes.
struct Arrival {
    at: Instant,
    head: String,
}

impl Host {
    pub fn new(address: SocketAddr) -> Result<Host> {
        Host::watched_at(address, address)
    }

    /// One whose viewer is at another daemon.
    pub fn watched_at(address: SocketAddr, viewer: SocketAddr) -> Result<Host> {
        let (sender, frames) = channel();
        let tcp = TcpStream::connect(viewer)?;
        let (socket, _) = tungstenite::client(format!("ws://{viewer}/"), tcp)
            .map_err(|error| anyhow!("a viewer cannot connect: {error}"))?;
        // Ends with the daemon.
        thread::spawn(move || watch(socket, &sender));
        Ok(Host {
            requests: Client::connect(address)?,
            frames,
        })
    }

    /// Writes; tells how long it was until the answer was read, and until the viewer had it.
    pub fn change(&mut self, method: &str, path: &str, body: &str) -> Result<(Duration, Duration)> {
        let start = Instant::now();
        let revision: Revision = self.requests.ask(method, path, body)?;
        let answer = start.elapsed();
        let wanted = format!("\"revision\":\"{revision}\"");
        loop {
            let arrival = self.next()?;
            if arrival.head.contains(&wanted) {
                return Ok((answer, arrival.at.saturating_duration_since(start)));
            }
        }
    }

    /// As [`Host::change`], where the answer names no revision: the next frame is the one.
    pub fn set(&mut self, path: &str, body: &str) -> Result<(Duration, Duration)> {
        let start = Instant::now();
        self.requests.ask("PUT", path, body)?;
        let answer = start.elapsed();
        Ok((answer, self.next()?.at.saturating_duration_since(start)))
    }

    fn next(&self) -> Result<Arrival> {
        let arrival = self.frames.recv_timeout(PATIENCE);
        arrival.context("the viewer was sent nothing")
    }
}

fn watch(mut socket: tungstenite::WebSocket<TcpStream>, sender: &Sender<Arrival>) {
    while let Ok(message) = socket.read() {
        let at = Instant::now();
        let Ok(text) = message.to_text() else { return };
        let head = text.chars().take(128).collect();
        if sender.send(Arrival { at, head }).is_err() {
            return;
        }
    }
}
