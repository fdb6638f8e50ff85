//! Kill -9 in the middle of 64 writers to one room, at any moment, in place of a call to the disk, or
//! while that stalls: no row that was acknowledged or shown is lost, and times grow strictly over
//! restarts, while the clock goes back an hour with each of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::kills::Disk;
use crate::harness::{Daemon, Socket, masked, opcode::*, rand};

const ROOMS: &str = r#"
[rooms.channels.rows]
columns = { id = "string", text = "string" }
writers = "viewers"
"#;

const WRITERS: u64 = 64;
/// In seconds.
const HOUR: i64 = 60 * 60;

/// A row as it was last known: its text, or none if it was deleted.
type Known = Option<String>;

/// What one writer knows of its rows when the daemon is gone.
#[derive(Default)]
struct Notes {
    /// What was acknowledged, and when.
    rows: BTreeMap<String, (Known, u64)>,
    /// What had no answer yet.
    open: Option<(String, Known)>,
    /// The latest time of each row that it was shown.
    shown: BTreeMap<String, u64>,
}

/// One writer, with rows of its own.
struct Writer {
    socket: Socket,
    name: String,
    seed: u64,
    notes: Notes,
}

impl Writer {
    /// Writes until the daemon is gone.
    fn write(mut self, acks: &Sender<u64>) -> Notes {
        for step in 0.. {
            let (id, kind) = self.next(step);
            let known = (kind != "delete").then(|| format!("{step}"));
            self.ask(step, kind, &id, known.as_deref());
            self.notes.open = Some((id.clone(), known.clone()));
            let Some(answer) = self.answer(step) else {
                break;
            };
            assert_eq!(answer["type"], "success", "{answer}");
            let time = updated(&answer["result"][0]);
            self.notes.open = None;
            self.notes.rows.insert(id, (known, time));
            // Fails once the round has ended.
            let _ = acks.send(time);
        }
        self.notes
    }

    fn next(&self, step: u64) -> (String, &'static str) {
        let alive = self
            .notes
            .rows
            .iter()
            .filter(|(_, (known, _))| known.is_some());
        let alive: Vec<&String> = alive.map(|(id, _)| id).collect();
        let pick = rand(self.seed ^ step);
        match (pick % 4, alive.len()) {
            (0 | 1, _) | (_, 0) => (format!("{}-{step}", self.name), "create"),
            (2, count) => (alive[pick as usize / 4 % count].clone(), "update"),
            (_, count) => (alive[pick as usize / 4 % count].clone(), "delete"),
        }
    }

    fn ask(&mut self, step: u64, kind: &str, id: &str, text: Option<&str>) {
        let mut payload = json!({ "id": id });
        if let Some(text) = text {
            payload["text"] = text.into();
        }
        let action = json!({"type": kind, "payload": payload});
        let message = json!({"id": step, "channel": "rows", "rpc": true, "action": action});
        self.socket
            .send(&masked(FIN | TEXT, message.to_string().as_bytes()));
    }

    /// The answer to an action; none when the daemon is gone. What is said of others' rows is noted.
    fn answer(&mut self, step: u64) -> Option<Value> {
        loop {
            let message: Value = serde_json::from_str(&self.socket.message()?).expect("JSON");
            for row in message["payload"].as_array().into_iter().flatten() {
                let id = row[0].as_str().expect("an id").to_owned();
                self.notes.shown.insert(id, updated(row));
            }
            if message["id"] == step {
                return Some(message);
            }
        }
    }
}

fn updated(row: &Value) -> u64 {
    let times = row.as_array().expect("a row");
    times[times.len() - 2].as_u64().expect("a time")
}

/// How a daemon ends.
enum End {
    /// By a signal after so many acknowledgements.
    After(usize),
    /// By a signal while the disk does not answer.
    Stalled(&'static str),
    /// In place of a call to the disk.
    InCall(u64),
}

impl End {
    fn pick(round: u64, seed: u64) -> End {
        match round % 4 {
            0 | 2 => End::After(64 + rand(seed ^ 0xacc) as usize % 512),
            1 => End::InCall(1 + rand(seed ^ 0xca11) % 400),
            _ => End::Stalled(["write", "sync"][rand(seed) as usize % 2]),
        }
    }
}

struct Race {
    disk: Disk,
    /// Every row that was ever acknowledged.
    known: BTreeMap<String, (Known, u64)>,
    /// The latest time that was ever seen.
    latest: u64,
    acknowledged: usize,
    restarts: i64,
    /// How many ended in a call to the disk, how many of them before they served, and how many
    /// while it stalled.
    ends: [usize; 3],
}

impl Race {
    fn new() -> Race {
        let disk = Disk::new();
        std::fs::write(disk.folder().join("rooms.toml"), ROOMS).expect("written");
        Race {
            disk,
            known: BTreeMap::new(),
            latest: 0,
            acknowledged: 0,
            restarts: 0,
            ends: [0; 3],
        }
    }

    /// Another daemon, an hour earlier than the one before.
    fn daemon(&mut self, kill_at: u64) -> Result<Daemon, String> {
        self.restarts += 1;
        let [config, store] = ["rooms.toml", "rows.redb"].map(|name| self.disk.folder().join(name));
        let [config, store] = [&config, &store].map(|path| path.to_str().expect("text"));
        let args = ["--config", config, "--store", store];
        let args = [&args[..], &["--max-actions", "1000000"]].concat();
        self.disk.spawn(kill_at, -HOUR * self.restarts, &args)
    }

    /// Writers race until the daemon is killed.
    fn round(&mut self, round: u64, seed: u64) {
        let end = End::pick(round, seed);
        let kill_at = match end {
            End::InCall(call) => call,
            _ => 0,
        };
        let notes = match self.daemon(kill_at) {
            Ok(daemon) => self.race(daemon, &end, round, seed),
            Err(log) => {
                assert!(log.contains("signal: 9"), "{log}");
                self.ends[1] += 1;
                Vec::new()
            }
        };
        self.check(notes);
    }

    fn race(&mut self, mut daemon: Daemon, end: &End, round: u64, seed: u64) -> Vec<Notes> {
        let (acks, acknowledged) = channel();
        let writers = (0..WRITERS).filter_map(|number| {
            let tcp = std::net::TcpStream::connect(("127.0.0.1", daemon.port)).ok()?;
            let limit = tcp.set_read_timeout(Some(crate::harness::LIMIT));
            limit.expect("a socket option");
            let writer = Writer {
                // It may be killed before the last of them is there.
                socket: Socket::try_open(tcp, "/parties/main/race", &[]).ok()?,
                name: format!("{round}-{number}"),
                seed: rand(seed ^ number),
                notes: Notes::default(),
            };
            let acks = acks.clone();
            Some(thread::spawn(move || writer.write(&acks)))
        });
        let writers: Vec<_> = writers.collect();
        drop(acks);
        let times = self.kill(&mut daemon, end, &acknowledged);
        let times: BTreeSet<u64> = times.into_iter().chain(acknowledged).collect();
        if let Some(first) = times.first() {
            assert!(*first > self.latest, "times grow over restarts");
            let now = SystemTime::now().duration_since(UNIX_EPOCH);
            let hour_ago = now.expect("after 1970").as_millis() as u64 - 1000 * HOUR as u64;
            assert!(self.latest > 0 || *first < hour_ago, "its clock is late");
        }
        let notes = writers.into_iter();
        let notes: Vec<Notes> = notes
            .map(|writer| writer.join().expect("no panic"))
            .collect();
        let all: usize = notes.iter().map(|notes| notes.rows.len()).sum();
        self.acknowledged += times.len();
        assert!(times.len() >= all, "each has a time of its own");
        notes
    }

    /// Returns the acknowledgements until then.
    fn kill(&mut self, daemon: &mut Daemon, end: &End, acks: &Receiver<u64>) -> Vec<u64> {
        let mut times = Vec::new();
        match *end {
            End::InCall(_) => self.ends[0] += 1,
            End::After(count) => {
                times = acks.iter().take(count).collect();
                daemon.signal("KILL");
            }
            End::Stalled(what) => {
                times = acks.iter().take(64).collect();
                self.disk.stall(what);
                daemon.logged("the disk of the store does not answer");
                daemon.signal("KILL");
                self.ends[2] += 1;
            }
        }
        daemon.exited();
        if let End::Stalled(what) = *end {
            self.disk.go_on(what);
        }
        times
    }

    /// What a new daemon has is what was acknowledged, or what was under way.
    fn check(&mut self, notes: Vec<Notes>) {
        let (mut open, mut shown) = (BTreeMap::new(), BTreeMap::new());
        for notes in notes {
            self.known.extend(notes.rows);
            open.extend(notes.open);
            for (id, time) in notes.shown {
                let latest = shown.entry(id).or_insert(0);
                *latest = time.max(*latest);
            }
        }
        let daemon = self.daemon(0).expect("it starts again");
        let path = "/api/rooms/main/race/rows?from=0";
        let answer = daemon.ask("GET", path, "").json();
        let rows = answer["rows"].as_array().expect("rows").iter();
        let table: BTreeMap<&str, &Value> = rows
            .map(|row| (row[0].as_str().expect("an id"), row))
            .collect();
        for (id, time) in shown {
            let kept = table.get(id.as_str()).map(|row| updated(row));
            assert!(kept >= Some(time), "{id} was shown at {time}: {kept:?}");
        }
        for (id, (known, time)) in &mut self.known {
            let row = table
                .get(id.as_str())
                .unwrap_or_else(|| panic!("{id} is lost"));
            let text = row[1].as_str().expect("a text").to_owned();
            let now = row[4].is_null().then_some(text);
            let is_open = open.get(id) == Some(&now) && updated(row) > *time;
            assert!(
                is_open || (now == *known && updated(row) == *time),
                "{id} was {known:?} at {time}: {row}"
            );
            (*known, *time) = (now, updated(row));
        }
        let times: BTreeSet<u64> = table.values().map(|row| updated(row)).collect();
        assert_eq!(times.len(), table.len(), "no two rows have the same");
        self.latest = self.latest.max(times.last().copied().unwrap_or_default());
    }
}

fn race(rounds: u64, seed: u64) -> Race {
    let mut race = Race::new();
    for round in 0..rounds {
        race.round(round, rand(seed << 32 | round));
    }
    let [in_calls, starting, stalled] = race.ends;
    println!(
        "{rounds} kills under {WRITERS} writers to a room (SEED={seed}), {in_calls} in a call to the disk, {starting} of a daemon that began, {stalled} while the disk stalled: {} actions acknowledged, {} rows, none lost, the clock back by {} hours",
        race.acknowledged,
        race.known.len(),
        race.restarts
    );
    race
}

#[test]
fn three_kills_in_the_middle_of_writers_lose_no_row() {
    let race = race(3, 3);
    assert!(race.acknowledged > 0 && race.ends[0] + race.ends[1] > 0);
}

#[test]
#[ignore = "minutes: scripts/faults"]
fn twenty_kills_in_the_middle_of_writers_lose_no_row() {
    let seed = std::env::var("SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let race = race(20, seed.unwrap_or(1));
    assert!(race.ends[2] > 0, "the disk has stalled");
}
