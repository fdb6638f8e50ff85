//! Rooms: what one action costs, what those who come are sent, and how many actions a disk takes.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::{Args, ValueEnum};

use crate::load::{Load, Wish};
use crate::parts::{Setting, plan, print, row};
use crate::peer::Peer;
use crate::person::{Pair, Person};
use crate::process::{Cores, Running, unpin};
use crate::room;
use crate::rounds::{assemble, measure};
use crate::stats::milliseconds;
use crate::writers::Writers;

/// How large everything is.
#[derive(Args)]
pub struct Figures {
    /// People in the room whose rows change
    #[arg(long, default_value_t = 300)]
    people: usize,
    /// How large the messages about a row are
    #[arg(long, value_delimiter = ',', default_value = "200,4096")]
    sizes: Vec<usize>,
    /// Rows of a large room
    #[arg(long, default_value_t = 100_000)]
    rows: usize,
    /// Those who write at the same time
    #[arg(long, default_value_t = 64)]
    writers: usize,
    /// How long they do, in seconds
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Only these tables
    #[arg(long, value_delimiter = ',')]
    only: Vec<Table>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Table {
    FanOut,
    Sync,
    First,
    Durable,
    Memory,
}

impl Default for Figures {
    fn default() -> Figures {
        Figures {
            people: 300,
            sizes: vec![200, 4096],
            rows: 100_000,
            writers: 64,
            seconds: 5,
            only: Vec::new(),
        }
    }
}

const BIG: &str = "parties/main/big";
const OTHER: &str = "parties/main/other";
/// So many of a host's rows are in one message.
const AT_A_TIME: usize = 1_000;
/// Those who ask for all rows at the same time.
const NEWCOMERS: usize = 10;
const MIB: f64 = 1_048_576.0;

/// All tables, or some.
pub fn rooms(setting: &Setting, figures: &Figures) -> Result<()> {
    let wants = |table| figures.only.is_empty() || figures.only.contains(&table);
    if wants(Table::FanOut) {
        fan_out(setting, figures)?;
    }
    if wants(Table::Sync) {
        sync(setting, figures.rows)?;
    }
    if wants(Table::First) {
        first(setting, figures.rows)?;
    }
    if wants(Table::Durable) {
        durable(figures)?;
    }
    if wants(Table::Memory) {
        memory(setting, figures.rows)?;
    }
    Ok(())
}

/// One after the other changes a row; everybody else is told.
fn fan_out(setting: &Setting, figures: &Figures) -> Result<()> {
    const PEERS: [Peer; 4] = [
        Peer::Limit,
        Peer::LimitAgain,
        Peer::Onlooker,
        Peer::OnlookerRoom,
    ];
    let people = figures.people;
    let mut contenders = assemble(&PEERS, &plan(setting, people, 0, 1))?;
    for &size in &figures.sizes {
        let plan = plan(setting, people, size, 1);
        let title = format!("A room of {people}, one action at a time, messages of {size} B");
        print(&title, &PEERS, &measure(&mut contenders, &plan)?);
    }
    Ok(())
}

/// A daemon with a large room.
fn start(cores: Option<Cores>, rows: usize) -> Result<Running> {
    let server = Peer::OnlookerRoom.start(cores)?;
    fill(&server, rows)?;
    Ok(server)
}

fn fill(server: &Running, rows: usize) -> Result<()> {
    let mut host = Person::come(server.address, "host?room=main/big")?;
    for begin in (0..rows).step_by(AT_A_TIME) {
        let rows = room::rows(begin..rows.min(begin + AT_A_TIME));
        host.ask(rows, r#"{"type":"ack"}"#)?;
    }
    Ok(())
}

/// One row has changed since somebody was here.
fn sync(setting: &Setting, rows: usize) -> Result<()> {
    println!("\n### `sync` with `from`, one row changed: milliseconds\n");
    println!("| what | p50 | p99 |");
    println!("| --- | ---: | ---: |");
    for rows in [10, rows] {
        let server = start(setting.cores, rows)?;
        let [mut one, mut other] = [
            Person::come(server.address, BIG)?,
            Person::come(server.address, BIG)?,
        ];
        for person in [&mut one, &mut other] {
            person.ask(room::sync(None), room::SYNCED)?;
        }
        let (mut syncs, mut pings) = (Vec::new(), Vec::new());
        for number in 0..setting.rounds.max(3) * 20 {
            let change = room::todo("update", number * 7 % rows, number as u64);
            other.ask(change, room::SUCCESS)?;
            let from = room::updated(&one.hear(room::UPDATE)?);
            pings.push(one.ping()?);
            syncs.push(one.ask(room::sync(from), room::SYNCED)?.0);
        }
        syncs.sort();
        pings.sort();
        row(&format!("a ping, {rows} rows"), &pings);
        row(&format!("`sync`, one of {rows} rows"), &syncs);
    }
    Ok(())
}

/// Some ask for all rows, while others go on.
fn first(setting: &Setting, rows: usize) -> Result<()> {
    let server = start(setting.cores, rows)?;
    println!("\n### All {rows} rows for who comes: milliseconds\n");
    println!("| what | p50 | p99 | worst |");
    println!("| --- | ---: | ---: | ---: |");
    let (mut alone, mut together) = (Vec::new(), Vec::new());
    for _ in 0..setting.rounds.min(9) {
        alone.push(newcomers(&server, 1, Duration::ZERO)?);
    }
    three("one newcomer has them after", alone);
    let pairs = || -> Result<[Pair; 2]> {
        Ok([
            Pair::start(server.address, BIG)?,
            Pair::start(server.address, OTHER)?,
        ])
    };
    let quiet = pairs()?;
    thread::sleep(Duration::from_millis(1000));
    acts("nobody comes", quiet)?;
    let before = server.resident()?;
    server.forget_peak()?;
    let busy = pairs()?;
    for _ in 0..setting.rounds.min(9) {
        together.push(newcomers(&server, NEWCOMERS, Duration::ZERO)?);
    }
    acts(&format!("{NEWCOMERS} newcomers read"), busy)?;
    three(&format!("{NEWCOMERS} newcomers have them after"), together);
    let grown = server.peak()?.saturating_sub(before);
    let resident = server.resident()?;
    server.forget_peak()?;
    let busy = pairs()?;
    newcomers(&server, NEWCOMERS, Duration::from_secs(2))?;
    acts(&format!("{NEWCOMERS} newcomers do not read"), busy)?;
    let slow = server.peak()?.saturating_sub(resident);
    println!(
        "\nThe daemon holds {:.1} MiB. It grows by at most {:.1} MiB while {NEWCOMERS} newcomers read, and by {:.1} MiB while {NEWCOMERS} do not.",
        before as f64 / MIB,
        grown as f64 / MIB,
        slow as f64 / MIB,
    );
    Ok(())
}

/// Lets some ask for all rows, which they read after a pause; tells when all of them had them.
fn newcomers(server: &Running, count: usize, pause: Duration) -> Result<Duration> {
    let wish = Wish {
        path: BIG,
        awaited: room::SYNCED,
        ..Wish::default()
    };
    let mut load = Load::new(server.address, wish)?;
    load.connect(count)?;
    let start = Instant::now();
    for person in 0..count {
        load.say(person, &room::sync(None))?;
    }
    thread::sleep(pause);
    while load.totals().awaited < count as u64 {
        load.idle(Duration::from_millis(1))?;
    }
    Ok(start.elapsed())
}

fn acts(meanwhile: &str, [same, other]: [Pair; 2]) -> Result<()> {
    let (same, other) = (same.times()?, other.times()?);
    three(&format!("an action in that room, {meanwhile}"), same);
    three(&format!("an action in another room, {meanwhile}"), other);
    Ok(())
}

fn three(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let cells = [0.5, 0.99, 1.0].map(|share| format!("{:.2}", milliseconds(&times, share)));
    println!("| {what} | {} |", cells.join(" | "));
}

/// Many write, and are answered when it is on the disk.
fn durable(figures: &Figures) -> Result<()> {
    let Figures {
        writers, seconds, ..
    } = *figures;
    unpin()?;
    let folder = folder()?;
    println!(
        "\n### {writers} writers for {seconds} s, on all cores ({})\n",
        kind(&folder)
    );
    println!(
        "| what | actions/s | p50 ms | p99 ms | worst ms | CPU µs an action | messages to others |"
    );
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: |");
    for keeps in [true, false] {
        for rooms in [1, writers] {
            let store = folder.join(format!("rooms-{rooms}.redb"));
            let flags = ["--store".to_owned(), store.display().to_string()];
            let flags: &[String] = if keeps { &flags } else { &[] };
            let server = Peer::OnlookerRoom.start_with(flags, None)?;
            let mut load = Writers::come(server.address, writers, rooms)?;
            load.write(Duration::from_millis(500))?;
            let (cpu, start) = (server.cpu()?, Instant::now());
            load.write(Duration::from_secs(seconds))?;
            let (cpu, time) = (server.cpu()? - cpu, start.elapsed());
            let mut times = std::mem::take(&mut load.times);
            times.sort();
            let [p50, p99, worst] = [0.5, 0.99, 1.0].map(|share| milliseconds(&times, share));
            println!(
                "| {} in {rooms} | {:.0} | {p50:.2} | {p99:.2} | {worst:.2} | {:.1} | {} |",
                if keeps { "durable" } else { "not kept" },
                times.len() as f64 / time.as_secs_f64(),
                cpu.as_secs_f64() * 1e6 / times.len() as f64,
                load.told,
            );
        }
    }
    let syncs = syncs(&folder)?;
    let [p50, p99, worst] = [0.5, 0.99, 1.0].map(|share| milliseconds(&syncs, share));
    println!(
        "\nThe disk alone: 4 KiB and an fdatasync take {p50:.2} ms (p50), {p99:.2} ms (p99), {worst:.2} ms at worst."
    );
    Ok(fs::remove_dir_all(&folder)?)
}

/// A folder on a disk, which a temporary one may not be.
fn folder() -> Result<PathBuf> {
    let program = std::env::current_exe()?;
    let folder = program.with_file_name(format!("rooms-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// The kind of file system that a folder is on.
fn kind(folder: &Path) -> String {
    let stat = Command::new("stat")
        .args(["-f", "-c", "%T"])
        .arg(folder)
        .output();
    let kind = stat.map(|stat| String::from_utf8_lossy(&stat.stdout).trim().to_owned());
    kind.unwrap_or_default()
}

/// How long it takes to write to a file and sync it, the quickest first.
fn syncs(folder: &Path) -> Result<Vec<Duration>> {
    let (mut file, mut times) = (File::create(folder.join("syncs"))?, Vec::new());
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(3) {
        let start = Instant::now();
        file.write_all(&[7; 4096])?;
        file.sync_data()?;
        times.push(start.elapsed());
    }
    times.sort();
    Ok(times)
}

/// What rows and people take who wait.
fn memory(setting: &Setting, rows: usize) -> Result<()> {
    const PEOPLE: usize = 5_000;
    println!("\n### Memory\n");
    println!("| what | RSS B each |");
    println!("| --- | ---: |");
    let server = Peer::OnlookerRoom.start(setting.cores)?;
    fill(&server, 10)?;
    let before = server.resident()?;
    fill(&server, rows)?;
    let grown = server.resident()?.saturating_sub(before) / rows as u64;
    let text = room::rows(0..1000).len() / 1000;
    println!("| a row of {text} B, of {rows} | {grown} |");
    for (peer, path) in [(Peer::Onlooker, ""), (Peer::OnlookerRoom, room::LOBBY)] {
        let server = peer.start(setting.cores)?;
        let wish = Wish {
            path,
            ..Wish::default()
        };
        let mut load = Load::new(server.address, wish)?;
        load.connect(20)?;
        load.idle(room::SETTLED)?;
        let before = server.resident()?;
        load.connect(20 + PEOPLE)?;
        load.idle(room::SETTLED * 2)?;
        let grown = server.resident()?.saturating_sub(before) / PEOPLE as u64;
        println!("| {}, idle, of {PEOPLE} | {grown} |", peer.name());
    }
    Ok(())
}
