//! One viewer's write side: what it is sent, in which order, and how it is closed.

use std::net::{IpAddr, Shutdown};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::protocol::frame::coding::Control;

use super::held::Held;
use super::outbox::Outbox;
use super::pulse::{Pulse, Round};
use super::socket::Socket;
use super::wire::Wire;
use crate::access::ViewerPass;
use crate::hub::notices::{Away, Notices};
use crate::hub::{Catchup, Presence, millis};
use crate::state::revision::Revision;
use crate::wire::frame::{Encoding, Frame, close as close_frame, control};
use crate::wire::{Own, SERVER, close};

/// How often our own viewers are told that the connection is alive.
pub const HEARTBEAT: Duration = Duration::from_secs(5);

/// A viewer whose upgrade has been answered, with what was agreed on.
pub struct NewViewer {
    /// Its connection.
    pub wire: Wire,
    /// What arrived behind the request.
    pub early: Bytes,
    /// The revision that it has already.
    pub since: Option<Revision>,
    /// What stays as it is.
    pub guest: Guest,
}

/// Who watches what, and how.
pub struct Guest {
    /// That it may watch.
    pub pass: ViewerPass,
    /// Its topic, and its place among the viewers.
    pub presence: Presence,
    /// How it wants its messages.
    pub encoding: Encoding,
    /// Whether it speaks `onlooker.v1`.
    pub own: bool,
    /// Where it connects from.
    pub address: IpAddr,
    /// What kind of device it is, according to its user agent.
    pub device: Box<str>,
    /// What it calls itself, to replace its own older connection.
    pub id: Option<Box<str>>,
    /// Its connection, in the log.
    pub span: tracing::Span,
    /// Its place in the count of its address, given back when the viewer is dropped.
    pub _admission: Arc<dyn Send + Sync>,
}

/// One line of the list of viewers.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ViewerInfo {
    /// Unique while the daemon runs.
    pub id: u64,
    /// The topic that it watches.
    pub topic: String,
    /// What kind of device it is, according to its user agent.
    pub device: String,
    /// Its IP address.
    pub address: String,
    /// How long it has been connected, in milliseconds.
    pub connected_ms: u64,
    /// The revision that it was last sent.
    pub revision: Option<String>,
    /// Whether that is the topic's revision.
    pub current: bool,
    /// For how long it has lacked something, in milliseconds; 0 if it lacks nothing.
    pub behind_ms: u64,
    /// How many bytes it was sent.
    pub bytes: u64,
}

/// A viewer as its shard has it.
pub struct Viewer {
    /// Unique while the daemon runs.
    pub id: u64,
    pub socket: Arc<Socket>,
    pub guest: Guest,
    /// The revision that it was last sent.
    pub revision: Option<Revision>,
    pub outbox: Outbox,
    /// Its place in its topic's list.
    pub place: usize,
    /// Set once it is closed: then nothing more is sent to it.
    closing: Option<Closing>,
    pulse: Pulse,
    /// How often its topic had been sent again when it was last brought up to date.
    resends: u64,
    since: Instant,
    bytes: u64,
    greeted: bool,
    /// Since when it has missed flushes, because it took nothing.
    behind: Option<Instant>,
}

/// A viewer's end.
struct Closing {
    since: Instant,
    /// For the log.
    why: &'static str,
}

impl Viewer {
    /// A viewer that joined at a time, and what has arrived from it. `place` is its place in the
    /// list of its topic's viewers.
    pub fn new(
        new: NewViewer,
        id: u64,
        (since, ping): (Instant, Duration),
        place: usize,
        held: &Arc<Held>,
    ) -> (Viewer, Bytes) {
        let viewer = Viewer {
            id,
            socket: Arc::new(Socket::new(new.wire)),
            resends: new.guest.presence.entry().resends(),
            guest: new.guest,
            revision: new.since,
            outbox: Outbox::new(held.clone()),
            place,
            closing: None,
            pulse: Pulse::new(since, ping),
            since,
            bytes: 0,
            greeted: false,
            behind: None,
        };
        (viewer, new.early)
    }

    pub fn is_closing(&self) -> bool {
        self.closing.is_some()
    }

    /// Sends shared bytes, if nothing is in flight.
    pub fn send(&mut self, bytes: &Bytes) {
        self.try_send(bytes, false);
    }

    fn try_send(&mut self, bytes: &Bytes, apart: bool) -> bool {
        let sent = self.outbox.send(&self.socket.wire, bytes, apart);
        let taken = matches!(sent, Ok(Some(_)));
        self.account(sent.map(Option::unwrap_or_default));
        taken
    }

    /// Sends shared bytes that bring it to a revision, or nothing of them if the socket is full:
    /// then it is sent what is newest once it takes more.
    pub fn offer(&mut self, bytes: &Bytes, revision: Option<Revision>) -> bool {
        let taken = self.try_send(bytes, true);
        match taken {
            true => self.revision = revision,
            false => self.miss(),
        }
        taken
    }

    /// Sends a host's own text, or keeps it for later; false where there is no room for it.
    pub fn send_text(&mut self, bytes: &Bytes) -> bool {
        if self.outbox.is_busy() {
            return self.outbox.push_text(bytes);
        }
        self.send(bytes);
        true
    }

    pub fn pong(&mut self, payload: &[u8]) {
        // Nothing follows a close frame (RFC 6455 §5.5.1).
        if self.closing.is_none() {
            self.outbox.push_pong(control(Control::Pong, payload));
        }
    }

    pub fn pump(&mut self) {
        let sent = self.outbox.pump(&self.socket.wire);
        self.account(sent);
        if self.closing.is_some() && self.outbox.is_empty() {
            self.socket.wire.shutdown(Shutdown::Write);
        }
    }

    fn account(&mut self, sent: std::io::Result<usize>) {
        match sent {
            Ok(sent) => {
                self.bytes += sent as u64;
                if self.outbox.is_sending() {
                    self.socket.blocked.notify_one();
                }
            }
            // The reader notices, and says that the viewer is gone.
            Err(_) => self.socket.hang_up(),
        }
    }

    /// What it lacks. It lacks everything when its topic has been sent again.
    pub fn lacks(&mut self) -> Catchup {
        let resends = self.guest.presence.entry().resends();
        if self.resends != resends {
            (self.resends, self.revision) = (resends, None);
        }
        self.guest.presence.entry().since(self.revision)
    }

    /// The first time, tells our own viewers what follows.
    pub fn greet(&mut self, catchup: &Catchup) {
        if std::mem::replace(&mut self.greeted, true) {
            return;
        }
        let resumed = catchup.resumed;
        tracing::debug!(parent: &self.guest.span, id = self.id, resumed = resumed.label(), "viewer joined");
        if !self.guest.own {
            return;
        }
        let hello = Own::Hello {
            protocol: 1,
            server: SERVER,
            topic: self.guest.presence.entry().name().to_string(),
            revision: catchup.revision.unwrap_or_default().to_string(),
            resumed,
            heartbeat_ms: millis(HEARTBEAT),
            shown: self.guest.presence.entry().shown_state(),
        };
        let bytes = Frame::json(hello.text()).bytes(self.guest.encoding).clone();
        self.send(&bytes);
    }

    /// It could not be sent a flush. When it takes more, it is sent whatever it lacks by then.
    pub fn miss(&mut self) {
        if self.behind.is_none() && self.outbox.is_sending() {
            self.behind = Some(Instant::now());
            self.guest.presence.set_behind(true);
            let why = self.outbox.obstacle();
            tracing::debug!(parent: &self.guest.span, id = self.id, why, "viewer is slow");
        }
    }

    /// It was sent what it lacked.
    pub fn catch_up(&mut self, catchup: &Catchup) {
        if self.behind.take().is_some() {
            self.guest.presence.set_behind(false);
            let by = catchup.resumed;
            tracing::debug!(parent: &self.guest.span, id = self.id, by = by.label(), "viewer has caught up");
        }
    }

    /// Pings it when it is time. Tells why it has to go, if it does: it takes nothing, or does
    /// not answer.
    pub fn look(&mut self, round: &Round) -> Option<Away> {
        if let Some(Closing { since, .. }) = self.closing {
            let (pulse, socket) = (&mut self.pulse, &self.socket);
            if pulse.is_over(round, since, socket, self.bytes) {
                socket.hang_up();
            }
            return None;
        }
        let sending = self.outbox.is_sending();
        match self.pulse.look(round, &self.socket, self.bytes, sending) {
            Ok(true) => self.send(&control(Control::Ping, &[])),
            Ok(false) => {}
            Err(away) => return Some(away),
        }
        None
    }

    /// Sends it away, unless it is closed already: counts it, and tells it why and when to come
    /// back, if it is listening. One that broke a rule is closed by [`Viewer::fail`].
    pub fn send_away(&mut self, away: Away, notices: &Notices, retry_after_ms: u64) {
        let was_open = self.closing.is_none();
        match away {
            Away::Deleted => self.leave("deleted", close::TOPIC_GONE, retry_after_ms),
            Away::Kicked => self.leave("kicked", close::POLICY, retry_after_ms),
            Away::Revoked => self.leave("revoked", close::POLICY, retry_after_ms),
            Away::Stalled => self.leave("busy", close::TRY_LATER, retry_after_ms),
            Away::Silent | Away::InFlight | Away::Flood | Away::Protocol => {
                self.cut_off(away.label())
            }
        }
        if was_open {
            self.report(away, notices);
        }
    }

    /// Its own newer connection takes its place: this one is no viewer any more, even if its
    /// socket takes its time to end.
    pub fn replace(&mut self) {
        self.guest.presence.retire();
        self.leave("replaced", close::REPLACED, 0);
    }

    /// Closes it with the code of the rule that it broke.
    pub fn fail(&mut self, code: u16, notices: &Notices) {
        let away = Away::of(code);
        if self.closing.is_none() {
            self.report(away, notices);
        }
        self.close(close_frame(code), away.label());
    }

    fn report(&self, away: Away, notices: &Notices) {
        let address = self.guest.address.to_canonical();
        if notices.sent_away(away, address) {
            let topic = self.guest.presence.entry().name();
            let (device, reason) = (&*self.guest.device, away.label());
            tracing::info!(parent: &self.guest.span, %address, %topic, id = self.id, device, %reason, "viewer sent away: {}", away.text());
        }
    }

    /// Says why, closes, and tells when to come back.
    pub fn leave(&mut self, reason: &'static str, code: u16, retry_after_ms: u64) {
        if self.guest.own && self.closing.is_none() {
            let bye = Own::Bye {
                reason,
                retry_after_ms,
            };
            let bytes = Frame::json(bye.text()).bytes(self.guest.encoding).clone();
            self.send_text(&bytes);
        }
        self.close(close_frame(code), reason);
    }

    /// The last frame; nothing follows it (RFC 6455 §5.5.1).
    pub fn close(&mut self, bytes: Bytes, why: &'static str) {
        if self.closing.is_none() {
            let since = Instant::now();
            self.closing = Some(Closing { since, why });
            self.pulse.close(since, self.bytes);
            self.outbox.push_close(bytes);
        }
        self.pump();
    }

    /// Ends it in the middle of what it is being sent, of which nothing is kept.
    fn cut_off(&mut self, why: &'static str) {
        let since = Instant::now();
        self.closing.get_or_insert(Closing { since, why });
        self.outbox.clear();
        self.socket.hang_up();
    }

    /// Tells the log that its socket has ended.
    pub fn gone(&self) {
        let why = self.closing.as_ref().map_or("disconnected", |end| end.why);
        let bytes = self.bytes;
        tracing::debug!(parent: &self.guest.span, id = self.id, why, bytes, "viewer left");
    }

    pub fn info(&self) -> ViewerInfo {
        let entry = self.guest.presence.entry();
        ViewerInfo {
            id: self.id,
            topic: entry.name().to_string(),
            device: self.guest.device.to_string(),
            address: self.guest.address.to_string(),
            connected_ms: millis(self.since.elapsed()),
            revision: self.revision.map(|revision| revision.to_string()),
            current: self.revision == entry.session().map(|(revision, _)| revision),
            behind_ms: self.behind.map_or(0, |since| millis(since.elapsed())),
            bytes: self.bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use tokio::net::{TcpListener, TcpStream};
    use tokio_util::sync::CancellationToken;
    use tokio_util::task::TaskTracker;

    use super::*;
    use crate::access::{Access, AccessOptions, Need};
    use crate::hub::{Hub, HubOptions};

    async fn guest() -> Guest {
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let hub = Hub::new(&HubOptions::default(), None, tasks, stop);
        let entry = hub.topic(hub.default_topic()).unwrap();
        let access = Access::new(&AccessOptions::default(), Vec::new()).unwrap();
        let request = hyper::Request::get("/").header("host", "localhost");
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let peer = ([127, 0, 0, 1], 5000).into();
        let pass = access.admit(&parts, peer, Need::Viewer).await.unwrap();
        Guest {
            pass: pass.viewer.unwrap(),
            presence: hub.enter(&entry, hub.place().unwrap()),
            encoding: Encoding::default(),
            own: true,
            address: peer.ip(),
            device: "".into(),
            id: None,
            span: tracing::Span::none(),
            _admission: Arc::new(()),
        }
    }

    /// The socket has room all the while: whoever waited for that would ask again and again.
    #[tokio::test]
    async fn nobody_waits_for_room_while_a_frame_is_encoded() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let tcp = TcpStream::connect(address).await.unwrap();
        let new = NewViewer {
            wire: Wire::Plain(tcp),
            early: Bytes::new(),
            since: None,
            guest: guest().await,
        };
        let times = (Instant::now(), Duration::from_secs(15));
        let (mut viewer, _) = Viewer::new(new, 1, times, 0, &Held::new(1));
        viewer.outbox.expect_encoded();
        viewer.pong(b"");
        viewer.pump();
        viewer.send(&control(Control::Ping, &[]));
        let waits = viewer.socket.blocked.notified().now_or_never();
        assert!(waits.is_none());
    }
}
