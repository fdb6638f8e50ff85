//! What daemons add to the bucket of NATS that they share: to one write, and to many.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use clap::Args;

use crate::host::Host;
use crate::http::Client;
use crate::message::Message;
use crate::nats::{Bare, Servers};
use crate::parts::Setting;
use crate::peer::Peer;
use crate::process::Running;
use crate::stats::{milliseconds, spread};

/// How large everything is.
#[derive(Args)]
pub struct Figures {
    /// NATS servers, one table each
    #[arg(long, value_delimiter = ',', default_value = "3,1")]
    servers: Vec<usize>,
    /// The size of a session
    #[arg(long, default_value_t = 4096)]
    size: usize,
    /// Those who write at the same time
    #[arg(long, default_value_t = 64)]
    writers: usize,
    /// How long they do, in seconds
    #[arg(long, default_value_t = 5)]
    seconds: u64,
}

/// Writes of one burst.
const WRITES: usize = 20;
const BUCKET: &str = "onlooker";
const TOPIC: &str = "/api/topics/main";
/// By then the daemons are in step with the bucket.
const SETTLED: Duration = Duration::from_secs(1);

/// Who writes, and what is timed.
const TIMED: [(&str, &str); 4] = [
    ("bare client", "a watcher at another server"),
    (
        "bare client again (noise gauge)",
        "a watcher at another server",
    ),
    ("a session by `PUT`", "a viewer of another daemon"),
    ("one field of it by `PUT`", "a viewer of another daemon"),
];

/// Until one write was acknowledged, and until it was seen elsewhere.
type Times = (Duration, Duration);

/// Both tables, for each number of servers.
pub fn cluster(setting: &Setting, figures: &Figures) -> Result<()> {
    for &count in &figures.servers {
        let servers = Servers::start(count)?;
        let mut bare = [
            Bare::start(&servers, "bare")?,
            Bare::start(&servers, "again")?,
        ];
        let daemons = [daemon(&servers, 0)?, daemon(&servers, 1)?];
        thread::sleep(SETTLED);
        for bucket in ["bare", "again", BUCKET] {
            bare[0].lead(&servers, bucket)?;
        }
        println!("\n### One write, {count} NATS servers: milliseconds\n");
        delay(setting, figures, &mut bare, &daemons)?;
        println!("\n### Many writes, {count} NATS servers\n");
        many(figures, &bare[0], &servers, &daemons)?;
    }
    Ok(())
}

fn daemon(servers: &Servers, number: usize) -> Result<Running> {
    let url = servers.url(number);
    let more = ["--host-token=none", "--nats", &url].map(str::to_owned);
    Peer::Onlooker.start_with(&more, None)
}

/// One write after the other, in alternating bursts.
fn delay(
    setting: &Setting,
    figures: &Figures,
    bare: &mut [Bare; 2],
    daemons: &[Running; 2],
) -> Result<()> {
    let [one, other] = bare;
    let mut host = Host::watched_at(daemons[0].address, daemons[1].address)?;
    let message = Message::new(figures.size);
    let mut number = 0;
    let mut write = |who: usize| {
        number += 1;
        let text = message.text(number);
        match who {
            0 => one.put(text),
            1 => other.put(text),
            2 => host.change("PUT", TOPIC, &session(&text)),
            _ => host.set(&field(TOPIC), &value(number)),
        }
    };
    let mut bursts: [Vec<Vec<Times>>; TIMED.len()] = Default::default();
    for round in 0..=setting.rounds {
        // A session before its field; and what comes after what changes every time.
        let order = [[0, 1, 2, 3], [2, 3, 0, 1], [1, 0, 2, 3]][round % 3];
        for who in order {
            let times = (0..WRITES).map(|_| write(who)).collect::<Result<_>>()?;
            // What is set up by the first burst is not counted.
            if round > 0 {
                bursts[who].push(times);
            }
        }
    }
    print(&bursts);
    Ok(())
}

fn print(bursts: &[Vec<Vec<Times>>]) {
    println!("| who writes | until | p50 | p99 | × (put + watch) |");
    println!("| --- | --- | ---: | ---: | ---: |");
    let put_and_watch = bursts[0].iter().map(|burst| {
        let [put, watch] = [acknowledged, seen].map(|which| median(burst, which));
        put + watch
    });
    let put_and_watch: Vec<f64> = put_and_watch.collect();
    for ((who, seen_by), bursts) in TIMED.iter().zip(bursts) {
        for (until, which) in [("acknowledged", acknowledged as Which), (seen_by, seen)] {
            let mut times: Vec<_> = bursts.iter().flatten().map(which).collect();
            times.sort();
            let [p50, p99] = [0.5, 0.99].map(|share| milliseconds(&times, share));
            let ratios = bursts.iter().zip(&put_and_watch);
            let ratios = ratios.map(|(burst, both)| median(burst, which) / both);
            let ratio = spread(ratios.collect());
            println!("| {who} | {until} | {p50:.2} | {p99:.2} | {ratio} |");
        }
    }
}

type Which = fn(&Times) -> Duration;

fn acknowledged(times: &Times) -> Duration {
    times.0
}

fn seen(times: &Times) -> Duration {
    times.1
}

fn median(burst: &[Times], which: Which) -> f64 {
    let times = burst.iter().map(|times| which(times).as_secs_f64());
    spread(times.collect()).median
}

fn session(text: &str) -> String {
    format!(r#"{{"config":{{"n":0}},"data":{text}}}"#)
}

fn field(topic: &str) -> String {
    format!("{topic}/config/n")
}

fn value(number: u64) -> String {
    format!("{{\"value\":{number}}}")
}

/// As many as can be acknowledged.
fn many(figures: &Figures, bare: &Bare, servers: &Servers, daemons: &[Running; 2]) -> Result<()> {
    let (time, all) = (Duration::from_secs(figures.seconds), figures.writers);
    let text = Message::new(figures.size).text(0);
    println!(
        "| one field of {} B, for {} s | writes/s | p50 ms | p99 ms | refused | tried again | daemons' CPU µs a write | servers' |",
        figures.size, figures.seconds
    );
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    let clocks = || -> Result<_> { Ok((cpu(daemons)?, cpu(&servers.running)?, races(daemons)?)) };
    for keys in [1, all] {
        let before = clocks()?;
        let times = bare.crowd(keys, &text, time)?;
        let what = format!("bare client, {keys} at a time, a key each");
        row(&what, figures, (times, 0), before, clocks()?);
    }
    let cases = [
        (1, 1, 1),
        (1, all, 1),
        (2, all, 1),
        (1, all, all),
        (2, all, all),
    ];
    for (used, writers, topics) in cases {
        let used = &daemons[..used];
        let addresses: Vec<_> = used.iter().map(|daemon| daemon.address).collect();
        fill(addresses[0], topics, &text)?;
        thread::sleep(SETTLED);
        let before = clocks()?;
        let written = crowd(&addresses, writers, topics, time)?;
        let what = format!("{writers} at {} daemons, {topics} topics", addresses.len());
        row(&what, figures, written, before, clocks()?);
    }
    Ok(())
}

/// Processor time of the daemons and of the servers, and races that were lost.
type Clocks = (Duration, Duration, u64);

fn row(
    what: &str,
    figures: &Figures,
    (mut times, refused): (Vec<Duration>, u64),
    before: Clocks,
    after: Clocks,
) {
    times.sort();
    let writes = times.len() as f64;
    let [p50, p99] = [0.5, 0.99].map(|share| milliseconds(&times, share));
    let each = |spent: Duration| spent.as_secs_f64() * 1e6 / writes;
    println!(
        "| {what} | {:.0} | {p50:.2} | {p99:.2} | {refused} | {} | {:.0} | {:.0} |",
        writes / figures.seconds as f64,
        after.2 - before.2,
        each(after.0 - before.0),
        each(after.1 - before.1),
    );
}

fn cpu(processes: &[Running]) -> Result<Duration> {
    processes.iter().map(Running::cpu).sum()
}

/// How often one of the daemons was overtaken by the other.
fn races(daemons: &[Running; 2]) -> Result<u64> {
    const NAME: &str = "onlooker_nats_races_total ";
    let races = daemons.iter().map(|daemon| {
        let metrics = Client::connect(daemon.address)?.text("/metrics")?;
        let line = metrics.lines().find_map(|line| line.strip_prefix(NAME));
        Ok(line.context(NAME)?.trim().parse::<u64>()?)
    });
    races.sum()
}

fn topic(number: usize) -> String {
    format!("/api/topics/topic{number}")
}

fn fill(address: SocketAddr, topics: usize, text: &str) -> Result<()> {
    let mut client = Client::connect(address)?;
    (0..topics).try_for_each(|number| {
        client.ask("PUT", &topic(number), &session(text))?;
        Ok(())
    })
}

/// Lets them write for a while, the next one at the next daemon and to the next topic; tells how long
/// each write took, and how many were refused.
fn crowd(
    addresses: &[SocketAddr],
    writers: usize,
    topics: usize,
    time: Duration,
) -> Result<(Vec<Duration>, u64)> {
    let writers: Vec<_> = (0..writers)
        .map(|number| {
            let address = addresses[number % addresses.len()];
            let path = field(&topic(number % topics));
            thread::spawn(move || write(address, &path, number as u64, time))
        })
        .collect();
    let mut all = (Vec::new(), 0);
    for writer in writers {
        let written = writer.join().map_err(|_| anyhow!("a writer panicked"))??;
        all.0.extend(written.0);
        all.1 += written.1;
    }
    Ok(all)
}

fn write(
    address: SocketAddr,
    path: &str,
    from: u64,
    time: Duration,
) -> Result<(Vec<Duration>, u64)> {
    let mut client = Client::connect(address)?;
    let (start, mut times, mut refused) = (Instant::now(), Vec::new(), 0);
    // No value is written twice.
    for number in (from << 32).. {
        if start.elapsed() > time {
            break;
        }
        let asked = Instant::now();
        match client.ask("PUT", path, &value(number)) {
            Ok(_) => times.push(asked.elapsed()),
            Err(_) => refused += 1,
        }
    }
    Ok((times, refused))
}
