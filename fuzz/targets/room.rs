//! A room: whatever its people and its host send, rows fit their columns and their times grow, ids
//! have one spelling, every answer is JSON of its shape, and what is kept comes back the same.

#![no_main]

mod common;

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use onlooker::internals::fields::Field;
use onlooker::internals::json::{Json, Kind};
use onlooker::internals::room::{Action, Book, Bounds, Channel, Edit, Refused, Row, RowsChange};
use onlooker::internals::wire::room::{
    Asked, FromHost, FromPeople, ROWS_END, exception, refusal, success,
};
use serde_json::Value;

const BOUNDS: Bounds = Bounds { rows: 8, row: 1024 };
const NOW: u64 = 1_795_226_400_000;

/// One channel for each type of an id.
fn empty(last: u64) -> Book {
    let channel = |id| {
        let stars = Field {
            min: Some(0.0),
            max: Some(5.0),
            ..Field::of(Kind::Number)
        };
        let columns = [
            ("id", Field::of(id)),
            ("a", Field::of(Kind::Boolean)),
            ("b", stars),
            ("c", Field::of(Kind::Array)),
        ];
        let columns = columns.map(|(name, field)| (name.to_owned(), field));
        Channel::new(columns.into_iter().collect()).expect("columns")
    };
    let channels = [("words", Kind::String), ("numbers", Kind::Number)];
    let channels = channels.map(|(name, id)| (name.to_owned(), channel(id)));
    Book::new(Arc::new(channels.into()), BOUNDS, last)
}

// Lines: of the host behind a '>', of people otherwise.
fuzz_target!(|text: &str| {
    let mut book = empty(7);
    for line in text.lines() {
        common::bounded(line.len() + 4096, || match line.strip_prefix('>') {
            Some(line) => of_host(&mut book, line),
            None => of_people(&mut book, line),
        });
    }
    comes_back(&book);
});

fn of_people(book: &mut Book, frame: &str) {
    let asked = match FromPeople::parse(frame) {
        Ok(FromPeople::Act(asked)) => asked,
        Ok(FromPeople::Sync { from, .. }) => {
            return assert!(from.is_none_or(|from| from < 1 << 53));
        }
        Err(reason) => {
            let told = common::value(&exception(&reason));
            return assert!(told["exception"][0].is_string());
        }
    };
    assert!(asked.id.as_str().len() <= 256 && asked.channel.len() <= 256);
    let Some(place) = book.channels().get_index_of(&asked.channel) else {
        return;
    };
    let edits = Action::parse(&asked.action)
        .and_then(|action| book.edits(place, action, NOW, || "fresh".to_owned()));
    match edits.and_then(|edits| write(book, place, edits)) {
        Ok(change) => answered(&asked, &change),
        Err(reasons) => refused(&asked, &reasons),
    }
}

fn answered(asked: &Asked, change: &RowsChange) {
    let mut text = success(asked);
    for (place, row) in change.rows.iter().enumerate() {
        text.push_str(if place > 0 { "," } else { "" });
        row.write(&mut text);
    }
    text.push_str(ROWS_END);
    let told = common::value(&text);
    assert_eq!(told["id"], common::value(asked.id.as_str()));
    assert_eq!(told["channel"], asked.channel.as_str());
    let rows = told["result"].as_array().expect("always an array");
    assert_eq!(rows.len(), change.rows.len());
    rows.iter().for_each(is_row);
}

/// The columns, and the three times.
fn is_row(row: &Value) {
    let row = row.as_array().expect("an array");
    assert_eq!(row.len(), 4 + 3);
    assert!(row[0].is_string() || row[0].as_i64().is_some());
    assert!(row[1] == 0 || row[1] == 1);
    assert!(
        row[2]
            .as_f64()
            .is_some_and(|stars| (0.0..=5.0).contains(&stars))
    );
    assert!(row[3].is_array());
    let (created, updated) = (row[4].as_u64(), row[5].as_u64());
    assert!(created.is_some() && created <= updated);
    assert!(row[6].is_null() || row[6] == row[5]);
}

fn refused(asked: &Asked, reasons: &Refused) {
    assert!((1..=8).contains(&reasons.len()));
    let told = common::value(&refusal(asked, reasons));
    assert_eq!(told["id"], common::value(asked.id.as_str()));
    assert_eq!(told["error"].as_array().map(Vec::len), Some(reasons.len()));
}

fn of_host(book: &mut Book, frame: &str) {
    let (_, said) = FromHost::parse(frame.as_bytes());
    let (channel, rows) = match said {
        Ok(FromHost::Rows { channel, rows, .. }) => (channel, rows),
        Ok(FromHost::Unasked { channel, rows }) => (Some(channel), rows),
        _ => return,
    };
    let channels = book.channels().clone();
    let Some((place, _, declared)) = channel.and_then(|name| {
        let (place, name, declared) = channels.get_full(&name)?;
        Some((place, name.clone(), declared.clone()))
    }) else {
        return;
    };
    let edits = rows.iter().map(|row| declared.host_row(row));
    let edits: Result<Vec<Edit>, Refused> = edits.collect();
    // Nobody hears of that here.
    let _ = edits.and_then(|edits| write(book, place, edits));
}

/// Each row under a later time than the one before, within the bounds.
fn write(book: &mut Book, place: usize, edits: Vec<Edit>) -> Result<RowsChange, Refused> {
    let mut last = book.last();
    let change = book.write(place, edits, NOW)?;
    for row in &change.rows {
        assert!(row.updated > last && row.values.len() <= BOUNDS.row);
        assert_eq!(Json::items(&row.values)[0].as_str(), &*row.id);
        last = row.updated;
    }
    assert!(book.len() <= BOUNDS.rows);
    book.keep(&change);
    assert_eq!(book.head(), last);
    Ok(change)
}

/// What is kept, as a store has it, is the same room again.
fn comes_back(book: &Book) {
    let mut again = empty(book.last());
    let rows = |book: &Book, place: usize| -> Vec<Arc<Row>> {
        book.table(place).changed(0, u64::MAX).cloned().collect()
    };
    for (place, (_, declared)) in book.channels().iter().enumerate() {
        for row in rows(book, place) {
            let kept = row.object(&declared.columns);
            let kept = Json::parse_kept(kept.as_str().as_bytes()).expect("JSON");
            assert!(again.restore(place, &kept), "{kept}");
        }
        assert_eq!(rows(&again, place), rows(book, place));
    }
    assert_eq!(
        (again.len(), again.size(), again.last()),
        (book.len(), book.size(), book.last())
    );
}
