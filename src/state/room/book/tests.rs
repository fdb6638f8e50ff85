//! A book against a plain model of it: whatever is asked for, kept, lost and put back, under any
//! clock, both hold the same.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use proptest::prelude::*;

use super::*;
use crate::state::fields::Field;

const BOUNDS: Bounds = Bounds { rows: 6, row: 40 };
/// Within the bound of a row, and over it.
const TEXTS: [&str; 3] = ["x", "y", "too long for a row of forty bytes"];
const HOUR: i64 = 3_600_000;

#[derive(Clone, Debug)]
enum Step {
    Act(usize, Ask),
    /// Rows of a host: their ids, and a text for each that is not deleted.
    Host(usize, Vec<(u8, Option<usize>)>),
    /// The disk has the oldest that is on its way.
    Keep,
    /// It has failed.
    Lose,
    /// Another book begins with what was kept.
    Restart,
    /// What was deleted so many kept changes ago is forgotten.
    Forget(usize),
    Clock(i64),
}

#[derive(Clone, Debug)]
enum Ask {
    Create(Option<u8>, usize),
    Update(u8, usize),
    Delete(u8),
    DeleteAll,
}

fn ask() -> impl Strategy<Value = Ask> {
    let (id, text) = (0..5u8, 0..TEXTS.len());
    prop_oneof![
        4 => (proptest::option::weighted(0.9, id.clone()), text.clone())
            .prop_map(|(id, text)| Ask::Create(id, text)),
        4 => (id.clone(), text).prop_map(|(id, text)| Ask::Update(id, text)),
        2 => id.prop_map(Ask::Delete),
        1 => Just(Ask::DeleteAll),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let row = (0..5u8, proptest::option::weighted(0.7, 0..TEXTS.len()));
    let rows = prop::collection::vec(row, 0..4);
    prop_oneof![
        8 => (0..2usize, ask()).prop_map(|(channel, ask)| Step::Act(channel, ask)),
        3 => (0..2usize, rows).prop_map(|(channel, rows)| Step::Host(channel, rows)),
        8 => Just(Step::Keep),
        1 => Just(Step::Lose),
        1 => Just(Step::Restart),
        1 => (0..6usize).prop_map(Step::Forget),
        2 => prop_oneof![0..3i64, Just(-HOUR), Just(HOUR)].prop_map(Step::Clock),
    ]
}

/// One channel names its rows by strings, the other by numbers.
fn channels() -> Arc<IndexMap<String, Channel>> {
    let channel = |id| {
        let columns = [("id", id), ("text", Kind::String), ("done", Kind::Boolean)];
        let column = |(name, kind): (&str, _)| (name.to_owned(), Field::of(kind));
        Channel::new(columns.into_iter().map(column).collect()).unwrap()
    };
    let words = ("words".to_owned(), channel(Kind::String));
    Arc::new([words, ("numbers".to_owned(), channel(Kind::Number))].into())
}

fn id(channel: usize, number: u8) -> String {
    match channel {
        0 => format!("\"{number}\""),
        _ => number.to_string(),
    }
}

fn values(channel: usize, number: u8, text: usize) -> String {
    format!("[{},\"{}\",0]", id(channel, number), TEXTS[text])
}

fn json(text: &str) -> Json {
    Json::parse(text.as_bytes()).unwrap()
}

type Rows = BTreeMap<RowId, Arc<Row>>;

/// What a book is to hold.
struct Model {
    kept: [Rows; 2],
    /// With all that is on its way.
    newest: [Rows; 2],
    last: u64,
    head: u64,
}

struct World {
    book: Book,
    model: Model,
    way: VecDeque<RowsChange>,
    now: u64,
    fresh: u32,
    /// The time of each change that was kept.
    times: Vec<u64>,
}

fn live(rows: &Rows) -> impl Iterator<Item = &Arc<Row>> {
    rows.values().filter(|row| !row.is_deleted)
}

impl Model {
    fn len(&self) -> usize {
        self.newest.iter().map(|rows| live(rows).count()).sum()
    }

    fn is_live(&self, channel: usize, id: &str) -> bool {
        let row = self.newest[channel].get(id);
        row.is_some_and(|row| !row.is_deleted)
    }

    /// The rows that an action puts (with their values) or deletes; none: it is refused.
    fn expect(
        &self,
        channel: usize,
        ask: &Ask,
        now: u64,
        fresh: &str,
    ) -> Option<Vec<(String, String)>> {
        let fits = |more: usize, text: usize| {
            let values = values(channel, 0, text).len();
            self.len() + more <= BOUNDS.rows && values <= BOUNDS.row
        };
        let put = |number: u8, text| vec![(id(channel, number), values(channel, number, text))];
        match *ask {
            Ask::Create(None, text) => {
                let id = match channel {
                    0 => format!("\"{fresh}\""),
                    _ => now.max(self.last + 1).to_string(),
                };
                let values = format!("[{id},\"{}\",0]", TEXTS[text]);
                let is_free = self.len() < BOUNDS.rows && values.len() <= BOUNDS.row;
                is_free.then(|| vec![(id, values)])
            }
            Ask::Create(Some(number), text) => {
                let is_free = !self.is_live(channel, &id(channel, number)) && fits(1, text);
                is_free.then(|| put(number, text))
            }
            Ask::Update(number, text) => {
                let is_there = self.is_live(channel, &id(channel, number)) && fits(0, text);
                is_there.then(|| put(number, text))
            }
            Ask::Delete(number) => {
                // Somebody else may have deleted it.
                let id = id(channel, number);
                let is_there = self.is_live(channel, &id);
                Some(is_there.then(|| (id, String::new())).into_iter().collect())
            }
            Ask::DeleteAll => {
                let ids = live(&self.newest[channel]).map(|row| row.id.to_string());
                Some(ids.map(|id| (id, String::new())).collect())
            }
        }
    }
}

impl World {
    fn new() -> World {
        let now = 1_795_000_000_000;
        World {
            book: Book::new(channels(), BOUNDS, 7),
            model: Model {
                kept: Default::default(),
                newest: Default::default(),
                last: 7,
                head: 7,
            },
            way: VecDeque::new(),
            now,
            fresh: 0,
            times: Vec::new(),
        }
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Act(channel, ask) => self.act(*channel, ask),
            Step::Host(channel, rows) => self.host(*channel, rows),
            Step::Keep => self.keep(),
            Step::Lose => self.lose(),
            Step::Restart => self.restart(),
            Step::Forget(back) => self.forget(*back),
            Step::Clock(change) => self.now = self.now.strict_add_signed(*change),
        }
        self.check();
    }

    fn act(&mut self, channel: usize, ask: &Ask) {
        self.fresh += 1;
        let fresh = format!("fresh {}", self.fresh);
        let text = |text: usize| format!(r#""text":"{}","done":false"#, TEXTS[text]);
        let payload = match *ask {
            Ask::Create(None, with) => text(with),
            Ask::Create(Some(number), with) | Ask::Update(number, with) => {
                format!(r#""id":{},{}"#, id(channel, number), text(with))
            }
            Ask::Delete(number) => format!(r#""id":{}"#, id(channel, number)),
            Ask::DeleteAll => String::new(),
        };
        let kind = match ask {
            Ask::Create(..) => "create",
            Ask::Update(..) => "update",
            Ask::Delete(_) => "delete",
            Ask::DeleteAll => "delete-all",
        };
        let action = json(&format!(r#"{{"type":"{kind}","payload":{{{payload}}}}}"#));
        let expected = self.model.expect(channel, ask, self.now, &fresh);
        let edits = Action::parse(&action)
            .and_then(|action| self.book.edits(channel, action, self.now, || fresh.clone()));
        let written = edits.and_then(|edits| self.book.write(channel, edits, self.now));
        assert_eq!(written.is_ok(), expected.is_some(), "{ask:?}: {written:?}");
        if let (Ok(change), Some(expected)) = (written, expected) {
            self.accept(change, expected);
        }
    }

    fn host(&mut self, channel: usize, rows: &[(u8, Option<usize>)]) {
        let row = |(number, text): &(u8, Option<usize>)| match text {
            Some(text) => values(channel, *number, *text).replace(",0]", ",false]"),
            None => format!(r#"{{"id":{},"deleted_at":1}}"#, id(channel, *number)),
        };
        let declared = self.book.channels()[channel].clone();
        let edits = rows
            .iter()
            .map(|given| declared.host_row(&json(&row(given))));
        let edits = edits.collect::<Result<Vec<_>, _>>().unwrap();
        let news = rows.iter().filter(|(number, text)| {
            text.is_some() && !self.model.is_live(channel, &id(channel, *number))
        });
        let news = news.count();
        let is_long = |(_, text): &(u8, Option<usize>)| *text == Some(2);
        let fits = news == 0 || self.model.len() + news <= BOUNDS.rows;
        let fits = fits && !rows.iter().any(is_long);
        let written = self.book.write(channel, edits, self.now);
        assert_eq!(written.is_ok(), fits, "{rows:?}: {written:?}");
        let mut expected = Vec::new();
        let mut alive: BTreeSet<String> = live(&self.model.newest[channel])
            .map(|row| row.id.to_string())
            .collect();
        for (number, text) in rows {
            let id = id(channel, *number);
            match text {
                Some(text) => {
                    alive.insert(id.clone());
                    expected.push((id, values(channel, *number, *text)));
                }
                None if alive.remove(&id) => expected.push((id, String::new())),
                None => {}
            }
        }
        if let Ok(change) = written {
            self.accept(change, expected);
        }
    }

    /// A change is what was expected, under times that only grow.
    fn accept(&mut self, change: RowsChange, expected: Vec<(String, String)>) {
        assert_eq!(change.rows.len(), expected.len());
        for row in &change.rows {
            let time = self.now.max(self.model.last + 1);
            assert_eq!(row.updated, time);
            self.model.last = time;
            let mut expected = expected.iter();
            let known = expected.find(|(id, values)| {
                *id == *row.id && row.is_deleted == values.is_empty() && {
                    values.is_empty() || *values == *row.values
                }
            });
            assert!(known.is_some(), "{row:?}");
            let newest = &mut self.model.newest[change.channel];
            let before = newest.get(&row.id).filter(|row| !row.is_deleted);
            assert_eq!(row.created, before.map_or(time, |before| before.created));
            if row.is_deleted {
                assert_eq!(Some(&row.values), before.map(|before| &before.values));
            }
            newest.insert(row.id.clone(), row.clone());
        }
        assert!(self.book.is_current(&change));
        self.way.push_back(change);
    }

    fn keep(&mut self) {
        let Some(change) = self.way.pop_front() else {
            return;
        };
        let from = self.model.head;
        for row in &change.rows {
            let kept = &mut self.model.kept[change.channel];
            kept.insert(row.id.clone(), row.clone());
            self.model.head = row.updated;
        }
        self.times.push(self.model.head);
        assert_eq!(self.book.keep(&change), (from, self.model.head));
    }

    fn lose(&mut self) {
        self.book.lose();
        let is_current = |change: &RowsChange| self.book.is_current(change);
        assert!(!self.way.drain(..).any(|change| is_current(&change)));
        self.model.newest = self.model.kept.clone();
    }

    fn restart(&mut self) {
        let mut book = Book::new(channels(), BOUNDS, self.book.last());
        for (place, rows) in self.model.kept.iter().enumerate() {
            let (_, declared) = book.channels().get_index(place).unwrap();
            let columns = declared.columns.clone();
            for row in rows.values() {
                assert!(book.restore(place, &row.object(&columns)));
            }
        }
        self.book = book;
        self.way.clear();
        self.model.newest = self.model.kept.clone();
        self.model.head = self.model.last;
    }

    fn forget(&mut self, back: usize) {
        let time = self.times.iter().rev().nth(back).copied();
        let before = time.unwrap_or_default();
        let forgotten: BTreeSet<_> = self
            .book
            .forget(before)
            .into_iter()
            .map(|(channel, row)| (channel, row.id.clone()))
            .collect();
        for channel in 0..2 {
            let is_on_its_way = |id: &RowId| {
                let mut changes = self.way.iter();
                changes.any(|change| {
                    change.channel == channel && change.rows.iter().any(|row| row.id == *id)
                })
            };
            let kept = &self.model.kept[channel];
            let mut deleted: Vec<_> = kept.values().filter(|row| row.is_deleted).collect();
            deleted.sort_by_key(|row| row.updated);
            let too_many = deleted.len().saturating_sub(BOUNDS.rows);
            let due = deleted.into_iter().enumerate().filter(|(place, row)| {
                (*place < too_many || row.updated < before) && !is_on_its_way(&row.id)
            });
            let due: BTreeSet<_> = due.map(|(_, row)| (channel, row.id.clone())).collect();
            let of_it = forgotten.iter().filter(|(place, _)| *place == channel);
            assert_eq!(of_it.cloned().collect::<BTreeSet<_>>(), due);
            for (_, id) in due {
                self.model.kept[channel].remove(&id);
                self.model.newest[channel].remove(&id);
            }
        }
    }

    fn check(&self) {
        let (book, model) = (&self.book, &self.model);
        assert_eq!((book.last(), book.head()), (model.last, model.head));
        assert_eq!(book.len(), model.len());
        let sizes = model.kept.iter().flat_map(|rows| rows.values());
        assert_eq!(book.size(), sizes.map(|row| row.size()).sum::<usize>());
        let on_its_way = self.way.iter().any(|change| !change.rows.is_empty());
        assert_eq!(book.is_empty(), book.size() == 0 && !on_its_way);
        for (channel, kept) in model.kept.iter().enumerate() {
            let table = book.table(channel);
            assert_eq!(table.len(), live(kept).count());
            for row in kept.values() {
                assert_eq!(table.get(&row.id), Some(row));
            }
            self.check_spans(channel);
        }
    }

    fn check_spans(&self, channel: usize) {
        let (kept, table) = (&self.model.kept[channel], self.book.table(channel));
        let mut rows: Vec<_> = kept.values().cloned().collect();
        rows.sort_by_key(|row| row.updated);
        let mut times = vec![0, self.model.last, u64::MAX];
        times.extend(rows.iter().flat_map(|row| [row.updated - 1, row.updated]));
        for (deleted, after) in [true, false].into_iter().flat_map(|deleted| {
            let times = times.iter();
            times.map(move |after| (deleted, *after))
        }) {
            for to in &times {
                let span = rows.iter().filter(|row| {
                    row.is_deleted == deleted && row.updated > after && row.updated <= *to
                });
                assert!(table.between(deleted, after, *to).eq(span), "{after} {to}");
            }
        }
        for after in &times {
            for to in &times {
                let span = rows
                    .iter()
                    .filter(|row| row.updated > *after && row.updated <= *to);
                assert!(table.changed(*after, *to).eq(span), "{after} {to}");
            }
        }
        let alive = rows.iter().filter(|row| !row.is_deleted);
        assert!(table.live().eq(alive));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_book_holds_what_a_plain_one_would(steps in prop::collection::vec(step(), 0..40)) {
        let mut world = World::new();
        steps.iter().for_each(|step| world.take(step));
    }
}

/// What two daemons of a cluster hold of a room.
mod shared {
    use super::*;

    fn book() -> Book {
        Book::new(channels(), BOUNDS, 7).shared()
    }

    fn row(number: u8, updated: u64, text: &str) -> Json {
        let id = id(0, number);
        json(&format!(
            r#"{{"id":{id},"text":"{text}","done":0,"created_at":1,"updated_at":{updated},"deleted_at":null}}"#
        ))
    }

    fn take(book: &mut Book, number: u8, updated: u64, text: &str) -> Option<(u64, u64)> {
        match book.take(
            0,
            &id(0, number).as_str().into(),
            &row(number, updated, text),
        ) {
            Arrived::Shown(from, change) => Some((from, change.rows[0].order)),
            _ => None,
        }
    }

    #[test]
    fn what_comes_later_has_a_later_place_whatever_its_time() {
        let mut book = book();
        assert_eq!(take(&mut book, 1, 1000, "a"), Some((7, 1000)));
        assert_eq!(take(&mut book, 2, 900, "b"), Some((1000, 1001)));
        assert_eq!(take(&mut book, 3, 1000, "c"), Some((1001, 1002)));
        assert_eq!(book.head(), 1002);
        let after = |place| {
            let rows = book.table(0).changed(place, book.head());
            rows.map(|row| row.id.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(after(1000), [r#""2""#, r#""3""#]);
        let next = book.draft(
            0,
            Edit::Put(id(0, 4).as_str().into(), "[]".into(), None),
            950,
        );
        let next = next.unwrap().unwrap();
        assert!(next.updated > 1002, "later than all that is known");
    }

    #[test]
    fn a_time_is_answered_with_what_may_have_been_behind_it() {
        let mut book = book();
        take(&mut book, 1, 100_000, "a");
        assert_eq!(book.behind(100_000), Some(89_999));
        assert_eq!(
            book.behind(110_000),
            Some(99_999),
            "one who comes from a daemon that is ahead"
        );
        assert_eq!(book.behind(110_001), None, "another room's");
        assert_eq!(book.behind(5), Some(0));
        let alone = Book::new(channels(), BOUNDS, 100);
        assert_eq!((alone.behind(100), alone.behind(101)), (Some(99), None));
    }

    #[test]
    fn a_row_does_not_go_back() {
        let mut book = book();
        let key: RowId = id(0, 1).as_str().into();
        assert!(take(&mut book, 1, 1000, "a").is_some());
        assert!(matches!(
            book.take(0, &key, &row(1, 1000, "a")),
            Arrived::Known
        ));
        assert!(matches!(
            book.take(0, &key, &row(1, 999, "b")),
            Arrived::Older
        ));
        assert_eq!(book.head(), 1000);
        // Of another bucket: what that holds is the same for all.
        assert!(take(&mut book, 1, 1000, "b").is_some());
        assert!(take(&mut book, 1, 1001, "c").is_some());
        assert_eq!(book.table(0).len(), 1);
        assert_eq!(book.len(), 1);
    }

    #[test]
    fn what_does_not_fit_is_left_out() {
        let mut book = book();
        let other: RowId = id(0, 2).as_str().into();
        assert!(matches!(
            book.take(0, &other, &row(1, 9, "")),
            Arrived::Unfit
        ));
        assert!(matches!(book.take(0, &other, &json("[]")), Arrived::Unfit));
        assert!(matches!(
            book.take(9, &other, &row(2, 9, "")),
            Arrived::Unfit
        ));
        let most = u8::try_from(2 * BOUNDS.rows).unwrap();
        for number in 0..most {
            assert!(take(&mut book, number, 1000, "").is_some());
        }
        let more: RowId = id(0, most).as_str().into();
        assert!(matches!(
            book.take(0, &more, &row(most, 9, "")),
            Arrived::Full
        ));
        assert!(take(&mut book, 0, 2000, "changed").is_some());
        let refused = book.draft(0, Edit::Put(more, "[]".into(), None), 950);
        assert!(refused.unwrap_err()[0].contains("--max-rows"));
    }

    #[test]
    fn nothing_is_drafted_where_there_is_nothing_to_delete() {
        let mut book = book();
        let key: RowId = id(0, 1).as_str().into();
        assert_eq!(book.draft(0, Edit::Delete(key.clone()), 5), Ok(None));
        take(&mut book, 1, 1000, "a");
        let deleted = book
            .draft(0, Edit::Delete(key.clone()), 5)
            .unwrap()
            .unwrap();
        assert!(deleted.is_deleted && deleted.updated == 1001);
        assert_eq!(book.table(0).len(), 1, "it is not shown before it is taken");
        let (_, declared) = channels()
            .get_index(0)
            .map(|(_, channel)| ((), channel.clone()))
            .unwrap();
        let object = deleted.object(&declared.columns);
        assert!(matches!(
            book.take(0, &key, &object),
            Arrived::Shown(1000, _)
        ));
        assert_eq!((book.table(0).len(), book.len()), (0, 0));
        assert_eq!(book.forget(1002).len(), 1);
    }
}
