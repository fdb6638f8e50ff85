//! A window of an app that keeps in step: it is told, pulls, and shows what it writes
//! before it has been answered.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::harness::{BOTH, Daemon, Response, Told, rand, revision};

/// One scenario's place in a daemon: a topic of its own.
pub struct Room<'a> {
    pub daemon: &'a Daemon,
    pub topic: String,
    /// Who made each revision that was acknowledged; empty for no name.
    pub writers: Mutex<BTreeMap<u64, String>>,
    opened: AtomicUsize,
}

impl<'a> Room<'a> {
    /// `turn` says which of the two ways is the first.
    pub fn new(daemon: &'a Daemon, topic: &str, turn: usize) -> Room<'a> {
        Room {
            daemon,
            topic: topic.to_owned(),
            writers: Mutex::default(),
            opened: AtomicUsize::new(turn),
        }
    }

    /// A room with a session that everybody has been told of.
    pub fn begun(daemon: &'a Daemon, topic: &str, turn: usize) -> Room<'a> {
        let room = Room::new(daemon, topic, turn);
        let mut told = room.told();
        let at = room.put("", json!(0));
        while revision(&told.json()) < at {}
        room
    }

    /// A request by whoever calls itself `by`; empty for no name.
    pub fn send(
        &self,
        by: &str,
        (method, tail, body): (&str, &str, &str),
        more: &[(&str, &str)],
    ) -> Response {
        let token = format!("Bearer {}", self.daemon.token);
        let mut headers = vec![("Authorization", &*token)];
        headers.retain(|(name, _)| more.iter().all(|(other, _)| other != name));
        headers.extend((!by.is_empty()).then_some(("Onlooker-Source-Id", by)));
        headers.extend(more);
        let path = format!("/api/topics/{}{tail}", self.topic);
        let answer = Response::to(self.daemon.connect(), method, &path, &headers, body);
        if answer.status < 300 && method != "GET" && method != "DELETE" {
            let body = answer.json();
            let at = body["serverRevision"]
                .as_u64()
                .unwrap_or_else(|| revision(&body));
            let mut writers = self.writers.lock().unwrap();
            writers.entry(at).or_insert_with(|| by.to_owned());
        }
        answer
    }

    /// Replaces the session.
    pub fn put(&self, by: &str, data: Value) -> u64 {
        let session = json!({"data": data, "config": {"speed": 1}}).to_string();
        let answer = self.send(by, ("PUT", "", &session), &[]);
        assert!(answer.status < 300, "{answer:?}");
        revision(&answer.json())
    }

    /// Merges fields.
    pub fn set(&self, by: &str, fields: Value) -> u64 {
        let answer = self.send(by, ("PATCH", "/config", &fields.to_string()), &[]);
        assert_eq!(answer.status, 200, "{answer:?}");
        revision(&answer.json())
    }

    /// What is fetched: `revision` and `data`.
    pub fn truth(&self) -> Value {
        self.send("", ("GET", "", ""), &[]).json()
    }

    /// Events of this room, and of the topic with which [`Room::is_quiet`] breaks a silence.
    pub fn told(&self) -> Told {
        let turn = self.opened.fetch_add(1, Ordering::Relaxed);
        let path = format!("/sync?topic={0}&topic={0}.after", self.topic);
        BOTH[turn % 2](self.daemon, &path)
    }

    /// Shows that nothing is told of the room by now.
    pub fn is_quiet(&self, told: &mut Told) {
        let turn = self.opened.fetch_add(1, Ordering::Relaxed);
        let after = Room::new(self.daemon, &format!("{}.after", self.topic), turn);
        let at = after.put("", json!(turn));
        loop {
            let event = told.json();
            assert_eq!(event["topic"], json!(after.topic), "nothing was to be told");
            if revision(&event) >= at {
                return;
            }
        }
    }

    /// Subscribes, then pulls.
    pub fn window(&self, name: &str) -> Window<'_> {
        let mut window = Window::new(self, name, self.told());
        window.asks(0);
        window.lands();
        window
    }

    /// A window that was here before, and shows what it showed.
    pub fn returning(&self, (held, session): (u64, Value)) -> Window<'_> {
        Window {
            held,
            session,
            ..Window::new(self, "window", self.told())
        }
    }

    /// A window that shows its own writes at once, and skips the events that bear its name.
    pub fn optimist(&self, name: &str) -> Window<'_> {
        let window = self.window(name);
        Window {
            skips_own: true,
            ..window
        }
    }
}

/// How bad a window's line is.
#[derive(Clone, Copy)]
pub struct Line {
    /// So many further events come while an answer is on its way.
    pub lag: usize,
    /// Of a hundred events so many are lost.
    pub lost: usize,
    /// And so many come twice.
    pub twice: usize,
}

/// One window, of one topic.
pub struct Window<'a> {
    pub room: &'a Room<'a>,
    name: String,
    pub told: Told,
    skips_own: bool,
    /// The revision of the last answer that was shown, and what is shown.
    pub held: u64,
    pub session: Value,
    pub pulls: usize,
    /// All events that came, with whose name.
    pub heard: Vec<(u64, Option<String>)>,
    /// An answer that is on its way; none in it for a failure.
    pub flight: Option<Option<Value>>,
    queued: bool,
}

impl<'a> Window<'a> {
    /// A window that has pulled nothing yet.
    pub fn new(room: &'a Room<'a>, name: &str, told: Told) -> Window<'a> {
        Window {
            room,
            name: name.to_owned(),
            told,
            skips_own: false,
            held: 0,
            session: Value::Null,
            pulls: 0,
            heard: Vec::new(),
            flight: None,
            queued: false,
        }
    }

    /// What is left of it when its connection has ended.
    pub fn shown(self) -> (u64, Value) {
        (self.held, self.session)
    }

    /// The next event from the line, which is as the protocol says and never goes back.
    pub fn next(&mut self) -> Value {
        let event = self.told.json();
        let text = event["revision"].as_str().unwrap_or_default();
        let at = revision(&event);
        assert_eq!(text, at.to_string(), "canonical: {event}");
        assert!(event["timestampMs"].is_u64(), "{event}");
        if event["topic"] == json!(self.room.topic) {
            let last = self.heard.last().map_or(0, |(at, _)| *at);
            assert!(at >= last, "told of {at} after {last}");
            let name = event["sourceId"].as_str().map(str::to_owned);
            self.heard.push((at, name));
        }
        event
    }

    /// An event: begins a pull, or queues one more while one runs.
    pub fn hears(&mut self, event: &Value) {
        let own = self.skips_own && event["sourceId"] == json!(self.name);
        let ours = event["topic"] == json!(self.room.topic);
        if ours && !own && revision(event) > self.held {
            self.asks(revision(event));
        }
    }

    /// Pulls, having been told of `at`. The answer lands when [`Window::lands`] lets it.
    pub fn asks(&mut self, at: u64) {
        if self.flight.is_some() {
            self.queued = true;
            return;
        }
        self.pulls += 1;
        let answer = self.room.send("", ("GET", "", ""), &[]);
        let found = (answer.status == 200).then(|| answer.json());
        if let Some(found) = &found {
            assert!(
                revision(found) >= at,
                "told of {at}, and could pull {found}"
            );
        }
        self.flight = Some(found);
    }

    /// What is on its way arrives, and what was queued behind it.
    pub fn lands(&mut self) {
        while let Some(answer) = self.flight.take() {
            if let Some(answer) = answer.filter(|answer| revision(answer) > self.held) {
                self.adopts(&answer);
            }
            if std::mem::take(&mut self.queued) {
                self.asks(0);
            }
        }
    }

    /// Shows an answer.
    pub fn adopts(&mut self, answer: &Value) {
        self.held = revision(answer);
        self.session = answer["data"].clone();
    }

    /// Whether it has not been told of this revision or a later one.
    pub fn is_behind(&self, at: u64) -> bool {
        self.heard.last().is_none_or(|(last, _)| *last < at)
    }

    /// Hears all up to a revision; what it pulls for that stays on its way.
    pub fn until(&mut self, at: u64) {
        while self.is_behind(at) {
            let event = self.next();
            self.hears(&event);
        }
    }

    /// Comes to rest where the topic is by now, and shows exactly that.
    pub fn settles(&mut self) {
        let truth = self.room.truth();
        self.until(revision(&truth));
        self.lands();
        assert_eq!(
            self.session, truth["data"],
            "{} shows something else than what is there",
            self.name
        );
        assert!(
            self.skips_own || self.held == revision(&truth),
            "{} is not at the revision that is there",
            self.name
        );
    }

    /// Follows on a bad line until all is calm, and then until it shows `end`.
    pub fn follow(&mut self, line: Line, calm: &AtomicBool, end: &Value) {
        while self.session["data"] != *end {
            let event = self.next();
            let calm = calm.load(Ordering::SeqCst);
            let times = match rand(self.heard.len() as u64) as usize % 100 {
                _ if calm => 1,
                dice if dice < line.lost => 0,
                dice if dice < line.lost + line.twice => 2,
                _ => 1,
            };
            (0..times).for_each(|_| self.hears(&event));
            if calm || self.heard.len().is_multiple_of(line.lag + 1) {
                self.lands();
            }
        }
    }

    /// Shows a field as it is to be, and writes it.
    pub fn taps(&mut self, field: &str, value: Value, more: &[(&str, &str)]) -> Response {
        self.session["config"][field] = value.clone();
        let body = json!({ field: value }).to_string();
        let room = self.room;
        room.send(&self.name, ("PATCH", "/config", &body), more)
    }

    /// Holds that no event bore the name of one writer and brought what another wrote.
    pub fn heard_true_names(&self) {
        let writers = self.room.writers.lock().unwrap();
        for pair in self.heard.windows(2) {
            let ((before, _), (at, Some(name))) = (&pair[0], &pair[1]) else {
                continue;
            };
            let brought = writers.range(before + 1..=*at);
            let others: Vec<_> = brought.filter(|(_, by)| *by != name).collect();
            assert!(
                others.is_empty(),
                "the event of {at} bears the name of {name:?}, and brings {others:?} as well"
            );
        }
    }
}
