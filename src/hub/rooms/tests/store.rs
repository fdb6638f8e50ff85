//! What becomes of actions when a disk is full, fails or stalls, and after a restart.

use super::*;
use crate::store::{Record, RowsRecord};

/// Waits for the thread that keeps rows, which no paused clock waits for.
pub(super) async fn until(mut done: impl FnMut() -> bool) {
    let begun = std::time::Instant::now();
    while !done() {
        tokio::task::yield_now().await;
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "it does not happen"
        );
    }
}

impl Person {
    /// What it is told next, as soon as there is anything.
    async fn next(&mut self) -> Value {
        let mut message = None;
        until(|| {
            message = self.piece();
            message.is_some()
        })
        .await;
        message.flatten().expect("a small message")
    }

    /// The reply to an action, of which others may be told before.
    async fn reply(&mut self) -> Value {
        loop {
            let message = self.next().await;
            if message["rpc"] == true {
                return message;
            }
        }
    }
}

impl House {
    fn with_store(options: &HubOptions) -> House {
        House::on(options, Some(Disk::default()))
    }

    pub(super) fn disk(&self) -> &Disk {
        self.disk.as_ref().expect("a disk")
    }

    /// What another daemon begins with when this one is killed now.
    fn after_kill(&self, options: &HubOptions) -> House {
        let disk = self.disk().after_kill().expect("memory");
        House::on(options, Some(disk))
    }

    /// That is what this one shows.
    pub(super) fn assert_kept(&self) {
        let other = self.after_kill(&options());
        for channel in 0..options().rooms.channels.len() {
            assert_eq!(other.rows(channel), self.rows(channel));
        }
        other.stop.cancel();
    }

    pub(super) async fn stop_in_order(&self) {
        self.stop.cancel();
        self.hub.close_store().await;
    }

    /// Waits until rows are on their way to the disk, as many as this.
    async fn on_their_way(&self, count: u64) {
        until(|| self.hub.0.health.borrow().waiting == count).await;
    }
}

fn serving() -> HubOptions {
    HubOptions {
        store_failure: crate::hub::StoreFailure::Serve,
        ..options()
    }
}

fn update(row: &str, text: &str) -> Value {
    json!({"type": "update", "payload": {"id": row, "text": text}})
}

fn delete(row: &str) -> Value {
    json!({"type": "delete", "payload": {"id": row}})
}

#[tokio::test]
async fn what_cannot_be_kept_is_taken_back() {
    let house = House::with_store(&options());
    let (mut person, mut other) = (house.person(None), house.person(None));
    person.creates(1, "todos", "a").await;
    assert_eq!(person.reply().await["type"], "success");
    house.disk().set_full(true);
    let before = house.rows(0);
    let actions = [update("a", "y"), delete("a"), json!({"type": "delete-all"})];
    for (id, action) in (2..).zip(actions) {
        person.acts(id, "todos", action).await;
        let refused = person.reply().await;
        assert_eq!(
            (&refused["type"], &refused["id"]),
            (&json!("error"), &json!(id))
        );
        let error = refused["error"][0].as_str().expect("a text");
        let text = "it could not be kept, so it was taken back: ";
        assert!(
            error.starts_with(text) && error.ends_with("(--store)"),
            "{error}"
        );
        assert_eq!(house.rows(0), before);
    }
    person.creates(5, "todos", "b").await;
    assert_eq!(person.reply().await["type"], "error");
    house.disk().set_full(false);
    person.creates(6, "todos", "b").await;
    let kept = person.reply().await;
    assert_eq!(kept["type"], "success", "its id is free again");
    assert!(updated(&kept["result"][0]) > updated(&before["a"]));
    house.assert_kept();
    other.syncs("todos", Value::Null).await;
    let told = other.told();
    let ids = |message: &Value| rows_in(message).iter().map(id_in).collect::<Vec<_>>();
    assert_eq!(
        told.iter().map(ids).collect::<Vec<_>>(),
        [["a", "b"], ["a", "b"]],
        "nothing of what was lost"
    );
}

#[tokio::test]
async fn what_rests_on_something_lost_is_lost_with_it() {
    let house = House::with_store(&options());
    let mut person = house.person(None);
    person.creates(1, "todos", "a").await;
    person.reply().await;
    house.disk().hold(true);
    house.disk().fail_after(0);
    person.acts(2, "todos", update("a", "lost")).await;
    house.on_their_way(1).await;
    let actions = [
        ("todos", update("a", "on top")),
        (
            "todos",
            json!({"type": "create", "payload": {"id": "b", "text": "x"}}),
        ),
        (
            "notes",
            json!({"type": "create", "payload": {"id": "n", "text": "x"}}),
        ),
    ];
    for (id, (channel, action)) in (3..).zip(actions) {
        person.acts(id, channel, action).await;
    }
    house.disk().hold(false);
    for id in 2..6 {
        let lost = person.reply().await;
        assert_eq!((&lost["type"], &lost["id"]), (&json!("error"), &json!(id)));
    }
    assert_eq!(house.rows(0)["a"][1], "x");
    assert_eq!((house.rows(0).len(), house.rows(1).len()), (1, 0));
    house.assert_kept();
    person.acts(6, "todos", update("a", "kept")).await;
    assert_eq!(person.reply().await["type"], "success");
    assert_eq!(house.rows(0)["a"][1], "kept");
    house.assert_kept();
}

#[tokio::test]
async fn what_was_refused_for_the_disk_is_not_there_after_a_restart() {
    let house = House::with_store(&options());
    let mut person = house.person(None);
    // Its bytes arrive, and its sync fails.
    house.disk().fail_after(0);
    person.creates(1, "todos", "a").await;
    assert_eq!(person.reply().await["type"], "error");
    house.assert_kept();
    person.creates(2, "todos", "a").await;
    person.reply().await;
    for (id, action) in (3..).zip([update("a", "lost"), delete("a")]) {
        house.disk().fail_after(0);
        person.acts(id, "todos", action).await;
        assert_eq!(person.reply().await["type"], "error");
        assert_eq!(house.rows(0)["a"][1], "x");
        house.assert_kept();
    }
}

#[tokio::test]
async fn what_stands_unkept_is_kept_in_the_end() {
    let house = House::with_store(&serving());
    let (mut person, mut other) = (house.person(None), house.person(None));
    person.creates(0, "todos", "kept").await;
    person.reply().await;
    other.told();
    house.disk().set_full(true);
    for (id, row) in ["a", "b"].into_iter().enumerate() {
        person.creates(id, "todos", row).await;
        let stands = person.reply().await;
        assert_eq!(stands["type"], "success");
        let told = other.next().await;
        assert_eq!(rows_in(&told), rows_in(&stands));
    }
    person.acts(3, "todos", delete("a")).await;
    assert_eq!(person.reply().await["type"], "success");
    let ids = |house: &House| house.rows(0).into_keys().collect::<Vec<_>>();
    let killed = house.after_kill(&serving());
    assert_eq!(
        (ids(&house).len(), ids(&killed)),
        (3, vec!["kept".to_owned()])
    );
    house.disk().set_full(false);
    // It is tried again every second, whether anybody writes or not.
    until(|| !house.hub.0.health.borrow().unsure).await;
    house.assert_kept();
}

#[tokio::test]
async fn a_stalled_disk_is_said_in_time_and_what_it_keeps_after_all_is_told_to_everybody() {
    for is_kept in [true, false] {
        let house = House::with_store(&options());
        let (mut person, mut other) = (house.person(None), house.person(None));
        for person in [&person, &other] {
            person.syncs("todos", Value::Null).await;
        }
        person.creates(0, "todos", "first").await;
        person.reply().await;
        other.told();
        house.on_their_way(0).await;
        tokio::time::pause();
        house.disk().hold(true);
        person.creates(1, "todos", "a").await;
        house.on_their_way(1).await;
        person.acts(2, "todos", update("a", "y")).await;
        let early = person.within(PATIENCE - millis(1)).await;
        assert_eq!(early, Vec::<Value>::new());
        let late = person.within(millis(1)).await;
        let text = json!(["no answer within 9 s: it may still be done"]);
        let late: Vec<_> = late
            .iter()
            .map(|reply| (&reply["id"], &reply["error"]))
            .collect();
        assert_eq!(late, [(&json!(1), &text), (&json!(2), &text)]);
        assert!(other.told().is_empty(), "nothing is shown that may be lost");
        if !is_kept {
            house.disk().fail_after(0);
        }
        house.disk().hold(false);
        house.on_their_way(0).await;
        for person in [&mut person, &mut other] {
            let told = person.told();
            let rows: Vec<_> = told.iter().flat_map(rows_in).collect();
            let wanted: Vec<_> = house
                .rows(0)
                .into_values()
                .filter(|row| row[0] == "a")
                .collect();
            assert_eq!(rows, wanted.iter().collect::<Vec<_>>());
            assert_eq!(rows.len(), usize::from(is_kept));
        }
        house.assert_kept();
        tokio::time::resume();
    }
}

/// A store of a daemon whose clock was ahead.
pub(super) fn ahead(disk: &Disk) -> u64 {
    let (mut store, _) = disk.store().expect("it opens");
    let last = crate::hub::clock::unix_micros() / 1000 + 3_600_000;
    let record = RowsRecord {
        room: name(),
        last,
        rows: Vec::new(),
    };
    let record = Record::Rows(&record);
    store
        .commit(std::iter::once(record))
        .expect("there is room");
    assert!(store.close());
    last
}

#[tokio::test]
async fn times_grow_over_restarts_and_clocks_that_go_back() {
    for in_order in [true, false] {
        let mut house = House::with_store(&options());
        let mut last = 0;
        for round in 0..4 {
            if round == 2 {
                // The daemon before this one had a clock that was an hour ahead.
                let disk = house.disk().after_kill().expect("memory");
                last = ahead(&disk);
                house = House::on(&options(), Some(disk));
            }
            let mut person = house.person(None);
            for (id, action) in [
                json!({"type": "create", "payload": {"id": format!("r{round}"), "text": "x"}}),
                update(&format!("r{round}"), "y"),
                json!({"type": "create", "payload": {"id": "gone", "text": "x"}}),
                delete("gone"),
            ]
            .into_iter()
            .enumerate()
            {
                person.acts(id, "todos", action).await;
                let reply = person.reply().await;
                assert_eq!(reply["type"], "success", "{reply}");
                let time = updated(&reply["result"][0]);
                assert!(time > last, "{time} is not after {last}");
                last = time;
            }
            drop(person);
            house.assert_kept();
            house = match in_order {
                true => {
                    house.stop_in_order().await;
                    House::on(&options(), house.disk.clone())
                }
                false => house.after_kill(&options()),
            };
            assert_eq!(house.rows(0).len(), round + 2);
            assert!(is_deleted(&house.rows(0)["gone"]));
            let room = house.hub.room(&name()).expect("it has rows");
            assert!(room.book().head() >= last);
        }
    }
}

#[tokio::test]
async fn a_room_of_which_everything_was_forgotten_goes_on_with_its_clock() {
    let disk = Disk::default();
    let last = ahead(&disk);
    let house = House::on(&options(), Some(disk));
    assert!(house.hub.rooms().is_empty(), "it costs nothing");
    let mut person = house.person(None);
    person.creates(1, "todos", "a").await;
    assert!(updated(&person.reply().await["result"][0]) > last);
}

#[tokio::test(start_paused = true)]
async fn what_is_forgotten_is_forgotten_by_the_file_too() {
    let mut options = options();
    options.rooms.keep_deleted = millis(1);
    for fails in [false, true] {
        let house = House::with_store(&options);
        let mut person = house.person(None);
        for row in ["a", "b"] {
            person.creates(row, "todos", row).await;
            person.reply().await;
        }
        let kept = house.disk().after_kill().expect("memory");
        person.acts(3, "todos", delete("a")).await;
        person.reply().await;
        if fails {
            house.disk().fail_after(0);
        }
        while house.rows(0).len() > 1 {
            tokio::time::sleep(millis(1)).await;
        }
        until(|| house.hub.0.health.borrow().waiting == 0).await;
        until(|| !house.hub.0.health.borrow().unsure).await;
        let (_, found) = house
            .disk()
            .after_kill()
            .expect("memory")
            .store()
            .expect("it opens");
        assert_eq!(found.rooms[0].rows.len(), 1, "{:?}", found.rooms);
        let (_, before) = kept.store().expect("it opens");
        assert_eq!(before.rooms[0].rows.len(), 2);
        person.creates(4, "todos", "a").await;
        assert_eq!(person.reply().await["type"], "success");
        house.assert_kept();
    }
}

/// A room that is forgotten and made again while the disk is full: it is the new one whose rows
/// stand.
#[tokio::test(start_paused = true)]
async fn the_file_follows_the_room_that_is_there() {
    let mut options = serving();
    options.rooms.keep_deleted = millis(1);
    let house = House::with_store(&options);
    let mut person = house.person(None);
    person.creates(1, "todos", "a").await;
    person.reply().await;
    house.disk().set_full(true);
    person.acts(2, "todos", delete("a")).await;
    assert_eq!(person.reply().await["type"], "success");
    drop(person);
    while !house.hub.rooms().is_empty() {
        tokio::time::sleep(millis(1)).await;
    }
    until(|| house.hub.0.health.borrow().waiting == 0).await;
    let mut person = house.person(None);
    person.creates(3, "todos", "a").await;
    assert_eq!(person.reply().await["type"], "success");
    house.disk().set_full(false);
    until(|| house.hub.0.health.borrow().waiting == 0).await;
    while house.hub.0.health.borrow().unsure {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(house.rows(0).len(), 1);
    house.assert_kept();
}

#[tokio::test]
async fn what_is_on_its_way_is_kept_before_the_store_is_closed() {
    let house = House::with_store(&options());
    let mut person = house.person(None);
    house.disk().hold(true);
    for row in ["a", "b", "c"] {
        person.creates(row, "todos", row).await;
    }
    house.on_their_way(3).await;
    let hub = house.hub.clone();
    let closed = tokio::spawn(async move { hub.close_store().await });
    tokio::task::yield_now().await;
    house.disk().hold(false);
    closed.await.expect("it ran");
    person.creates("late", "todos", "late").await;
    for id in ["a", "b", "c", "late"] {
        let reply = person.reply().await;
        assert_eq!(reply["id"], id);
        assert_eq!(reply["type"] == "success", id != "late", "{reply}");
    }
    let again = House::on(&options(), house.disk.clone());
    assert_eq!(again.rows(0), house.rows(0));
}

#[tokio::test]
async fn rows_of_channels_that_are_gone_wait_in_the_file() {
    let house = House::with_store(&options());
    let mut person = house.person(None);
    person.creates(1, "todos", "a").await;
    person.creates(2, "notes", "n").await;
    let reply = [person.reply().await, person.reply().await];
    let mut fewer = options();
    fewer.rooms.channels.shift_remove("notes");
    let without = house.after_kill(&fewer);
    assert_eq!(without.rows(0), house.rows(0));
    let mut person = without.person(None);
    person.creates(3, "todos", "b").await;
    let later = person.reply().await;
    assert!(updated(&later["result"][0]) > updated(&reply[1]["result"][0]));
    let all = without.after_kill(&options());
    assert_eq!(all.rows(1), house.rows(1));
    assert_eq!(all.rows(0).len(), 2);
}
