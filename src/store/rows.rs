//! The rows of the file. Each names what it belongs to and has a checksum of its own, so that in a
//! damaged file the rows that are whole can be told from the others.

use std::collections::BTreeMap;
use std::fmt;

use super::kept::StoredTopic;
use super::origins;
use crate::state::json::Json;
use crate::state::revision::Revision;
use crate::state::session::{FieldName, Session};
use crate::state::topic::{Origin, Origins, Version};

/// A key and a value.
pub(super) type Row = (Vec<u8>, Vec<u8>);

/// All rows of a file.
#[derive(Clone, Debug, Default)]
pub(super) struct Rows {
    /// Whether there are tables of ours in it at all.
    pub is_ours: bool,
    /// Topic → its name, its revision, and the [`Sum`] of its rows below.
    pub heads: Vec<Row>,
    /// Topic → its name, the session as of its last structural change, who wrote its fields.
    pub wholes: Vec<Row>,
    /// Topic and field → their names, the value, who wrote it, for fields that changed since.
    pub parts: Vec<Row>,
    /// Whether there may have been more topics, of which nothing is left.
    pub lacks_topics: bool,
    /// Whether there may have been more parts.
    pub lacks_parts: bool,
}

/// The checksums of rows, whatever their order: it differs when one is missing or outdated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sum(pub u32);

/// A part of a store that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The topic; none: it concerns the whole file.
    pub topic: Option<String>,
    /// The field; none: it concerns the whole topic.
    pub field: Option<String>,
    /// What is wrong, and what becomes of it.
    pub what: String,
}

/// A field, its value and who wrote it.
type Part = (FieldName, Json, Option<Origin>);

/// What the rows say of one topic.
#[derive(Default)]
struct Draft {
    head: Option<(Revision, Sum)>,
    whole: Option<(Session, Origins)>,
    parts: Vec<Part>,
    /// The names of fields whose rows are damaged.
    damaged: Vec<String>,
    sum: Sum,
}

/// A row's value: the checksum, then each member after its length.
pub(super) fn seal(members: &[&str]) -> Vec<u8> {
    let lengths = members.iter().map(|member| member.len() + 4);
    let mut row = Vec::with_capacity(4 + lengths.sum::<usize>());
    row.extend([0; 4]);
    for member in members {
        // A row that is longer is refused by redb.
        let length = u32::try_from(member.len()).unwrap_or(u32::MAX);
        row.extend(length.to_le_bytes());
        row.extend(member.as_bytes());
    }
    let checksum = crc32fast::hash(&row[4..]);
    row[..4].copy_from_slice(&checksum.to_le_bytes());
    row
}

/// What [`seal`] was given; none when any of it has changed.
fn unseal<const N: usize>(row: &[u8]) -> Option<[&str; N]> {
    let mut rest = row.get(4..)?;
    if crc32fast::hash(rest) != checksum(row) {
        return None;
    }
    let mut members = [""; N];
    for member in &mut members {
        let (length, after) = rest.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        *member = std::str::from_utf8(after.get(..length)?).ok()?;
        rest = &after[length..];
    }
    rest.is_empty().then_some(members)
}

/// The checksum that a row has.
fn checksum(row: &[u8]) -> u32 {
    let first = row.first_chunk::<4>();
    first.map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

/// The value of a head.
pub(super) fn head(topic: &str, revision: u64, sum: Sum) -> Vec<u8> {
    seal(&[topic, &revision.to_string(), &sum.0.to_string()])
}

/// What a head holds.
pub(super) fn read_head(row: &[u8]) -> Option<(&str, Revision, Sum)> {
    let [topic, revision, sum] = unseal(row)?;
    let revision = Revision::new(revision.parse().ok()?)?;
    Some((topic, revision, Sum(sum.parse().ok()?)))
}

/// The key of a part. No topic's name has a zero.
pub(super) fn part_key(topic: &str, field: &str) -> Vec<u8> {
    [topic.as_bytes(), &[0], field.as_bytes()].concat()
}

/// After all keys of a topic's parts.
pub(super) fn parts_end(topic: &str) -> Vec<u8> {
    [topic.as_bytes(), &[1]].concat()
}

impl Sum {
    /// With another row, or without it if it was included already.
    pub fn with(self, row: &[u8]) -> Sum {
        Sum(self.0 ^ checksum(row))
    }
}

impl Rows {
    /// The topics, and what is damaged. A topic comes without its damaged fields; it is left out
    /// if it is not known which those are.
    pub fn read(&self) -> (Vec<StoredTopic>, Vec<Damage>) {
        let mut drafts = BTreeMap::<String, Draft>::new();
        for (key, row) in &self.heads {
            match read_head(row) {
                Some((topic, revision, sum)) => {
                    draft(&mut drafts, topic).head = Some((revision, sum))
                }
                None => _ = draft(&mut drafts, &String::from_utf8_lossy(key)),
            }
        }
        for (key, row) in &self.wholes {
            let read = read_whole(row);
            let topic = read.as_ref().map(|(topic, ..)| *topic);
            let draft = draft(&mut drafts, topic.unwrap_or(&String::from_utf8_lossy(key)));
            draft.sum = draft.sum.with(row);
            draft.whole = read.map(|(_, session, origins)| (session, origins));
        }
        for (key, row) in &self.parts {
            let key = String::from_utf8_lossy(key);
            let (topic, field) = key.split_once('\0').unwrap_or((&key, ""));
            let read = read_part(row);
            let draft = draft(&mut drafts, read.as_ref().map_or(topic, |(topic, _)| topic));
            draft.sum = draft.sum.with(row);
            match read {
                Some((_, part)) => draft.parts.push(part),
                None => draft.damaged.push(field.to_owned()),
            }
        }
        let (mut kept, mut damage) = (Vec::new(), Vec::new());
        for (topic, draft) in drafts {
            kept.extend(draft.finish(&topic, self.lacks_parts, &mut damage));
        }
        if self.lacks_topics {
            damage.push(Damage::of_file("some topics may be lost entirely"));
        }
        (kept, damage)
    }
}

fn draft<'a>(drafts: &'a mut BTreeMap<String, Draft>, topic: &str) -> &'a mut Draft {
    drafts.entry(topic.to_owned()).or_default()
}

fn read_whole(row: &[u8]) -> Option<(&str, Session, Origins)> {
    let [topic, session, origins] = unseal(row)?;
    let session = Json::parse_kept(session.as_bytes()).ok()?;
    let session = Session::from_json(&session, topic).ok()?;
    Some((topic, session, origins::parse(origins)))
}

fn read_part(row: &[u8]) -> Option<(&str, Part)> {
    let [topic, field, value, origin] = unseal(row)?;
    let value = Json::parse_kept(value.as_bytes()).ok()?;
    Some((topic, (field.into(), value, origins::parse_one(origin))))
}

impl Draft {
    /// `lacks_parts`: without a head it is not known then whether they are all there.
    fn finish(
        mut self,
        name: &str,
        lacks_parts: bool,
        damage: &mut Vec<Damage>,
    ) -> Option<StoredTopic> {
        let mut report = |field, what: &str| {
            let (topic, what) = (Some(name.to_owned()), what.to_owned());
            damage.push(Damage { topic, field, what });
        };
        let knows_damaged = self.knows_damaged(lacks_parts);
        let (Ok(topic), Some((session, origins))) = (name.parse(), self.whole.take()) else {
            report(None, "its session is damaged or missing, so it is left out");
            return None;
        };
        if !knows_damaged {
            let what = "some fields are damaged, and it is not known which: it is left out";
            report(None, what);
            return None;
        }
        for field in &self.damaged {
            report(Some(field.clone()), "it is damaged, so it is left out");
        }
        if self.head.is_none() {
            report(None, "its revision is damaged, so it gets a new one");
        }
        Some(StoredTopic {
            topic,
            version: self.version(session, origins),
            is_last: false,
        })
    }

    /// The parts put into the session, without the damaged fields.
    fn version(self, mut session: Session, mut origins: Origins) -> Version {
        for (field, value, origin) in self.parts {
            session.config.set(&field, value);
            match origin {
                Some(origin) => origins.insert_mut(field, origin),
                None => _ = origins.remove_mut(&field),
            }
        }
        session
            .config
            .retain(|field| !self.damaged.iter().any(|damaged| damaged == field));
        for field in &self.damaged {
            origins.remove_mut(field.as_str());
        }
        Version {
            revision: self.head.map_or(Revision::ZERO, |(revision, _)| revision),
            session,
            origins,
        }
    }

    /// Whether the damaged fields are all that differs from what was written.
    fn knows_damaged(&self, lacks_parts: bool) -> bool {
        let is_field = |field: &String| {
            let whole = self.whole.as_ref();
            whole.is_some_and(|(session, _)| session.config.get(field).is_some())
        };
        let count = self.damaged.len();
        // A damaged row that still has its checksum counts; a checksum that is damaged itself
        // differs where it was hit.
        let is_all = match self.head {
            Some((_, sum)) => (sum.0 ^ self.sum.0).count_ones() as usize <= count,
            None => !lacks_parts,
        };
        is_all && self.damaged.iter().all(is_field)
    }
}

impl Damage {
    pub(super) fn of_file(what: &str) -> Damage {
        Damage {
            topic: None,
            field: None,
            what: what.to_owned(),
        }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.topic, &self.field) {
            (Some(topic), Some(field)) => write!(f, "topic {topic:?}, field {field:?}: ")?,
            (Some(topic), None) => write!(f, "topic {topic:?}: ")?,
            (None, _) => {}
        }
        f.write_str(&self.what)
    }
}
