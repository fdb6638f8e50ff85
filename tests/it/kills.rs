//! Kill -9 under writers that race: at any moment, in place of any call to the disk, and while
//! the disk stalls. Nothing that was acknowledged is lost, no viewer ever shows a mixture, and
//! all of them end at what the daemon has.

use std::collections::BTreeMap;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use serde_json::{Value, json};

use crate::harness::{Daemon, LIMIT, Response, Socket, rand, revision};

/// What is written as one: each has one value in several places of a session, or in one.
const CELLS: [(&str, &str, &str); 4] = [
    ("solo", "/config/solo", "/config/solo"),
    ("pair", "/config/left", "/config/right"),
    ("deep", "/config/deep", "/data/deep"),
    ("whole", "/config/whole", "/metadata/whole"),
];

type Cells = BTreeMap<&'static str, u64>;

/// The value of each cell; fails on a mixture.
fn cells(session: &Value) -> Cells {
    let at = |path| session.pointer(path).and_then(Value::as_u64);
    let cell = |(name, one, other)| {
        assert_eq!(at(one), at(other), "a mixture: {session}");
        (name, at(one).expect("a number"))
    };
    CELLS.into_iter().map(cell).collect()
}

/// How a writer writes; they race for the same cells.
#[derive(Clone, Copy)]
enum Kind {
    Field,
    Pair,
    Deep,
    Whole,
}

impl Kind {
    fn cells(self) -> &'static [&'static str] {
        match self {
            Kind::Field => &["solo"],
            Kind::Pair => &["pair"],
            Kind::Deep => &["deep"],
            Kind::Whole => &["solo", "pair", "deep", "whole"],
        }
    }

    fn request(self, value: u64) -> (&'static str, &'static str, Value) {
        match self {
            Kind::Field => (
                "PUT",
                "/api/topics/main/config/solo",
                json!({ "value": value }),
            ),
            Kind::Pair => (
                "PATCH",
                "/api/topics/main/config",
                json!({"left": value, "right": value}),
            ),
            Kind::Deep => (
                "PATCH",
                "/api/topics/main",
                json!({"data": {"deep": value}, "config": {"deep": value}}),
            ),
            Kind::Whole => ("PUT", "/api/topics/main", session(value)),
        }
    }
}

fn session(value: u64) -> Value {
    json!({
        "name": "main",
        "data": {"deep": value},
        "config": {"solo": value, "left": value, "right": value, "deep": value, "whole": value, "marker": 0},
        "metadata": {"whole": value},
    })
}

/// A request that was sent, and the revision if it was acknowledged.
struct Write {
    kind: Kind,
    value: u64,
    acknowledged: Option<u64>,
}

/// How requests reach a daemon that may be gone.
#[derive(Clone)]
struct Host {
    port: u16,
    token: String,
}

impl Host {
    fn of(daemon: &Daemon) -> Host {
        Host {
            port: daemon.port,
            token: format!("Bearer {}", daemon.token),
        }
    }

    fn connect(&self) -> Option<TcpStream> {
        let tcp = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        tcp.set_read_timeout(Some(LIMIT)).expect("a socket option");
        Some(tcp)
    }

    /// None when the daemon is gone before anything was sent; an answer that did not come whole
    /// has status 0.
    fn ask(&self, method: &str, path: &str, body: &str) -> Option<Response> {
        let headers = [("Authorization", self.token.as_str())];
        let mut answer = Response::to(self.connect()?, method, path, &headers, body);
        if answer.status != 204 && serde_json::from_str::<Value>(&answer.body).is_err() {
            answer.status = 0;
        }
        Some(answer)
    }

    /// Writes until the daemon is gone. Values are unlike any other.
    fn write(&self, kind: Kind, first: u64, acks: &Sender<u64>) -> Vec<Write> {
        let mut writes = Vec::new();
        for value in first.. {
            let (method, path, body) = kind.request(value);
            let Some(answer) = self.ask(method, path, &body.to_string()) else {
                break;
            };
            assert!([0, 200].contains(&answer.status), "{answer:?}");
            let acknowledged = (answer.status == 200).then(|| of_answer(&answer.json()));
            writes.push(Write {
                kind,
                value,
                acknowledged,
            });
            match acknowledged {
                Some(revision) => _ = acks.send(revision),
                None => break,
            }
        }
        writes
    }

    /// Makes a topic and deletes it until the daemon is gone; tells what may be left of it.
    fn make_and_delete(&self, first: u64, mut kept: Option<u64>) -> Vec<Option<u64>> {
        for value in first.. {
            for next in [Some(value), None] {
                let body = session(value).to_string();
                let (method, body) = match next {
                    Some(_) => ("PUT", body.as_str()),
                    None => ("DELETE", ""),
                };
                match self.ask(method, "/api/topics/fleeting", body) {
                    None => return vec![kept],
                    Some(answer) if answer.status == 0 => return vec![kept, next],
                    Some(answer) => assert!([200, 201, 204].contains(&answer.status), "{answer:?}"),
                }
                kept = next;
            }
        }
        vec![kept]
    }
}

/// In the answer for a field it is a number.
fn of_answer(answer: &Value) -> u64 {
    let number = answer["serverRevision"].as_u64();
    number.unwrap_or_else(|| revision(answer))
}

/// What a viewer shows; it comes back with what it has.
#[derive(Clone)]
struct Viewer {
    topic: &'static str,
    session: Value,
    revision: u64,
}

impl Viewer {
    fn new(topic: &'static str) -> Viewer {
        Viewer {
            topic,
            session: Value::Null,
            revision: 0,
        }
    }

    /// The answer when there is no such topic; none of both when the daemon is gone.
    fn open(&self, host: &Host) -> Option<Result<Socket, Response>> {
        let path = format!("/?topic={}&since={}", self.topic, self.revision);
        Some(Socket::try_open(host.connect()?, &path, &[]))
    }

    fn apply(&mut self, frame: &str) {
        let mut frame: Value = serde_json::from_str(frame).expect("JSON");
        let next = revision(&frame);
        assert!(
            next >= self.revision,
            "back from {}: {frame}",
            self.revision
        );
        self.revision = next;
        match frame["type"].as_str() {
            Some("session_update") => self.session = frame["payload"].take(),
            Some("config_update") => {
                let config = self.session["config"].as_object_mut();
                let config = config.expect("a session before its fields");
                config.extend(frame["payload"].as_object().expect("fields").clone());
            }
            _ => panic!("an unexpected frame: {frame}"),
        }
        cells(&self.session);
    }

    /// Shows what comes until the daemon is gone, and tells each revision.
    fn watch(mut self, host: &Host, shown: &Sender<u64>) -> Viewer {
        while let Some(opened) = self.open(host) {
            let Ok(mut socket) = opened else { continue };
            while let Some(text) = socket.text() {
                self.apply(&text);
                let _ = shown.send(self.revision);
            }
        }
        self
    }

    /// Shows what comes until the marker.
    fn follow(&mut self, mut socket: Socket, marker: u64) {
        while self.session["config"]["marker"] != marker {
            self.apply(&socket.text().expect("a message, not the end"));
        }
    }
}

/// How a daemon ends.
enum End {
    /// By a signal after so many acknowledged writes.
    After(usize),
    /// In place of a call to the disk.
    InCall(u64),
    /// By a signal while the disk takes no writes, or no syncs.
    Stalled(&'static str, usize),
}

impl End {
    fn pick(seed: u64) -> End {
        let count = rand(seed ^ 0xacc) % 100;
        match rand(seed) % 4 {
            0 => End::After(1 + count as usize),
            1 => End::Stalled("write", count as usize),
            2 => End::Stalled("sync", count as usize),
            _ => End::InCall(1 + rand(seed ^ 0xca11) % 500),
        }
    }
}

/// The store, and a disk under it that can be stopped.
pub struct Disk {
    folder: tempfile::TempDir,
    library: PathBuf,
}

impl Disk {
    pub fn new() -> Disk {
        let folder = tempfile::tempdir().expect("a directory");
        let library = folder.path().join("disk.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/kills/disk.c");
        let made = Command::new("cc")
            .args(["-shared", "-fPIC", "-o"])
            .args([&library, &source])
            .status();
        assert!(made.expect("cc, which links Rust too").success());
        Disk { folder, library }
    }

    fn start(&self, store: &str, kill_at: u64) -> Result<Daemon, String> {
        let store = self.folder.path().join(store);
        let args = [
            "--debounce",
            "5ms",
            "--store",
            store.to_str().expect("text"),
        ];
        self.spawn(kill_at, 0, &args)
    }

    /// A daemon that is killed in place of a call to the disk, if that is not 0, and whose clock is
    /// so many seconds from the right time.
    pub fn spawn(&self, kill_at: u64, clock: i64, args: &[&str]) -> Result<Daemon, String> {
        let (kill_at, clock) = (kill_at.to_string(), clock.to_string());
        let env = [
            ("LD_PRELOAD", self.library.as_os_str()),
            ("STALLS", self.folder().as_os_str()),
            ("KILL_AT", kill_at.as_ref()),
            ("CLOCK", clock.as_ref()),
        ];
        Daemon::spawn_in(&env, args)
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn stall(&self, what: &str) {
        std::fs::write(self.folder.path().join(what), "").expect("a file");
    }

    pub fn go_on(&self, what: &str) {
        std::fs::remove_file(self.folder.path().join(what)).expect("it stalls");
    }
}

/// What a topic has.
struct State {
    revision: u64,
    session: Value,
}

impl State {
    fn of(daemon: &Daemon, topic: &str) -> Option<State> {
        let answer = daemon.ask("GET", &format!("/api/topics/{topic}"), "");
        (answer.status != 404).then(|| State {
            revision: revision(&answer.json()),
            session: answer.json()["data"].take(),
        })
    }

    /// Each cell has the value of its last acknowledged write, or of one that was not answered.
    fn check(&self, before: &State, writes: &[Write]) {
        let before_cells = cells(&before.session);
        let last = writes.iter().filter_map(|write| write.acknowledged).max();
        assert!(self.revision >= last.unwrap_or(before.revision));
        for (cell, value) in cells(&self.session) {
            let writes = writes.iter();
            let of_cell = writes.filter(|write| write.kind.cells().contains(&cell));
            let (acknowledged, unanswered): (Vec<_>, Vec<_>) =
                of_cell.partition(|write| write.acknowledged.is_some());
            let last = acknowledged.iter().max_by_key(|write| write.acknowledged);
            let last = last.map_or(before_cells[cell], |write| write.value);
            let known = value == last || unanswered.iter().any(|write| write.value == value);
            assert!(known, "{cell}: {last} was acknowledged, {value} is kept");
        }
    }
}

/// What was seen in all rounds.
#[derive(Debug, Default)]
struct Seen {
    acknowledged: usize,
    by_signal: usize,
    in_calls: usize,
    while_starting: usize,
    stalled: usize,
    /// Viewers that had shown what was not kept.
    leaps: usize,
}

/// Rounds on one store.
struct Story {
    disk: Disk,
    viewers: Vec<Viewer>,
    main: State,
    /// What may be left of the other topic.
    fleeting: Vec<Option<u64>>,
    seen: Seen,
}

impl Story {
    fn begin() -> Story {
        let disk = Disk::new();
        let daemon = disk.start("store", 0).expect("it starts");
        daemon.put(&session(0).to_string());
        let topics = ["main", "main", "main", "main", "fleeting"];
        Story {
            main: State::of(&daemon, "main").expect("it has a session"),
            viewers: topics.map(Viewer::new).into(),
            fleeting: vec![None],
            disk,
            seen: Seen::default(),
        }
    }

    fn round(&mut self, round: u64, seed: u64) {
        let end = End::pick(seed);
        let kill_at = match end {
            End::InCall(call) => call,
            _ => 0,
        };
        let writes = match self.disk.start("store", kill_at) {
            Ok(daemon) => self.race(daemon, end, round, seed),
            Err(log) => {
                assert!(log.contains("signal: 9"), "{log}");
                self.seen.while_starting += 1;
                Vec::new()
            }
        };
        self.check(&writes, round);
    }

    /// Writers and viewers until the daemon is killed.
    fn race(&mut self, mut daemon: Daemon, end: End, round: u64, seed: u64) -> Vec<Write> {
        use Kind::{Deep, Field, Pair, Whole};
        // Without structural changes it is with deltas that viewers come back.
        let kinds = match rand(seed ^ 0x4b) % 2 {
            0 => [Field, Pair, Field, Pair],
            _ => [Field, Pair, Deep, Whole],
        };
        let host = &Host::of(&daemon);
        let first = |index: u64| (round * 10 + index) * 1_000_000 + 1;
        let ((acked, acks), (show, shown)) = (channel(), channel());
        let (kept, viewers) = (self.fleeting[0], std::mem::take(&mut self.viewers));
        thread::scope(|scope| {
            let writers = [0, 1, 2, 3].map(|index| {
                let (kind, acked) = (kinds[index], acked.clone());
                scope.spawn(move || host.write(kind, first(index as u64), &acked))
            });
            let fleeting = scope.spawn(|| host.make_and_delete(first(9), kept));
            let viewers = viewers.into_iter().map(|viewer| {
                let show = show.clone();
                scope.spawn(move || viewer.watch(host, &show))
            });
            let viewers: Vec<_> = viewers.collect();
            self.kill(&mut daemon, end, &acks, &shown);
            self.fleeting = fleeting.join().expect("the other topic's writer");
            let viewers = viewers.into_iter().map(|viewer| viewer.join());
            self.viewers = viewers.map(|viewer| viewer.expect("no mixture")).collect();
            let writes = writers.map(|writer| writer.join().expect("a writer"));
            writes.into_iter().flatten().collect()
        })
    }

    fn kill(&mut self, daemon: &mut Daemon, end: End, acks: &Receiver<u64>, shown: &Receiver<u64>) {
        let take = |count| {
            let next = |_| acks.recv_timeout(LIMIT).expect("an acknowledgement");
            (0..count).map(next).max().unwrap_or(0)
        };
        match end {
            End::InCall(_) => self.seen.in_calls += 1,
            End::After(count) => {
                take(count);
                daemon.signal("KILL");
                self.seen.by_signal += 1;
            }
            End::Stalled(what, count) => {
                let mut last = take(count);
                self.disk.stall(what);
                // Until a viewer shows what nobody was told is kept.
                while shown.recv_timeout(LIMIT).expect("changes are shown") <= last {
                    last = acks.try_iter().fold(last, u64::max);
                }
                daemon.signal("KILL");
                self.seen.stalled += 1;
            }
        }
        daemon.exited();
        if let End::Stalled(what, _) = end {
            self.disk.go_on(what);
        }
    }

    /// What was acknowledged is there, and viewers that come back end at what is there.
    fn check(&mut self, writes: &[Write], round: u64) {
        let mut daemon = self.disk.start("store", 0).expect("it starts again");
        let main = State::of(&daemon, "main").expect("it was kept");
        main.check(&self.main, writes);
        let fleeting = State::of(&daemon, "fleeting").map(|state| cells(&state.session)["whole"]);
        assert!(
            self.fleeting.contains(&fleeting),
            "{:?}, {fleeting:?}",
            self.fleeting
        );
        self.count(writes, &main);
        self.bring_back(&Host::of(&daemon), round);
        for viewer in &self.viewers {
            let now = State::of(&daemon, viewer.topic).expect("it has a session");
            assert_eq!(viewer.session, now.session, "{}", viewer.topic);
        }
        self.main = State::of(&daemon, "main").expect("it has a session");
        daemon.signal("KILL");
        daemon.exited();
    }

    fn count(&mut self, writes: &[Write], main: &State) {
        let (answered, unanswered): (Vec<_>, Vec<_>) = writes
            .iter()
            .partition(|write| write.acknowledged.is_some());
        self.seen.acknowledged += answered.len();
        let kept = cells(&main.session);
        let leaps = self.viewers.iter().filter(|viewer| {
            let mut shown = cells(&viewer.session).into_iter();
            viewer.topic == "main"
                && shown.any(|(cell, value)| {
                    kept[cell] != value && unanswered.iter().any(|write| write.value == value)
                })
        });
        self.seen.leaps += leaps.count();
    }

    /// Viewers come back before a field is written, or after it.
    fn bring_back(&mut self, host: &Host, round: u64) {
        let ask = |method, path: &str, body: Value| {
            let answer = host
                .ask(method, path, &body.to_string())
                .expect("it is there");
            assert!([200, 201].contains(&answer.status), "{answer:?}");
        };
        let value = (round * 10 + 8) * 1_000_000;
        ask("PUT", "/api/topics/fleeting", session(value));
        self.fleeting = vec![Some(value)];
        let open = |viewer: &Viewer| viewer.open(host).expect("it is there").expect("a topic");
        let early = round
            .is_multiple_of(2)
            .then(|| self.viewers.iter().map(open).collect());
        let marker = round + 1;
        for topic in ["main", "fleeting"] {
            let path = format!("/api/topics/{topic}/config/marker");
            ask("PUT", &path, json!({ "value": marker }));
        }
        let sockets: Vec<Socket> = early.unwrap_or_else(|| self.viewers.iter().map(open).collect());
        for (viewer, socket) in self.viewers.iter_mut().zip(sockets) {
            viewer.follow(socket, marker);
        }
    }
}

fn tell(seed: u64, rounds: u64) -> Seen {
    let mut story = Story::begin();
    for round in 0..rounds {
        story.round(round, rand(seed << 32 | round));
    }
    println!(
        "seed {seed}, {rounds} kills under racing writers: {:?}",
        story.seen
    );
    story.seen
}

#[test]
fn no_kill_loses_what_was_acknowledged_or_leaves_a_mixture() {
    let seen = tell(1, 12);
    assert!(
        seen.acknowledged > 0 && seen.stalled > 0 && seen.in_calls > 0,
        "{seen:?}"
    );
}

#[test]
#[ignore = "minutes: scripts/faults"]
fn three_hundred_kills() {
    let seed = std::env::var("SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let seen = tell(seed.unwrap_or(2), 300);
    assert!(
        seen.leaps > 0,
        "viewers had shown what the disk never had: {seen:?}"
    );
}

/// However far the making of a store came, the next start makes or finishes it.
#[test]
#[ignore = "minutes: scripts/faults"]
fn a_store_that_was_killed_while_it_was_made() {
    let disk = Disk::new();
    let (mut lost, mut kills) = (Vec::new(), 0);
    for call in 1.. {
        let store = format!("store-{call}");
        let first = disk.start(&store, call);
        // It may be ready by then, and be killed in its first write.
        if let Ok(mut daemon) = first {
            let answered = Host::of(&daemon).ask("PUT", "/api/topics/main", "1");
            if answered.is_some_and(|answer| answer.status == 201) {
                break;
            }
            daemon.exited();
        }
        kills += 1;
        if let Err(log) = disk.start(&store, 0) {
            lost.push(format!("in call {call}: {log}"));
        }
    }
    println!(
        "{kills} kills while a store was made or first written to: {} not accepted later",
        lost.len()
    );
    assert!(lost.is_empty(), "{}", lost.join("\n"));
}
