//! What a change costs a daemon that is relayed: with all viewers at the relay, it should be what one
//! viewer of its own costs. And how long a change takes over each relay more.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::load::{Load, Wish};
use crate::parts::Setting;
use crate::peer::{Peer, serve};
use crate::process::{Running, free_port};
use crate::stats::{milliseconds, spread};

/// Changes of one burst.
const CHANGES: u64 = 25;
/// One change comes so long after the other, however soon it has reached everybody: what the daemon
/// does besides, and what it finds cold, is the same for all.
const PACE: Duration = Duration::from_millis(60);

/// A daemon that changes, and those who watch it at the end of so many relays.
struct Chain {
    origin: Running,
    _relays: Vec<Running>,
    load: Load,
    number: u64,
    /// How long each change took to the last of the viewers.
    times: Vec<Duration>,
}

/// Relays in a row, of the longest chain.
const RELAYS: usize = 3;

/// Both tables.
pub fn relay(setting: &Setting, viewers: usize) -> Result<()> {
    // First: later on this thread is kept on one core.
    hops(setting)?;
    cost(setting, viewers)
}

/// One viewer at the end of no relay, of one, of two and of three, on whatever cores there are.
fn hops(setting: &Setting) -> Result<()> {
    println!("\n### From standard input to one viewer behind relays: milliseconds\n");
    println!("| relays | p50 | p99 | more than without one, for each |");
    println!("| ---: | ---: | ---: | ---: |");
    let anywhere = Setting {
        cores: None,
        ..*setting
    };
    let chains = (0..=RELAYS).map(|relays| Chain::start(&anywhere, relays, 1));
    let mut chains: Vec<Chain> = chains.collect::<Result<_>>()?;
    for _ in 0..=setting.rounds {
        for chain in &mut chains {
            chain.burst()?;
        }
    }
    let mut direct = 0.0;
    for (relays, chain) in chains.iter_mut().enumerate() {
        // What is built for the first burst is not counted.
        let times = &mut chain.times[CHANGES as usize..];
        times.sort();
        let [p50, p99] = [0.5, 0.99].map(|share| milliseconds(times, share));
        let more = match relays {
            0 => {
                direct = p50;
                "–".to_owned()
            }
            relays => format!("{:.2}", (p50 - direct) / relays as f64),
        };
        println!("| {relays} | {p50:.2} | {p99:.2} | {more} |");
    }
    Ok(())
}

/// One viewer at a daemon, beside many at the end of a relay and of three.
fn cost(setting: &Setting, viewers: usize) -> Result<()> {
    println!("\n### {viewers} viewers of a relay: the origin's processor time, µs a change\n");
    println!("| who watches | origin | against one viewer |");
    println!("| --- | ---: | ---: |");
    let cases = [
        ("one viewer", 0, 1),
        ("one viewer again (noise gauge)", 0, 1),
        ("a relay", 1, viewers),
        ("a relay of a relay of a relay", 3, viewers),
    ];
    let chains = cases.map(|(_, relays, viewers)| Chain::start(setting, relays, viewers));
    let mut chains: Vec<Chain> = chains.into_iter().collect::<Result<_>>()?;
    let mut figures = vec![Vec::new(); chains.len()];
    for round in 0..=setting.rounds {
        for (chain, figures) in chains.iter_mut().zip(&mut figures) {
            let cpu = chain.burst()?;
            // What is built for the first burst is not counted.
            figures.extend((round > 0).then_some(cpu));
        }
    }
    for ((name, relays, _), costs) in cases.iter().zip(&figures) {
        let ratios = costs.iter().zip(&figures[0]).map(|(cost, one)| cost / one);
        let (cost, ratio) = (spread(costs.clone()), spread(ratios.collect()));
        let of = if *relays > 0 {
            ", with all viewers"
        } else {
            ""
        };
        println!("| {name}{of} | {:.1} | {ratio} |", cost.median);
    }
    Ok(())
}

impl Chain {
    fn start(setting: &Setting, relays: usize, viewers: usize) -> Result<Chain> {
        let mut origin = Peer::Onlooker.start(setting.cores)?;
        origin.write_line(br#"{"config":{"n":0},"data":null}"#)?;
        let (mut address, mut chain) = (origin.address, Vec::new());
        for _ in 0..relays {
            let port = free_port()?;
            let command = serve(&format!("ws://{address}"), port);
            // Beside the load: as a rule it is on another machine.
            let relay = Running::start(&command, port, None)?;
            address = relay.address;
            chain.push(relay);
        }
        let wish = Wish {
            first_message: true,
            ..Wish::default()
        };
        let mut load = Load::new(address, wish)?;
        load.connect(viewers)?;
        load.idle(Duration::from_millis(300))?;
        Ok(Chain {
            origin,
            _relays: chain,
            load,
            number: 0,
            times: Vec::new(),
        })
    }

    /// One change after the other, each once the one before has reached everybody; tells what one
    /// costs the origin, in microseconds.
    fn burst(&mut self) -> Result<f64> {
        let before = self.origin.cpu()?;
        for _ in 0..CHANGES {
            self.number += 1;
            let number = self.number;
            let begun = Instant::now();
            self.load.expect(number);
            let line = format!(r#"{{"type":"config_update","payload":{{"n":{number}}}}}"#);
            self.origin.write_line(line.as_bytes())?;
            let flight = self.load.land()?;
            let (all, arrived) = (self.load.open(), flight.times.len());
            ensure!(arrived == all, "change {number} reached {arrived} of {all}");
            self.times.extend(flight.times.last());
            self.load.idle(PACE.saturating_sub(begun.elapsed()))?;
        }
        Ok((self.origin.cpu()? - before).as_secs_f64() * 1e6 / CHANGES as f64)
    }
}
