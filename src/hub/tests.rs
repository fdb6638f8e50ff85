//! A full disk refuses writes and loses nothing.

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::*;
use crate::json::Json;
use crate::store::disk::Disk;

struct Room {
    hub: Hub,
    disk: Disk,
    topic: TopicName,
}

impl Room {
    fn new() -> Room {
        let disk = Disk::default();
        let store = disk.store().expect("there is room at first");
        let store = Some((store, Vec::new()));
        let stop = CancellationToken::new();
        let hub = Hub::new(&Options::default(), store, TaskTracker::new(), stop);
        let topic = hub.default_topic().clone();
        Room { hub, disk, topic }
    }

    async fn write(&self, text: &str) -> Result<Receipt, WriteError> {
        let json = Json::parse(text.as_bytes()).expect("JSON");
        let change = Change::Replace(Session::from_json(&json, "x").expect("a session"));
        let options = WriteOptions::default();
        self.hub.write(&self.topic, change, options).await
    }

    fn data(&self) -> Option<String> {
        let cell = self.hub.topic(&self.topic)?;
        Some(cell.session()?.1.data.to_string())
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
    let cell = room.hub.topic(&room.topic).expect("it is there");
    assert!(
        cell.revision() > first.revision,
        "viewers are told the truth again"
    );
    room.disk.set_full(false);
    let last = room.write("[4]").await.expect("there is room again");
    assert!(last.revision > first.revision);
    assert_eq!(room.data().as_deref(), Some("[4]"));
}

#[tokio::test]
async fn a_topic_that_cannot_be_forgotten_is_there_again() {
    let room = Room::new();
    room.write("[1]").await.expect("there is room");
    room.disk.set_full(true);
    room.hub
        .delete(&room.topic, None)
        .await
        .expect_err("there is none");
    assert_eq!(room.data().as_deref(), Some("[1]"));
    room.disk.set_full(false);
    room.write("[2]").await.expect("there is room again");
    assert_eq!(room.hub.delete(&room.topic, None).await, Ok(true));
    assert_eq!(room.data(), None);
}

#[tokio::test]
async fn a_writer_that_goes_away_leaves_a_durable_change() {
    let room = Room::new();
    room.write("[1]").await.expect("there is room");
    let gone = tokio::time::timeout(std::time::Duration::ZERO, room.write("[2]")).await;
    // The disk is quick at times: then the writer has heard of it, which is as good.
    drop(gone);
    let other: TopicName = "other".parse().expect("a name");
    let session = Session::of_data("x", Json::empty_object());
    let behind = room
        .hub
        .write(&other, Change::Replace(session), WriteOptions::default());
    behind.await.expect("what came before it is durable by now");
    room.disk.set_full(true);
    room.write("[3]").await.expect_err("there is none");
    assert_eq!(room.data().as_deref(), Some("[2]"), "what is durable stays");
    room.disk.set_full(false);
    room.write("[4]").await.expect("there is room again");
    assert_eq!(room.data().as_deref(), Some("[4]"));
}
