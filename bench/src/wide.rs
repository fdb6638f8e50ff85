//! A config of many fields: how long a change of many takes, or of one, and how long others
//! wait meanwhile.

use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

use crate::host::Host;
use crate::http::Client;
use crate::parts::Setting;
use crate::peer::Peer;
use crate::process::Running;
use crate::stats::milliseconds;

const TOPIC: &str = "/api/topics/main";
const CONFIG: &str = "/api/topics/main/config";
/// How often `/healthz` is asked.
const PULSE: Duration = Duration::from_millis(2);
/// How much longer than the change itself: what is left of it has to be cleared away.
const AFTER: Duration = Duration::from_millis(30);
/// How often one field is written.
const WRITES: u64 = 200;

/// One way to change many fields.
struct Case {
    what: &'static str,
    path: &'static str,
    /// The pause before changes leave, which is no part of the figures.
    pause: Duration,
    /// So many fields there are,
    fields: u64,
    /// the first of them are given other values,
    changed: u64,
    /// and the last of them are removed.
    removed: u64,
}

const CASES: [Case; 5] = [
    Case {
        what: "50,000 of 50,000 fields, `PATCH …/config`, after the default pause",
        path: CONFIG,
        pause: Duration::from_millis(250),
        fields: 50_000,
        changed: 50_000,
        removed: 0,
    },
    Case {
        what: "the same at once (`--debounce 0`)",
        path: CONFIG,
        pause: Duration::ZERO,
        fields: 50_000,
        changed: 50_000,
        removed: 0,
    },
    Case {
        what: "60,000 of 160,000 fields by a merge patch",
        path: TOPIC,
        pause: Duration::ZERO,
        fields: 160_000,
        changed: 60_000,
        removed: 0,
    },
    Case {
        what: "100,000 of 160,000 fields removed by nulls in one",
        path: TOPIC,
        pause: Duration::ZERO,
        fields: 160_000,
        changed: 0,
        removed: 100_000,
    },
    Case {
        what: "60,000 changed and 100,000 removed by one",
        path: TOPIC,
        pause: Duration::ZERO,
        fields: 160_000,
        changed: 60_000,
        removed: 100_000,
    },
];

/// What one change took.
#[derive(Default)]
struct Took {
    /// Until its answer was read.
    answer: Vec<Duration>,
    /// Until the viewer had it, without the pause.
    viewer: Vec<Duration>,
    /// The slowest answer of `/healthz` meanwhile.
    health: Vec<Duration>,
}

/// Many fields at once, and one field of many.
pub fn wide(setting: &Setting) -> Result<()> {
    let times = setting.rounds.min(9);
    println!("\n### Many fields at once: milliseconds, median and worst of {times}\n");
    println!("| what | answered | at the viewer | slowest `/healthz` meanwhile |");
    println!("| --- | ---: | ---: | ---: |");
    for case in &CASES {
        many(setting, case, times)?;
    }
    println!("\n### One field, `PUT …/config/FIELD`: milliseconds, median and worst of {WRITES}\n");
    println!("| fields | answered | at the viewer |");
    println!("| --- | ---: | ---: |");
    for fields in [10, 100_000] {
        one(setting, fields)?;
    }
    Ok(())
}

fn many(setting: &Setting, case: &Case, times: usize) -> Result<()> {
    let server = start(setting, case.pause)?;
    let mut host = Host::new(server.address)?;
    let mut took = Took::default();
    for round in 1..=times as u64 {
        let all = object(0..case.fields, |_| (2 * round).to_string());
        host.change("PUT", TOPIC, &format!("{{\"config\":{all}}}"))?;
        let kept = case.fields - case.removed;
        let patch = object((0..case.changed).chain(kept..case.fields), |field| {
            match field < case.changed {
                true => (2 * round + 1).to_string(),
                false => "null".to_owned(),
            }
        });
        let patch = match case.path {
            CONFIG => patch,
            _ => format!("{{\"config\":{patch}}}"),
        };
        let pulse = Pulse::start(server.address)?;
        let (answer, viewer) = host.change("PATCH", case.path, &patch)?;
        thread::sleep(AFTER);
        took.answer.push(answer);
        took.viewer.push(viewer.saturating_sub(case.pause));
        took.health.push(pulse.slowest()?);
    }
    let columns = [took.answer, took.viewer, took.health].map(cell);
    println!("| {} | {} |", case.what, columns.join(" | "));
    Ok(())
}

fn one(setting: &Setting, fields: u64) -> Result<()> {
    let server = start(setting, Duration::ZERO)?;
    let mut host = Host::new(server.address)?;
    let all = object(0..fields, |_| "0".to_owned());
    host.change("PUT", TOPIC, &format!("{{\"config\":{all}}}"))?;
    let mut took = Took::default();
    for number in 1..=WRITES {
        let path = format!("{CONFIG}/{}", name(number * 7 % fields));
        let (answer, viewer) = host.set(&path, &format!("{{\"value\":{number}}}"))?;
        took.answer.push(answer);
        took.viewer.push(viewer);
    }
    let columns = [took.answer, took.viewer].map(cell);
    println!("| {fields} | {} |", columns.join(" | "));
    Ok(())
}

fn start(setting: &Setting, pause: Duration) -> Result<Running> {
    let pause = format!("--debounce={}ms", pause.as_millis());
    let more = [pause, "--host-token=none".to_owned()];
    Peer::Onlooker.start_with(&more, setting.cores)
}

fn name(field: u64) -> String {
    format!("field{field:06}")
}

fn object(fields: impl Iterator<Item = u64>, value: impl Fn(u64) -> String) -> String {
    let mut text = "{".to_owned();
    for field in fields {
        let comma = if text.len() > 1 { "," } else { "" };
        // Writing to a String never fails.
        let _ = write!(text, "{comma}\"{}\":{}", name(field), value(field));
    }
    text.push('}');
    text
}

fn cell(mut times: Vec<Duration>) -> String {
    times.sort();
    let (median, worst) = (milliseconds(&times, 0.5), milliseconds(&times, 1.0));
    format!("{median:.2}, {worst:.2}")
}

/// `/healthz`, asked over and over on its own connection.
struct Pulse {
    stop: Arc<AtomicBool>,
    asks: thread::JoinHandle<Result<Duration>>,
}

impl Pulse {
    fn start(address: SocketAddr) -> Result<Pulse> {
        let mut client = Client::connect(address)?;
        client.ask("GET", "/healthz", "")?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let asks = thread::spawn(move || {
            let mut slowest = Duration::ZERO;
            while !stopped.load(Ordering::Relaxed) {
                let start = Instant::now();
                client.ask("GET", "/healthz", "")?;
                slowest = slowest.max(start.elapsed());
                thread::sleep(PULSE.saturating_sub(start.elapsed()));
            }
            Ok(slowest)
        });
        Ok(Pulse { stop, asks })
    }

    fn slowest(self) -> Result<Duration> {
        self.stop.store(true, Ordering::Relaxed);
        let slowest = self.asks.join();
        slowest.map_err(|_| anyhow!("the asking thread panicked"))?
    }
}
