//! The tables, one function each.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::load::{Load, Wish};
use crate::message::Message;
use crate::peer::Peer;
use crate::process::{Cores, listen_overflows};
use crate::rooms::{Figures, rooms};
use crate::rounds::{Contender, Outcome, Plan, assemble, measure};
use crate::start::start;
use crate::stats::{milliseconds, spread};
use crate::wide::wide;

/// What all parts share.
pub struct Setting {
    pub rounds: usize,
    pub burst: Duration,
    pub cores: Option<Cores>,
}

const FEW: [Peer; 4] = [
    Peer::Limit,
    Peer::LimitAgain,
    Peer::Onlooker,
    Peer::OnlookerBefore,
];
const ALL: [Peer; 6] = [
    Peer::Limit,
    Peer::LimitAgain,
    Peer::Onlooker,
    Peer::Bun,
    Peer::Ws,
    Peer::Recipe,
];
/// Servers without the noise gauge, for what is not a ratio.
const SERVERS: [Peer; 5] = [
    Peer::Limit,
    Peer::Onlooker,
    Peer::Bun,
    Peer::Ws,
    Peer::Recipe,
];

/// Everything but the soak.
pub fn all(setting: &Setting) -> Result<()> {
    fan_out(setting, 300, &[100, 4096, 102_400], false)?;
    fan_out(setting, 1000, &[100, 4096, 102_400], false)?;
    fan_out(setting, 5000, &[100, 4096, 102_400], true)?;
    window(setting, 1000)?;
    latency(setting, 1000)?;
    deflate(setting, 300)?;
    tls(setting, 1000)?;
    idle(setting, 5000)?;
    storm(setting, 5000, 3)?;
    slow(setting, 1000)?;
    session(setting)?;
    wide(setting)?;
    rooms(setting, &Figures::default())?;
    start()
}

/// One message at a time.
pub fn fan_out(setting: &Setting, viewers: usize, sizes: &[usize], few: bool) -> Result<()> {
    let peers: &[Peer] = if few { &FEW } else { &ALL };
    let plan = |size| plan(setting, viewers, size, 1);
    let mut contenders = assemble(peers, &plan(0))?;
    for &size in sizes {
        let title = format!("{viewers} viewers, {size} B, one message at a time");
        print(&title, peers, &measure(&mut contenders, &plan(size))?);
    }
    Ok(())
}

/// Sixteen messages at a time.
pub fn window(setting: &Setting, viewers: usize) -> Result<()> {
    let plan = plan(setting, viewers, 100, 16);
    let mut contenders = assemble(&ALL, &plan)?;
    let title = format!("{viewers} viewers, 100 B, sixteen messages at a time");
    print(&title, &ALL, &measure(&mut contenders, &plan)?);
    Ok(())
}

/// 100 KiB, compressed.
pub fn deflate(setting: &Setting, viewers: usize) -> Result<()> {
    const PEERS: [Peer; 5] = [
        Peer::Limit,
        Peer::Onlooker,
        Peer::OnlookerDeflate,
        Peer::BunDeflate,
        Peer::WsDeflate,
    ];
    // The slow ones take a second for one message.
    let plan = Plan {
        rounds: setting.rounds.min(9),
        ..plan(setting, viewers, 102_400, 1)
    };
    let mut contenders = assemble(&PEERS, &plan)?;
    let title = format!("{viewers} viewers, 102400 B, permessage-deflate");
    print(&title, &PEERS, &measure(&mut contenders, &plan)?);
    Ok(())
}

/// TLS beside the plain figures.
pub fn tls(setting: &Setting, viewers: usize) -> Result<()> {
    const PEERS: [Peer; 3] = [Peer::Limit, Peer::Onlooker, Peer::OnlookerTls];
    let plan = |size| plan(setting, viewers, size, 1);
    let mut contenders = assemble(&PEERS, &plan(0))?;
    for size in [100, 4096, 102_400] {
        let title = format!("{viewers} viewers, {size} B, TLS");
        print(&title, &PEERS, &measure(&mut contenders, &plan(size))?);
    }
    Ok(())
}

pub fn plan(setting: &Setting, viewers: usize, size: usize, window: usize) -> Plan {
    Plan {
        viewers,
        size,
        window,
        rounds: setting.rounds,
        burst: setting.burst,
        cores: setting.cores,
    }
}

pub fn print(title: &str, peers: &[Peer], outcomes: &[Outcome]) {
    let rounds = outcomes.first().map_or(0, |outcome| outcome.bursts.len());
    println!("\n### {title} ({rounds} rounds)\n");
    println!(
        "| server | CPU µs a message | × LIMIT | × Bun | messages/s | last viewer ms | wire B | missing |"
    );
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    let bun = outcomes
        .iter()
        .find(|outcome| matches!(outcome.peer, Peer::Bun));
    for outcome in outcomes {
        let against_bun = bun.map_or("–".to_owned(), |bun| {
            format!("{:.2}", outcome.against(bun).median)
        });
        println!(
            "| {} | {} | {} | {against_bun} | {:.0} | {:.2} | {:.0} | {} |",
            outcome.peer.name(),
            outcome.spread(|burst| burst.cpu),
            outcome.ratio,
            outcome.spread(|burst| burst.rate).median,
            outcome.spread(|burst| burst.last).median,
            outcome.spread(|burst| burst.wire).median,
            outcome.missing(),
        );
    }
    print_missing(peers);
}

fn print_missing(peers: &[Peer]) {
    for peer in peers {
        if let Some(reason) = peer.missing() {
            println!("| {} | not measured: {reason} | | | | | | |", peer.name());
        }
    }
}

/// Five messages a second.
pub fn latency(setting: &Setting, viewers: usize) -> Result<()> {
    println!("\n### {viewers} viewers, five messages of 100 B a second: milliseconds\n");
    println!("| server | first | p50 | p99 | last |");
    println!("| --- | ---: | ---: | ---: | ---: |");
    let message = Message::new(100);
    for mut contender in assemble(&SERVERS, &plan(setting, viewers, 0, 1))? {
        let mut shares = [0.0, 0.5, 0.99, 1.0].map(|share| (share, Vec::new()));
        for round in 0..setting.rounds + 1 {
            contender.publish(&message)?;
            let mut flight = contender.load.land()?;
            flight.times.sort();
            for (share, figures) in shares.iter_mut().filter(|_| round > 0) {
                figures.push(milliseconds(&flight.times, *share));
            }
            contender.load.idle(Duration::from_millis(200))?;
        }
        let cells = shares.map(|(_, figures)| format!("{:.2}", spread(figures).median));
        println!("| {} | {} |", contender.peer.name(), cells.join(" | "));
    }
    Ok(())
}

/// Memory of viewers that wait.
pub fn idle(setting: &Setting, viewers: usize) -> Result<()> {
    println!("\n### {viewers} idle viewers\n");
    println!("| server | RSS B a viewer | CPU µs a handshake |");
    println!("| --- | ---: | ---: |");
    for peer in SERVERS {
        if let Some(reason) = peer.missing() {
            println!("| {} | not measured: {reason} | |", peer.name());
            continue;
        }
        // What is built for the first viewers is not counted.
        let Contender {
            server, mut load, ..
        } = Contender::start(peer, 20, setting.cores)?;
        load.idle(Duration::from_millis(300))?;
        let (memory, cpu) = (server.resident()?, server.cpu()?);
        load.connect(20 + viewers)?;
        let cpu = server.cpu()? - cpu;
        load.idle(Duration::from_millis(700))?;
        let grown = server.resident()?.saturating_sub(memory);
        println!(
            "| {} | {} | {:.1} |",
            peer.name(),
            grown / viewers as u64,
            cpu.as_secs_f64() * 1e6 / viewers as f64,
        );
    }
    Ok(())
}

/// All viewers come back at once.
pub fn storm(setting: &Setting, viewers: usize, times: usize) -> Result<()> {
    println!("\n### {viewers} viewers come back at once ({times} times, medians)\n");
    println!("| server | all back s | p50 ms | p99 ms | CPU µs a viewer | lost SYNs |");
    println!("| --- | ---: | ---: | ---: | ---: | ---: |");
    for peer in SERVERS {
        if let Some(reason) = peer.missing() {
            println!("| {} | not measured: {reason} | | | | |", peer.name());
            continue;
        }
        storm_of(peer, setting, viewers, times)?;
    }
    Ok(())
}

fn storm_of(peer: Peer, setting: &Setting, viewers: usize, times: usize) -> Result<()> {
    let mut server = peer.start(setting.cores)?;
    let mut wish = Wish::default();
    if peer == Peer::Onlooker {
        // It has a snapshot for everybody, without which nobody is back.
        wish.first_message = true;
        server.write_line(br#"{"data":{"title":"a small session"},"config":{"speed":1}}"#)?;
    }
    let mut load = Load::new(server.address, wish)?;
    load.connect(viewers)?;
    let mut figures: [Vec<f64>; 4] = Default::default();
    let overflows = listen_overflows()?;
    for _ in 0..times {
        load.close();
        load.idle(Duration::from_secs(1))?;
        let cpu = server.cpu()?;
        let back = load.storm(viewers)?;
        let cpu = (server.cpu()? - cpu).as_secs_f64() * 1e6 / viewers as f64;
        let shares = [1.0, 0.5, 0.99].map(|share| milliseconds(&back, share));
        for (figures, figure) in figures.iter_mut().zip(shares.into_iter().chain([cpu])) {
            figures.push(figure);
        }
    }
    let [all, half, most, cpu] = figures.map(|figures| spread(figures).median);
    println!(
        "| {} | {:.2} | {half:.0} | {most:.0} | {cpu:.1} | {} |",
        peer.name(),
        all / 1e3,
        listen_overflows()? - overflows,
    );
    Ok(())
}

/// Memory behind viewers that do not read.
pub fn slow(setting: &Setting, viewers: usize) -> Result<()> {
    const SESSIONS: u64 = 40;
    let mut server = Peer::Onlooker.start(setting.cores)?;
    let mut load = Load::new(server.address, Wish::default())?;
    load.connect(viewers)?;
    let message = Message::new(400 * 1024);
    let before = server.resident()?;
    let mut highest = before;
    for number in 1..=SESSIONS {
        server.write_line(format!("{{\"data\":{}}}", message.text(number)).as_bytes())?;
        std::thread::sleep(Duration::from_millis(50));
        highest = highest.max(server.resident()?);
    }
    let start = Instant::now();
    while load.converged(SESSIONS) < viewers && start.elapsed() < Duration::from_secs(60) {
        load.idle(Duration::from_millis(10))?;
    }
    println!(
        "\n### {viewers} viewers that do not read while {SESSIONS} sessions of 400 KiB leave\n"
    );
    println!(
        "The daemon grows by {:.1} MiB at most; once they read, {} of {viewers} are at the last session after {:.1} s.",
        (highest - before) as f64 / f64::from(1 << 20),
        load.converged(SESSIONS),
        start.elapsed().as_secs_f64(),
    );
    Ok(())
}

/// A newcomer's first frame, and one field of a large session.
pub fn session(setting: &Setting) -> Result<()> {
    println!("\n### Sessions: milliseconds, p50 and p99\n");
    println!("| what | p50 | p99 |");
    println!("| --- | ---: | ---: |");
    for size in [1_000, 100_000, 10_000_000] {
        let mut server = Peer::Onlooker.start(setting.cores)?;
        let text = Message::new(size).text(0);
        server.write_line(format!("{{\"data\":{text},\"config\":{{\"n\":0}}}}").as_bytes())?;
        std::thread::sleep(Duration::from_millis(800));
        let mut times = Vec::new();
        for _ in 0..setting.rounds.max(3) {
            let mut load = newcomer(&server)?;
            times.extend(load.storm(1)?);
        }
        times.sort();
        row(
            &format!("connect, upgrade and first frame, session of {size} B"),
            &times,
        );
        let mut load = newcomer(&server)?;
        load.connect(1)?;
        let mut times = Vec::new();
        for number in 1..=setting.rounds.max(3) as u64 {
            load.expect(number);
            let line = format!("{{\"type\":\"config_update\",\"payload\":{{\"n\":{number}}}}}");
            server.write_line(line.as_bytes())?;
            times.extend(load.land()?.times);
        }
        times.sort();
        row(
            &format!("one field, from stdin to a viewer, session of {size} B"),
            &times,
        );
    }
    Ok(())
}

fn newcomer(server: &crate::process::Running) -> Result<Load> {
    let wish = Wish {
        first_message: true,
        ..Wish::default()
    };
    Load::new(server.address, wish)
}

pub fn row(what: &str, sorted: &[Duration]) {
    let (p50, p99) = (milliseconds(sorted, 0.5), milliseconds(sorted, 0.99));
    println!("| {what} | {p50:.2} | {p99:.2} |");
}

/// One change a second for a long time.
pub fn soak(setting: &Setting, viewers: usize, seconds: u64) -> Result<()> {
    let mut server = Peer::Onlooker.start(setting.cores)?;
    server.write_line(br#"{"data":{},"config":{"n":0}}"#)?;
    let mut load = newcomer(&server)?;
    load.connect(viewers)?;
    let (before, cpu, start) = (server.resident()?, server.cpu()?, Instant::now());
    for number in 1..=seconds {
        let line = format!("{{\"type\":\"config_update\",\"payload\":{{\"n\":{number}}}}}");
        server.write_line(line.as_bytes())?;
        load.idle(Duration::from_secs(number).saturating_sub(start.elapsed()))?;
    }
    load.idle(Duration::from_secs(2))?;
    let cpu = (server.cpu()? - cpu).as_secs_f64() / start.elapsed().as_secs_f64();
    println!("\n### {viewers} viewers for {seconds} s, one change a second\n");
    println!(
        "{} connected, {} dropped, {} at the last change; {:.0} % of a core; memory {:.1} → {:.1} MiB.",
        load.open(),
        load.totals().dropped,
        load.converged(seconds),
        cpu * 100.0,
        before as f64 / f64::from(1 << 20),
        server.resident()? as f64 / f64::from(1 << 20),
    );
    Ok(())
}
