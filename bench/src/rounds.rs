//! Alternating bursts: all servers are up at once, and short bursts go round them, so that a slow
//! phase of the machine meets all of them alike. What counts is the ratio inside a round.

use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::load::{Load, Wish};
use crate::message::Message;
use crate::peer::Peer;
use crate::process::{Cores, Running};
use crate::room;
use crate::stats::{Spread, spread};
use crate::stream::Certificate;

/// How the bursts go.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub viewers: usize,
    pub size: usize,
    /// How many messages are on their way at a time.
    pub window: usize,
    pub rounds: usize,
    pub burst: Duration,
    pub cores: Option<Cores>,
}

/// One server with its viewers.
pub struct Contender {
    pub peer: Peer,
    pub server: Running,
    pub load: Load,
    sent: u64,
}

/// What one burst cost.
#[derive(Clone, Copy, Debug)]
pub struct Burst {
    /// Of the server, for one delivered message, in microseconds.
    pub cpu: f64,
    /// For one delivered message.
    pub wire: f64,
    /// Delivered per second.
    pub rate: f64,
    /// Until the last viewer had it, the median, in milliseconds.
    pub last: f64,
    pub missing: u64,
}

/// All bursts of one server, and how they compare with the first server's.
pub struct Outcome {
    pub peer: Peer,
    pub bursts: Vec<Burst>,
    pub ratio: Spread,
}

impl Contender {
    pub fn start(peer: Peer, viewers: usize, cores: Option<Cores>) -> Result<Contender> {
        let tls = match peer {
            Peer::OnlookerTls => Some(Rc::new(Certificate::new()?)),
            _ => None,
        };
        let flags = tls.as_ref().map_or(Vec::new(), |tls| tls.flags());
        let server = peer.start_with(&flags, cores)?;
        let wish = Wish {
            deflate: peer.deflates(),
            tls,
            path: match peer {
                Peer::OnlookerRoom => room::LOBBY,
                _ => "",
            },
            ..Wish::default()
        };
        let mut load = Load::new(server.address, wish)?;
        load.connect(viewers).with_context(|| peer.name())?;
        if peer == Peer::OnlookerRoom {
            load.say(0, &room::change("create", "{}"))?;
            load.idle(room::SETTLED)?;
        }
        load.number_from(1);
        Ok(Contender {
            peer,
            server,
            load,
            sent: 0,
        })
    }

    /// Sends one more message.
    pub fn publish(&mut self, message: &Message) -> Result<()> {
        self.sent += 1;
        let text = message.text(self.sent);
        if self.peer == Peer::OnlookerRoom {
            let turn = self.sent as usize % self.load.open();
            self.load.expect(self.sent);
            return self.load.say(turn, &room::change("update", &text));
        }
        let line = self.peer.line(&text)?;
        self.load.expect(self.sent);
        self.server.write_line(&line)
    }

    fn burst(&mut self, plan: &Plan) -> Result<Burst> {
        let around = match self.peer {
            Peer::OnlookerRoom => room::around(),
            _ => 0,
        };
        let message = &Message::new(plan.size.saturating_sub(around));
        // The first after a pause pays for cold caches.
        self.publish(message)?;
        self.load.land()?;
        let (before, cpu, start) = (self.load.totals(), self.server.cpu()?, Instant::now());
        let (mut times, mut missing) = (Vec::new(), 0);
        while start.elapsed() < plan.burst || self.load.in_flight() > 0 {
            while self.load.in_flight() < plan.window && start.elapsed() < plan.burst {
                self.publish(message)?;
            }
            if self.load.in_flight() == 0 {
                break;
            }
            let flight = self.load.land()?;
            missing += (plan.viewers - flight.times.len().min(plan.viewers)) as u64;
            times.extend(flight.times.last().map(Duration::as_secs_f64));
        }
        let (cpu, after) = (self.server.cpu()? - cpu, self.load.totals());
        let delivered = (after.delivered - before.delivered).max(1) as f64;
        Ok(Burst {
            cpu: cpu.as_secs_f64() * 1e6 / delivered,
            wire: (after.bytes - before.bytes) as f64 / delivered,
            rate: delivered / start.elapsed().as_secs_f64(),
            last: spread(times).median * 1e3,
            missing,
        })
    }
}

/// Starts the peers that are here, with their viewers.
pub fn assemble(peers: &[Peer], plan: &Plan) -> Result<Vec<Contender>> {
    let present = peers.iter().filter(|peer| peer.missing().is_none());
    present
        .map(|peer| Contender::start(*peer, plan.viewers, plan.cores))
        .collect()
}

/// Lets the bursts go round.
pub fn measure(contenders: &mut [Contender], plan: &Plan) -> Result<Vec<Outcome>> {
    let count = contenders.len();
    let mut bursts: Vec<Vec<Burst>> = vec![Vec::new(); count];
    for round in 0..plan.rounds {
        for turn in 0..count {
            // Everybody is first in turn.
            let index = (round + turn) % count;
            let burst = contenders[index].burst(plan)?;
            bursts[index].push(burst);
        }
    }
    let first = bursts.first().cloned().unwrap_or_default();
    let outcome = |(contender, bursts): (&Contender, Vec<Burst>)| Outcome {
        peer: contender.peer,
        ratio: spread(
            bursts
                .iter()
                .zip(&first)
                .map(|(burst, first)| burst.cpu / first.cpu)
                .collect(),
        ),
        bursts,
    };
    Ok(contenders.iter().zip(bursts).map(outcome).collect())
}

impl Outcome {
    pub fn spread(&self, figure: impl Fn(&Burst) -> f64) -> Spread {
        spread(self.bursts.iter().map(figure).collect())
    }

    pub fn missing(&self) -> u64 {
        self.bursts.iter().map(|burst| burst.missing).sum()
    }

    /// This one's cost as a share of another's, inside each round.
    pub fn against(&self, other: &Outcome) -> Spread {
        spread(
            self.bursts
                .iter()
                .zip(&other.bursts)
                .map(|(own, other)| own.cpu / other.cpu)
                .collect(),
        )
    }
}
