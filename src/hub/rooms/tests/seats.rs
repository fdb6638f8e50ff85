//! Replies in their order and in time, and what somebody is sent who asks for nothing.

use super::*;

fn ids(told: &[Value]) -> Vec<(&str, &Value)> {
    let replies = told.iter().filter(|message| message["rpc"] == true);
    let replies = replies.map(|reply| (reply["type"].as_str().expect("a type"), &reply["id"]));
    replies.collect()
}

/// What a message is, and the ids of its rows.
fn gist(message: &Value) -> (String, Vec<String>) {
    let kind = match message["sync"] == true {
        true => "sync",
        false => message["type"].as_str().expect("a type"),
    };
    let channel = message["channel"].as_str().unwrap_or_default();
    let ids = rows_in(message).iter().map(|row| {
        let mark = if is_deleted(row) { "-" } else { "" };
        format!("{mark}{}", id_in(row))
    });
    (format!("{kind} {channel}"), ids.collect())
}

fn gists(told: &[Value]) -> Vec<(String, Vec<String>)> {
    told.iter().map(gist).collect()
}

fn told(kind: &str, ids: &[&str]) -> (String, Vec<String>) {
    let ids = ids.iter().map(|id| (*id).to_owned());
    (kind.to_owned(), ids.collect())
}

#[tokio::test(start_paused = true)]
async fn replies_come_in_the_order_of_their_actions() {
    let house = House::new(&options());
    let host = house.host();
    let mut person = house.person(None);
    person.acts("first", "hosted", json!({"type": "any"})).await;
    person.creates("second", "todos", "a").await;
    person.says(json!("nonsense")).await;
    let question = parsed(&host.next().await.expect("a question"));
    assert_eq!(question["action"], json!({"type": "any"}));
    assert_eq!(question["from"], json!({"id": "", "device": "phone"}));
    let early = person.within(millis(100)).await;
    assert_eq!(gists(&early), [told("update todos", &["a"])]);
    let answer = json!({"type": "rows", "id": question["id"], "rows": [["h", "y"]]});
    let answered = host.hear(said_by_host(answer), HERE).await;
    assert_eq!(answered, Ok(false), "an answer is not answered");
    let replies = person.told();
    assert_eq!(
        gists(&replies)[..3],
        [
            told("success hosted", &["h"]),
            told("success todos", &["a"]),
            told("exception ", &[]),
        ]
    );
    assert_eq!(replies.len(), 3, "the writer is told by the reply alone");
}

#[tokio::test(start_paused = true)]
async fn a_slow_action_keeps_none_behind_it_beyond_its_time() {
    let house = House::new(&options());
    let _host = house.host();
    let mut person = house.person(None);
    person.syncs("todos", Value::Null).await;
    assert_eq!(gists(&person.told()), [told("sync todos", &[])]);
    person.acts(1, "hosted", json!({})).await;
    assert!(person.within(millis(1_000)).await.is_empty());
    person.creates(2, "todos", "a").await;
    let update = person.within(millis(4_000)).await;
    assert_eq!(gists(&update), [told("update todos", &["a"])]);
    person.acts(3, "hosted", json!({})).await;
    assert!(person.within(millis(3_999)).await.is_empty());
    let at_nine = person.within(millis(1)).await;
    assert_eq!(
        ids(&at_nine),
        [("error", &json!(1)), ("success", &json!(2))]
    );
    assert_eq!(
        at_nine[0]["error"],
        json!(["no answer within 9 s: it may still be done"])
    );
    assert!(person.within(millis(4_999)).await.is_empty());
    let at_fourteen = person.within(millis(1)).await;
    assert_eq!(ids(&at_fourteen), [("error", &json!(3))]);
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_a_place_in_the_queue_keeps_none_behind_it_beyond_its_time() {
    let house = House::on(&options(), Some(Disk::default()));
    let mut person = house.person(None);
    let mut places = Vec::new();
    for _ in 0..crate::hub::QUEUE {
        places.push(house.hub.permit().await.expect("the store is open"));
    }
    // All of them have arrived by now: a reader hears one after the other.
    let begun = Instant::now();
    for id in 1..=3 {
        person.creates(id, "todos", &id.to_string()).await;
    }
    let waited = begun.elapsed();
    assert_eq!(waited, PATIENCE, "clients give up a second later");
    let replies = person.within(Duration::ZERO).await;
    let late = [1, 2, 3].map(|id| json!(id));
    assert_eq!(ids(&replies), late.each_ref().map(|id| ("error", id)));
    drop(places);
    person.creates(4, "todos", "4").await;
    let mut told = Vec::new();
    while told.is_empty() {
        // The thread that keeps rows has a clock of its own.
        tokio::task::yield_now().await;
        told = person.told();
    }
    assert_eq!(gists(&told), [self::told("success todos", &["4"])]);
}

#[tokio::test(start_paused = true)]
async fn who_asks_for_nothing_is_sent_what_it_had_asked_for() {
    let house = House::new(&options());
    let writer = house.person(None);
    for row in ["a", "b"] {
        writer.creates(row, "todos", row).await;
    }
    writer.creates("n", "notes", "n").await;
    let mut person = house.person(Some("pk"));
    person.syncs("todos", Value::Null).await;
    let first = person.within(millis(1_000)).await;
    assert_eq!(gists(&first), [told("sync todos", &["a", "b"])]);
    drop(person);
    let delete = json!({"type": "delete", "payload": {"id": "a"}});
    writer.acts("gone", "todos", delete).await;

    let mut back = house.person(Some("pk"));
    assert!(back.within(millis(299)).await.is_empty());
    let healed = [told("sync todos", &["b"]), told("update todos", &["-a"])];
    assert_eq!(gists(&back.within(millis(1)).await), healed);
    assert!(back.within(millis(60_000)).await.is_empty(), "once");

    let all = [
        told("sync todos", &["b"]),
        told("update todos", &["-a"]),
        told("sync notes", &["n"]),
        told("sync hosted", &[]),
    ];
    for unknown in [Some("other"), None] {
        let mut unknown = house.person(unknown);
        unknown.creates(1, "notes", "n").await;
        let refused = unknown.within(millis(299)).await;
        assert_eq!(ids(&refused), [("error", &json!(1))], "n is in use");
        assert_eq!(gists(&unknown.within(millis(1)).await), all);
    }
    let mut asks = house.person(Some("pk"));
    asks.within(millis(200)).await;
    asks.syncs("notes", Value::Null).await;
    let answer = asks.within(millis(50)).await;
    assert_eq!(gists(&answer), [told("sync notes", &["n"])]);
    let rest = asks.within(millis(60_000)).await;
    assert_eq!(gists(&rest), all[..2], "it has not asked for that");
    drop(asks);
    let mut acts = house.person(Some("pk"));
    acts.creates(1, "todos", "c").await;
    let told_first = acts.within(millis(299)).await;
    let reply = told("success todos", &["c"]);
    assert_eq!(gists(&told_first), [&all[..3], &[reply]].concat());
    let again = [
        told("sync todos", &["b", "c"]),
        told("update todos", &["-a"]),
        told("sync notes", &["n"]),
    ];
    let rest = acts.within(millis(60_000)).await;
    assert_eq!(gists(&rest), again, "for a client that has given up on it");
    acts.acts(
        2,
        "todos",
        json!({"type": "delete", "payload": {"id": "c"}}),
    )
    .await;
    drop(acts);
    let all = [
        told("sync todos", &["b"]),
        told("update todos", &["-a", "-c"]),
        told("sync notes", &["n"]),
    ];
    let mut both = house.person(Some("pk"));
    let both = both.within(millis(300)).await;
    assert_eq!(gists(&both), all);
}

#[tokio::test(start_paused = true)]
async fn an_answer_to_a_sync_is_what_has_changed_since() {
    let house = House::new(&options());
    let writer = house.person(None);
    for row in ["a", "b", "c"] {
        writer.creates(row, "todos", row).await;
    }
    let rows = house.rows(0);
    let delete = json!({"type": "delete", "payload": {"id": "a"}});
    writer.acts(1, "todos", delete).await;
    let mut person = house.person(None);
    let (b, later) = (updated(&rows["b"]), updated(&rows["c"]) + 1_000_000);
    let since_b = [
        told("sync todos", &["b", "c"]),
        told("update todos", &["-a"]),
    ];
    let all = [told("sync todos", &["b", "c"])];
    for (from, answer) in [
        (json!(b), &since_b[..]),
        (json!(b.to_string()), &since_b[..]),
        (json!(b as f64 + 0.5), &since_b[..]),
        (json!(0), &since_b[..]),
        (Value::Null, &all[..]),
        (json!(later), &all[..]),
        (json!(-1), &all[..]),
        (json!("soon"), &all[..]),
        (json!({}), &all[..]),
    ] {
        person.syncs("todos", from.clone()).await;
        assert_eq!(gists(&person.told()), answer, "{from}");
    }
    let deleted = updated(&house.rows(0)["a"]);
    person.syncs("todos", deleted).await;
    let only_deleted = [told("sync todos", &[]), told("update todos", &["-a"])];
    assert_eq!(gists(&person.told()), only_deleted);
    person.says(json!({"channel": "todos", "sync": true})).await;
    assert_eq!(gists(&person.told()), all, "without a from");
}

#[tokio::test(start_paused = true)]
async fn what_is_unknown_is_an_error_with_its_id() {
    let house = House::new(&options());
    let mut person = house.person(None);
    person.syncs("nothing", Value::Null).await;
    person.acts("a", "nothing", json!({"type": "create"})).await;
    person.acts(7, "todos", json!({"type": "drop"})).await;
    person.acts(Value::Null, "todos", Value::Null).await;
    person.says(json!({"id": {"any": 1}})).await;
    let told = person.told();
    let wanted = [
        ("error", &Value::Null),
        ("error", &json!("a")),
        ("error", &json!(7)),
        ("error", &Value::Null),
        ("error", &json!({"any": 1})),
    ];
    assert_eq!(ids(&told), wanted);
    for refusal in &told {
        let error = refusal["error"].as_array().expect("always an array");
        assert!(error.iter().all(Value::is_string) && !error.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_late_answer_of_a_host_is_told_to_all_of_them() {
    let house = House::new(&options());
    let host = house.host();
    let (mut asks, mut other) = (house.person(None), house.person(None));
    for person in [&mut asks, &mut other] {
        person.syncs("hosted", Value::Null).await;
        assert_eq!(gists(&person.told()), [told("sync hosted", &[])]);
    }
    asks.acts(1, "hosted", json!({})).await;
    let question = parsed(&host.next().await.expect("a question"));
    let gone = asks.within(PATIENCE).await;
    assert_eq!(ids(&gone), [("error", &json!(1))]);
    asks.acts(2, "hosted", json!({})).await;
    let answer = json!({"type": "rows", "id": question["id"], "rows": [["a", "x"]]});
    assert_eq!(host.hear(said_by_host(answer), HERE).await, Ok(false));
    let update = told("update hosted", &["a"]);
    assert_eq!(gists(&asks.told()), std::slice::from_ref(&update));
    assert_eq!(gists(&other.told()), [update]);
    let second = parsed(&host.next().await.expect("a question"));
    drop(host);
    let left = asks.told();
    assert_eq!(ids(&left), [("error", &json!(2))], "{second}");
}

/// What wakes a shard while its people are silent: a change, or a reply.
async fn woken(told: &mut broadcast::Receiver<Arc<RowsTold>>) -> Option<u64> {
    let next = tokio::time::timeout(millis(1), told.recv());
    next.await.ok().and_then(Result::ok)?.by
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_for_a_host_hears_at_once_what_has_become_of_it() {
    let mut options = options();
    (options.limits.rows, options.limits.row) = (1, 100);
    let house = House::new(&options);
    let host = house.host();
    let mut person = house.person(None);
    let mut shard = house.hub.rows_told();
    let long = "x".repeat(200);
    for (id, answer, reason) in [
        (1, json!({"type": "refuse", "error": ["no"]}), "no"),
        (2, json!({"type": "refuse"}), "the host has refused it"),
        (
            3,
            json!({"type": "rows", "rows": [["a"]]}),
            "the host has answered with rows that do not fit its columns",
        ),
        (
            4,
            json!({"type": "rows", "rows": [["a", long]]}),
            "the row has 208 bytes: over the limit of 100 (--max-row)",
        ),
        (
            5,
            json!({"type": "rows", "rows": [["a", "x"], ["b", "x"]]}),
            "the room has 1 rows, no more fit (--max-rows)",
        ),
    ] {
        person.acts(id, "hosted", json!({})).await;
        let question = parsed(&host.next().await.expect("a question"));
        let mut answer = answer.clone();
        answer["id"] = question["id"].clone();
        let heard = host.hear(said_by_host(answer.clone()), HERE).await;
        let is_refusal = answer["type"] == "refuse";
        assert_eq!(
            heard.is_ok(),
            is_refusal,
            "a host hears of it too: {answer}"
        );
        assert_eq!(
            woken(&mut shard).await,
            Some(person.seat.number()),
            "{answer}"
        );
        let replies = person.told();
        assert_eq!(ids(&replies), [("error", &json!(id))]);
        assert_eq!(replies[0]["error"], json!([reason]));
    }
    let other = house.host();
    person.acts(6, "hosted", json!({})).await;
    drop(other);
    assert_eq!(woken(&mut shard).await, Some(person.seat.number()));
    let gone = person.told();
    assert_eq!(
        gone[0]["error"],
        json!(["the host has gone before it has answered"])
    );
    drop(host);
    person.acts(7, "hosted", json!({})).await;
    let none = person.told();
    let reason = "no host is connected, which would decide on it (/host?room=)";
    assert_eq!(none[0]["error"], json!([reason]));
}

#[tokio::test(start_paused = true)]
async fn a_host_writes_unasked_and_hears_of_it() {
    let house = House::new(&options());
    let host = house.host();
    let hear = async |message: Value| host.hear(said_by_host(message), HERE).await;
    let rows = json!([["a", "x"], {"id": "b", "text": "y"}, ["c", "z", 1, 2, null]]);
    for id in [Value::Null, json!("mine"), json!(17)] {
        let mut message = json!({"type": "rows", "channel": "todos", "rows": rows});
        if !id.is_null() {
            message["id"] = id;
        }
        assert_eq!(hear(message.clone()).await, Ok(true), "{message}");
    }
    assert_eq!(house.rows(0).len(), 3);
    assert_eq!(house.rows(0)["c"][2], 1, "a new row says when it was made");
    let deletes = json!([{"id": "a", "deleted_at": 1}, ["b", null, 1, 2, 3], {"id": "none", "deleted_at": 1}]);
    let message = json!({"type": "rows", "channel": "todos", "rows": deletes});
    assert_eq!(hear(message).await, Ok(true));
    let deleted = house.rows(0).into_values().map(|row| is_deleted(&row));
    assert_eq!(deleted.collect::<Vec<_>>(), [true, true, false]);
    let wrong = json!({"type": "rows", "channel": "none", "rows": []});
    let missing =
        r#"there is no channel "none"; declared: todos, notes, hosted ([rooms.channels])"#
            .to_owned();
    assert_eq!(hear(wrong).await, Err(vec![missing].into()));
    let wrong = json!({"type": "rows", "channel": "todos", "rows": [["d", "x"], ["e"]]});
    assert!(hear(wrong).await.is_err());
    assert_eq!(house.rows(0).len(), 3, "all of them or none");
    let unknown = json!({"type": "rows", "id": 99, "rows": []});
    assert!(hear(unknown).await.is_err(), "nobody has asked for it");
}

#[tokio::test(start_paused = true)]
async fn actions_are_limited_within_ten_seconds() {
    let mut options = options();
    options.limits.actions = 2;
    let house = House::new(&options);
    let mut person = house.person(None);
    for id in 0..4 {
        person.creates(id, "todos", &id.to_string()).await;
        person.syncs("nothing", Value::Null).await;
    }
    let told = person.told();
    let kinds: Vec<_> = ids(&told).iter().map(|(kind, _)| *kind).collect();
    let wanted = "success error success error error error error error";
    assert_eq!(kinds.join(" "), wanted);
    let third = told.iter().find(|reply| reply["id"] == 2);
    assert_eq!(
        third.expect("a reply")["error"],
        json!(["over 2 actions in ten seconds (--max-actions)"])
    );
    let _ = person.within(Duration::from_secs(10)).await;
    person.creates(9, "todos", "9").await;
    assert_eq!(ids(&person.told()), [("success", &json!(9))]);
}

#[tokio::test(start_paused = true)]
async fn a_room_without_rows_is_forgotten_but_not_its_clock() {
    let mut options = options();
    options.limits.rooms = 1;
    options.rooms.keep_deleted = millis(1);
    let house = House::new(&options);
    let person = house.person(None);
    let other = "main/other".parse().expect("a name");
    assert!(house.hub.use_room(&other).is_err(), "there are too many");
    person.creates(1, "todos", "a").await;
    person.acts(2, "todos", json!({"type": "delete-all"})).await;
    let last = updated(&house.rows(0)["a"]);
    drop(person);
    assert_eq!(house.hub.rooms().len(), 1, "its deletion is kept");
    let begun = std::time::SystemTime::now();
    while !house.hub.rooms().is_empty() {
        // What is swept goes by the wall clock, which is not paused.
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(begun.elapsed().expect("it goes on") < Duration::from_secs(20));
    }
    let person = house.person(None);
    person.creates(3, "todos", "a").await;
    assert!(updated(&house.rows(0)["a"]) > last);
    drop(person);
    assert!(house.hub.use_room(&other).is_err(), "it has a row");
}

#[tokio::test(start_paused = true)]
async fn nobody_is_read_from_while_too_much_waits_for_it() {
    let mut options = options();
    options.limits.actions = 1_000;
    let house = House::new(&options);
    let _host = house.host();
    let mut person = house.person(None);
    let mut count = 0;
    while person.seat.has_room() {
        person.acts(count, "hosted", json!({})).await;
        count += 1;
        assert!(count <= 1_000);
    }
    person.within(PATIENCE).await;
    assert!(person.seat.has_room());
    while person.seat.has_room() {
        person.syncs("todos", Value::Null).await;
    }
    person.told();
    assert!(person.seat.has_room());
}
