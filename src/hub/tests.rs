//! What becomes of topics and their changes when a disk, a host or a writer fails.

use std::time::Duration;

use futures_util::FutureExt;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::life::Life;
use super::start::LARGE_CHANGES;
use super::text::Delivered;
use super::*;
use crate::state::json::{Json, LARGE};
use crate::state::revision::Revision;
use crate::state::session::Session;
use crate::state::topic::Version;
use crate::state::topic::{Change, Writer};
use crate::store::disk::Disk;
use crate::store::{Kept, Store};
use crate::wire::SourceState;

struct Room {
    hub: Hub,
    disk: Disk,
    topic: TopicName,
}

fn name(text: &str) -> TopicName {
    text.parse().expect("a name")
}

fn data(text: &str) -> Change {
    let json = Json::parse(text.as_bytes()).expect("JSON");
    Change::Replace(Session::from_json(&json, "x").expect("a session"))
}

fn field(field: &str, value: &str) -> Change {
    let value = Json::parse(value.as_bytes()).expect("JSON");
    Change::Fields(vec![(field.to_owned(), value)])
}

fn by(source_id: &str) -> WriteOptions {
    let writer = Writer {
        source_id: Some(source_id.to_owned()),
        ..Writer::default()
    };
    WriteOptions {
        writer: Arc::new(writer),
        ..WriteOptions::default()
    }
}

impl Room {
    fn new() -> Room {
        Room::on(Disk::default())
    }

    fn on(disk: Disk) -> Room {
        let store = disk.store().expect("there is room at first");
        Room::with(&HubOptions::default(), Some(store), disk)
    }

    fn without_store(options: &HubOptions) -> Room {
        Room::with(options, None, Disk::default())
    }

    fn with(options: &HubOptions, store: Option<(Store, Kept)>, disk: Disk) -> Room {
        let stop = CancellationToken::new();
        let hub = Hub::new(options, store, TaskTracker::new(), stop);
        let topic = hub.default_topic().clone();
        Room { hub, disk, topic }
    }

    async fn write(&self, text: &str) -> Result<Receipt, WriteError> {
        let options = WriteOptions::default();
        self.hub.write(&self.topic, data(text), options).await
    }

    /// A write that is on its way, and has not been answered.
    async fn begin(&self, change: Change) -> tokio::task::JoinHandle<Result<Receipt, WriteError>> {
        let (hub, topic) = (self.hub.clone(), self.topic.clone());
        let before = self.entry().revision();
        let written =
            tokio::spawn(async move { hub.write(&topic, change, WriteOptions::default()).await });
        while self.entry().revision() == before {
            tokio::task::yield_now().await;
        }
        written
    }

    fn enter(&self, entry: &Arc<TopicEntry>) -> Presence {
        let place = self.hub.place().expect("there is room");
        self.hub.enter(entry, place)
    }

    fn entry(&self) -> Arc<TopicEntry> {
        self.hub.topic(&self.topic).expect("it is there")
    }

    fn data(&self) -> Option<String> {
        let entry = self.hub.topic(&self.topic)?;
        Some(entry.session()?.1.data.to_string())
    }

    /// What another daemon finds when this one is killed now.
    fn after_kill(&self) -> Option<Version> {
        let disk = self.disk.after_kill().expect("memory");
        let (_, kept) = disk.store().expect("it can be opened");
        let kept = kept
            .topics
            .into_iter()
            .find(|kept| kept.topic == self.topic);
        kept.map(|kept| kept.version)
    }

    /// That is what this one shows.
    fn assert_kept(&self) {
        let kept = self.after_kill();
        let kept = kept.map(|version| (version.revision, version.session));
        assert_eq!(kept, self.entry().session());
    }
}

#[tokio::test]
async fn what_cannot_be_kept_is_taken_back() {
    let room = Room::new();
    let first = room.write("[1]").await.expect("there is room");
    room.disk.set_full(true);
    for text in ["[2]", "[3]"] {
        let refused = room.write(text).await.expect_err("there is none");
        assert_eq!(refused.problem().status, 507);
        assert_eq!(room.data().as_deref(), Some("[1]"));
    }
    assert!(
        room.entry().revision() > first.revision,
        "viewers are told the truth again"
    );
    room.disk.set_full(false);
    let last = room.write("[4]").await.expect("there is room again");
    assert!(last.revision > first.revision);
    assert_eq!(room.data().as_deref(), Some("[4]"));
}

/// The source, the parts, the verdict and its detail of each change that is told, newest first.
fn told(room: &Room) -> Vec<String> {
    let told = room.hub.latest(&room.entry());
    told.iter()
        .map(|told| format!("{} · {}", told.change(), told.outcome()))
        .collect()
}

#[tokio::test]
async fn what_the_store_could_not_keep_was_refused() {
    let room = Room::new();
    room.write("[1]").await.expect("there is room");
    room.disk.set_full(true);
    room.write("[2]").await.expect_err("there is none");
    let lost = "data from library · refused: it could not be kept, so it was taken back (--store)";
    assert_eq!(told(&room)[0], lost);
    assert_eq!(told(&room).len(), 2);
}

/// A hub that waits for a pause of 250 ms, 500 ms at most.
fn debounced() -> Room {
    let mut options = HubOptions::default();
    options.flow.max_wait = Some(Duration::from_millis(500));
    options.ignore = vec!["/metadata/ui".to_owned()];
    Room::without_store(&options)
}

impl Room {
    /// Writes as a source that calls itself so.
    async fn write_as(&self, source_id: &str, change: Change) {
        let written = self.hub.write(&self.topic, change, by(source_id)).await;
        written.expect("it is accepted");
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_is_told_to_wait_and_then_to_whom_it_was_sent() {
    let room = debounced();
    room.write_as("desk", data(r#"{"config":{"speed":1}}"#))
        .await;
    let waiting = "session from desk (library) · waiting for a pause of 250ms, 500ms at most";
    assert_eq!(told(&room), [waiting]);
    let mut viewer = room.enter(&room.entry());
    let revision = room.entry().revision();
    tokio::time::sleep(Duration::from_millis(251)).await;
    let sent = format!("session from desk (library) · sent as revision {revision} to 1 viewer");
    assert_eq!(told(&room), [sent.as_str()]);
    viewer.set_behind(true);
    assert_eq!(told(&room), [format!("{sent}, 1 behind")], "by now");
    viewer.set_behind(false);
    room.write_as("desk", field("speed", "2")).await;
    viewer.set_behind(true);
    drop(viewer);
    tokio::time::sleep(Duration::from_millis(251)).await;
    let told = told(&room);
    assert!(told[0].ends_with("but nobody watches"), "{told:?}");
    assert_eq!(told[1], sent);
}

#[tokio::test(start_paused = true)]
async fn a_value_that_is_restored_before_it_left_was_replaced() {
    let room = debounced();
    room.write_as("desk", data(r#"{"config":{"speed":1}}"#))
        .await;
    tokio::time::sleep(Duration::from_millis(251)).await;
    room.write_as("desk", field("speed", "2")).await;
    room.write_as("panel", field("speed", "1")).await;
    let revision = room.entry().revision();
    tokio::time::sleep(Duration::from_millis(251)).await;
    let sent = format!("sent as revision {revision}, but nobody watches");
    let told = told(&room);
    assert_eq!(told[0], format!("speed from panel (library) · {sent}"));
    assert_eq!(
        told[1],
        format!("speed from desk (library) · {sent} · it changed again before it left")
    );
}

#[tokio::test(start_paused = true)]
async fn what_changes_nothing_is_told_and_why() {
    let room = debounced();
    room.write_as("desk", data(r#"{"config":{"speed":1}}"#))
        .await;
    room.write_as("desk", field("speed", "1")).await;
    let ui = Json::parse(br#"{"metadata":{"ui":{"zoom":1}}}"#).expect("JSON");
    room.write_as("desk", Change::Merge(ui)).await;
    let stale = WriteOptions {
        if_match: Some(Revision::ZERO),
        ..by("desk")
    };
    let written = room
        .hub
        .write(&room.topic, field("speed", "2"), stale)
        .await;
    written.expect_err("it has changed");
    let told = told(&room);
    assert!(told[0].contains("refused: If-Match is stale: the topic is at revision"));
    assert_eq!(
        told[1..3],
        [
            "metadata from desk (library) · ignored: nothing else differs: /metadata/ui (--ignore)",
            "speed from desk (library) · unchanged",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_written_while_viewers_are_frozen_is_held() {
    let room = debounced();
    room.write_as("desk", data(r#"{"config":{"speed":1}}"#))
        .await;
    room.hub.freeze(true);
    room.write_as("panel", field("speed", "2")).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let held = "speed from panel (library) · held: the viewers are frozen";
    assert!(told(&room).contains(&held.to_owned()), "{:?}", told(&room));
    assert!(told(&room)[0].starts_with("session from desk (library) · sent"));
    room.hub.freeze(false);
    assert!(told(&room)[1].contains("waiting for a pause"));
    tokio::time::sleep(Duration::from_millis(251)).await;
    assert!(told(&room)[0].starts_with("speed from panel (library) · sent"));
}

#[tokio::test]
async fn a_change_on_top_of_a_lost_one_is_not_acknowledged() {
    let room = Room::new();
    room.write(r#"{"config":{"a":1}}"#)
        .await
        .expect("there is room");
    room.disk.hold(true);
    room.disk.fail_after(0);
    let first = room.begin(field("a", "2")).await;
    let second = room.begin(field("b", "3")).await;
    room.disk.hold(false);
    assert!(first.await.expect("it ran").is_err());
    assert!(second.await.expect("it ran").is_err());
    assert_eq!(
        room.entry().field("a").map(|(a, _)| a.to_string()),
        Some("1".to_owned())
    );
    assert_eq!(room.entry().field("b"), None);
    room.assert_kept();
    room.write("[4]").await.expect("there is room again");
    room.assert_kept();
}

#[tokio::test]
async fn what_was_refused_for_the_disk_is_not_there_after_a_restart() {
    let room = Room::new();
    room.disk.fail_after(0);
    room.write("[0]").await.expect_err("the first one fails");
    assert_eq!(room.after_kill(), None);
    room.write(r#"{"data":[1],"config":{"a":1}}"#)
        .await
        .expect("there is room");
    let options = || WriteOptions::default();
    for change in [data("[2]"), field("a", "2")] {
        room.disk.fail_after(0);
        let refused = room.hub.write(&room.topic, change, options()).await;
        assert!(matches!(refused, Err(WriteError::Store(_))), "{refused:?}");
        assert_eq!(room.data().as_deref(), Some("[1]"));
        room.assert_kept();
    }
    room.disk.fail_after(0);
    room.hub
        .delete(&room.topic, None, None)
        .await
        .expect_err("the disk fails");
    assert_eq!(room.data().as_deref(), Some("[1]"));
    room.assert_kept();
}

#[tokio::test]
async fn a_write_that_changes_nothing_waits_for_what_it_found() {
    let room = Room::new();
    room.write("[1]").await.expect("there is room");
    room.disk.hold(true);
    let first = room.begin(data("[2]")).await;
    let (hub, topic) = (room.hub.clone(), room.topic.clone());
    let again = tokio::spawn(async move {
        let options = WriteOptions::default();
        hub.write(&topic, data("[2]"), options).await
    });
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(!again.is_finished(), "what it found is not durable yet");
    room.disk.hold(false);
    let first = first.await.expect("it ran").expect("it is kept");
    let again = again.await.expect("it ran").expect("it is kept");
    assert_eq!(again.revision, first.revision);
    room.assert_kept();
}

#[tokio::test]
async fn a_writer_that_goes_away_takes_nothing_with_it() {
    let room = Room::new();
    room.write("[1]").await.expect("there is room");
    let mut events = room.hub.subscribe();
    room.disk.hold(true);
    room.disk.fail_after(0);
    let gone = room.begin(data("[2]")).await;
    gone.abort();
    room.disk.hold(false);
    // Nobody asks, and viewers are told all the same.
    loop {
        let Ok(Event::Flush(flushed)) = events.recv().await else {
            panic!("only flushes come");
        };
        let shown = room.data();
        if flushed.to == room.entry().revision() && shown.as_deref() == Some("[1]") {
            break;
        }
    }
    room.write("[3]").await.expect("it rests on nothing lost");
    room.assert_kept();
}

#[tokio::test]
async fn a_first_session_that_is_lost_closes_who_saw_it() {
    let room = Room::new();
    let other = Room {
        topic: name("other"),
        hub: room.hub.clone(),
        disk: room.disk.clone(),
    };
    let mut events = room.hub.subscribe();
    room.disk.hold(true);
    room.disk.fail_after(0);
    let source = room.hub.attach(&other.topic).expect("there is room");
    let first = other.begin(data("[1]")).await;
    let shown = other.entry();
    let viewer = room.enter(&shown);
    drop(source);
    room.disk.hold(false);
    first.await.expect("it ran").expect_err("the disk fails");
    loop {
        if let Event::Deleted(entry) = events.recv().await.expect("an event") {
            assert!(Arc::ptr_eq(&entry, &shown));
            break;
        }
    }
    assert!(shown.has_ended());
    assert!(room.hub.topic(&other.topic).is_none());
    drop(viewer);
}

#[tokio::test]
async fn a_topic_that_cannot_be_forgotten_stays_as_it_is() {
    let room = Room::new();
    room.write("[1]").await.expect("there is room");
    let entry = room.entry();
    let before = entry.revision();
    room.disk.set_full(true);
    let refused = room.hub.delete(&room.topic, None, None).await;
    assert!(matches!(refused, Err(WriteError::Store(_))), "{refused:?}");
    assert!(
        Arc::ptr_eq(&entry, &room.entry()),
        "its viewers watch what is written"
    );
    assert!(!entry.has_ended() && entry.revision() >= before);
    assert_eq!(room.data().as_deref(), Some("[1]"));
    room.disk.set_full(false);
    room.write("[2]").await.expect("the next one is kept");
    assert_eq!(
        room.hub.delete(&room.topic, None, None).await,
        Ok(Deleted::Gone)
    );
    assert_eq!(room.data(), None);
    assert!(entry.has_ended());
}

#[tokio::test]
async fn a_write_waits_for_what_becomes_of_a_deletion() {
    for kept in [true, false] {
        let room = Room::new();
        room.write("[1]").await.expect("there is room");
        room.disk.hold(true);
        if !kept {
            room.disk.fail_after(0);
        }
        let (hub, topic) = (room.hub.clone(), room.topic.clone());
        let deleted = tokio::spawn(async move { hub.delete(&topic, None, None).await });
        let entry = room.entry();
        entry.until(|life| life == Life::Leaving).await;
        let (hub, topic) = (room.hub.clone(), room.topic.clone());
        let written = tokio::spawn(async move {
            let options = WriteOptions::default();
            hub.write(&topic, data("[2]"), options).await
        });
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert_eq!(room.data().as_deref(), Some("[1]"));
        room.disk.hold(false);
        assert_eq!(deleted.await.expect("it ran").is_ok(), kept);
        let written = written.await.expect("it ran").expect("it is kept");
        assert_eq!(written.created, kept);
        assert_eq!(room.data().as_deref(), Some("[2]"));
        room.assert_kept();
    }
}

#[tokio::test]
async fn a_disk_that_does_not_answer_is_told_of() {
    let room = Room::new();
    room.write("1").await.expect("it can be kept");
    // A paused clock does not wait for the thread: it must have nothing left to say.
    while room.hub.0.health.borrow().waiting > 0 {
        tokio::task::yield_now().await;
    }
    tokio::time::pause();
    room.disk.hold(true);
    let written = room.begin(data("2")).await;
    tokio::time::sleep(Duration::from_secs(6)).await;
    let failure = room.hub.store_failure().expect("it is told");
    assert!(failure.error.contains("does not answer"), "{failure:?}");
    assert!(!written.is_finished());
    room.disk.hold(false);
    let receipt = written.await.expect("it ran").expect("it can be kept");
    assert!(receipt.kept);
    while room.hub.store_failure().is_some() {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

#[tokio::test]
async fn names_of_writers_are_kept() {
    let room = Room::new();
    room.write(r#"{"config":{"a":1,"b":1}}"#)
        .await
        .expect("there is room");
    let set = |name, value| room.hub.write(&room.topic, field(name, value), by("panel"));
    let first = set("a", "2").await.expect("there is room");
    set("b", "2").await.expect("there is room");
    let unnamed = WriteOptions::default();
    let change = field("b", "3");
    let unnamed = room.hub.write(&room.topic, change, unnamed).await;
    unnamed.expect("there is room");
    let again = Room::on(room.disk.after_kill().expect("memory"));
    let origin = |field| again.entry().field(field).expect("it is there").1;
    assert_eq!(origin("a").revision, first.revision);
    assert_eq!(origin("a").writer.source_id.as_deref(), Some("panel"));
    assert!(!origin("b").is_named(), "the last one gave no name");
}

#[tokio::test]
async fn refused_writes_and_hosts_that_leave_keep_no_topic() {
    let mut options = HubOptions::default();
    options.limits.topics = 3;
    options.fields = Some(
        [(
            "a".to_owned(),
            crate::source::demo::fields()["speed"].clone(),
        )]
        .into(),
    );
    let room = Room::without_store(&options);
    for round in 0..6 {
        let refused = name(&format!("refused{round}"));
        let change = data(r#"{"config":{"a":"x"}}"#);
        let written = room.hub.write(&refused, change, by("x")).await;
        assert!(matches!(written, Err(WriteError::Refused(_))));
        drop(room.hub.attach(&name(&format!("host{round}"))));
    }
    assert_eq!(room.hub.topics().len(), 1, "the default one");
    let source = room.hub.attach(&name("waits")).expect("there is room");
    assert!(room.hub.topic(&name("waits")).is_some());
    let write = async |topic| room.hub.write(&name(topic), data("1"), by("x")).await;
    write("shown").await.expect("there is room");
    assert_eq!(write("over").await.err(), Some(WriteError::Full(3)));
    drop(source);
    write("now").await.expect("there is room");
}

#[tokio::test(start_paused = true)]
async fn a_host_stays_attached_to_the_name_of_a_deleted_topic() {
    let room = Room::without_store(&HubOptions::default());
    let topic = name("stage");
    let source = room.hub.attach(&topic).expect("there is room");
    let write = |text| room.hub.write(&topic, data(text), WriteOptions::default());
    write("1").await.expect("it is taken");
    assert_eq!(room.hub.delete(&topic, None, None).await, Ok(Deleted::Gone));
    write("2").await.expect("it is taken");
    tokio::time::sleep(Duration::from_secs(31)).await;
    let state = || room.hub.topic(&topic).expect("it is there").host().1;
    assert_eq!(state(), SourceState::Alive);
    drop(source);
    assert_eq!(state(), SourceState::Ended);
}

#[tokio::test(start_paused = true)]
async fn a_source_goes_on_with_the_next_topic_of_its_name_however_one_ends() {
    let room = Room::new();
    let topic = name("stage");
    let source = room.hub.attach(&topic).expect("there is room");
    let entry = || room.hub.topic(&topic).expect("it is there");
    let write = |text| room.hub.write(&topic, data(text), WriteOptions::default());
    let first = entry();
    write("1").await.expect("there is room");
    assert_eq!(room.hub.delete(&topic, None, None).await, Ok(Deleted::Gone));
    let second = entry();
    room.disk.fail_after(0);
    write("2").await.expect_err("the disk fails");
    assert!(first.has_ended() && second.has_ended());
    write("3").await.expect("there is room");
    tokio::time::sleep(Duration::from_secs(31)).await;
    assert_eq!(entry().host().1, SourceState::Alive);
    drop(source);
    assert_eq!(entry().host().1, SourceState::Ended);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writers_that_make_a_topic_at_once_make_one() {
    let room = Room::without_store(&HubOptions::default());
    for round in 0..100 {
        let topic = name(&format!("new{round}"));
        let writers = (0..4).map(|writer| {
            let (hub, topic) = (room.hub.clone(), topic.clone());
            let change = field(&format!("f{writer}"), "1");
            tokio::spawn(async move { hub.write(&topic, change, WriteOptions::default()).await })
        });
        let mut made = 0;
        for written in writers.collect::<Vec<_>>() {
            let receipt = written.await.expect("it ran").expect("it is taken");
            made += usize::from(receipt.created);
        }
        assert_eq!(made, 1);
        let entry = room.hub.topic(&topic).expect("it is there");
        let (_, session) = entry.session().expect("a session");
        assert_eq!(session.config.names().count(), 4);
        assert_eq!(entry.life(), Life::Live);
    }
}

#[tokio::test(start_paused = true)]
async fn a_flush_names_a_source_only_if_all_of_it_is_its() {
    let room = Room::without_store(&HubOptions::default());
    let mut told = room.hub.invalidations();
    room.write(r#"{"config":{"a":0,"b":0}}"#)
        .await
        .expect("it is taken");
    assert_eq!(told.recv().await.expect("an event").source_id, None);
    let refused = || Change::Merge(Json::parse(b"{\"nmae\":1}").expect("JSON"));
    let cases: [(&[&str], Option<&str>); 4] = [
        (&["one", "one"], Some("one")),
        (&["one", "other"], None),
        (&["other", ""], None),
        (&["one", "refused"], None),
    ];
    for (round, (writers, named)) in cases.into_iter().enumerate() {
        for (index, writer) in writers.iter().enumerate() {
            let value = format!("{}", 10 * round + index + 1);
            let (change, options) = match *writer {
                "" => (field("a", &value), WriteOptions::default()),
                "refused" => (refused(), by("one")),
                writer => (field("a", &value), by(writer)),
            };
            let _ = room.hub.write(&room.topic, change, options).await;
        }
        let event = told.recv().await.expect("an event");
        assert_eq!(event.source_id.as_deref(), named, "{writers:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn flushes_leave_in_their_order() {
    let mut options = HubOptions::default();
    options.flow.debounce = Duration::ZERO;
    options.flow.capacity = 8192;
    let room = Room::without_store(&options);
    room.write(r#"{"config":{"a":0}}"#)
        .await
        .expect("it is taken");
    let mut told = room.hub.invalidations();
    let writers: Vec<_> = (0..16)
        .map(|writer| {
            let (hub, topic) = (room.hub.clone(), room.topic.clone());
            tokio::spawn(async move {
                for count in 0..100 {
                    let change = field("a", &format!("{}", 1000 * writer + count));
                    let written = hub.write(&topic, change, WriteOptions::default()).await;
                    let receipt = written.expect("it is taken");
                    let said = receipt.session.config.get("a").expect("it is there");
                    assert!(receipt.touched <= receipt.revision, "{said}");
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.expect("it ran");
    }
    let last = room.entry().revision();
    let mut before = Revision::ZERO;
    while before < last {
        let event = told.recv().await.expect("an event");
        assert!(event.revision > before);
        before = event.revision;
    }
}

#[tokio::test]
async fn a_text_that_no_shard_takes_has_passed_everybody_over() {
    let room = Room::without_store(&HubOptions::default());
    room.write("1").await.expect("it is taken");
    let shard = room.hub.subscribe();
    let viewer = room.enter(&room.entry());
    let delivery = room.hub.broadcast(&room.entry(), "hello".to_owned()).await;
    drop(shard);
    let missed = Delivered {
        viewers: 0,
        passed_over: 1,
    };
    assert_eq!(delivery.delivered().await, missed);
    drop(viewer);
    // While texts are on their way, more wait.
    let _shard = room.hub.subscribe();
    let places = HubOptions::default().flow.capacity / 2;
    for _ in 0..places {
        drop(room.hub.broadcast(&room.entry(), "x".to_owned()).await);
    }
    let entry = room.entry();
    let more = room.hub.broadcast(&entry, "x".to_owned());
    let waited = tokio::time::timeout(Duration::from_millis(1), more).await;
    assert!(waited.is_err());
}

#[tokio::test]
async fn nothing_is_acknowledged_while_the_disk_may_hold_another() {
    let room = Room::new();
    room.write("[1]").await.expect("there is room");
    room.disk.hold(true);
    let lost = room.begin(data("[2]")).await;
    // Its bytes arrive, its sync fails, and what is durable cannot be put back.
    room.disk.fail_after(0);
    room.disk.set_full(true);
    room.disk.hold(false);
    lost.await.expect("it ran").expect_err("the disk fails");
    assert_eq!(room.data().as_deref(), Some("[1]"));
    let same = room.write("[1]").await;
    assert!(matches!(same, Err(WriteError::Store(_))), "{same:?}");
    // The disk may have been full before it came to the sync.
    room.disk.fail_after(u32::MAX);
    room.disk.set_full(false);
    room.write("[1]").await.expect("there is room again");
    room.assert_kept();
}

#[tokio::test]
async fn what_is_ignored_now_is_dropped_from_what_was_kept() {
    let room = Room::new();
    let written = room.write(r#"{"data":{"pin":1234,"x":1}}"#);
    let before = written.await.expect("there is room");
    let options = HubOptions {
        ignore: vec!["/data/pin".to_owned()],
        ..HubOptions::default()
    };
    let disk = room.disk.after_kill().expect("memory");
    let store = disk.store().expect("it can be opened");
    let again = Room::with(&options, Some(store), disk);
    assert_eq!(again.data().as_deref(), Some(r#"{"x":1}"#));
    assert!(again.entry().revision() > before.revision);
    let set = again.hub.write(&again.topic, field("a", "1"), by("x"));
    set.await.expect("there is room");
    again.assert_kept();
}

#[tokio::test]
async fn what_is_to_be_durable_first_is_shown_after_that() {
    let disk = Disk::default();
    let mut options = HubOptions::default();
    options.flow.after_durable = true;
    let store = disk.store().expect("there is room at first");
    let room = Room::with(&options, Some(store), disk);
    let receipt = room.write(r#"{"data":1,"config":{"a":1,"b":1}}"#).await;
    let first = receipt.expect("it can be kept").revision;
    let entry = room.entry();
    assert!(entry.flush().is_some_and(|flushed| flushed.to == first));
    room.disk.hold(true);
    let revision = |entry: &TopicEntry| entry.state().topic.revision();
    let mut writes = Vec::new();
    let other = r#"{"config":{"secret":1}}"#;
    for change in [
        field("a", "2"),
        field("b", "2"),
        field("a", "3"),
        data(other),
    ] {
        let (hub, topic, before) = (room.hub.clone(), room.topic.clone(), revision(&entry));
        writes.push(tokio::spawn(async move {
            hub.write(&topic, change, by("panel")).await
        }));
        while revision(&entry) == before {
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(entry.session().map(|(revision, _)| revision), Some(first));
    assert_eq!(entry.revision(), first);
    let value = |entry: &TopicEntry| entry.field("a").map(|(value, _)| value.to_string());
    assert_eq!(value(&entry).as_deref(), Some("1"));
    let fields = |entry: &TopicEntry| {
        entry
            .whitelist()
            .fields()
            .keys()
            .cloned()
            .collect::<Vec<_>>()
    };
    assert_eq!(fields(&entry), ["a", "b"]);
    assert!(entry.flush().is_none());
    assert!(entry.since(Some(first)).frame.is_none());
    assert_eq!(entry.since(None).revision, Some(first));
    room.disk.hold(false);
    for write in writes {
        write.await.expect("it ran").expect("it can be kept");
    }
    assert_eq!(fields(&entry), ["secret"]);
    room.assert_kept();
    assert!(entry.flush().is_some_and(|flushed| flushed.from == first));
}

#[tokio::test]
async fn a_life_that_did_not_end_in_order_is_outrun() {
    let room = Room::new();
    let kept = room.write("[1]").await.expect("there is room");
    let again = Room::on(room.disk.after_kill().expect("memory"));
    let entry = again.entry();
    assert!(entry.revision() > kept.revision);
    let current = entry.since(Some(kept.revision));
    assert!(current.frame.is_none(), "who holds it is sent nothing");
    let options = WriteOptions {
        if_match: Some(kept.revision),
        ..WriteOptions::default()
    };
    let written = again.hub.write(&again.topic, data("[2]"), options).await;
    written.expect("nothing has changed since");
    again.hub.close_store().await;
    let ended = Room::on(again.disk.clone());
    assert_eq!(ended.entry().session(), again.entry().session());
}

#[test]
fn a_large_change_is_called_off_with_its_writer_and_leaves_its_turn() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .max_blocking_threads(1)
        .build();
    runtime.expect("a runtime").block_on(async {
        let room = Room::without_store(&HubOptions::default());
        let (open, opened) = std::sync::mpsc::channel::<()>();
        tokio::task::spawn_blocking(move || opened.recv());
        let text = format!("[{:?}]", "x".repeat(LARGE));
        for _ in 0..LARGE_CHANGES {
            let begun = room.write(&text).now_or_never();
            assert!(begun.is_none(), "it waits for a thread, and is dropped");
        }
        drop(open);
        let written = room.write(&text).await.expect("there is room");
        assert!(written.created, "nothing was written before");
    });
}

#[tokio::test]
async fn writers_that_wait_for_a_large_change_leave_it_a_place_in_the_queue() {
    let room = Room::new();
    room.write("[1]").await.expect("there is room");
    let alone = room.entry().writers.clone().write_owned().await;
    let change = |count: usize| field("a", &count.to_string());
    let small = (0..2 * QUEUE).map(|count| {
        let (hub, topic, change) = (room.hub.clone(), room.topic.clone(), change(count));
        tokio::spawn(async move { hub.write(&topic, change, WriteOptions::default()).await })
    });
    let small: Vec<_> = small.collect();
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    let permit = tokio::time::timeout(Duration::from_secs(1), room.hub.permit()).await;
    assert!(permit.is_ok(), "they would wait for each other");
    drop((permit, alone));
    for written in small {
        written.await.expect("it ran").expect("it is kept");
    }
}

#[tokio::test]
async fn what_has_a_place_in_the_queue_is_kept_before_the_store_is_closed() {
    let room = Room::new();
    room.write("[1]").await.expect("there is room");
    let permit = room.hub.permit().await.expect("the store is open");
    let hub = room.hub.clone();
    let closed = tokio::spawn(async move { hub.close_store().await });
    while room.hub.permit().await.is_ok() {
        tokio::task::yield_now().await;
    }
    let (change, options) = (data("[2]"), WriteOptions::default());
    let write = super::change::Write { change, options };
    let written = room.entry().write(&write, None, permit, Revision::ZERO);
    let promise = written.expect("it is accepted").1.expect("a store");
    let outcome = tokio::time::timeout(Duration::from_secs(5), promise.outcome()).await;
    assert_eq!(outcome.expect("it is answered"), Ok(true));
    closed.await.expect("it ran");
    room.assert_kept();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_changes_get_through_among_small_ones() {
    let room = Room::without_store(&HubOptions::default());
    let rows = vec!["0"; 200_000].join(",");
    let session = format!(r#"{{"data":[{rows}],"config":{{"a":0}}}}"#);
    room.write(&session).await.expect("it is taken");
    let add = r#"[{"op":"add","path":"/data/-","value":1}]"#;
    let large = (0..3).map(|_| {
        let (hub, topic) = (room.hub.clone(), room.topic.clone());
        let change = Change::Patch(serde_json::from_str(add).expect("a patch"));
        tokio::spawn(async move { hub.write(&topic, change, WriteOptions::default()).await })
    });
    let large: Vec<_> = large.collect();
    let mut count = 0;
    while !large.iter().all(tokio::task::JoinHandle::is_finished) {
        count += 1;
        let change = field("a", &count.to_string());
        let written = room.hub.write(&room.topic, change, WriteOptions::default());
        written.await.expect("it is taken");
    }
    for large in large {
        large.await.expect("it ran").expect("it is taken");
    }
    let (_, session) = room.entry().session().expect("a session");
    assert!(session.data.to_string().ends_with("0,1,1,1]"));
    let last = session.config.get("a").map(ToString::to_string);
    assert_eq!(last, Some(count.to_string()));
}

#[tokio::test]
async fn a_change_is_counted_also_when_its_writer_leaves_before_it_is_kept() {
    let room = Room::new();
    let new = name("new");
    room.disk.hold(true);
    let left = room.hub.write(&new, data("1"), by("a"));
    assert!(left.now_or_never().is_none(), "it is not kept yet");
    assert_eq!(room.hub.counts().writes(), 0);
    room.disk.hold(false);
    let next = room.hub.write(&new, data("2"), by("a")).await;
    assert!(next.is_ok_and(|receipt| !receipt.created));
    assert_eq!(room.hub.counts().writes(), 2);
    room.disk.set_full(true);
    let refused = room.hub.write(&new, data("3"), by("a")).await;
    assert!(matches!(refused, Err(WriteError::Store(_))), "{refused:?}");
    let left = room.hub.write(&new, data("4"), by("a"));
    assert!(left.now_or_never().is_none(), "it is not refused yet");
    let refused = room.hub.write(&new, data("5"), by("a")).await;
    assert!(matches!(refused, Err(WriteError::Store(_))), "{refused:?}");
    let counts = room.hub.counts();
    assert_eq!((counts.writes(), counts.refusals()), (2, 3));
}

#[tokio::test(start_paused = true)]
async fn a_source_is_missed_only_if_it_broke_off_and_until_somebody_writes() {
    let room = Room::without_store(&HubOptions::default());
    let state = || room.entry().host().1;
    let attach = || room.hub.attach(&room.topic).expect("there is room");
    let mut news = room.hub.news();
    let mut is_news = || {
        let is_news = news.has_changed().expect("the hub is there");
        news.mark_unchanged();
        is_news
    };
    attach().leave();
    assert_eq!(state(), SourceState::Alive);
    tokio::time::sleep(Duration::from_secs(31)).await;
    assert_eq!(state(), SourceState::Silent, "it wrote once and left");
    assert!(!is_news(), "nor does anybody have to hear of it at once");
    drop(attach());
    assert_eq!(state(), SourceState::Ended);
    assert!(is_news());
    let (first, second) = (attach(), attach());
    assert_eq!(state(), SourceState::Alive);
    assert!(is_news());
    drop(first);
    second.leave();
    assert_eq!(state(), SourceState::Silent);
    drop(attach());
    room.write("1").await.expect("it is taken");
    assert_eq!(state(), SourceState::Alive, "another host goes on");
}

#[tokio::test(start_paused = true)]
async fn how_long_ago_something_changed_is_told() {
    let room = Room::without_store(&HubOptions::default());
    let changed = || room.entry().shown_state().changed_ms;
    assert_eq!(changed(), None, "nothing is shown");
    room.write("1").await.expect("it is taken");
    tokio::time::advance(Duration::from_secs(60)).await;
    room.write("1").await.expect("it changes nothing");
    assert_eq!(changed(), Some(60_000));
    room.hub.freeze(true);
    room.write("2").await.expect("it is taken");
    let frozen = room.entry().shown_state();
    assert_eq!((frozen.changed_ms, frozen.frozen), (Some(60_000), true));
    room.hub.freeze(false);
    let shown = room.entry().shown_state();
    assert_eq!((shown.changed_ms, shown.frozen), (Some(0), false));
}

#[tokio::test]
async fn how_long_ago_something_changed_is_known_after_a_restart() {
    let room = Room::new();
    room.write("1").await.expect("it is kept");
    let again = Room::on(room.disk.after_kill().expect("memory"));
    let changed = again.entry().shown_state().changed_ms;
    assert!(
        changed.is_some_and(|ms| ms < 60_000),
        "its revision tells: {changed:?}"
    );
}

#[tokio::test]
async fn what_is_frozen_is_shown_until_the_host_lets_go() {
    let room = Room::without_store(&HubOptions::default());
    room.write("1").await.expect("it is taken");
    room.hub.flush(&room.entry()).await;
    let shown = room.entry().revision();
    room.hub.freeze(true);
    room.hub.freeze(true);
    let written = room.write("2").await.expect("it is taken");
    assert_eq!(room.data().as_deref(), Some("1"));
    assert_eq!(room.entry().revision(), shown);
    let late = name("late");
    let write = room.hub.write(&late, data("3"), WriteOptions::default());
    assert!(write.await.expect("it is taken").created);
    let late = room.hub.topic(&late).expect("it is there");
    assert!(late.session().is_none(), "it begins when the host lets go");
    assert_eq!(room.hub.latest(&late)[0].verdict, "held");
    let mut events = room.hub.subscribe();
    room.hub.flush(&room.entry()).await;
    room.hub.freeze(false);
    assert_eq!(room.data().as_deref(), Some("2"));
    assert!(late.session().is_some());
    room.hub.flush(&room.entry()).await;
    let Ok(Event::Flush(flushed)) = events.recv().await else {
        panic!("one flush");
    };
    assert_eq!((flushed.from, flushed.to), (shown, written.revision));
    assert!(events.is_empty(), "nothing left while it was frozen");
}

#[tokio::test]
async fn what_the_store_loses_is_not_shown_on_because_it_is_frozen() {
    let room = Room::new();
    room.write("1").await.expect("it is kept");
    room.disk.fail_after(0);
    let lost = room.begin(data("2")).await;
    room.hub.freeze(true);
    lost.await.expect("no panic").expect_err("the disk fails");
    assert_eq!(room.data().as_deref(), Some("1"));
    room.write("3").await.expect("it is kept");
    assert_eq!(room.data().as_deref(), Some("1"), "it is still frozen");
    room.hub.freeze(false);
    assert_eq!(room.data().as_deref(), Some("3"));
}

#[tokio::test]
async fn what_stands_stays_frozen_when_the_store_loses_what_followed() {
    let room = Room::new();
    room.write("1").await.expect("it is kept");
    room.hub.freeze(true);
    let shown = room.entry().revision();
    room.write("2").await.expect("it is kept");
    room.disk.fail_after(0);
    room.write("3").await.expect_err("the disk fails");
    assert_eq!(
        (room.data().as_deref(), room.entry().revision()),
        (Some("1"), shown)
    );
    room.hub.freeze(false);
    assert_eq!(room.data().as_deref(), Some("2"));
}

#[tokio::test]
async fn a_daemon_that_stops_has_not_lost_its_sources() {
    let room = Room::without_store(&HubOptions::default());
    let source = room.hub.attach(&room.topic).expect("there is room");
    room.hub.0.stop.cancel();
    drop(source);
    assert_eq!(room.entry().host().1, SourceState::Alive);
}

#[tokio::test]
async fn a_host_that_looks_on_keeps_a_topic_and_is_no_viewer() {
    let room = Room::without_store(&HubOptions::default());
    let topic = name("stage");
    drop(room.hub.attach(&topic));
    let entry = || room.hub.topic(&topic);
    let source = room.hub.attach(&topic).expect("there is room");
    let panel = room.hub.enter_uncounted(
        &entry().expect("it waits"),
        room.hub.place().expect("there is room"),
    );
    let mut viewer = room.enter(&entry().expect("it waits"));
    drop(source);
    assert_eq!((room.hub.viewers(), viewer.entry().viewers()), (1, 1));
    viewer.retire();
    viewer.retire();
    assert_eq!((room.hub.viewers(), viewer.entry().viewers()), (0, 0));
    drop(viewer);
    assert_eq!(room.hub.viewers(), 0);
    assert!(entry().is_some(), "the panel waits for its first session");
    drop(panel);
    assert!(entry().is_none());
}
