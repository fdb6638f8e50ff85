//! Random histories of the whole heart: writers with names, windows that pull, devices that
//! show first, shards that lag, deletions, disks that stall, fail and are found again. Whatever
//! happened, everybody ends on what the daemon has, and nothing acknowledged is lost.

use std::sync::Arc;

use futures_util::FutureExt;
use hyper::Request;
use proptest::prelude::*;
use serde_json::Value;
use tokio::sync::broadcast::{Receiver, error::TryRecvError};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::access::{Access, Need, ViewerPass};
use crate::hub::{Deleted, Event, Hub, Presence, Receipt, WriteError, WriteOptions};
use crate::options::{MIN_CAPACITY, Options, StoreFailure};
use crate::state::fields::Field;
use crate::state::json::{Json, Kind};
use crate::state::name::TopicName;
use crate::state::revision::Revision;
use crate::state::session::Session;
use crate::state::topic::{Change, Writer};
use crate::store::{StoredTopic, disk::Disk};
use crate::viewer::sync::Feed;
use crate::wire::frame::Encoding;

#[derive(Clone, Debug)]
enum Step {
    /// A device is tapped: it shows the value and writes it.
    Tap(usize, u8),
    /// A window writes; more than 8 is refused.
    Write(usize, u8),
    /// The whole session anew, without a name.
    Replace(u8),
    Delete,
    Resend,
    /// Time for flushes and answers.
    Pass,
    /// A shard hears what has happened.
    Drain(usize),
    /// A viewer's connection breaks, or is there again.
    Toggle(usize),
    /// A window hears what it is told.
    Tell(usize),
    Hold(bool),
    Full(bool),
    FailAfter(u32),
    Kill,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..2usize, 0..10u8).prop_map(|(device, value)| Step::Tap(device, value)),
        4 => (0..2usize, 0..10u8).prop_map(|(window, value)| Step::Write(window, value)),
        2 => (0..4u8).prop_map(Step::Replace),
        1 => Just(Step::Delete),
        1 => Just(Step::Resend),
        6 => Just(Step::Pass),
        4 => (0..3usize).prop_map(Step::Drain),
        2 => (0..3usize).prop_map(Step::Toggle),
        3 => (0..2usize).prop_map(Step::Tell),
        2 => any::<bool>().prop_map(Step::Hold),
        1 => any::<bool>().prop_map(Step::Full),
        1 => (0..4u32).prop_map(Step::FailAfter),
        1 => Just(Step::Kill),
    ]
}

/// A phone: what it shows, and the shard of its own that serves it.
struct Viewer {
    events: Receiver<Event>,
    presence: Option<Presence>,
    resends: u64,
    revision: Option<Revision>,
    session: Option<Value>,
    /// Frames for the device that looks through it.
    news: Vec<Value>,
}

/// A window that is told and pulls: the truth as it holds it.
struct Window {
    feed: Option<Feed>,
    held: Option<(Revision, Session)>,
    writes: Vec<Written>,
}

/// A control that shows a tap at once: `client/optimistic.js` step by step.
#[derive(Default)]
struct Device {
    confirmed: Option<Value>,
    /// The newest tap's value.
    wish: Option<Value>,
    /// Of `confirmed`; 0: none.
    known: u64,
    heard: u64,
    local: u64,
    sending: Option<(u64, Written)>,
    foreign: bool,
    /// The revision under which the last tap was acknowledged; none when it was refused.
    last: Option<u64>,
}

type Written = JoinHandle<Result<Receipt, WriteError>>;

struct World {
    options: Options,
    disk: Option<Disk>,
    hub: Hub,
    stop: CancellationToken,
    pass: ViewerPass,
    topic: TopicName,
    viewers: Vec<Viewer>,
    windows: Vec<Window>,
    devices: Vec<Device>,
    others: Vec<Written>,
    deletions: Vec<JoinHandle<Result<Deleted, WriteError>>>,
    /// The newest revision that was acknowledged; none after a deletion.
    acknowledged: Option<Revision>,
    /// The newest that was acknowledged as kept.
    kept: Option<Revision>,
    /// What was acknowledged up to this revision is deleted.
    deleted: Revision,
    seen: Revision,
    /// Whether the disk may hold something else than the daemon was told.
    unsure: bool,
}

fn json(value: impl ToString) -> Json {
    Json::parse(value.to_string().as_bytes()).expect("JSON")
}

fn viewer_pass(options: &Options) -> ViewerPass {
    let access = Access::new(&options.access, Vec::new()).expect("randomness");
    let request = Request::get("/sync").header("host", "127.0.0.1");
    let (parts, ()) = request.body(()).expect("a request").into_parts();
    let peer = ([127, 0, 0, 1], 1).into();
    let pass = access.admit(&parts, peer, Need::Viewer).now_or_never();
    let pass = pass.expect("nobody has to wait");
    pass.expect("it may").viewer.expect("it may watch")
}

fn open(options: &Options, disk: Option<&Disk>) -> (Hub, CancellationToken) {
    let store = disk.map(|disk| disk.store().expect("it can be opened"));
    let stop = CancellationToken::new();
    let hub = Hub::new(&options.hub(), store, TaskTracker::new(), stop.clone());
    (hub, stop)
}

impl World {
    fn new(store: Option<StoreFailure>, after_durable: bool) -> World {
        let mut options = Options {
            store_failure: store.unwrap_or_default(),
            ..Options::default()
        };
        options.flow.capacity = MIN_CAPACITY;
        options.flow.after_durable = after_durable;
        let speed = Field {
            max: Some(8.0),
            ..Field::of(Kind::Number)
        };
        options.fields = Some([("speed".to_owned(), speed)].into());
        let disk = store.map(|_| Disk::default());
        let (hub, stop) = open(&options, disk.as_ref());
        let viewer = || Viewer {
            events: hub.subscribe(),
            presence: None,
            resends: 0,
            revision: None,
            session: None,
            news: Vec::new(),
        };
        let window = || Window {
            feed: None,
            held: None,
            writes: Vec::new(),
        };
        World {
            pass: viewer_pass(&options),
            topic: hub.default_topic().clone(),
            viewers: (0..3).map(|_| viewer()).collect(),
            windows: (0..2).map(|_| window()).collect(),
            devices: (0..2).map(|_| Device::default()).collect(),
            others: Vec::new(),
            deletions: Vec::new(),
            acknowledged: None,
            kept: None,
            deleted: Revision::ZERO,
            seen: Revision::ZERO,
            unsure: false,
            options,
            disk,
            hub,
            stop,
        }
    }

    async fn take(&mut self, step: &Step) {
        match *step {
            Step::Tap(device, value) => self.tap(device, value),
            Step::Write(window, value) => {
                let written = self.write(speed(value), named(window as u64, 0));
                self.windows[window].writes.push(written);
            }
            Step::Replace(value) => {
                let text = format!(r#"{{"data":{value},"config":{{"speed":{value}}}}}"#);
                let session = Session::from_json(&json(text), "main").expect("a session");
                let written = self.write(Change::Replace(session), WriteOptions::default());
                self.others.push(written);
            }
            Step::Delete => {
                let (hub, topic) = (self.hub.clone(), self.topic.clone());
                let deletion = tokio::spawn(async move { hub.delete(&topic, None, None).await });
                self.deletions.push(deletion);
            }
            Step::Resend => {
                if let Some(entry) = self.hub.topic(&self.topic) {
                    self.hub.resend_all(&entry);
                }
            }
            Step::Pass => self.pass().await,
            Step::Drain(viewer) => self.viewers[viewer].drain(),
            Step::Toggle(viewer) => self.toggle(viewer),
            Step::Tell(window) => self.tell(window),
            Step::Hold(_) | Step::Full(_) | Step::FailAfter(_) => self.trouble(step),
            Step::Kill => self.kill().await,
        }
        self.look();
    }

    fn trouble(&mut self, step: &Step) {
        let Some(disk) = &self.disk else { return };
        self.unsure |= matches!(step, Step::Full(true) | Step::FailAfter(_));
        match *step {
            Step::Hold(held) => disk.hold(held),
            Step::Full(full) => disk.set_full(full),
            Step::FailAfter(syncs) => disk.fail_after(syncs),
            _ => {}
        }
    }

    fn write(&self, change: Change, options: WriteOptions) -> Written {
        let (hub, topic) = (self.hub.clone(), self.topic.clone());
        tokio::spawn(async move { hub.write(&topic, change, options).await })
    }

    fn tap(&mut self, index: usize, value: u8) {
        let device = &mut self.devices[index];
        device.local += 1;
        (device.foreign, device.last) = (false, None);
        device.wish = Some(value.into());
        if device.sending.is_none() {
            self.send(index);
        }
    }

    fn send(&mut self, index: usize) {
        let local = self.devices[index].local;
        let wish = self.devices[index].wish.clone().unwrap_or_default();
        let value = Change::Fields(vec![("speed".to_owned(), json(wish))]);
        let written = self.write(value, named(100 + index as u64, local));
        self.devices[index].sending = Some((local, written));
    }

    /// Lets tasks run, and the store's thread too if it is not held.
    async fn pass(&mut self) {
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        tokio::time::sleep(self.options.flow.debounce).await;
        tokio::task::yield_now().await;
        self.answers();
    }

    fn answers(&mut self) {
        let mut done: Vec<(Option<usize>, Written)> = Vec::new();
        for (index, window) in self.windows.iter_mut().enumerate() {
            let finished = window.writes.extract_if(.., |write| write.is_finished());
            done.extend(finished.map(|write| (Some(index), write)));
        }
        let finished = self.others.extract_if(.., |write| write.is_finished());
        done.extend(finished.map(|write| (None, write)));
        for (window, written) in done {
            let written = written.now_or_never().expect("it is done").expect("it ran");
            let Ok(receipt) = written else { continue };
            self.acknowledge(&receipt);
            if let Some(window) = window {
                self.windows[window].hold(receipt.revision, receipt.session);
            }
        }
        for index in 0..self.devices.len() {
            self.answer_device(index);
        }
        for deletion in self
            .deletions
            .extract_if(.., |deletion| deletion.is_finished())
        {
            if let Some(Ok(Ok(Deleted::Gone | Deleted::Unkept))) = deletion.now_or_never() {
                let entry = self.hub.topic(&self.topic).expect("the default topic");
                (self.acknowledged, self.deleted) = (None, entry.revision());
                self.kept = None;
            }
        }
    }

    fn acknowledge(&mut self, receipt: &Receipt) {
        // A writer may hear of it after who deleted it heard of that.
        if receipt.revision > self.deleted {
            self.acknowledged = self.acknowledged.max(Some(receipt.revision));
            if receipt.kept {
                self.kept = self.kept.max(Some(receipt.revision));
            }
        }
    }

    fn answer_device(&mut self, index: usize) {
        let device = &mut self.devices[index];
        let finished = |(_, write): &mut (u64, Written)| write.is_finished();
        let Some((local, written)) = device.sending.take_if(finished) else {
            return;
        };
        let written = written.now_or_never().expect("it is done").expect("it ran");
        match written {
            Ok(receipt) => {
                let value = receipt.session.config.get("speed").map(Json::value);
                device.answer(local, value, receipt.touched.get());
                self.acknowledge(&receipt);
            }
            Err(_) => self.refuse(index, local),
        }
        self.go_on(index, local);
    }

    /// A device that has an error asks for the truth.
    fn refuse(&mut self, index: usize, local: u64) {
        let truth = self
            .hub
            .topic(&self.topic)
            .and_then(|entry| entry.field("speed"));
        let device = &mut self.devices[index];
        if let Some((value, origin)) = truth.filter(|_| device.local == local || device.foreign) {
            device.confirmed = Some(value.value());
            device.known = origin.revision.get();
            if origin.writer.device_id == Some(100 + index as u64) {
                device.foreign = false;
            }
        }
    }

    /// A tap that came meanwhile is sent, unless another's write has overtaken it.
    fn go_on(&mut self, index: usize, local: u64) {
        if self.devices[index].local != local && !self.devices[index].foreign {
            self.send(index);
        }
    }

    fn toggle(&mut self, index: usize) {
        let viewer = &mut self.viewers[index];
        if viewer.presence.take().is_none() {
            self.join(index);
        }
    }

    fn join(&mut self, index: usize) {
        let Some(entry) = self.hub.topic(&self.topic) else {
            return;
        };
        let viewer = &mut self.viewers[index];
        viewer.resends = entry.resends();
        viewer.presence = self.hub.place().map(|place| self.hub.enter(&entry, place));
        viewer.catch_up();
        self.look_through(index);
    }

    /// A device hears what the viewer of its number is sent.
    fn look_through(&mut self, index: usize) {
        let news = std::mem::take(&mut self.viewers[index].news);
        if let Some(device) = self.devices.get_mut(index) {
            news.iter().for_each(|frame| device.hear(index, frame));
        }
    }

    fn tell(&mut self, index: usize) {
        let window = &mut self.windows[index];
        if window.feed.is_none() {
            let feed = Feed::new(&self.hub, Vec::new(), &self.pass);
            window.feed = feed.now_or_never().expect("there are no rooms to show");
        }
        let Some(feed) = &mut window.feed else { return };
        let mut fetch = false;
        while let Some(Some(event)) = feed.next().now_or_never() {
            let revision: Revision = event.revision.parse().expect("a revision");
            let newer = window
                .held
                .as_ref()
                .is_none_or(|(held, _)| revision > *held);
            let own = event.source_id == Some(format!("window {index}"));
            fetch |= newer && !own;
        }
        let entry = self.hub.topic(&self.topic).filter(|_| fetch);
        if let Some((revision, session)) = entry.and_then(|entry| entry.session()) {
            window.hold(revision, session);
        }
    }

    /// The process dies: what was written is on the disk, whether it was synced or not.
    async fn kill(&mut self) {
        self.answers();
        let disk = self
            .disk
            .as_ref()
            .map(|disk| disk.after_kill().expect("memory"));
        if let Some(disk) = disk.as_ref().filter(|_| self.options.flow.after_durable) {
            self.check_shown(disk);
        }
        let unsure = !self.deletions.is_empty();
        let written = self
            .windows
            .iter_mut()
            .flat_map(|window| window.writes.drain(..));
        written
            .chain(self.others.drain(..))
            .for_each(|write| write.abort());
        self.deletions
            .drain(..)
            .for_each(|deletion| deletion.abort());
        self.stop.cancel();
        self.trouble(&Step::Hold(false));
        (self.hub, self.stop) = open(&self.options, disk.as_ref());
        self.disk = disk;
        for viewer in &mut self.viewers {
            (viewer.events, viewer.presence) = (self.hub.subscribe(), None);
        }
        for window in &mut self.windows {
            window.feed = None;
        }
        for index in 0..self.devices.len() {
            // Nobody can know what became of it.
            if let Some((local, _)) = self.devices[index].sending.take() {
                self.refuse(index, local);
                self.go_on(index, local);
            }
        }
        let kept = self
            .hub
            .topic(&self.topic)
            .and_then(|entry| entry.session());
        let kept = kept.map(|(revision, _)| revision);
        if self.disk.is_some() && !unsure {
            assert!(kept >= self.kept, "an acknowledged write is lost");
        }
        let truth = self
            .hub
            .topic(&self.topic)
            .and_then(|entry| entry.field("speed"));
        for device in &mut self.devices {
            // What was acknowledged as not kept may be lost.
            let unkept = self.options.store_failure == StoreFailure::Serve;
            let is_kept = |last: &u64| !unkept || Some(*last) <= self.kept.map(Revision::get);
            device.last = device.last.filter(is_kept);
            // It asked for the truth, was told what was not durable yet, and asks again: a kept
            // name has the revision of its write, which is older than what the device knows.
            if let Some((value, origin)) = &truth
                && device.known > origin.revision.get()
            {
                (device.known, device.confirmed) = (0, Some(value.value()));
            }
        }
        (self.acknowledged, self.kept, self.seen) = (kept, kept, Revision::ZERO);
        self.deleted = Revision::ZERO;
    }

    /// What was shown is on the disk, or something newer.
    fn check_shown(&self, disk: &Disk) {
        let copy = disk.after_kill().expect("memory");
        let (_, kept) = copy.store().expect("it opens");
        let kept = kept
            .topics
            .into_iter()
            .find(|kept| kept.topic == self.topic);
        let Some(StoredTopic { version, .. }) = kept.filter(|_| !self.unsure) else {
            return;
        };
        for viewer in &self.viewers {
            // A life that is outrun shows what is kept under a greater revision, which is on
            // its way to the disk.
            if let Some(shown) = &viewer.session
                && viewer.revision >= Some(version.revision)
            {
                let kept = json(version.session.to_json()).value();
                assert_eq!(*shown, kept, "shown and not kept");
            }
        }
    }

    /// A topic's revision never goes back while a daemon runs.
    fn look(&mut self) {
        let entry = self.hub.topic(&self.topic);
        if let Some((revision, _)) = entry.and_then(|entry| entry.session()) {
            assert!(revision >= self.seen, "the revision went back");
            self.seen = revision;
        }
    }

    async fn settle(&mut self) {
        for step in [
            Step::Hold(false),
            Step::Full(false),
            Step::FailAfter(u32::MAX),
        ] {
            self.trouble(&step);
        }
        let busy = |world: &World| {
            let windows = world.windows.iter().any(|window| !window.writes.is_empty());
            let devices = world.devices.iter().any(|device| device.sending.is_some());
            windows || devices || !world.others.is_empty() || !world.deletions.is_empty()
        };
        while busy(self) {
            self.pass().await;
        }
        // What is announced is kept too, and nobody waits for that.
        while !self.is_durable() {
            self.pass().await;
        }
        // The last flush is due one pause after the last change.
        for _ in 0..3 {
            self.pass().await;
        }
        for index in 0..self.viewers.len() {
            self.viewers[index].drain();
            self.look_through(index);
            if self.viewers[index].presence.is_none() {
                self.join(index);
            }
        }
        for index in 0..self.windows.len() {
            self.tell(index);
        }
    }

    fn is_durable(&self) -> bool {
        let Some(disk) = &self.disk else { return true };
        let (_, kept) = disk
            .after_kill()
            .expect("memory")
            .store()
            .expect("it opens");
        let kept = kept
            .topics
            .into_iter()
            .find(|kept| kept.topic == self.topic);
        let kept = kept.map(|kept| (kept.version.revision, kept.version.session));
        kept == self
            .hub
            .topic(&self.topic)
            .and_then(|entry| entry.session())
    }

    fn check(&self) {
        let entry = self.hub.topic(&self.topic).expect("the default topic");
        let Some((revision, session)) = entry.session() else {
            return assert_eq!(self.acknowledged, None, "an acknowledged write is lost");
        };
        assert!(Some(revision) >= self.acknowledged);
        let text = session.to_json();
        for viewer in &self.viewers {
            let shown = viewer.session.as_ref().expect("a session");
            assert_eq!(shown.to_string(), json(&text).value().to_string(), "viewer");
        }
        for window in &self.windows {
            let held = window.held.as_ref().expect("a session");
            assert_eq!(held.1.to_json(), text, "window");
        }
        let Some((value, origin)) = entry.field("speed") else {
            return;
        };
        for device in &self.devices {
            if device.local > 0 {
                assert_eq!(device.confirmed, Some(value.value()), "device");
            }
            if let Some(acknowledged) = device.last {
                assert!(origin.revision.get() >= acknowledged, "a wish is lost");
            }
        }
    }
}

fn speed(value: u8) -> Change {
    Change::Fields(vec![("speed".to_owned(), json(value))])
}

fn named(number: u64, local: u64) -> WriteOptions {
    let writer = Writer {
        source_id: Some(format!("window {number}")),
        device_id: Some(number),
        local_revision: Some(local),
    };
    WriteOptions {
        writer: Arc::new(writer),
        ..WriteOptions::default()
    }
}

impl Viewer {
    /// As a shard does it.
    fn drain(&mut self) {
        loop {
            let event = match self.events.try_recv() {
                Ok(event) => event,
                Err(TryRecvError::Lagged(_)) => {
                    self.catch_up();
                    continue;
                }
                Err(_) => return,
            };
            let Some(presence) = &self.presence else {
                continue;
            };
            let entry = match &event {
                Event::Flush(flushed) => &flushed.entry,
                Event::Text(text) => &text.entry,
                Event::Resend(entry) | Event::Deleted(entry) => entry,
            };
            if !Arc::ptr_eq(presence.entry(), entry) {
                continue;
            }
            match event {
                Event::Flush(flushed) if self.revision >= Some(flushed.to) => {}
                Event::Flush(flushed) if self.revision.unwrap_or_default() == flushed.from => {
                    self.revision = Some(flushed.to);
                    if let Some(frame) = &flushed.frame {
                        self.apply(frame.bytes(Encoding::default()));
                    }
                }
                _ => self.catch_up(),
            }
        }
    }

    fn catch_up(&mut self) {
        let Some(presence) = &self.presence else {
            return;
        };
        let entry = presence.entry().clone();
        if entry.has_ended() {
            self.presence = None;
            return;
        }
        if self.resends != entry.resends() {
            (self.resends, self.revision) = (entry.resends(), None);
        }
        let catchup = entry.since(self.revision);
        self.revision = catchup.revision;
        if let Some(frame) = catchup.frame {
            self.apply(frame.bytes(Encoding::default()));
        }
    }

    fn apply(&mut self, bytes: &[u8]) {
        let header = match bytes[1] {
            126 => 4,
            127 => 10,
            _ => 2,
        };
        let frame: Value = serde_json::from_slice(&bytes[header..]).expect("JSON");
        match (&mut self.session, frame["type"].as_str()) {
            (Some(session), Some("config_update")) => {
                let config = session["config"].as_object_mut().expect("an object");
                let changes = frame["payload"].as_object().expect("an object");
                config.extend(changes.clone());
            }
            (session, _) => *session = Some(frame["payload"].clone()),
        }
        self.news.push(frame);
    }
}

impl Window {
    fn hold(&mut self, revision: Revision, session: Session) {
        if self.held.as_ref().is_none_or(|(held, _)| revision > *held) {
            self.held = Some((revision, session));
        }
    }
}

impl Device {
    fn learn(&mut self, value: Option<Value>, revision: u64, own: Option<u64>) {
        (self.confirmed, self.known) = (value, revision);
        self.foreign = own.is_none();
        if own == Some(self.local) {
            self.wish.clone_from(&self.confirmed);
        }
    }

    fn answer(&mut self, local: u64, value: Option<Value>, revision: u64) {
        if local == self.local {
            self.last = Some(revision);
        }
        if revision >= self.known {
            self.learn(value, revision, Some(local));
        }
    }

    /// What the viewer is sent: the field's value, and whose it is.
    fn hear(&mut self, index: usize, frame: &Value) {
        let at = frame["revision"]
            .as_str()
            .and_then(|text| text.parse().ok());
        let at = at.unwrap_or_default();
        let whole = frame["type"] == "session_update";
        if whole && at < self.heard {
            self.known = 0;
        }
        self.heard = at;
        let fields = if whole {
            &frame["payload"]["config"]
        } else {
            &frame["payload"]
        };
        let value = fields.get("speed").cloned();
        if value.is_none() && !whole {
            return;
        }
        let origin = frame["origins"].get("speed");
        let revision = origin.and_then(|origin| origin["revision"].as_u64());
        let revision = revision.unwrap_or(at);
        if revision <= self.known {
            return;
        }
        let mine = |origin: &&Value| origin["deviceId"] == 100 + index as u64;
        let own = origin.filter(mine);
        let own = own.and_then(|origin| origin["localRevision"].as_u64());
        if origin.is_none() && value == self.confirmed {
            self.known = revision;
        } else {
            self.learn(value, revision, own.filter(|local| *local <= self.local));
        }
    }
}

fn run(store: Option<StoreFailure>, after_durable: bool, steps: &[Step]) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let mut world = World::new(store, after_durable);
        for step in steps {
            world.take(step).await;
            for index in 0..world.viewers.len() {
                world.look_through(index);
            }
        }
        world.settle().await;
        world.check();
        world.stop.cancel();
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn everybody_ends_on_what_the_daemon_has(steps in prop::collection::vec(step(), 0..50)) {
        run(None, false, &steps);
    }

    #[test]
    fn nothing_acknowledged_is_lost_to_a_disk(steps in prop::collection::vec(step(), 0..50)) {
        run(Some(StoreFailure::Refuse), false, &steps);
    }

    #[test]
    fn only_what_is_durable_is_shown(steps in prop::collection::vec(step(), 0..50)) {
        run(Some(StoreFailure::Refuse), true, &steps);
    }

    #[test]
    fn changes_that_stand_unkept_are_kept_in_the_end(steps in prop::collection::vec(step(), 0..50)) {
        run(Some(StoreFailure::Serve), false, &steps);
    }
}
