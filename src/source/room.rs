//! The socket of a room's host: it is asked what the room's people want, and says what becomes of
//! it.

use std::net::IpAddr;

use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::protocol::Message;
use tokio_util::sync::CancellationToken;

use super::host::{ENVELOPE, problem_of};
use super::socket::{HostSocket, Incoming};
use crate::access::HostPass;
use crate::hub::Hub;
use crate::hub::notices::{Away, Reason, cut};
use crate::hub::rooms::HostLine;
use crate::state::json::Json;
use crate::wire::room::FromHost;
use crate::wire::{self, Ack, Problem, close};

/// A connected host of a room.
pub struct RoomHost {
    /// What the limits are of.
    pub hub: Hub,
    /// What it is asked, and where it answers.
    pub line: HostLine,
    /// Where it connects from.
    pub address: IpAddr,
    /// Lets it write. When it is revoked the connection ends with 1008.
    pub pass: HostPass,
    /// When this is cancelled the connection ends with 1001.
    pub stop: CancellationToken,
}

/// How many of its messages may be under way: a disk that is slow holds up no question.
const AHEAD: usize = 64;

/// What happens next.
enum Next {
    Incoming(Option<Incoming>),
    Send(String),
    Close(u16, &'static str),
    Nothing,
}

impl RoomHost {
    /// Serves the socket to its end. Messages are begun in their order, and answered in it.
    pub async fn run(self, io: impl AsyncRead + AsyncWrite + Unpin) {
        let limit = self.hub.limits().session + ENVELOPE;
        let mut socket = HostSocket::new(io, limit, self.hub.flow().ping).await;
        let mut answers = FuturesOrdered::new();
        loop {
            let next = tokio::select! {
                biased;
                next = self.ended() => next,
                Some(answer) = answers.next(), if !answers.is_empty() => {
                    Option::map_or(answer, Next::Nothing, Next::Send)
                }
                question = self.line.next() => question.map_or(Next::Nothing, Next::Send),
                incoming = socket.next(), if answers.len() < AHEAD => Next::Incoming(incoming),
            };
            match next {
                Next::Close(code, reason) => return socket.close(code, reason).await,
                Next::Send(text) => match self.send(&mut socket, text).await {
                    true => {}
                    false => return,
                },
                Next::Incoming(Some(Ok(message))) => answers.push_back(self.answer(message)),
                Next::Incoming(Some(Err(Error::Capacity(_)))) => {
                    return socket.close(close::TOO_LARGE, "over --max-session").await;
                }
                Next::Incoming(Some(Err(Error::Utf8(_)))) => {
                    return socket.close(close::INVALID, "not UTF-8").await;
                }
                Next::Incoming(_) => return,
                Next::Nothing => {}
            }
        }
    }

    /// Waits until the connection is to end although the host is still there.
    async fn ended(&self) -> Next {
        tokio::select! {
            () = self.pass.revoked().cancelled() => {
                self.tell_revoked();
                Next::Close(close::POLICY, "revoked")
            }
            () = self.stop.cancelled() => Next::Close(close::GOING_AWAY, "stopping"),
        }
    }

    /// Returns whether it was sent. A host that does not read must not delay the daemon's end.
    async fn send<S>(&self, socket: &mut HostSocket<S>, text: String) -> bool
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        tokio::select! {
            sent = socket.send(Message::text(text)) => sent.is_ok(),
            () = self.stop.cancelled() => false,
            () = self.pass.revoked().cancelled() => false,
        }
    }

    fn tell_revoked(&self) {
        let (address, away) = (self.address, Away::Revoked);
        if self.hub.notices().sent_away(away, address) {
            let (room, reason) = (self.line.room().name(), away.label());
            tracing::info!(%address, %room, %reason, "host sent away: {}", away.text());
        }
    }

    async fn answer(&self, message: Message) -> Option<String> {
        let text = match message {
            Message::Text(text) => text,
            Message::Binary(_) => {
                let problem = Problem::new(415, "expected a text message with one JSON object");
                return Some(self.refuse(None, &problem));
            }
            _ => return None,
        };
        let (id, said) = FromHost::parse(text.as_bytes());
        let said = match said {
            Ok(said) => said,
            Err(error) => {
                let number = id.as_ref().and_then(|id| id.as_str().parse().ok());
                number
                    .into_iter()
                    .for_each(|number| self.line.give_up(number));
                return Some(self.refuse(id.as_ref(), &problem_of(&error)));
            }
        };
        match self.line.hear(said, self.address).await {
            Ok(true) => Some(Ack::Rows.text(id.as_ref())),
            Ok(false) => None,
            Err(denied) => Some(self.refuse(id.as_ref(), &denied.problem())),
        }
    }

    fn refuse(&self, id: Option<&Json>, problem: &Problem) -> String {
        let (reason, address) = (Reason::of(problem.status), self.address);
        if self.hub.notices().refused(reason, address) {
            let (room, detail) = (self.line.room().name(), &*cut(problem.told()));
            tracing::info!(%address, %room, status = problem.status, reason = %reason.label(), detail, "message refused");
        }
        wire::error(id, problem)
    }
}
