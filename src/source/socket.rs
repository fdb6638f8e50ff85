//! A host's WebSocket: messages in their order, pings, and a close frame that arrives.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::time::{Instant, sleep_until};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::frame::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{Message, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Bytes, Error};
use tokio_util::io::InspectReader;

use crate::wire::{UNANSWERED, patience};

/// How long a host may take to see the close frame, and how many bytes it may still send.
const LINGER: Duration = Duration::from_secs(2);
const MOST_DISCARDED: usize = 64 * 1024 * 1024;

/// Room for an answer that repeats a long id, in bytes.
const ANSWER: usize = 64 * 1024;

/// What a host sent, or why nothing can be read any more.
pub type Incoming = Result<Message, Error>;

/// The socket, and what is known of the host behind it.
pub struct HostSocket<S> {
    stream: WebSocketStream<InspectReader<S, Listener>>,
    /// What came while an answer was being made.
    ahead: Option<Incoming>,
    /// Whether any byte came: a message may take longer to arrive than the pong behind it.
    heard: Arc<AtomicBool>,
    ping: Duration,
    next_ping: Instant,
    unanswered: u8,
    /// Whether the host said goodbye.
    left: bool,
}

type Listener = Box<dyn FnMut(&[u8]) + Send>;

impl<S: AsyncRead + AsyncWrite + Unpin> HostSocket<S> {
    /// A socket whose handshake is done. A message may have `limit` bytes.
    pub async fn new(io: S, limit: usize, ping: Duration) -> HostSocket<S> {
        let heard = Arc::new(AtomicBool::new(false));
        let hears = heard.clone();
        let listener: Listener = Box::new(move |_| hears.store(true, Ordering::Relaxed));
        let config = WebSocketConfig::default()
            .read_buffer_size(16 * 1024)
            // Pongs that are not read must not pile up.
            .write_buffer_size(0)
            .max_write_buffer_size(limit + ANSWER)
            .max_message_size(Some(limit))
            .max_frame_size(Some(limit));
        let io = InspectReader::new(io, listener);
        let ping = ping.max(Duration::from_millis(1));
        HostSocket {
            stream: WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await,
            ahead: None,
            heard,
            ping,
            next_ping: Instant::now() + ping,
            unanswered: 0,
            left: false,
        }
    }

    /// The next message; none when the host is gone, or does not answer pings.
    pub async fn next(&mut self) -> Option<Incoming> {
        let next = match self.ahead.take() {
            Some(ahead) => Some(ahead),
            None => self.read().await,
        };
        if let Some(Ok(Message::Close(frame))) = &next {
            // Without a code, or with 1000, its work is done (RFC 6455 §7.4.1).
            let code = frame.as_ref().map(|frame| frame.code);
            self.left = code.is_none_or(|code| code == CloseCode::Normal);
        }
        next
    }

    /// Whether the host closed the connection itself, because its work was done.
    pub fn has_left(&self) -> bool {
        self.left
    }

    async fn read(&mut self) -> Option<Incoming> {
        loop {
            tokio::select! {
                biased;
                incoming = self.stream.next() => {
                    self.unanswered = 0;
                    return incoming;
                }
                () = sleep_until(self.next_ping) => self.ping().await?,
            }
        }
    }

    async fn ping(&mut self) -> Option<()> {
        if self.heard.swap(false, Ordering::Relaxed) {
            self.unanswered = 0;
        }
        if self.unanswered >= UNANSWERED {
            return None;
        }
        self.unanswered += 1;
        self.next_ping = Instant::now() + patience(self.ping, self.unanswered);
        self.send(Message::Ping(Bytes::new())).await.ok()
    }

    /// Does some work while the host is there; none when it goes before that is done. One
    /// message that comes meanwhile is kept; then no more is read.
    pub async fn while_there<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = std::pin::pin!(work);
        while self.ahead.is_none() {
            tokio::select! {
                biased;
                done = &mut work => return Some(done),
                incoming = self.stream.next() => match incoming? {
                    Ok(Message::Ping(_) | Message::Pong(_)) => {}
                    Err(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) | Error::Io(_)) => return None,
                    incoming => self.ahead = Some(incoming),
                }
            }
        }
        Some(work.await)
    }

    /// Sends a message; waits for as long as the host does not read.
    pub async fn send(&mut self, message: Message) -> Result<(), Error> {
        self.stream.send(message).await
    }

    /// Closes, and reads on for a moment so that the close frame is not lost to a reset.
    pub async fn close(mut self, code: u16, reason: &'static str) {
        let frame = CloseFrame {
            code: CloseCode::from(code),
            reason: reason.into(),
        };
        let closed = async {
            let _ = self.stream.close(Some(frame)).await;
            while self.stream.next().await.is_some_and(|next| next.is_ok()) {}
            discard(self.stream.into_inner()).await;
        };
        let _ = tokio::time::timeout(LINGER, closed).await;
    }
}

/// Reads past what a host still sends of a message that is too large, up to a limit.
async fn discard(mut io: impl AsyncRead + Unpin) {
    let mut left = MOST_DISCARDED;
    let mut buffer = vec![0; 64 * 1024];
    while left > 0
        && let Ok(read @ 1..) = io.read(&mut buffer).await
    {
        left = left.saturating_sub(read);
    }
}
