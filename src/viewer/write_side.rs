//! One viewer's write side: what it is sent, in which order, and how it is closed.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use tokio::time::Instant;

use super::held::Held;
use super::line::{Line, Peer};
use super::wire::Wire;
use crate::access::ViewerPass;
use crate::hub::notices::{Away, Notices};
use crate::hub::{Catchup, Presence, millis};
use crate::state::revision::Revision;
use crate::wire::frame::{Encoding, Frame};
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
    /// What it calls itself, to replace its own older connection.
    pub id: Option<Box<str>>,
    /// Where it connects from.
    pub peer: Peer,
}

/// One line of the list of viewers.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ViewerInfo {
    /// Unique while the daemon runs.
    pub id: u64,
    /// The topic that it watches.
    pub topic: String,
    /// The room of which it is one of the people; then the topic is the room's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub room: Option<String>,
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
    pub line: Line,
    pub pass: ViewerPass,
    pub presence: Presence,
    pub encoding: Encoding,
    /// Whether it speaks `onlooker.v1`.
    pub own: bool,
    /// What it calls itself.
    pub name: Option<Box<str>>,
    /// The revision that it was last sent.
    pub revision: Option<Revision>,
    /// Its place in its topic's list.
    pub place: usize,
    /// How often its topic had been sent again when it was last brought up to date.
    resends: u64,
    greeted: bool,
    /// Since when it has missed flushes, because it took nothing.
    behind: Option<Instant>,
}

impl Viewer {
    /// A viewer that joined at a time, and what has arrived from it. `place` is its place in the
    /// list of its topic's viewers.
    pub fn new(
        new: NewViewer,
        id: u64,
        times: (Instant, Duration),
        place: usize,
        held: &Arc<Held>,
    ) -> (Viewer, Bytes) {
        let guest = new.guest;
        let viewer = Viewer {
            line: Line::new(id, new.wire, guest.peer, times, held),
            pass: guest.pass,
            resends: guest.presence.entry().resends(),
            presence: guest.presence,
            encoding: guest.encoding,
            own: guest.own,
            name: guest.id,
            revision: new.since,
            place,
            greeted: false,
            behind: None,
        };
        (viewer, new.early)
    }

    /// Sends shared bytes that bring it to a revision, or nothing of them if the socket is full:
    /// then it is sent what is newest once it takes more.
    pub fn offer(&mut self, bytes: &Bytes, revision: Option<Revision>) -> bool {
        let taken = self.line.send(bytes, true);
        match taken {
            true => self.revision = revision,
            false => self.miss(),
        }
        taken
    }

    /// Sends a host's own text, or keeps it for later; false where there is no room for it.
    pub fn send_text(&mut self, bytes: &Bytes) -> bool {
        if self.line.outbox.is_busy() {
            return self.line.outbox.push_text(bytes);
        }
        self.line.send(bytes, false);
        true
    }

    /// What it lacks. It lacks everything when its topic has been sent again.
    pub fn lacks(&mut self) -> Catchup {
        let resends = self.presence.entry().resends();
        if self.resends != resends {
            (self.resends, self.revision) = (resends, None);
        }
        let catchup = self.presence.entry().since(self.revision);
        // What goes back is news only after a hello, which says so.
        let goes_back = catchup.revision.is_some() && catchup.revision < self.revision;
        self.greeted &= !goes_back;
        catchup
    }

    /// The first time, tells our own viewers what follows.
    pub fn greet(&mut self, catchup: &Catchup) {
        if std::mem::replace(&mut self.greeted, true) {
            return;
        }
        let resumed = catchup.resumed;
        let Line { id, peer, .. } = &self.line;
        tracing::debug!(parent: &peer.span, id, resumed = resumed.label(), "viewer joined");
        if !self.own {
            return;
        }
        let hello = Own::Hello {
            protocol: 1,
            server: SERVER,
            topic: self.presence.entry().name().to_string(),
            revision: catchup.revision.unwrap_or_default().to_string(),
            resumed,
            heartbeat_ms: millis(HEARTBEAT),
            shown: self.presence.entry().first_shown_state(),
        };
        let bytes = Frame::json(hello.text()).bytes(self.encoding).clone();
        self.line.send(&bytes, false);
    }

    /// It could not be sent a flush. When it takes more, it is sent whatever it lacks by then.
    pub fn miss(&mut self) {
        if self.behind.is_none() && self.line.outbox.is_sending() {
            self.behind = Some(Instant::now());
            self.presence.set_behind(true);
            let Line {
                id, peer, outbox, ..
            } = &self.line;
            let why = outbox.obstacle();
            tracing::debug!(parent: &peer.span, id, why, "viewer is slow");
        }
    }

    /// It was sent what it lacked.
    pub fn catch_up(&mut self, catchup: &Catchup) {
        if self.behind.take().is_some() {
            self.presence.set_behind(false);
            let by = catchup.resumed;
            let Line { id, peer, .. } = &self.line;
            tracing::debug!(parent: &peer.span, id, by = by.label(), "viewer has caught up");
        }
    }

    /// Sends it away, unless it is closed already: counts it, and tells it why and when to come
    /// back, if it is listening. One that broke a rule is closed by [`Viewer::fail`].
    pub fn send_away(&mut self, away: Away, notices: &Notices, retry_after_ms: u64) {
        let was_open = !self.line.is_closing();
        match away {
            Away::Deleted => self.leave("deleted", close::TOPIC_GONE, retry_after_ms),
            Away::Kicked => self.leave("kicked", close::POLICY, retry_after_ms),
            Away::Revoked => self.leave("revoked", close::POLICY, retry_after_ms),
            Away::Stalled => self.leave("busy", close::TRY_LATER, retry_after_ms),
            Away::Silent | Away::InFlight | Away::Flood | Away::Protocol => {
                self.line.cut_off(away.label());
            }
        }
        if was_open {
            self.report(away, notices);
        }
    }

    /// Its own newer connection takes its place: this one is no viewer any more, even if its
    /// socket takes its time to end.
    pub fn replace(&mut self) {
        self.presence.retire();
        self.leave("replaced", close::REPLACED, 0);
    }

    /// Closes it with the code of the rule that it broke.
    pub fn fail(&mut self, code: u16, notices: &Notices) {
        let away = Away::of(code);
        if !self.line.is_closing() {
            self.report(away, notices);
        }
        self.line.close_with(code, away.label());
    }

    fn report(&self, away: Away, notices: &Notices) {
        let topic = self.presence.entry().name();
        self.line.report(away, notices, "viewer", topic);
    }

    /// Says why, closes, and tells when to come back.
    pub fn leave(&mut self, reason: &'static str, code: u16, retry_after_ms: u64) {
        if self.own && !self.line.is_closing() {
            let bye = Own::Bye {
                reason,
                retry_after_ms,
            };
            let bytes = Frame::json(bye.text()).bytes(self.encoding).clone();
            self.send_text(&bytes);
        }
        self.line.close_with(code, reason);
    }

    pub fn info(&self) -> ViewerInfo {
        let entry = self.presence.entry();
        let Line {
            id,
            peer,
            since,
            bytes,
            ..
        } = &self.line;
        ViewerInfo {
            id: *id,
            topic: entry.name().to_string(),
            room: None,
            device: peer.device.to_string(),
            address: peer.address.to_string(),
            connected_ms: millis(since.elapsed()),
            revision: self.revision.map(|revision| revision.to_string()),
            current: self.revision == entry.session().map(|(revision, _)| revision),
            behind_ms: self.behind.map_or(0, |since| millis(since.elapsed())),
            bytes: *bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use tokio::net::{TcpListener, TcpStream};
    use tokio_tungstenite::tungstenite::protocol::frame::coding::Control;
    use tokio_util::sync::CancellationToken;
    use tokio_util::task::TaskTracker;

    use super::*;
    use crate::access::{Access, AccessOptions, Need};
    use crate::hub::{Hub, HubOptions};
    use crate::wire::frame::control;

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
            id: None,
            peer: Peer {
                address: peer.ip(),
                device: "".into(),
                span: tracing::Span::none(),
                _admission: Arc::new(()),
            },
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
        let line = &mut viewer.line;
        line.outbox.expect_encoded();
        line.pong(b"");
        line.pump();
        line.send(&control(Control::Ping, &[]), false);
        let waits = line.socket.blocked.notified().now_or_never();
        assert!(waits.is_none());
    }
}
