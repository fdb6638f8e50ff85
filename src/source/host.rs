//! The host socket: a host speaks the viewers' vocabulary upstream and learns of each
//! message whether it stands.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::time::{Instant, sleep_until};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::{CapacityError, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::frame::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{Message, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Bytes, Error};
use tokio_util::io::InspectReader;
use tokio_util::sync::CancellationToken;

use crate::access::HostPass;
use crate::hub::notices::{Away, Reason, cut};
use crate::hub::{Hub, SourceGuard, WriteError, WriteOptions};
use crate::state::json::Json;
use crate::state::name::TopicName;
use crate::wire::{self, Ack, HostMessage, MessageError, Problem, UNANSWERED, close, patience};

/// How long a host may take to see the close frame, and how much it may still send.
const LINGER: Duration = Duration::from_secs(2);
const MOST_DISCARDED: usize = 64 * 1024 * 1024;

/// What an envelope may add to a session, in bytes.
const ENVELOPE: usize = 64 * 1024;

/// What a look at the socket brings.
type Read = Result<Message, Error>;

/// A connected host that writes one topic.
pub struct Host {
    /// Where it writes.
    pub hub: Hub,
    /// What it writes.
    pub topic: TopicName,
    /// That it is there.
    pub source: SourceGuard,
    /// Where it is.
    pub address: IpAddr,
    /// That it may; ends the connection with 1008 when it is taken back.
    pub pass: HostPass,
    /// Ends the connection with 1001.
    pub stop: CancellationToken,
}

impl Host {
    /// Serves the socket to its end. Messages are applied in their order and each is answered
    /// before the next is applied, so that a flood waits in the host's own buffers.
    pub async fn run(self, io: impl AsyncRead + AsyncWrite + Unpin) {
        // A message may take longer to come than a pong that is behind it.
        let heard = Arc::new(AtomicBool::new(false));
        let hears = heard.clone();
        let io = InspectReader::new(io, move |_: &[u8]| hears.store(true, Ordering::Relaxed));
        let mut socket =
            WebSocketStream::from_raw_socket(io, Role::Server, Some(self.config())).await;
        let ping = self.hub.flow().ping.max(Duration::from_millis(1));
        let (mut next_ping, mut unanswered) = (Instant::now() + ping, 0);
        let mut ahead = None;
        loop {
            let answer = tokio::select! {
                biased;
                (code, reason) = self.ended() => return say_goodbye(socket, code, reason).await,
                message = next(&mut socket, &mut ahead) => {
                    unanswered = 0;
                    match message {
                        Some(Ok(message)) => match self.attend(message, &mut socket, &mut ahead).await {
                            Some(answer) => answer,
                            None => return,
                        },
                        Some(Err(error)) => return self.fail(socket, error).await,
                        None => return,
                    }
                }
                () = sleep_until(next_ping) => {
                    if heard.swap(false, Ordering::Relaxed) {
                        unanswered = 0;
                    }
                    if unanswered >= UNANSWERED {
                        return;
                    }
                    unanswered += 1;
                    next_ping = Instant::now() + patience(ping, unanswered);
                    Some(Message::Ping(Bytes::new()))
                }
            };
            let Some(answer) = answer else { continue };
            // A host that does not read its answers must not delay the daemon's end.
            tokio::select! {
                sent = socket.send(answer) => if sent.is_err() { return },
                (code, reason) = self.ended() => return say_goodbye(socket, code, reason).await,
            }
        }
    }

    /// That it is over though the host is still there, and why.
    async fn ended(&self) -> (u16, &'static str) {
        tokio::select! {
            () = self.pass.revoked().cancelled() => {
                self.say_revoked();
                (close::POLICY, "revoked")
            }
            () = self.stop.cancelled() => (close::GOING_AWAY, "stopping"),
        }
    }

    fn say_revoked(&self) {
        let (address, away) = (self.address, Away::Revoked);
        if self.hub.notices().sent_away(away, address) {
            let reason = away.label();
            tracing::info!(%address, topic = %self.topic, %reason, "host sent away: {}", away.text());
        }
    }

    fn config(&self) -> WebSocketConfig {
        let limit = self.hub.limits().session + ENVELOPE;
        WebSocketConfig::default()
            .read_buffer_size(16 * 1024)
            // Room for an answer that repeats a long id. Pongs that are not read must not pile up.
            .write_buffer_size(0)
            .max_write_buffer_size(limit + ENVELOPE)
            .max_message_size(Some(limit))
            .max_frame_size(Some(limit))
    }

    /// The answer to a message, if any; none at all when the host is gone before, which calls
    /// off what takes long. One message that comes meanwhile is kept; then no more is read.
    async fn attend<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        message: Message,
        socket: &mut WebSocketStream<S>,
        ahead: &mut Option<Read>,
    ) -> Option<Option<Message>> {
        let mut answer = std::pin::pin!(self.answer(message));
        while ahead.is_none() {
            tokio::select! {
                biased;
                answer = &mut answer => return Some(answer),
                read = socket.next() => match read {
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                    Some(Err(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) | Error::Io(_))) | None => return None,
                    Some(read) => *ahead = Some(read),
                }
            }
        }
        Some(answer.await)
    }

    async fn answer(&self, message: Message) -> Option<Message> {
        match message {
            Message::Text(text) => Some(Message::text(self.obey(text.as_bytes()).await)),
            Message::Binary(_) => {
                let problem = Problem::new(415, "expected a text message with one JSON object");
                Some(Message::text(self.refuse(None, &problem)))
            }
            _ => None,
        }
    }

    async fn obey(&self, text: &[u8]) -> String {
        let (id, message) = HostMessage::parse(text, self.topic.as_str());
        let done = match message {
            Ok(message) => self.apply(message).await.map_err(|error| error.problem()),
            Err(error) => {
                let problem = problem_of(&error);
                if problem.is_refusal() {
                    self.hub.announce(&self.topic).await;
                }
                Err(problem)
            }
        };
        match done {
            Ok(ack) => ack.text(id.as_ref()),
            Err(problem) => self.refuse(id.as_ref(), &problem),
        }
    }

    async fn apply(&self, message: HostMessage) -> Result<Ack, WriteError> {
        match message {
            HostMessage::Write(change, writer) => {
                let options = WriteOptions {
                    writer: Arc::new(writer),
                    address: Some(self.address),
                    ..WriteOptions::default()
                };
                let written = self.hub.write(&self.topic, change, options).await;
                written.map(|receipt| Ack::Written(receipt.revision, receipt.kept))
            }
            HostMessage::Broadcast(text) => {
                let entry = self.hub.topic(&self.topic);
                let entry = entry.ok_or_else(|| WriteError::NoTopic(self.topic.to_string()))?;
                let delivered = self.hub.broadcast(&entry, text).await.delivered().await;
                Ok(Ack::Broadcast(delivered.passed_over))
            }
        }
    }

    /// The answer to a message that was refused.
    fn refuse(&self, id: Option<&Json>, problem: &Problem) -> String {
        let (reason, address) = (Reason::of(problem.status), self.address);
        // The store tells itself of what it cannot keep.
        if problem.status != 507 && self.hub.notices().refused(reason, address) {
            tracing::info!(
                %address,
                topic = %self.topic,
                status = problem.status,
                reason = %reason.label(),
                fields = problem.fields_at_fault().as_deref().map(cut).as_deref(),
                detail = &*cut(problem.told()),
                "message refused"
            );
        }
        wire::error(id, problem)
    }

    /// Ends a socket on which no message comes any more.
    async fn fail<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        socket: WebSocketStream<S>,
        error: Error,
    ) {
        match error {
            Error::Capacity(CapacityError::MessageTooLong { .. }) => self.refuse_size(socket).await,
            Error::Utf8(_) => say_goodbye(socket, close::INVALID, "not UTF-8").await,
            Error::Protocol(_) => {
                say_goodbye(socket, close::PROTOCOL, "not a WebSocket frame").await;
            }
            _ => {}
        }
    }

    async fn refuse_size<S: AsyncRead + AsyncWrite + Unpin>(&self, mut socket: WebSocketStream<S>) {
        let limit = self.hub.limits().session;
        self.hub.announce(&self.topic).await;
        let problem = Problem::new(
            413,
            format!("the message is over the limit of {limit} bytes (--max-session)"),
        );
        let _ = socket
            .send(Message::text(self.refuse(None, &problem)))
            .await;
        say_goodbye(socket, close::TOO_LARGE, "over --max-session").await;
    }
}

/// What came ahead, or else what comes.
async fn next<S: AsyncRead + AsyncWrite + Unpin>(
    socket: &mut WebSocketStream<S>,
    ahead: &mut Option<Read>,
) -> Option<Read> {
    match ahead.take() {
        Some(read) => Some(read),
        None => socket.next().await,
    }
}

/// A message that was not understood, as HTTP would have it.
pub fn problem_of(error: &MessageError) -> Problem {
    match error {
        MessageError::Json(error) => Problem::bad_request(error.to_string()).because("not JSON"),
        MessageError::Shape(detail) => Problem::unprocessable(detail.clone())
            .because("JSON of another shape than it has to have"),
    }
}

/// Closes, and reads on for a moment so that the close frame is not lost to a reset.
async fn say_goodbye<S: AsyncRead + AsyncWrite + Unpin>(
    mut socket: WebSocketStream<S>,
    code: u16,
    reason: &'static str,
) {
    let frame = CloseFrame {
        code: CloseCode::from(code),
        reason: reason.into(),
    };
    let ended = async {
        let _ = socket.close(Some(frame)).await;
        while socket.next().await.is_some_and(|message| message.is_ok()) {}
        discard(socket.into_inner()).await;
    };
    let _ = tokio::time::timeout(LINGER, ended).await;
}

/// What a host still sends of a message that is too large, up to a limit.
async fn discard(mut io: impl AsyncRead + Unpin) {
    let mut left = MOST_DISCARDED;
    let mut buffer = vec![0; 64 * 1024];
    while left > 0
        && let Ok(read @ 1..) = io.read(&mut buffer).await
    {
        left = left.saturating_sub(read);
    }
}
