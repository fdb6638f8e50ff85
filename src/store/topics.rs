//! The topics of the file: what their entries say, and what is missing.

use std::collections::BTreeMap;

use super::damage::{Damage, Place};
use super::kept::StoredTopic;
use super::origins;
use super::sealed::{Entry, Sum, read_head, unseal};
use crate::state::json::Json;
use crate::state::revision::Revision;
use crate::state::session::{FieldName, Session};
use crate::state::topic::{Origin, Origins, Version};

/// All entries of topics.
#[derive(Clone, Debug, Default)]
pub(super) struct Topics {
    /// Topic → its name, its revision, and the [`Sum`] of its entries below.
    pub heads: Vec<Entry>,
    /// Topic → its name, the session as of its last structural change, who wrote its fields.
    pub wholes: Vec<Entry>,
    /// Topic and field → their names, the value, who wrote it, for fields that changed since.
    pub parts: Vec<Entry>,
    /// Whether there may have been more topics, of which nothing is left.
    pub lacks_topics: bool,
    /// Whether there may have been more parts.
    pub lacks_parts: bool,
}

/// A field, its value and who wrote it.
type Part = (FieldName, Json, Option<Origin>);

/// What the entries say of one topic.
#[derive(Default)]
struct Draft {
    head: Option<(Revision, Sum)>,
    whole: Option<(Session, Origins)>,
    parts: Vec<Part>,
    /// The names of fields whose entries are damaged.
    damaged: Vec<String>,
    sum: Sum,
}

impl Topics {
    /// The topics; what is damaged is added to the rest. A topic comes without its damaged fields; it is left out
    /// if it is not known which those are.
    pub fn read(&self, damage: &mut Vec<Damage>) -> Vec<StoredTopic> {
        let mut drafts = BTreeMap::<String, Draft>::new();
        for (key, value) in &self.heads {
            match read_head(value).and_then(with_revision) {
                Some((topic, revision, sum)) => {
                    draft(&mut drafts, topic).head = Some((revision, sum))
                }
                None => _ = draft(&mut drafts, &String::from_utf8_lossy(key)),
            }
        }
        for (key, value) in &self.wholes {
            let read = read_whole(value);
            let topic = read.as_ref().map(|(topic, ..)| *topic);
            let draft = draft(&mut drafts, topic.unwrap_or(&String::from_utf8_lossy(key)));
            draft.sum = draft.sum.with(value);
            draft.whole = read.map(|(_, session, origins)| (session, origins));
        }
        for (key, value) in &self.parts {
            let key = String::from_utf8_lossy(key);
            let (topic, field) = key.split_once('\0').unwrap_or((&key, ""));
            let read = read_part(value);
            let draft = draft(&mut drafts, read.as_ref().map_or(topic, |(topic, _)| topic));
            draft.sum = draft.sum.with(value);
            match read {
                Some((_, part)) => draft.parts.push(part),
                None => draft.damaged.push(field.to_owned()),
            }
        }
        let mut kept = Vec::new();
        for (topic, draft) in drafts {
            kept.extend(draft.finish(&topic, self.lacks_parts, damage));
        }
        if self.lacks_topics {
            damage.push(Damage::of_file("some topics may be lost entirely"));
        }
        kept
    }
}

fn draft<'a>(drafts: &'a mut BTreeMap<String, Draft>, topic: &str) -> &'a mut Draft {
    drafts.entry(topic.to_owned()).or_default()
}

fn with_revision((topic, revision, sum): (&str, u64, Sum)) -> Option<(&str, Revision, Sum)> {
    Some((topic, Revision::new(revision)?, sum))
}

fn read_whole(value: &[u8]) -> Option<(&str, Session, Origins)> {
    let [topic, session, origins] = unseal(value)?;
    let session = Json::parse_kept(session.as_bytes()).ok()?;
    let session = Session::from_json(&session, topic).ok()?;
    Some((topic, session, origins::parse(origins)))
}

fn read_part(value: &[u8]) -> Option<(&str, Part)> {
    let [topic, field, value, origin] = unseal(value)?;
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
        let mut report = |field: Option<&String>, what| {
            let topic = name.to_owned();
            let place = match field {
                Some(field) => Place::Field(topic, field.clone()),
                None => Place::Topic(topic),
            };
            damage.push(Damage::new(place, what));
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
            report(Some(field), "it is damaged, so it is left out");
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
        let is_all = match self.head {
            Some((_, sum)) => sum.is_all(self.sum, self.damaged.len()),
            None => !lacks_parts,
        };
        is_all && self.damaged.iter().all(is_field)
    }
}
