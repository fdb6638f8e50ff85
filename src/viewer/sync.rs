//! `/sync`: tells clients that fetch for themselves what has changed.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use indexmap::IndexMap;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::broadcast::{Receiver, error::RecvError, error::TryRecvError};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::protocol::frame::coding::Control;
use tokio_util::sync::CancellationToken;

use super::inbound::{Inbound, Signal};
use crate::access::ViewerPass;
use crate::hub::notices::Away;
use crate::hub::{Hub, Invalidated, Place, millis};
use crate::state::name::TopicName;
use crate::state::revision::Revision;
use crate::wire::frame::{self, Encoding, Frame};
use crate::wire::{Invalidation, UNANSWERED, close, patience};

/// The events of one reader: one per topic at first, then one per flush. Events that wait
/// are merged to the newest of each topic, so that a slow reader costs a line per topic.
pub struct Feed {
    hub: Hub,
    events: Receiver<Invalidated>,
    pass: ViewerPass,
    /// Empty: all topics.
    only: Vec<TopicName>,
    /// What is to be told, one event a topic.
    waiting: IndexMap<TopicName, Invalidated>,
    /// What was told last: a revision never goes back.
    told: HashMap<TopicName, Revision>,
    _place: Place,
}

impl Feed {
    /// A feed of all topics, or of `only` these; none when everybody who may watch does.
    pub fn new(hub: &Hub, only: Vec<TopicName>, pass: &ViewerPass) -> Option<Feed> {
        let place = hub.place()?;
        let events = hub.invalidations();
        let mut feed = Feed {
            hub: hub.clone(),
            events,
            pass: pass.clone(),
            only,
            waiting: IndexMap::new(),
            told: HashMap::new(),
            _place: place,
        };
        feed.announce_all();
        Some(feed)
    }

    /// The next event; none when the daemon has ended.
    pub async fn next(&mut self) -> Option<Invalidation> {
        loop {
            self.collect();
            if let Some((_, event)) = self.waiting.shift_remove_index(0) {
                self.told.insert(event.topic.clone(), event.revision);
                self.forget_ended();
                return Some(told_now(event));
            }
            match self.events.recv().await {
                Ok(event) => self.take(event),
                Err(RecvError::Lagged(_)) => self.announce_all(),
                Err(RecvError::Closed) => return None,
            }
        }
    }

    /// Takes all that waits in the channel.
    fn collect(&mut self) {
        loop {
            match self.events.try_recv() {
                Ok(event) => self.take(event),
                Err(TryRecvError::Lagged(_)) => self.announce_all(),
                Err(TryRecvError::Empty | TryRecvError::Closed) => return,
            }
        }
    }

    /// A topic that comes back after its end goes on from where it was.
    fn forget_ended(&mut self) {
        if self.told.len() > 2 * self.hub.limits().topics {
            self.told.retain(|topic, _| self.hub.topic(topic).is_some());
        }
    }

    fn announce_all(&mut self) {
        for entry in self.hub.topics() {
            if let Some((revision, _)) = entry.session() {
                self.take(Invalidated {
                    topic: entry.name().clone(),
                    revision,
                    source_id: None,
                });
            }
        }
    }

    /// Merges an event with what waits of its topic: the newest revision, and a name only if
    /// all of it is of the one with that name.
    fn take(&mut self, event: Invalidated) {
        let picked = self.only.is_empty() || self.only.contains(&event.topic);
        let newer = self.told.get(&event.topic) < Some(&event.revision);
        if !picked || !newer {
            return;
        }
        match self.waiting.get_mut(&event.topic) {
            Some(waiting) => {
                waiting.revision = waiting.revision.max(event.revision);
                if waiting.source_id != event.source_id {
                    waiting.source_id = None;
                }
            }
            None => _ = self.waiting.insert(event.topic.clone(), event),
        }
    }

    /// Serves a WebSocket to its end, or closes it: with 1001 on `stop`, with 1008 when its reader
    /// may no more. What the reader sends
    /// is dropped, within the budget of a viewer.
    pub async fn serve(
        mut self,
        io: impl AsyncRead + AsyncWrite + Unpin,
        address: IpAddr,
        stop: CancellationToken,
    ) {
        let mut line = Line::new(io, &self.hub);
        let revoked = self.pass.revoked().clone();
        let end = tokio::select! {
            () = revoked.cancelled() => End::Revoked,
            end = self.tell(&mut line) => end,
            () = stop.cancelled() => End::Close(Some(close::GOING_AWAY)),
        };
        if let Some(away) = end.away() {
            self.say_away(away, address);
        }
        // Fails for a reader that takes nothing any more.
        let _ = tokio::time::timeout(LINGER, line.end(end)).await;
    }

    /// The next event of a reader that may have it; none when the daemon has ended, or it may no
    /// more, which is told.
    pub async fn next_for(&mut self, address: IpAddr) -> Option<Invalidation> {
        let revoked = self.pass.revoked().clone();
        let next = revoked.run_until_cancelled(self.next()).await;
        if next.is_none() {
            self.say_away(Away::Revoked, address);
        }
        next.flatten()
    }

    fn say_away(&self, away: Away, address: IpAddr) {
        if self.hub.notices().sent_away(away, address) {
            let reason = away.label();
            tracing::info!(%address, %reason, "reader of /sync sent away: {}", away.text());
        }
    }

    async fn tell<S: AsyncRead + AsyncWrite + Unpin>(&mut self, line: &mut Line<S>) -> End {
        let mut buffer = [0; 1024];
        loop {
            let done = tokio::select! {
                event = self.next() => match event {
                    Some(event) => line.send(Frame::json(event.text()).bytes(Encoding::default())).await,
                    None => Err(End::Gone),
                },
                read = line.io.read(&mut buffer) => match read {
                    Ok(length) if length > 0 => line.heard(&mut buffer[..length]).await,
                    _ => Err(End::Gone),
                },
                () = tokio::time::sleep_until(line.next_ping) => line.ping().await,
            };
            if let Err(end) = done {
                return end;
            }
        }
    }
}

fn told_now(event: Invalidated) -> Invalidation {
    let since_1970 = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Invalidation {
        topic: event.topic.to_string(),
        revision: event.revision.to_string(),
        source_id: event.source_id,
        timestamp_ms: millis(since_1970),
    }
}

/// How long a reader may take to see the close frame.
const LINGER: Duration = Duration::from_secs(1);

/// The socket of one reader. While a frame is written nothing is read, so that whoever
/// sends without reading waits, and costs nothing.
struct Line<S> {
    io: S,
    inbound: Inbound,
    start: Instant,
    ping: Duration,
    next_ping: Instant,
    unanswered: u8,
    /// A frame has begun and not ended: nothing else can follow it.
    midway: bool,
}

/// How a socket ends.
enum End {
    /// It has ended.
    Gone,
    /// It does not answer.
    Silent,
    /// It may no more.
    Revoked,
    /// With a close frame, and this code in it.
    Close(Option<u16>),
    /// The same, for a broken rule.
    Fail(u16),
}

impl End {
    /// Why the reader was sent away, if it was.
    fn away(&self) -> Option<Away> {
        match self {
            End::Silent => Some(Away::Silent),
            End::Revoked => Some(Away::Revoked),
            End::Fail(code) => Some(Away::of(*code)),
            End::Gone | End::Close(_) => None,
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Line<S> {
    fn new(io: S, hub: &Hub) -> Line<S> {
        let (start, ping) = (Instant::now(), hub.flow().ping);
        Line {
            io,
            inbound: Inbound::new(hub.limits(), false),
            start,
            ping,
            next_ping: start + ping,
            unanswered: 0,
            midway: false,
        }
    }

    async fn send(&mut self, bytes: &[u8]) -> Result<(), End> {
        self.midway = true;
        self.io.write_all(bytes).await.map_err(|_| End::Gone)?;
        self.io.flush().await.map_err(|_| End::Gone)?;
        self.midway = false;
        Ok(())
    }

    async fn ping(&mut self) -> Result<(), End> {
        if self.unanswered >= UNANSWERED {
            return Err(End::Silent);
        }
        self.unanswered += 1;
        self.next_ping = Instant::now() + patience(self.ping, self.unanswered);
        self.send(&frame::control(Control::Ping, &[])).await
    }

    async fn heard(&mut self, bytes: &mut [u8]) -> Result<(), End> {
        let pings = std::mem::take(&mut self.unanswered);
        for signal in self.inbound.feed(bytes, self.start.elapsed(), pings) {
            match signal {
                Signal::Ping(payload) => {
                    self.send(&frame::control(Control::Pong, &payload)).await?;
                }
                Signal::Close(code) => return Err(End::Close(code)),
                Signal::Fail(code) => return Err(End::Fail(code)),
            }
        }
        Ok(())
    }

    /// Closes, and reads on for a moment so that the close frame is not lost to a reset.
    async fn end(mut self, end: End) {
        let code = match end {
            End::Gone | End::Silent => return,
            End::Revoked => Some(close::POLICY),
            End::Close(code) => code,
            End::Fail(code) => Some(code),
        };
        if self.midway {
            return;
        }
        let payload = code.map(u16::to_be_bytes);
        let payload = payload.as_ref().map_or(&[][..], |code| &code[..]);
        let sent = self.send(&frame::control(Control::Close, payload)).await;
        let shut = self.io.shutdown().await;
        let mut rest = [0; 1024];
        while sent.is_ok() && shut.is_ok() && self.io.read(&mut rest).await.is_ok_and(|n| n > 0) {}
    }
}
