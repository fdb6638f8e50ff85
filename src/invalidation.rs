//! `/sync`: tells clients that fetch for themselves what has changed.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::{SinkExt, StreamExt};
use indexmap::IndexMap;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::broadcast::{Receiver, error::RecvError, error::TryRecvError};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{Message, Role, WebSocketConfig};
use tokio_util::sync::CancellationToken;

use crate::access::ViewerPass;
use crate::hub::{Cell, Event, Hub, millis};
use crate::name::TopicName;
use crate::protocol::Invalidation;
use crate::revision::Revision;

/// The events of one reader: one per topic at first, then one per flush. Events that wait
/// are merged to the newest of each topic, so that a slow reader costs a line per topic.
pub struct Feed {
    hub: Hub,
    events: Receiver<Event>,
    /// Empty: all topics.
    only: Vec<TopicName>,
    waiting: IndexMap<TopicName, Invalidation>,
    ready: VecDeque<Invalidation>,
}

impl Feed {
    /// A feed of all topics, or of `only` these.
    pub fn new(hub: &Hub, only: Vec<TopicName>, _pass: &ViewerPass) -> Feed {
        let events = hub.subscribe();
        let mut feed = Feed {
            hub: hub.clone(),
            events,
            only,
            waiting: IndexMap::new(),
            ready: VecDeque::new(),
        };
        feed.announce_all();
        feed
    }

    /// The next event; none when the daemon has ended.
    pub async fn next(&mut self) -> Option<Invalidation> {
        loop {
            self.collect();
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            match self.events.recv().await {
                Ok(event) => self.take(&event),
                Err(RecvError::Lagged(_)) => self.announce_all(),
                Err(RecvError::Closed) => return None,
            }
        }
    }

    /// Takes all that waits in the channel, and makes it ready to be sent.
    fn collect(&mut self) {
        loop {
            match self.events.try_recv() {
                Ok(event) => self.take(&event),
                Err(TryRecvError::Lagged(_)) => self.announce_all(),
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
            }
        }
        let newer: Vec<_> = self.waiting.drain(..).map(|(_, event)| event).collect();
        self.ready
            .retain(|event| newer.iter().all(|newer| newer.topic != event.topic));
        self.ready.extend(newer);
    }

    fn take(&mut self, event: &Event) {
        if let Event::Flush(flushed) = event {
            self.announce(&flushed.cell, flushed.to, flushed.source_id.clone());
        }
    }

    fn announce_all(&mut self) {
        for cell in self.hub.topics() {
            if let Some((revision, _)) = cell.session() {
                self.announce(&cell, revision, None);
            }
        }
    }

    fn announce(&mut self, cell: &Cell, revision: Revision, source_id: Option<String>) {
        if !self.only.is_empty() && !self.only.contains(cell.name()) {
            return;
        }
        let since_1970 = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let event = Invalidation {
            topic: cell.name().to_string(),
            revision: revision.to_string(),
            source_id,
            timestamp_ms: millis(since_1970),
        };
        self.waiting.insert(cell.name().clone(), event);
    }

    /// Serves a WebSocket to its end, or closes it with 1001 on `stop`; what the reader sends is dropped.
    pub async fn serve(mut self, io: impl AsyncRead + AsyncWrite + Unpin, stop: CancellationToken) {
        let limit = Some(self.hub.limits().inbound_bytes);
        let config = WebSocketConfig::default()
            .read_buffer_size(4 * 1024)
            .max_message_size(limit)
            .max_frame_size(limit);
        let mut socket = WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await;
        let ping = self.hub.flow().ping;
        let mut unanswered = 0;
        loop {
            tokio::select! {
                event = self.next() => {
                    let Some(event) = event else { return };
                    // A reader that is slow must not delay the daemon's end.
                    match stop.run_until_cancelled(socket.send(Message::text(event.text()))).await {
                        Some(Ok(())) => {}
                        Some(Err(_)) => return,
                        None => return say_goodbye(socket).await,
                    }
                }
                message = socket.next() => match message {
                    Some(Ok(_)) => unanswered = 0,
                    _ => return,
                },
                () = stop.cancelled() => return say_goodbye(socket).await,
                () = tokio::time::sleep(ping) => {
                    unanswered += 1;
                    if unanswered > 2 || socket.send(Message::Ping(Default::default())).await.is_err() {
                        return;
                    }
                }
            }
        }
    }
}

async fn say_goodbye<S: AsyncRead + AsyncWrite + Unpin>(mut socket: WebSocketStream<S>) {
    let frame = CloseFrame {
        code: CloseCode::Away,
        reason: "stopping".into(),
    };
    let _ = tokio::time::timeout(Duration::from_secs(1), socket.close(Some(frame))).await;
}
