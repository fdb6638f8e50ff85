//! Another daemon as a source: this one watches it like any viewer, and shows the same topic under
//! the same revisions.

use std::time::Duration;

use futures_util::StreamExt;
use tokio::time::{Instant, sleep, timeout};
use tokio_tungstenite::tungstenite::error::{CapacityError, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::frame::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_util::sync::CancellationToken;

use super::pace::{self, Pace};
use super::upstream::{NoSocket, Socket, Upstream};
use crate::hub::notices::cut;
use crate::hub::{Follower, Hub};
use crate::state::json::{Json, LARGE};
use crate::state::name::TopicName;
use crate::state::revision::Revision;
use crate::state::session::Session;
use crate::wire::{FromUpstream, LONGEST_WAY, NamedOrigins, Resumed, UpstreamState, close};

/// How long it may take until it says hello.
const GREETING: Duration = Duration::from_secs(8);
/// How long it may be silent, where it does not say how often it is heard of, and at least.
const SILENCE: Duration = Duration::from_secs(45);
const SHORTEST: Duration = Duration::from_secs(1);
/// What may be around a session, in bytes.
const ENVELOPE: usize = 64 * 1024;

/// Why a connection is over, or there is none.
#[derive(Debug)]
enum End {
    /// It is away, or broke off.
    Away(String),
    /// It said goodbye, and may have said when to come back.
    Bye(String, Option<Duration>),
    /// The topic was deleted there.
    Deleted,
    /// Trying again soon would not help.
    Refused(String),
}

/// A relay and what it remembers from one connection to the next.
struct Relay {
    upstream: Upstream,
    follower: Follower,
    /// The largest session, in bytes.
    max: usize,
    pace: Pace,
    /// When it said that it stops, if it did so last.
    stopped: Option<Instant>,
    /// What was said of it last: that it is away, or what it is refused for.
    said: Option<Option<String>>,
}

/// One connection, after its hello.
struct Watch {
    /// How long ago what comes was changed, where it comes because it was missed.
    missed: Option<Duration>,
    /// Whether a session that comes may be of any age.
    fresh: bool,
}

/// Shows under `topic` what an upstream shows, until `stop`.
pub async fn run(upstream: Upstream, hub: Hub, topic: TopicName, stop: CancellationToken) {
    let max = hub.limits().session;
    let follower = match hub.follow_upstream(&topic) {
        Ok(Some(follower)) => follower,
        Ok(None) => return,
        Err(error) => return tracing::error!("{upstream} is not relayed: {error}"),
    };
    let relay = Relay {
        upstream,
        follower,
        max,
        pace: Pace::default(),
        stopped: None,
        said: None,
    };
    stop.run_until_cancelled(relay.run()).await;
}

impl Relay {
    async fn run(mut self) {
        loop {
            let began = Instant::now();
            let Err(end) = self.watch().await;
            self.pace.ended(began.elapsed());
            let gap = self.after(end);
            sleep(gap).await;
        }
    }

    /// Watches until that is over.
    async fn watch(&mut self) -> Result<std::convert::Infallible, End> {
        let greeted = timeout(GREETING, self.greet()).await;
        let slow = |_| Err(End::Away("it does not answer in time".to_owned()));
        let (mut socket, mut watch, silence) = greeted.unwrap_or_else(slow)?;
        loop {
            let text = next(&mut socket, silence).await?;
            self.hear(text, &mut watch).await?;
        }
    }

    /// Connects, and is told what comes next and how long to wait for each message.
    async fn greet(&mut self) -> Result<(Socket, Watch, Duration), End> {
        let since = self.follower.revision();
        let limit = self.max.saturating_mul(2).saturating_add(ENVELOPE);
        let mut socket = self.upstream.connect(since, limit).await?;
        let text = next(&mut socket, GREETING).await?;
        let hello = FromUpstream::parse(text.as_bytes()).map_err(End::Refused)?;
        let FromUpstream::Hello {
            resumed,
            heartbeat_ms,
            state,
        } = hello
        else {
            let other = "it does not greet its viewers: is it an onlooker?";
            return Err(End::Refused(other.to_owned()));
        };
        let watch = Watch {
            missed: state.shown.changed_ms.map(Duration::from_millis),
            fresh: resumed == Resumed::Snapshot,
        };
        self.take_state(state)?;
        self.say_connected();
        let beats = heartbeat_ms.filter(|ms| *ms > 0);
        let silence = beats.map_or(SILENCE, |ms| {
            Duration::from_millis(ms.saturating_mul(5) / 2).clamp(SHORTEST, SILENCE)
        });
        Ok((socket, watch, silence))
    }

    async fn hear(&mut self, text: String, watch: &mut Watch) -> Result<(), End> {
        let (text, message) = parsed(text).await?;
        match message {
            FromUpstream::Session {
                revision,
                session,
                origins,
            } => self.take_session((revision, session), origins, watch),
            FromUpstream::Fields {
                revision,
                fields,
                origins,
            } => self.take_fields((revision, fields), origins, watch),
            FromUpstream::Heartbeat(state) => self.take_state(state),
            FromUpstream::Bye { reason, .. } if reason == "deleted" => Err(End::Deleted),
            FromUpstream::Bye {
                reason,
                retry_after_ms,
            } => Err(self.goodbye(&reason, retry_after_ms)),
            // Only the first one counts.
            FromUpstream::Hello { .. } => Ok(()),
            FromUpstream::Text => {
                self.follower.tell(text).await;
                Ok(())
            }
        }
    }

    fn take_session(
        &mut self,
        (revision, session): (Revision, Session),
        origins: NamedOrigins,
        watch: &mut Watch,
    ) -> Result<(), End> {
        let size = session.text_len();
        if size > self.max {
            return Err(End::Refused(format!(
                "its session has {size} bytes, over the limit of {} here (--max-session)",
                self.max
            )));
        }
        let was_fresh = std::mem::take(&mut watch.fresh);
        let age = watch.missed.take().unwrap_or_default();
        if self.follower.revision() == Some(revision) {
            self.follower.resend();
            return Ok(());
        }
        let state = (revision, session);
        let taken = self.follower.take_session(state, origins, !was_fresh, age);
        taken.map_err(|error| End::Refused(error.to_string()))
    }

    fn take_fields(
        &mut self,
        (revision, fields): (Revision, Vec<(String, Json)>),
        origins: NamedOrigins,
        watch: &mut Watch,
    ) -> Result<(), End> {
        let age = watch.missed.take().unwrap_or_default();
        match self.follower.revision() {
            Some(present) if revision <= present => return Ok(()),
            Some(_) => {}
            None => return Err(End::Away("it sent fields of no session".to_owned())),
        }
        let taken = self.follower.take_fields((revision, fields), origins, age);
        taken.map_err(|error| End::Refused(error.to_string()))
    }

    /// What it says of its hosts and viewers, and by which way its state comes.
    fn take_state(&mut self, state: UpstreamState) -> Result<(), End> {
        let way = &state.shown.way;
        let shown = || cut(&way.join(" > ")).into_owned();
        if way.iter().any(|place| place == self.follower.place()) {
            return Err(End::Refused(format!(
                "this is a loop: its state comes from here, by way of {}; relay another daemon, or start the origin without a relay",
                shown()
            )));
        }
        if way.len() >= LONGEST_WAY {
            return Err(End::Refused(format!(
                "its state comes by more than {LONGEST_WAY} daemons: {}; relay one that is nearer to the origin",
                shown()
            )));
        }
        self.follower.hear(state);
        Ok(())
    }

    fn goodbye(&mut self, reason: &str, retry_after_ms: Option<u64>) -> End {
        if reason == "stopping" {
            self.stopped = Some(Instant::now());
        }
        if reason == "revoked" {
            return End::Refused(revoked());
        }
        let said = format!("it said goodbye: {}", cut(reason));
        End::Bye(said, retry_after_ms.map(pace::asked))
    }

    /// Tells everybody that it is over, and returns how long to wait before the next attempt.
    fn after(&mut self, end: End) -> Duration {
        let chance = f64::from(getrandom::u32().unwrap_or_default()) / f64::from(u32::MAX);
        let stopped = self.stopped.map(|at| at.elapsed());
        let is_away = matches!(end, End::Away(_) | End::Bye(..));
        let (reason, gap) = match end {
            End::Bye(reason, Some(gap)) => (reason, gap),
            End::Away(reason) | End::Bye(reason, None) => (reason, self.pace.gap(stopped, chance)),
            End::Refused(reason) => (reason, self.pace.long_gap(chance)),
            End::Deleted => {
                self.follower.delete();
                let reason = "the topic was deleted there".to_owned();
                (reason, self.pace.long_gap(chance))
            }
        };
        self.follower.lose(&reason);
        self.say(reason, is_away);
        gap
    }

    /// Said once: what it is away for may be told in many ways.
    fn say(&mut self, reason: String, is_away: bool) {
        let gist = (!is_away).then(|| reason.clone());
        if self.said.as_ref() != Some(&gist) {
            let upstream = &self.upstream;
            tracing::warn!(
                "{upstream}: {reason}; viewers keep what they see, and it is tried again"
            );
            self.said = Some(gist);
        }
    }

    fn say_connected(&mut self) {
        (self.said, self.stopped) = (None, None);
        tracing::info!(topic = self.follower.place(), "relaying {}", self.upstream);
    }
}

impl From<NoSocket> for End {
    fn from(none: NoSocket) -> End {
        match none {
            NoSocket::Away(reason) => End::Away(reason),
            NoSocket::Refused(reason) => End::Refused(reason),
        }
    }
}

/// The next text; pings are answered on the way.
async fn next(socket: &mut Socket, silence: Duration) -> Result<String, End> {
    loop {
        let next = timeout(silence, socket.next()).await;
        let next = next.map_err(|_| End::Away("it has fallen silent".to_owned()))?;
        match next {
            Some(Ok(Message::Text(text))) => return Ok(text.to_string()),
            Some(Ok(Message::Close(frame))) => return Err(closed(frame)),
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(broken(error)),
            None => return Err(End::Away("the connection broke off".to_owned())),
        }
    }
}

/// A large message is read where nobody waits for the thread.
async fn parsed(text: String) -> Result<(String, FromUpstream), End> {
    let is_large = text.len() > LARGE;
    let read = move || {
        let message = FromUpstream::parse(text.as_bytes());
        message.map(|message| (text, message))
    };
    let read = match is_large {
        true => tokio::task::spawn_blocking(read).await,
        false => Ok(read()),
    };
    let read = read.map_err(|error| End::Away(error.to_string()))?;
    read.map_err(|reason| End::Refused(format!("it is not understood: {}", cut(&reason))))
}

fn closed(frame: Option<CloseFrame>) -> End {
    let code = frame.map_or(1005, |frame| u16::from(frame.code));
    match code {
        close::TOPIC_GONE => End::Deleted,
        close::POLICY => End::Refused(revoked()),
        code => End::Away(format!("it closed the connection ({code})")),
    }
}

fn revoked() -> String {
    "it lets this daemon watch no more (1008): its token may have changed, ?token=TOKEN".to_owned()
}

fn broken(error: Error) -> End {
    match error {
        Error::Capacity(CapacityError::MessageTooLong { size, max_size }) => End::Refused(format!(
            "it sent a message of {size} bytes, and {max_size} are taken here (--max-session)"
        )),
        Error::Io(_) | Error::ConnectionClosed | Error::AlreadyClosed => {
            End::Away("the connection broke off".to_owned())
        }
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {
            End::Away("the connection broke off".to_owned())
        }
        error => End::Refused(format!("it breaks the rules of WebSockets: {error}")),
    }
}
