//! What people are told while rows change, read piece by piece by sockets of any speed: nobody is
//! ever told a row older than before, and in the end everybody has what the room has.

use proptest::prelude::*;
use tokio::sync::broadcast::{Receiver, error::TryRecvError};

use super::*;
use crate::hub::rooms::reply::Reply;
use crate::hub::rooms::write::Wanted;
use crate::state::room::{Edit, RowId};

#[derive(Clone, Debug)]
enum Step {
    /// One of the people asks for an action, and its reader tells the shard of it.
    Act(usize, usize, Ask),
    /// Rows of a host: their ids, and a length for those that it does not delete.
    Host(usize, Vec<(u8, Option<usize>)>),
    /// The shard hears what has happened; those whose sockets are full take nothing of it.
    Hear([bool; PEOPLE]),
    /// A socket takes so many pieces.
    Read(usize, usize),
    /// Somebody asks for a channel, whole or since what it has.
    Sync(usize, usize, bool),
    /// A connection breaks, and the same client comes back, or a new page of it.
    Back(usize, bool),
    Wait,
}

#[derive(Clone, Debug)]
enum Ask {
    Put(u8, usize),
    Delete(u8),
    DeleteAll,
}

const PEOPLE: usize = 3;
/// Of which people here ask for rows.
const CHANNELS: [&str; 2] = ["todos", "notes"];

fn step() -> impl Strategy<Value = Step> {
    let (who, channel, length) = (
        0..PEOPLE,
        0..CHANNELS.len(),
        prop_oneof![Just(1usize), 50..150usize],
    );
    let row = (0..8u8, proptest::option::weighted(0.7, length.clone()));
    let rows = prop::collection::vec(row, 0..12);
    let ask = prop_oneof![
        6 => (0..8u8, length).prop_map(|(id, length)| Ask::Put(id, length)),
        2 => (0..8u8).prop_map(Ask::Delete),
        1 => Just(Ask::DeleteAll),
    ];
    prop_oneof![
        8 => (who.clone(), channel.clone(), ask).prop_map(|(who, channel, ask)| Step::Act(who, channel, ask)),
        3 => (channel.clone(), rows).prop_map(|(channel, rows)| Step::Host(channel, rows)),
        6 => any::<[bool; PEOPLE]>().prop_map(Step::Hear),
        8 => (who.clone(), 1..4usize).prop_map(|(who, pieces)| Step::Read(who, pieces)),
        2 => (who.clone(), channel, any::<bool>()).prop_map(|(who, channel, all)| Step::Sync(who, channel, all)),
        2 => (who, any::<bool>()).prop_map(|(who, new)| Step::Back(who, new)),
        1 => Just(Step::Wait),
    ]
}

/// What a page has: the hook's rows, deleted ones among them.
#[derive(Default)]
struct Page {
    rows: [Rows; CHANNELS.len()],
    /// The channels of which this connection has been sent all that was there when it asked.
    whole: [bool; CHANNELS.len()],
}

impl Page {
    fn hold(&mut self, message: &Value) {
        assert_ne!(message["type"], "exception", "{message}");
        let channel = CHANNELS.iter().position(|name| message["channel"] == *name);
        let Some(channel) = channel else {
            return assert_eq!(message["channel"], "hosted");
        };
        for row in rows_in(message) {
            let before = self.rows[channel].insert(id_in(row), row.clone());
            let is_newer = before
                .as_ref()
                .is_none_or(|old| updated(old) <= updated(row));
            assert!(is_newer, "{before:?}, then {row}");
        }
        self.whole[channel] |= message["sync"] == true;
    }

    fn newest(&self, channel: usize) -> Value {
        let newest = self.rows[channel].values().map(updated).max();
        newest.filter(|_| self.whole[channel]).into()
    }
}

struct World {
    house: House,
    told: Receiver<Arc<RowsTold>>,
    people: Vec<(Person, Page)>,
    /// How many actions were asked for, by each of them, and how many replies have come.
    asked: [u64; PEOPLE],
    answered: [u64; PEOPLE],
}

fn client(who: usize) -> String {
    format!("client {who}")
}

impl World {
    async fn new(house: House) -> World {
        let mut world = World {
            told: house.hub.rows_told(),
            people: Vec::new(),
            house,
            asked: [0; PEOPLE],
            answered: [0; PEOPLE],
        };
        for who in 0..PEOPLE {
            let person = world.house.person(Some(&client(who)));
            for channel in CHANNELS {
                person.syncs(channel, Value::Null).await;
            }
            world.people.push((person, Page::default()));
        }
        world
    }

    async fn take(&mut self, step: &Step) {
        match step {
            Step::Act(who, channel, ask) => self.act(*who, *channel, ask).await,
            Step::Host(channel, rows) => self.host(*channel, rows).await,
            Step::Hear(ready) => self.hear(ready),
            Step::Read(who, pieces) => (0..*pieces).for_each(|_| self.read(*who)),
            Step::Sync(who, channel, all) => {
                let (person, page) = &self.people[*who];
                let newest = page.newest(*channel);
                let from = if *all { Value::Null } else { newest };
                // Who has come back does not ask.
                if page.whole[*channel] {
                    person.syncs(CHANNELS[*channel], from).await;
                }
            }
            Step::Back(who, new) => self.back(*who, *new).await,
            Step::Wait => self.wait().await,
        }
    }

    async fn act(&mut self, who: usize, channel: usize, ask: &Ask) {
        let is_there = |id: &u8| {
            let row = self.house.rows(channel).get(&id.to_string()).cloned();
            row.is_some_and(|row| !is_deleted(&row))
        };
        let action = match ask {
            Ask::Put(id, length) => {
                let kind = if is_there(id) { "update" } else { "create" };
                let payload = json!({"id": id.to_string(), "text": "x".repeat(*length)});
                json!({"type": kind, "payload": payload})
            }
            Ask::Delete(id) => json!({"type": "delete", "payload": {"id": id.to_string()}}),
            Ask::DeleteAll => json!({"type": "delete-all"}),
        };
        self.asked[who] += 1;
        let (person, _) = &self.people[who];
        person
            .acts(self.asked[who], CHANNELS[channel], action)
            .await;
    }

    async fn host(&self, channel: usize, rows: &[(u8, Option<usize>)]) {
        let edit = |(id, length): &(u8, Option<usize>)| {
            let id: RowId = format!("\"{id}\"").into();
            match length {
                Some(length) => {
                    let values = format!("[{id},\"{}\"]", "y".repeat(*length));
                    Edit::Put(id, values.into(), None)
                }
                None => Edit::Delete(id),
            }
        };
        let edits = Wanted::Edits(rows.iter().map(edit).collect());
        let (answer, _) = tokio::sync::oneshot::channel();
        let reply = Reply {
            by: None,
            answer,
            line: None,
        };
        let room = self.house.hub.room(&name()).expect("it is used");
        let _ = self
            .house
            .hub
            .write_rows(&room, channel, edits, reply)
            .await;
    }

    /// As a shard does it.
    fn hear(&mut self, ready: &[bool; PEOPLE]) {
        let (mut burst, mut lagged) = (Vec::new(), false);
        loop {
            match self.told.try_recv() {
                Ok(told) => burst.push(told),
                Err(TryRecvError::Lagged(_)) => lagged = true,
                Err(_) => break,
            }
        }
        let follows = burst.windows(2).all(|pair| pair[0].to == pair[1].from);
        let frames = burst.iter().map(|told| told.frame.clone());
        let frames: Option<Vec<Bytes>> = frames.collect();
        let frames = frames.filter(|_| follows && !lagged);
        let (Some(first), Some(last)) = (burst.first(), burst.last()) else {
            return;
        };
        for who in (0..PEOPLE).filter(|who| ready[*who]) {
            let (person, page) = &mut self.people[who];
            if burst
                .iter()
                .any(|told| told.by == Some(person.seat.number()))
            {
                self.read(who);
                continue;
            }
            match &frames {
                Some(frames) if person.telling.is_at(first.from) => {
                    for frame in frames {
                        page.hold(&person.take(frame).expect("a whole message"));
                    }
                    person.telling.reach(last.to);
                }
                _ => self.read(who),
            }
        }
    }

    fn read(&mut self, who: usize) {
        let (person, page) = &mut self.people[who];
        let Some(Some(message)) = person.piece() else {
            return;
        };
        if message["rpc"] == true {
            self.answered[who] += 1;
            assert_eq!(message["id"], self.answered[who], "replies in order");
        }
        page.hold(&message);
    }

    async fn back(&mut self, who: usize, is_new_page: bool) {
        let person = self.house.person(Some(&client(who)));
        let (gone, page) = &mut self.people[who];
        // In the middle of several messages that belong together the last one hides what is
        // missing: only the same page is healed then.
        let is_new_page = is_new_page && gone.telling.is_at(gone.telling.reached());
        let from = [0, 1].map(|channel| page.newest(channel));
        for channel in 0..CHANNELS.len() {
            if is_new_page && !page.whole[channel] {
                page.rows[channel].clear();
            }
        }
        page.whole = Default::default();
        *gone = person;
        // Nobody hears what became of those.
        self.answered[who] = self.asked[who];
        if is_new_page {
            for (channel, from) in CHANNELS.iter().zip(from) {
                self.people[who].0.syncs(channel, from).await;
            }
        }
    }

    async fn wait(&mut self) {
        tokio::time::sleep(millis(300)).await;
        for (person, _) in &self.people {
            person.seat.hurry();
        }
    }

    async fn settle(&mut self) {
        self.wait().await;
        self.hear(&[true; PEOPLE]);
        for who in 0..PEOPLE {
            let (person, page) = &mut self.people[who];
            for message in person.told() {
                self.answered[who] += u64::from(message["rpc"] == true);
                page.hold(&message);
            }
            let room = person.seat.room();
            assert!(person.telling.is_at(room.book().head()));
        }
        assert_eq!(self.answered, self.asked);
    }

    /// All have the live rows, and of the deleted ones what the room has.
    fn check(&self) {
        for (channel, name) in CHANNELS.iter().enumerate() {
            let rows = self.house.rows(channel);
            for (_, page) in &self.people {
                let held = &page.rows[channel];
                for (id, row) in &rows {
                    assert!(
                        held.get(id) == Some(row) || is_deleted(row) && !held.contains_key(id),
                        "{name}: {row}, {:?}",
                        held.get(id)
                    );
                }
                assert!(held.keys().all(|id| rows.contains_key(id)));
            }
        }
    }
}

fn run(steps: &[Step]) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let mut options = options();
        options.flow.capacity = crate::hub::MIN_CAPACITY;
        options.limits.actions = u32::MAX;
        let mut world = World::new(House::new(&options)).await;
        for step in steps {
            world.take(step).await;
        }
        world.settle().await;
        world.check();
        world.house.stop.cancel();
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nobody_is_told_an_older_row_and_all_end_on_what_the_room_has(steps in prop::collection::vec(step(), 0..80)) {
        run(&steps);
    }
}

/// Rows that change while a large table is being told are told once more, as they are by then.
#[tokio::test(start_paused = true)]
async fn a_first_sync_is_told_in_pieces_while_rows_change() {
    let house = House::new(&options());
    let writer = house.person(None);
    for row in 0..40 {
        writer.creates(row, "todos", &format!("{row:02}")).await;
        writer.seat.next_reply(u64::MAX, u64::MAX);
    }
    let mut person = house.person(None);
    person.syncs("todos", Value::Null).await;
    assert_eq!(person.piece(), Some(None), "there is more than a piece");
    let change = |row: &str| json!({"type": "update", "payload": {"id": row, "text": "later"}});
    for row in ["00", "39"] {
        writer.acts(row, "todos", change(row)).await;
    }
    let told = person.told();
    let rows = |at: usize| rows_in(&told[at]).iter().map(id_in).collect::<Vec<_>>();
    assert_eq!(told.len(), 2);
    assert_eq!(rows(0).len(), 39, "the first one had been told by then");
    assert!(!rows(0).contains(&"39".to_owned()));
    assert_eq!(rows(1), ["00", "39"]);
}
