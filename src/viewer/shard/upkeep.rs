//! What a shard does on its own: pings, heartbeats, and sending viewers away.

use std::collections::HashMap;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, interval};

use super::{Shard, back_in};
use crate::hub::notices::Away;
use crate::hub::{TopicEntry, millis};
use crate::state::name::TopicName;
use crate::viewer::command::Command;
use crate::viewer::pulse::Round;
use crate::viewer::write_side::HEARTBEAT;
use crate::wire::frame::Frame;
use crate::wire::{Own, close};

/// How long viewers may take what is in flight when the daemon stops, and how often they are
/// looked at meanwhile.
pub const STOP: Duration = Duration::from_secs(4);
pub const STOP_LOOKS: Duration = Duration::from_millis(500);

impl Shard {
    pub(super) fn tick(&mut self) {
        let hub = &self.common.hub;
        let round = Round {
            now: Instant::now(),
            ping: hub.flow().ping,
            stall: hub.limits().stall_timeout,
        };
        let spread = self.viewers.len();
        for (key, viewer) in &mut self.viewers {
            if let Some(away) = viewer.line.look(&round) {
                viewer.send_away(away, hub.notices(), back_in(key, spread));
            }
        }
        if self.common.held.is_over() {
            self.give_up();
        }
        if self.next_heartbeat <= round.now {
            self.next_heartbeat = round.now + HEARTBEAT;
            self.heartbeat();
        }
    }

    /// Cuts off viewers for whom too much is kept: a close frame would wait behind it.
    pub(super) fn give_up(&mut self) {
        let notices = self.common.hub.notices();
        for (_, viewer) in &mut self.viewers {
            if viewer.line.outbox.is_given_up() {
                viewer.send_away(Away::InFlight, notices, 0);
            }
        }
    }

    pub(super) fn check(&mut self) {
        let (spread, notices) = (self.viewers.len(), self.common.hub.notices());
        for (key, viewer) in &mut self.viewers {
            if viewer.pass.revoked().is_cancelled() {
                viewer.send_away(Away::Revoked, notices, back_in(key, spread));
            }
        }
    }

    fn heartbeat(&mut self) {
        let mut frames: HashMap<TopicName, Frame> = HashMap::new();
        let viewers = self.viewers.iter_mut().map(|(_, viewer)| viewer);
        for viewer in viewers.filter(|viewer| viewer.own && !viewer.line.is_closing()) {
            let entry = viewer.presence.entry();
            let frame = frames
                .entry(entry.name().clone())
                .or_insert_with(|| heartbeat(entry));
            viewer.line.send(frame.bytes(viewer.encoding), false);
        }
    }

    pub(super) async fn say_goodbye(&mut self, commands: &mut mpsc::Receiver<Command>) {
        self.stopping = true;
        let spread = self.viewers.len();
        for (key, viewer) in &mut self.viewers {
            viewer.leave("stopping", close::GOING_AWAY, back_in(key, spread));
        }
        if tokio::time::timeout(STOP, self.see_off(commands))
            .await
            .is_err()
        {
            let viewers = self.viewers.iter();
            viewers.for_each(|(_, viewer)| viewer.line.socket.hang_up());
        }
    }

    async fn see_off(&mut self, commands: &mut mpsc::Receiver<Command>) {
        let mut looks = interval(STOP_LOOKS);
        loop {
            if self.viewers.is_empty() {
                // From now on newcomers are closed where they come from; those who were on their
                // way are still in the channel.
                commands.close();
            }
            tokio::select! {
                command = commands.recv() => match command {
                    Some(command) => self.obey(command),
                    None => return,
                },
                _ = looks.tick() => self.tick(),
            }
        }
    }
}

fn heartbeat(entry: &TopicEntry) -> Frame {
    let (host_seen, source) = entry.host();
    let heartbeat = Own::Heartbeat {
        revision: entry.revision().to_string(),
        host_seen_ms: millis(host_seen),
        source,
        shown: entry.shown_state(),
    };
    Frame::json(heartbeat.text())
}
