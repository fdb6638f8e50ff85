//! `/sync`: tells clients that fetch for themselves what has changed.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures_util::FutureExt;
use indexmap::IndexMap;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::protocol::frame::coding::Control;
use tokio_util::sync::CancellationToken;

use super::inbound::{Inbound, Signal};
use crate::access::ViewerPass;
use crate::hub::notices::Away;
use crate::hub::rooms::Interest;
use crate::hub::{Hub, Invalidated, Place, millis};
use crate::state::name::TopicName;
use crate::state::revision::Revision;
use crate::wire::frame::{self, Encoding, Frame};
use crate::wire::{Invalidation, UNANSWERED, close, patience};

/// The events for one client: one per topic at first, then one per flush. Those that wait are
/// merged into the newest of each topic, so that a slow client costs one event per topic.
pub struct Feed {
    hub: Hub,
    events: Receiver<Invalidated>,
    pass: ViewerPass,
    /// The topics that it is told of; all of them if this is empty.
    only: Vec<TopicName>,
    /// What it has yet to be told.
    waiting: IndexMap<TopicName, Invalidated>,
    /// What it was told last: a revision never goes back.
    told: HashMap<TopicName, Revision>,
    _place: Place,
    _interest: Interest,
}

impl Feed {
    /// A feed of all topics, or of `only` these; none when all places are taken.
    pub async fn new(hub: &Hub, only: Vec<TopicName>, pass: &ViewerPass) -> Option<Feed> {
        let place = hub.place()?;
        let interest = hub.take_interest(&only).await;
        let events = hub.invalidations();
        let mut feed = Feed {
            hub: hub.clone(),
            events,
            pass: pass.clone(),
            only,
            waiting: IndexMap::new(),
            told: HashMap::new(),
            _place: place,
            _interest: interest,
        };
        feed.announce_all();
        Some(feed)
    }

    /// The next event; none when the daemon has ended.
    pub async fn next(&mut self) -> Option<Invalidation> {
        loop {
            // What is in the channel is merged first.
            let heard = match self.events.recv().now_or_never() {
                Some(heard) => heard,
                None => match self.waiting.shift_remove_index(0) {
                    Some((_, event)) => return Some(self.told(event)),
                    None => self.events.recv().await,
                },
            };
            match heard {
                Ok(event) => self.take(event),
                Err(RecvError::Lagged(_)) => self.announce_all(),
                Err(RecvError::Closed) => return None,
            }
        }
    }

    fn told(&mut self, event: Invalidated) -> Invalidation {
        self.told.insert(event.topic.clone(), event.revision);
        if self.told.len() > 2 * self.hub.limits().topics {
            // A topic that comes back after its end goes on from where it was.
            self.told.retain(|topic, _| self.hub.topic(topic).is_some());
        }
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
        Invalidation {
            topic: event.topic.to_string(),
            revision: event.revision.to_string(),
            source_id: event.source_id,
            timestamp_ms: millis(since_1970.unwrap_or_default()),
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

    /// Merges an event with what waits for its topic: the newest revision, and the writer's name
    /// only if all changes come from that writer.
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

    /// Serves a WebSocket until it ends, or closes it: with 1001 on `stop`, with 1008 when its pass
    /// is revoked. What the client sends is dropped, within the budget of a viewer.
    pub async fn serve(
        mut self,
        io: impl AsyncRead + AsyncWrite + Unpin,
        address: IpAddr,
        stop: CancellationToken,
    ) {
        let mut line = Line::new(io, &self.hub);
        let revoked = self.pass.revoked().clone();
        let (away, close) = tokio::select! {
            () = revoked.cancelled() => sent_away(Away::Revoked, close::POLICY),
            end = self.tell(&mut line) => end,
            () = stop.cancelled() => (None, Some(frame::close(close::GOING_AWAY))),
        };
        if let Some(away) = away {
            self.say_away(away, address);
        }
        // Fails for a client that takes nothing any more.
        let _ = tokio::time::timeout(LINGER, line.end(close)).await;
    }

    /// The next event for a client at an address; none when the daemon has ended, or the client's
    /// pass is revoked, which is logged.
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
                    None => Err(GONE),
                },
                read = line.io.read(&mut buffer) => match read {
                    Ok(length) if length > 0 => line.heard(&mut buffer[..length]).await,
                    _ => Err(GONE),
                },
                () = tokio::time::sleep_until(line.next_ping) => line.ping().await,
            };
            if let Err(end) = done {
                return end;
            }
        }
    }
}

/// How long a client may take to see the close frame.
const LINGER: Duration = Duration::from_secs(1);

/// One client's socket. While a frame is being written nothing is read, so that a client that
/// sends without reading has to wait, and costs nothing.
struct Line<S> {
    io: S,
    inbound: Inbound,
    start: Instant,
    ping: Duration,
    next_ping: Instant,
    unanswered: u8,
    /// A frame has been written in part: no other can follow it.
    midway: bool,
}

/// How a socket ends: why its client is sent away, if it is, and the last frame, if the client is
/// still listening.
type End = (Option<Away>, Option<Bytes>);

/// It has ended.
const GONE: End = (None, None);

fn sent_away(away: Away, code: u16) -> End {
    (Some(away), Some(frame::close(code)))
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
        self.io.write_all(bytes).await.map_err(|_| GONE)?;
        self.io.flush().await.map_err(|_| GONE)?;
        self.midway = false;
        Ok(())
    }

    async fn ping(&mut self) -> Result<(), End> {
        if self.unanswered >= UNANSWERED {
            return Err((Some(Away::Silent), None));
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
                Signal::Close(code) => return Err((None, Some(frame::close_reply(code)))),
                Signal::Fail(code) => return Err(sent_away(Away::of(code), code)),
                // Not collected from readers.
                Signal::Text(_) | Signal::Binary => {}
            }
        }
        Ok(())
    }

    /// Closes, and reads on for a moment so that the close frame is not lost to a reset.
    async fn end(mut self, close: Option<Bytes>) {
        let Some(close) = close.filter(|_| !self.midway) else {
            return;
        };
        let sent = self.send(&close).await;
        let shut = self.io.shutdown().await;
        let mut rest = [0; 1024];
        while sent.is_ok() && shut.is_ok() && self.io.read(&mut rest).await.is_ok_and(|n| n > 0) {}
    }
}
