//! The host socket: a host speaks the viewers' vocabulary upstream, and is told whether each
//! message was accepted.

use std::net::IpAddr;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::error::CapacityError;
use tokio_tungstenite::tungstenite::protocol::Message;
use tokio_util::sync::CancellationToken;

use super::socket::HostSocket;
use crate::access::HostPass;
use crate::hub::notices::{Away, Reason, cut};
use crate::hub::{Hub, SourceGuard, WriteOptions};
use crate::state::json::Json;
use crate::state::name::TopicName;
use crate::wire::{self, Ack, HostMessage, MessageError, Problem, close};

/// What an envelope may add to a session, in bytes.
pub const ENVELOPE: usize = 64 * 1024;

/// A connected host that writes one topic.
pub struct Host {
    /// Where it writes.
    pub hub: Hub,
    /// What it writes.
    pub topic: TopicName,
    /// Counts it among the topic's sources while it is connected.
    pub source: SourceGuard,
    /// Where it connects from.
    pub address: IpAddr,
    /// Lets it write. When it is revoked the connection ends with 1008.
    pub pass: HostPass,
    /// When this is cancelled the connection ends with 1001.
    pub stop: CancellationToken,
}

/// Why a connection is over.
enum End {
    /// The host is gone.
    Gone,
    /// It is to be closed, with this code and reason.
    Close(u16, &'static str),
}

impl Host {
    /// Serves the socket to its end. Messages are applied in their order and each is answered
    /// before the next is applied, so that a flood waits in the host's own buffers.
    pub async fn run(self, io: impl AsyncRead + AsyncWrite + Unpin) {
        let limit = self.hub.limits().session + ENVELOPE;
        let mut socket = HostSocket::new(io, limit, self.hub.flow().ping).await;
        loop {
            match self.serve(&mut socket).await {
                Ok(()) => {}
                Err(End::Gone) if socket.has_left() => return self.source.leave(),
                Err(End::Gone) => return,
                Err(End::Close(code, reason)) => return socket.close(code, reason).await,
            }
        }
    }

    /// One message and its answer.
    async fn serve<S>(&self, socket: &mut HostSocket<S>) -> Result<(), End>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let incoming = tokio::select! {
            biased;
            end = self.ended() => return Err(end),
            incoming = socket.next() => incoming.ok_or(End::Gone)?,
        };
        let message = match incoming {
            Ok(message) => message,
            Err(error) => return Err(self.fail(socket, &error).await),
        };
        // Whatever takes long is called off when the host goes.
        let answer = socket.while_there(self.answer(message)).await;
        match answer.ok_or(End::Gone)? {
            Some(answer) => self.send(socket, answer).await,
            None => Ok(()),
        }
    }

    /// A host that does not read its answers must not delay the daemon's end.
    async fn send<S>(&self, socket: &mut HostSocket<S>, answer: String) -> Result<(), End>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        tokio::select! {
            sent = socket.send(Message::text(answer)) => sent.map_err(|_| End::Gone),
            end = self.ended() => Err(end),
        }
    }

    /// Waits until the connection is to end although the host is still there.
    async fn ended(&self) -> End {
        tokio::select! {
            () = self.pass.revoked().cancelled() => {
                self.tell_revoked();
                End::Close(close::POLICY, "revoked")
            }
            () = self.stop.cancelled() => End::Close(close::GOING_AWAY, "stopping"),
        }
    }

    fn tell_revoked(&self) {
        let (address, away) = (self.address, Away::Revoked);
        if self.hub.notices().sent_away(away, address) {
            let reason = away.label();
            tracing::info!(%address, topic = %self.topic, %reason, "host sent away: {}", away.text());
        }
    }

    async fn answer(&self, message: Message) -> Option<String> {
        match message {
            Message::Text(text) => Some(self.answer_text(text.as_bytes()).await),
            Message::Binary(_) => {
                let problem = Problem::new(415, "expected a text message with one JSON object");
                Some(self.refuse(None, &problem))
            }
            _ => None,
        }
    }

    async fn answer_text(&self, text: &[u8]) -> String {
        let (id, message) = HostMessage::parse(text, self.topic.as_str());
        let done = match message {
            Ok(message) => self.apply(message).await,
            Err(error) => {
                let problem = problem_of(&error);
                self.note(&problem);
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

    async fn apply(&self, message: HostMessage) -> Result<Ack, Problem> {
        match message.apply(&self.hub, &self.topic, self.author()).await {
            Ok(done) => Ok(done.ack().await),
            Err(error) => Err(error.problem()),
        }
    }

    fn author(&self) -> WriteOptions {
        WriteOptions {
            address: Some(self.address),
            ..WriteOptions::default()
        }
    }

    /// Notes that a message was not understood, so that it never became a change.
    fn note(&self, problem: &Problem) {
        let told = problem.told();
        self.hub.refused(&self.topic, &self.author(), told);
    }

    /// The answer to a message that was refused.
    fn refuse(&self, id: Option<&Json>, problem: &Problem) -> String {
        let (reason, address) = (Reason::of(problem.status), self.address);
        // What cannot be kept is logged by the store.
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

    /// Why a socket ends from which no message can be read any more.
    async fn fail<S>(&self, socket: &mut HostSocket<S>, error: &Error) -> End
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        match error {
            Error::Capacity(CapacityError::MessageTooLong { .. }) => {
                let refusal = self.refuse_size().await;
                match self.send(socket, refusal).await {
                    Ok(()) => End::Close(close::TOO_LARGE, "over --max-session"),
                    Err(end) => end,
                }
            }
            Error::Utf8(_) => End::Close(close::INVALID, "not UTF-8"),
            Error::Protocol(_) => End::Close(close::PROTOCOL, "not a WebSocket frame"),
            _ => End::Gone,
        }
    }

    async fn refuse_size(&self) -> String {
        self.hub.announce(&self.topic).await;
        let limit = self.hub.limits().session;
        let problem = Problem::new(
            413,
            format!("the message is over the limit of {limit} bytes (--max-session)"),
        );
        self.note(&problem);
        self.refuse(None, &problem)
    }
}

/// The problem that HTTP would answer a message with that was not understood.
pub fn problem_of(error: &MessageError) -> Problem {
    match error {
        MessageError::Json(error) => Problem::bad_request(error.to_string()).because("not JSON"),
        MessageError::Shape(detail) => {
            Problem::unprocessable(detail.clone()).because("JSON of the wrong shape")
        }
    }
}
