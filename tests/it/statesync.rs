//! The scenarios of statesync, a library that keeps the windows of an app in step: windows
//! are told over `/sync`, pull over HTTP, and show what they write before it is answered.
//! Every scenario is played with changes that leave at once and after the default pause.

mod window;

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::{Value, json};

use self::window::{Line, Room, Window};
use super::harness::{BOTH, Daemon, Events, Socket, Told, masked, opcode::*, revision};

const PAUSES: [(&str, &[&str]); 2] = [
    ("at once", &["--debounce", "0"]),
    ("after the default pause", &[]),
];
const FIELDS: &str = "[fields]\nspeed = { type = \"number\", min = 0, max = 100 }\n";
/// Without pings, whoever waits in vain fails. With less room, whoever falls behind because of
/// what others write is told once more where everything is.
const FLAGS: [&str; 6] = [
    "--max-session",
    "256KiB",
    "--ping",
    "1h",
    "--capacity",
    "4096",
];

type Scenario = (&'static str, fn(&Room));

const fn scene(name: &'static str, play: fn(&Room)) -> Scenario {
    (name, play)
}

/// Plays all scenarios side by side, each in a room of its own, and names those that fail.
fn play<S: Sync>(scenarios: &[(&str, S)], run: impl Fn(&Room, &S) + Sync) {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("onlooker.toml");
    std::fs::write(&path, FIELDS).unwrap();
    let config = ["--config", path.to_str().unwrap()];
    let (mut failed, run) = (Vec::new(), &run);
    for (turn, (pause, flags)) in PAUSES.into_iter().enumerate() {
        let daemon = &Daemon::with(&[flags, &config, &FLAGS].concat());
        thread::scope(|scope| {
            let mut running = Vec::new();
            for (number, (name, scenario)) in scenarios.iter().enumerate() {
                let topic = format!("room{number}");
                let play = move || run(&Room::begun(daemon, &topic, turn), scenario);
                let name = format!("{name}, {pause}");
                let thread = thread::Builder::new().name(name.clone());
                running.push((name, thread.spawn_scoped(scope, play).unwrap()));
            }
            for (name, thread) in running {
                failed.extend(thread.join().is_err().then_some(name));
            }
        });
    }
    assert!(failed.is_empty(), "failed: {failed:#?}");
}

/// The rows of a table: a name and its cells.
fn table(text: &str) -> Vec<(&str, Vec<&str>)> {
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    let rows = lines.map(|line| {
        let (name, cells) = line.split_once('|').unwrap();
        (name.trim(), cells.split('|').map(str::trim).collect())
    });
    rows.collect()
}

/// How many windows there are, and how many of them join before the last wave; writers, waves, and
/// the writes of each in a wave; the lag of each window's line, and how many of a hundred events
/// are lost and how many come twice.
const STORMS: &str = "
    one writes, the other shows it           |  2 0 | 1  1   1 | 0  0   0
    one writes, two others show it           |  3 0 | 1  1   1 | 0  0   0
    one write and ten windows                | 10 0 | 1  1   1 | 0  0   0
    a window alone                           |  1 0 | 1  1   3 | 0  0   0
    two write in turns                       |  2 0 | 2 10   1 | 0  0   0
    two write at the same time               |  2 0 | 2  1   1 | 0  0   0
    a burst of three                         |  3 0 | 3  1   5 | 0  0   0
    a burst, a calm, a burst                 |  2 0 | 1  2  10 | 0  0   0
    a hundred writes                         |  2 0 | 1  1 100 | 0  0   0
    five windows and fifty writes            |  5 0 | 5  1  10 | 0  0   0
    one joins between two bursts             |  2 1 | 1  2   5 | 0  0   0
    six windows open while one writes        |  0 6 | 1  1   1 | 0  0   0
    fast writes and slow answers             |  2 0 | 1  1   5 | 3  0   0
    a longer burst and slow answers          |  2 0 | 1  1  30 | 2  0   0
    answers that take long                   |  3 0 | 3  1   7 | 5  0   0
    answers that take very long              |  2 0 | 1  1  20 | 9  0   0
    all fetch at the same time               |  4 0 | 1  1   1 | 4  0   0
    five panels and some changes             |  5 0 | 2  2   2 | 2  0   0
    seven panels and their writers           |  7 0 | 5  3   1 | 2  0   0
    every event comes twice                  |  2 0 | 1  3   1 | 0  0 100
    a third of the events is lost            |  2 0 | 1  1  50 | 0 30   0
    some are lost and some come twice        |  3 0 | 3  1  14 | 3 20  30
    nothing about the line is good           |  2 0 | 2  1  10 | 5 30  20
    three join in the middle of it           |  2 3 | 2  2  13 | 3  0   0
";

/// Plays a row, and returns the windows when all show the truth.
fn storm<'a>(room: &'a Room<'a>, cells: &[&str]) -> Vec<Window<'a>> {
    let numbers = cells.iter().flat_map(|cell| cell.split_whitespace());
    let numbers: Vec<usize> = numbers.map(|number| number.parse().unwrap()).collect();
    let &[early, late, writers, waves, writes, lag, lost, twice] = &numbers[..] else {
        panic!("eight numbers, got {numbers:?}");
    };
    let line = Line { lag, lost, twice };
    let (calm, end) = (&AtomicBool::new(false), &json!("the end"));
    let open = |number| room.window(&format!("window {number}"));
    let follow = |mut window: Window<'a>| {
        window.follow(line, calm, end);
        window
    };
    let mut watcher = room.window("watcher");
    let windows: Vec<_> = (0..early).map(open).collect();
    let mut windows: Vec<_> = thread::scope(|scope| {
        let follows = windows
            .into_iter()
            .map(|window| scope.spawn(move || follow(window)));
        let mut running: Vec<_> = follows.collect();
        for wave in 0..waves {
            watcher.settles();
            if wave + 1 == waves {
                let joins = early..early + late;
                running.extend(joins.map(|number| scope.spawn(move || follow(open(number)))));
            }
            write(room, writers, writes, wave);
        }
        calm.store(true, Ordering::SeqCst);
        room.put("", end.clone());
        running
            .into_iter()
            .map(|window| window.join().unwrap())
            .collect()
    });
    windows.iter_mut().for_each(Window::settles);
    windows
}

fn write(room: &Room, writers: usize, writes: usize, wave: usize) {
    let write = |writer| {
        for count in 0..writes {
            room.put(&format!("window {writer}"), json!([wave, writer, count]));
        }
    };
    thread::scope(|scope| {
        for writer in 0..writers {
            scope.spawn(move || write(writer));
        }
    });
}

#[test]
fn many_windows_converge() {
    play(&table(STORMS), |room, cells| drop(storm(room, cells)));
}

#[test]
fn no_event_hides_what_another_wrote() {
    let several = |(_, cells): &(&str, Vec<&str>)| !cells[1].starts_with('1');
    let rows: Vec<_> = table(STORMS).into_iter().filter(several).collect();
    play(&rows, |room, cells| {
        storm(room, cells).iter().for_each(Window::heard_true_names);
    });
}

const PULLED: &[Scenario] = &[
    scene("who joins late has the newest at once", |room| {
        for n in 1..=3 {
            room.put("a", json!(n));
        }
        let mut late = room.window("late");
        late.settles();
        assert_eq!((&late.session["data"], late.pulls), (&json!(3), 1));
    }),
    scene("a write between subscribing and pulling", |room| {
        let mut window = Window::new(room, "window", room.told());
        room.put("a", json!(1));
        window.asks(0);
        window.settles();
    }),
    scene("a write while the first answer is on its way", |room| {
        let mut window = Window::new(room, "window", room.told());
        window.asks(0);
        room.put("a", json!(1));
        window.settles();
        assert_eq!(window.pulls, 2);
    }),
    scene("without writes there are one pull and silence", |room| {
        for mut window in ["a", "b", "c"].map(|name| room.window(name)) {
            window.settles();
            room.is_quiet(&mut window.told);
            assert_eq!(window.pulls, 1);
        }
    }),
    scene("the same content again is no news", |room| {
        let mut window = room.window("window");
        let at = room.put("a", json!("same"));
        window.settles();
        (0..3).for_each(|_| assert_eq!(room.put("a", json!("same")), at));
        room.is_quiet(&mut window.told);
    }),
    scene("each answers the write of the one before", |room| {
        let mut windows = ["a", "b", "c", "d"].map(|name| room.window(name));
        for (turn, window) in windows.iter_mut().enumerate() {
            window.settles();
            assert_eq!(window.session["data"], json!(turn));
            room.put("", json!(turn + 1));
        }
        windows.iter_mut().for_each(Window::settles);
    }),
    scene("who goes away while it pulls disturbs nobody", |room| {
        let (mut stays, mut leaves) = (room.window("stays"), room.window("leaves"));
        leaves.until(room.put("stays", json!(1)));
        drop(leaves);
        room.put("stays", json!(2));
        stays.settles();
    }),
    scene("events in reverse order cost one pull", |room| {
        let (mut window, mut events) = (room.window("window"), Vec::new());
        for n in 1..=3 {
            let at = room.put("a", json!(n));
            while window.is_behind(at) {
                events.push(window.next());
            }
        }
        for event in events.iter().rev() {
            window.hears(event);
            window.lands();
        }
        window.settles();
        assert_eq!(window.pulls, 2);
    }),
    scene("the next event makes up for a lost answer", |room| {
        let mut window = room.window("window");
        for n in 1..=4 {
            window.until(room.put("a", json!(n)));
            if n % 2 == 1 {
                window.flight = Some(None);
            }
            window.lands();
            assert_eq!(window.session["data"] == json!(n), n % 2 == 0);
        }
        window.settles();
    }),
    scene("who pulls before there is anything is told", |room| {
        let later = Room::new(room.daemon, &format!("{}.later", room.topic), 0);
        for mut window in ["a", "b"].map(|name| later.window(name)) {
            assert_eq!(window.held, 0);
            later.put("a", json!("first"));
            window.settles();
            assert_eq!(window.session["data"], json!("first"));
        }
    }),
    scene("any number of events queue one more pull", |room| {
        let mut window = room.window("window");
        window.asks(0);
        for n in 1..=20 {
            let at = room.put("a", json!(n));
            if n % 7 == 0 {
                window.until(at);
            }
        }
        window.settles();
        assert_eq!(window.pulls, 3);
    }),
    scene("a large session arrives whole", |room| {
        let item = |n| json!({"id": n, "name": format!("{n:0100}"), "value": n as f64 / 7.0});
        let mut windows = ["a", "b"].map(|name| room.window(name));
        room.put("a", (0..1000).map(item).collect());
        windows.iter_mut().for_each(Window::settles);
        assert_eq!(windows[1].session["data"][999], item(999));
    }),
    scene("a window of one field pulls that field", |room| {
        let mut window = room.window("window");
        let at = room.set("a", json!({"speed": 7}));
        window.until(at);
        let field = room.send("", ("GET", "/config/speed", ""), &[]).json();
        assert_eq!(field, json!({"value": 7, "serverRevision": at}));
    }),
    scene("a batch of fields is one event", |room| {
        let mut window = room.window("window");
        window.settles();
        let at = room.set("a", json!({"speed": 2, "color": "red", "on": true}));
        window.settles();
        assert_eq!(window.heard[1..], [(at, Some("a".to_owned()))]);
        room.is_quiet(&mut window.told);
    }),
    scene("topics do not cross", |room| {
        let other = Room::begun(room.daemon, &format!("{}.other", room.topic), 1);
        let (mut here, mut there) = (room.window("w"), other.window("w"));
        there.settles();
        room.put("w", json!("here"));
        here.settles();
        other.is_quiet(&mut there.told);
        assert_eq!(there.session["data"], json!(0));
    }),
    scene("one line tells of two topics", |room| {
        let other = Room::begun(room.daemon, &format!("{}.other", room.topic), 1);
        let path = format!("/sync?topic={}&topic={}", room.topic, other.topic);
        for open in BOTH {
            let mut here = Window::new(room, "here", open(room.daemon, &path));
            let mut there = other.window("there");
            let ends = [room, &other].map(|room| room.put("a", json!(here.pulls + 1)));
            let mut told = false;
            while here.is_behind(ends[0]) || !told {
                let event = here.next();
                here.hears(&event);
                there.hears(&event);
                told |= event["topic"] == json!(other.topic) && revision(&event) >= ends[1];
            }
            here.settles();
            there.lands();
            assert_eq!(there.held, ends[1]);
        }
    }),
];

#[test]
fn who_is_told_pulls_and_shows_the_truth() {
    play(PULLED, |room, scenario| scenario(room));
}

const WRITTEN: &[Scenario] = &[
    scene("a confirmed write is not pulled", |room| {
        let (mut writer, mut other) = (room.optimist("writer"), room.window("other"));
        let answer = writer.taps("speed", json!(5), &[]);
        writer.adopts(&answer.json());
        writer.settles();
        other.settles();
        assert_eq!((writer.pulls, other.pulls), (1, 2));
    }),
    scene("who skips its own events still hears of others", |room| {
        let (mut a, mut b) = (room.optimist("a"), room.optimist("b"));
        for n in 1..=5 {
            let answer = a.taps("speed", json!(n), &[]);
            a.adopts(&answer.json());
            let answer = b.taps("size", json!(n), &[]);
            b.adopts(&answer.json());
        }
        a.settles();
        b.settles();
    }),
    scene("two writers of two fields in one pause", |room| {
        let (mut a, mut b) = (room.optimist("a"), room.optimist("b"));
        a.taps("speed", json!(5), &[]);
        b.taps("size", json!(6), &[]);
        a.settles();
        b.settles();
    }),
    scene("a named write after a nameless one", |room| {
        let mut named = room.optimist("named");
        room.set("", json!({"size": 6}));
        named.taps("speed", json!(5), &[]);
        named.settles();
    }),
    scene("two writes of one writer bear its name", |room| {
        let (mut writer, mut other) = (room.optimist("writer"), room.window("other"));
        other.settles();
        (2..=3).for_each(|n| drop(writer.taps("speed", json!(n), &[])));
        other.settles();
        let name = Some("writer".to_owned());
        assert!(
            other.heard[1..].iter().all(|(_, who)| *who == name),
            "{:?}",
            other.heard
        );
    }),
    scene("there and back in one pause is told", |room| {
        let mut window = room.window("window");
        let there = room.set("a", json!({"speed": 2}));
        let back = room.set("a", json!({"speed": 1}));
        window.settles();
        assert!(back > there && window.held == back);
    }),
    scene("there and back in one pause reaches a viewer", |room| {
        let mut viewer = room.daemon.socket(&format!("/?topic={}", room.topic), &[]);
        viewer.json();
        room.set("a", json!({"speed": 2}));
        let back = room.set("b", json!({"speed": 1}));
        let mut frame = viewer.json();
        while revision(&frame) < back {
            frame = viewer.json();
        }
        assert_eq!(frame["payload"], json!({"speed": 1}));
        assert_eq!(frame["origins"]["speed"]["sourceId"], json!("b"));
    }),
    scene("a race is won once, and who lost tries again", |room| {
        let (mut a, mut b) = (room.optimist("a"), room.optimist("b"));
        let tag = format!("\"{}\"", a.held);
        let won = a.taps("speed", json!(5), &[("If-Match", &tag)]).json();
        a.adopts(&won);
        let lost = b.taps("speed", json!(6), &[("If-Match", &tag)]);
        assert_eq!(
            (lost.status, &lost.json()["revision"]),
            (412, &won["revision"])
        );
        b.asks(0);
        b.lands();
        assert_eq!(b.session, a.session, "what was lost is taken back");
        let tag = format!("\"{}\"", b.held);
        let won = b.taps("speed", json!(6), &[("If-Match", &tag)]).json();
        b.adopts(&won);
        a.settles();
        b.settles();
    }),
    scene("one write is accepted and the next refused", |room| {
        let mut writer = room.optimist("writer");
        let at = revision(&writer.taps("speed", json!(5), &[]).json());
        assert_eq!(writer.taps("speed", json!(500), &[]).status, 422);
        writer.until(at + 1);
        writer.settles();
    }),
    scene("what another is refused does not lose a race", |room| {
        let (writer, other) = (room.window("writer"), room.window("other"));
        let refused = ("PATCH", "/config", r#"{"speed":500}"#);
        assert_eq!(room.send("other", refused, &[]).status, 422);
        let tag = format!("\"{}\"", writer.held);
        let change = ("PATCH", "/config", r#"{"speed":5}"#);
        for status in [200, 412] {
            let answer = room.send("writer", change, &[("If-Match", &tag)]);
            assert_eq!(answer.status, status, "{answer:?}");
        }
        [writer, other].iter_mut().for_each(Window::settles);
    }),
];

#[test]
fn who_shows_first_and_asks_afterwards_ends_on_the_truth() {
    play(WRITTEN, |room, scenario| scenario(room));
}

/// Method, path, media type, body, status. A body of LARGE fits, one of LARGER does not.
const REFUSED: &str = r#"
    JSON that is no session         | PUT   |               | json            | {"config":1}                             | 422
    a field out of its range        | PATCH | /config       | json            | {"speed":500}                            | 422
    a field of another type         | PUT   | /config/speed | json            | {"value":"fast"}                         | 422
    a field without its value       | PUT   | /config/speed | json            | {}                                       | 422
    a merge patch that is none      | PATCH |               | json            | [1]                                      | 422
    a test that does not hold       | PATCH |               | json-patch+json | [{"op":"test","path":"/data","value":9}] | 422
    a patch that makes it too large | PATCH |               | json            | {"metadata":"LARGE"}                     | 413
    a body that is too large        | PUT   |               | json            | "LARGER"                                 | 413
"#;

#[test]
fn who_is_refused_is_told_without_its_name() {
    play(&table(REFUSED), |room, cells| {
        let before = room.put("", json!(".".repeat(1000)));
        let (mut writer, mut other) = (room.optimist("writer"), room.window("other"));
        other.settles();
        writer.session["config"]["speed"] = json!(99);
        let body = cells[3].replace("LARGER", &"x".repeat(263_000));
        let body = body.replace("LARGE", &"x".repeat(262_000));
        let kind = format!("application/{}", cells[2]);
        let request = (cells[0], cells[1], &*body);
        let answer = room.send("writer", request, &[("Content-Type", &kind)]);
        assert_eq!(answer.status.to_string(), cells[4], "{answer:?}");
        other.until(before + 1);
        assert_eq!(other.heard.last().unwrap().1, None, "whose name is told");
        other.settles();
        writer.settles();
    });
}

/// Method, path, a header, body, status.
const SILENT: &str = r#"
    what is no JSON                        | PUT    |              | Accept        | */*                  | {"data":    | 400
    fields that are no JSON                | PATCH  | /config      | Accept        | */*                  | speed=2     | 400
    without a token                        | PATCH  | /config      | Authorization |                      | {"speed":2} | 401
    with a wrong token                     | PATCH  | /config      | Authorization | Bearer wrong         | {"speed":2} | 401
    from a page elsewhere                  | PATCH  | /config      | Origin        | https://evil.example | {"speed":2} | 403
    where nothing is                       | PATCH  | /nothing     | Accept        | */*                  | {"speed":2} | 404
    to a topic that is not there           | PATCH  | .none/config | Accept        | */*                  | {"speed":2} | 404
    with a method that does not fit        | POST   | /config      | Accept        | */*                  | {"speed":2} | 405
    at a revision that has passed          | PATCH  | /config      | If-Match      | "1"                  | {"speed":2} | 412
    a delete at a revision that has passed | DELETE |              | If-Match      | "1"                  | {"speed":2} | 412
    a pull of what is known                | GET    |              | If-None-Match | *                    | {"speed":2} | 304
"#;

#[test]
fn what_is_turned_away_is_told_to_nobody() {
    play(&table(SILENT), |room, cells| {
        let mut window = room.window("window");
        window.settles();
        let request = (cells[0], cells[1], cells[4]);
        let answer = room.send("window", request, &[(cells[2], cells[3])]);
        assert_eq!(answer.status.to_string(), cells[5], "{answer:?}");
        room.is_quiet(&mut window.told);
        assert_eq!(room.truth()["revision"], json!(window.held.to_string()));
    });
}

const RETURNS: &[Scenario] = &[
    scene("who was away pulls once", |room| {
        let shown = room.window("window").shown();
        for n in 1..=4 {
            room.put("a", json!(n));
        }
        let mut window = room.returning(shown);
        window.settles();
        assert_eq!(window.pulls, 1);
    }),
    scene("who was away while nothing happened", |room| {
        let mut window = room.returning(room.window("window").shown());
        window.settles();
        assert_eq!(window.pulls, 0);
    }),
    scene("a topic comes back newer, its end is not told", |room| {
        let mut window = room.window("window");
        window.settles();
        assert_eq!(room.send("a", ("DELETE", "", ""), &[]).status, 204);
        room.is_quiet(&mut window.told);
        window.asks(0);
        window.lands();
        assert_eq!(window.session["data"], json!(0), "kept where nothing is");
        assert!(room.put("a", json!(0)) > window.held);
        window.settles();
    }),
];

#[test]
fn who_comes_back_ends_on_the_truth() {
    play(RETURNS, |room, scenario| scenario(room));
}

/// Ends a daemon right after a write, and starts the next one.
fn restarted(flags: &[&str], signal: &str) -> (Daemon, (u64, Value), Value) {
    let mut daemon = Daemon::with(flags);
    let room = Room::begun(&daemon, "main", 0);
    let shown = room.window("window").shown();
    let body = r#"{"value":5,"deviceId":7,"localRevision":3}"#;
    let written = room.send("a", ("PUT", "/config/speed", body), &[]).json();
    daemon.signal(signal);
    daemon.exited();
    (Daemon::with(flags), shown, written)
}

/// Tries each way to end, with and without a pause before it, with and without a store.
fn restarts(check: impl Fn(&mut Window, &Value, bool)) {
    for ((pause, flags), signal) in PAUSES.into_iter().zip(["TERM", "KILL"]) {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("store");
        for store in [&[][..], &["--store", store.to_str().unwrap()]] {
            println!("{pause}, {signal}, {store:?}");
            let (daemon, shown, written) = restarted(&[flags, store, &FLAGS].concat(), signal);
            let room = Room::new(&daemon, "main", 0);
            check(&mut room.returning(shown), &written, !store.is_empty());
        }
    }
}

#[test]
fn a_restart_loses_nobody() {
    restarts(|window, written, stored| {
        if !stored {
            window.asks(0);
            window.lands();
            let kept = &window.session["config"]["speed"];
            assert_eq!(*kept, json!(1), "kept where nothing is");
            let again = window.room.put("a", json!(0));
            assert!(Some(again) > written["serverRevision"].as_u64());
        }
        window.settles();
        let kept = written["serverRevision"].as_u64().unwrap();
        // After a kill it is greater: what was lost may have been shown.
        assert!(!stored || window.held >= kept, "{} of {kept}", window.held);
    });
}

#[test]
fn a_restart_keeps_the_names_that_were_stored() {
    restarts(|window, written, stored| {
        let field = window.room.send("", ("GET", "/config/speed", ""), &[]);
        if stored {
            assert_eq!(field.json(), *written);
        } else {
            assert_eq!(field.status, 404);
        }
    });
}

#[test]
fn a_slow_reader_is_not_told_a_name_for_what_two_wrote() {
    const WRITES: usize = 16_000;
    let topic = "t".repeat(122);
    let daemon = Daemon::with(&["--debounce", "0", "--ping", "1h", "--topic", &topic]);
    let room = Room::begun(&daemon, &topic, 0);
    let mut slow = Window::new(&room, "slow", Told::socket(&daemon, "/sync"));
    let token = format!("Bearer {}", daemon.token);
    let mut host = daemon.socket("/host", &[("Authorization", &token)]);
    let names = ["a", "b"].map(|name| name.repeat(128));
    let mut last = 0;
    for chunk in (0..WRITES).collect::<Vec<_>>().chunks(250) {
        let update = |count: &usize| {
            let name = &names[count % 2];
            let update =
                json!({"type": "config_update", "payload": {"speed": count}, "sourceId": name});
            masked(FIN | TEXT, update.to_string().as_bytes())
        };
        host.send(&chunk.iter().flat_map(update).collect::<Vec<u8>>());
        for count in chunk {
            last = revision(&host.json());
            let name = names[count % 2].clone();
            room.writers.lock().unwrap().insert(last, name);
        }
    }
    while slow.is_behind(last) {
        slow.next();
    }
    let told = slow.heard.len();
    assert!(told < WRITES, "{told} events: none waited");
    slow.heard_true_names();
}

#[test]
fn a_window_too_many_is_turned_away() {
    let daemon = Daemon::with(&["--max-viewers", "1"]);
    let mut first = daemon.socket("/sync", &[]);
    let Err(refused) = Socket::try_open(daemon.connect(), "/sync", &[]) else {
        panic!("there is no place for a second one");
    };
    assert_eq!(refused.status, 503);
    assert_eq!(Events::open(&daemon, "/sync", &[]).head.status, 503);
    let at = daemon.put("1");
    assert_eq!(revision(&first.json()), at);
}
