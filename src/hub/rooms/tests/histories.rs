//! Random histories of rooms on a disk that stalls, is full, fails and is found again, with people
//! who come and go: nothing acknowledged is lost, nothing lost is shown, times only grow, and in the
//! end everybody has what the room has, and the file too.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::store::{ahead, until};
use super::*;
use crate::hub::StoreFailure;

#[derive(Clone, Debug)]
enum Step {
    Act(usize, usize, Ask),
    /// The disk does what it has to do, if it is not held.
    Pass,
    /// Somebody takes all that it is told.
    Read(usize),
    /// A connection breaks, and its client comes back.
    Back(usize),
    /// So many seconds go by.
    Wait(u64),
    Hold(bool),
    Full(bool),
    FailAfter(u32),
    /// The process dies: what was written is on the disk, whether it was synced or not.
    Kill,
    Stop,
}

#[derive(Clone, Debug)]
enum Ask {
    Create(u8),
    Update(u8),
    Delete(u8),
    DeleteAll,
}

const PEOPLE: usize = 3;
const CHANNELS: [&str; 2] = ["todos", "notes"];

fn step() -> impl Strategy<Value = Step> {
    let (who, channel) = (0..PEOPLE, 0..CHANNELS.len());
    let ask = prop_oneof![
        4 => (0..5u8).prop_map(Ask::Create),
        4 => (0..5u8).prop_map(Ask::Update),
        2 => (0..5u8).prop_map(Ask::Delete),
        1 => Just(Ask::DeleteAll),
    ];
    prop_oneof![
        10 => (who.clone(), channel, ask).prop_map(|(who, channel, ask)| Step::Act(who, channel, ask)),
        5 => Just(Step::Pass),
        5 => who.clone().prop_map(Step::Read),
        2 => who.prop_map(Step::Back),
        1 => prop_oneof![Just(1u64), Just(9u64)].prop_map(Step::Wait),
        2 => any::<bool>().prop_map(Step::Hold),
        2 => any::<bool>().prop_map(Step::Full),
        2 => (0..6u32).prop_map(Step::FailAfter),
        1 => Just(Step::Kill),
        1 => Just(Step::Stop),
    ]
}

/// A page of the room, and what its actions that have no reply yet had to do.
#[derive(Default)]
struct Page {
    rows: [Rows; CHANNELS.len()],
    waiting: BTreeMap<u64, Waiting>,
}

/// An action without a reply.
struct Waiting {
    /// What it writes, unlike any other; none: it deletes.
    text: Option<String>,
    /// The latest time that anybody had seen when it was asked for.
    seen: u64,
}

struct World {
    options: HubOptions,
    house: House,
    people: Vec<(Person, Page)>,
    asked: u64,
    /// The latest versions that were acknowledged.
    acknowledged: [Rows; CHANNELS.len()],
    /// What was written by actions that were taken back.
    lost: BTreeSet<String>,
    seen: u64,
    is_held: bool,
}

impl World {
    fn new(options: HubOptions, is_ahead: bool) -> World {
        let disk = Disk::default();
        let seen = if is_ahead { ahead(&disk) } else { 0 };
        let house = House::on(&options, Some(disk));
        let mut world = World {
            options,
            house,
            people: Vec::new(),
            asked: 0,
            acknowledged: Default::default(),
            lost: BTreeSet::new(),
            seen,
            is_held: false,
        };
        for who in 0..PEOPLE {
            let person = world.come(who);
            world.people.push((person, Page::default()));
        }
        world
    }

    fn come(&self, who: usize) -> Person {
        self.house.person(Some(&format!("client {who}")))
    }

    fn serves(&self) -> bool {
        self.options.store_failure == StoreFailure::Serve
    }

    async fn take(&mut self, step: &Step) {
        match step {
            Step::Act(who, channel, ask) => self.act(*who, *channel, ask).await,
            Step::Pass => self.pass().await,
            Step::Read(who) => self.read(*who),
            Step::Back(who) => self.back(*who),
            Step::Wait(seconds) => self.wait(*seconds).await,
            Step::Kill => self.kill().await,
            Step::Stop => self.stop().await,
            Step::Hold(is_held) => {
                self.is_held = *is_held;
                self.house.disk().hold(*is_held);
            }
            Step::Full(is_full) => self.house.disk().set_full(*is_full),
            Step::FailAfter(syncs) => self.house.disk().fail_after(*syncs),
        }
    }

    async fn act(&mut self, who: usize, channel: usize, ask: &Ask) {
        self.asked += 1;
        let (id, text) = (self.asked, self.asked.to_string());
        let put =
            |kind, row: u8| json!({"type": kind, "payload": {"id": row.to_string(), "text": text}});
        let action = match ask {
            Ask::Create(row) => put("create", *row),
            Ask::Update(row) => put("update", *row),
            Ask::Delete(row) => json!({"type": "delete", "payload": {"id": row.to_string()}}),
            Ask::DeleteAll => json!({"type": "delete-all"}),
        };
        let writes = matches!(ask, Ask::Create(_) | Ask::Update(_));
        let (person, page) = &mut self.people[who];
        let waiting = Waiting {
            text: writes.then(|| text.clone()),
            seen: self.seen,
        };
        page.waiting.insert(id, waiting);
        person.acts(id, CHANNELS[channel], action).await;
    }

    async fn pass(&mut self) {
        let waiting = || self.house.hub.0.health.borrow().waiting;
        until(|| self.is_held || waiting() == 0).await;
    }

    async fn wait(&mut self, seconds: u64) {
        self.pass().await;
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        self.people
            .iter()
            .for_each(|(person, _)| person.seat.hurry());
        self.pass().await;
    }

    fn read(&mut self, who: usize) {
        for message in self.people[who].0.told() {
            if message["rpc"] == true {
                self.answer(who, &message);
            }
            self.hold(who, &message);
        }
    }

    fn hold(&mut self, who: usize, message: &Value) {
        let name = message["channel"].as_str().unwrap_or_default();
        let Some(channel) = CHANNELS.iter().position(|channel| *channel == name) else {
            return assert_eq!(name, "hosted", "{message}");
        };
        for row in rows_in(message) {
            let text = row[1].as_str().expect("a text");
            assert!(!self.lost.contains(text), "it was taken back: {row}");
            let (_, page) = &mut self.people[who];
            let before = page.rows[channel].insert(id_in(row), row.clone());
            let is_newer = before
                .as_ref()
                .is_none_or(|old| updated(old) <= updated(row));
            assert!(is_newer, "{before:?}, then {row}");
            self.seen = self.seen.max(updated(row));
        }
    }

    /// A success is acknowledged under a new time; what is taken back is never seen.
    fn answer(&mut self, who: usize, message: &Value) {
        let id = message["id"].as_u64().expect("a number");
        let (_, page) = &mut self.people[who];
        let (first, waiting) = page.waiting.pop_first().expect("it was asked for");
        assert_eq!(first, id, "replies in order");
        if message["type"] == "success" {
            let channel = CHANNELS.iter().position(|name| message["channel"] == *name);
            for row in rows_in(message) {
                assert!(updated(row) > waiting.seen, "{row}");
                let acknowledged = &mut self.acknowledged[channel.expect("a channel")];
                acknowledged.insert(id_in(row), row.clone());
            }
            return;
        }
        let error = message["error"][0].as_str().expect("a reason");
        if error.contains("taken back") {
            assert!(!self.serves(), "{error}");
            self.lost.extend(waiting.text);
        }
    }

    fn back(&mut self, who: usize) {
        let person = self.come(who);
        let (gone, page) = &mut self.people[who];
        *gone = person;
        page.waiting.clear();
    }

    fn mend(&mut self) {
        self.is_held = false;
        let disk = self.house.disk();
        disk.fail_after(u32::MAX);
        disk.set_full(false);
        disk.hold(false);
    }

    async fn kill(&mut self) {
        (0..PEOPLE).for_each(|who| self.read(who));
        let is_unsure = self.house.hub.0.health.borrow().unsure;
        let disk = self.house.disk().after_kill().expect("memory");
        self.house.stop.cancel();
        self.mend();
        self.house = House::on(&self.options, Some(disk));
        self.check_kept(is_unsure);
        self.begin_again(self.serves() || is_unsure);
    }

    async fn stop(&mut self) {
        self.mend();
        self.pass().await;
        let before = [0, 1].map(|channel| self.house.rows(channel));
        (0..PEOPLE).for_each(|who| self.read(who));
        self.house.stop_in_order().await;
        let disk = self.house.disk.clone();
        self.house = House::on(&self.options, disk);
        let after = [0, 1].map(|channel| self.house.rows(channel));
        assert_eq!(before, after);
        self.begin_again(false);
    }

    /// All come back, with the rows that they had; or with none, where what was shown may be gone.
    fn begin_again(&mut self, anew: bool) {
        for who in 0..PEOPLE {
            self.back(who);
            if anew {
                self.people[who].1 = Page::default();
            }
        }
        if anew {
            self.lost.clear();
        }
        if self.serves() {
            self.seen = 0;
        }
    }

    /// What was acknowledged is there after a kill, or something newer, and nothing that was taken
    /// back. Where changes stand unkept, they may be gone; while the disk fails, what was taken back
    /// may be on it.
    fn check_kept(&self, is_unsure: bool) {
        for (channel, acknowledged) in self.acknowledged.iter().enumerate() {
            let rows = self.house.rows(channel);
            for (id, row) in acknowledged.iter().filter(|_| !self.serves()) {
                let kept = rows.get(id).map(updated);
                assert!(kept >= Some(updated(row)), "{row} is lost: {kept:?}");
            }
            for row in rows.values().filter(|_| !is_unsure) {
                assert!(
                    !self.lost.contains(row[1].as_str().expect("a text")),
                    "{row}"
                );
            }
        }
    }

    async fn settle(&mut self) {
        self.mend();
        self.wait(9).await;
        while self.house.hub.0.health.borrow().unsure {
            self.wait(1).await;
        }
        (0..PEOPLE).for_each(|who| self.read(who));
        self.house.assert_kept();
        for (channel, name) in CHANNELS.iter().enumerate() {
            let rows = self.house.rows(channel);
            for (_, page) in &self.people {
                assert!(page.waiting.is_empty(), "every action has its reply");
                let held = &page.rows[channel];
                for (id, row) in &rows {
                    let has = held.get(id) == Some(row);
                    assert!(
                        has || is_deleted(row) && !held.contains_key(id),
                        "{name}: {row}"
                    );
                }
                assert!(
                    held.keys().all(|id| rows.contains_key(id)),
                    "{name}: {held:?}"
                );
            }
        }
        self.house.stop.cancel();
    }
}

fn run(store_failure: StoreFailure, is_ahead: bool, steps: &[Step]) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let mut options = options();
        options.limits.actions = u32::MAX;
        options.store_failure = store_failure;
        let mut world = World::new(options, is_ahead);
        for step in steps {
            world.take(step).await;
        }
        world.settle().await;
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_acknowledged_is_lost_to_a_disk(steps in prop::collection::vec(step(), 0..60), is_ahead in any::<bool>()) {
        run(StoreFailure::Refuse, is_ahead, &steps);
    }

    #[test]
    fn what_stands_unkept_is_kept_in_the_end(steps in prop::collection::vec(step(), 0..60), is_ahead in any::<bool>()) {
        run(StoreFailure::Serve, is_ahead, &steps);
    }
}
