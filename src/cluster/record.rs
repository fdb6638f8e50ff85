//! How a topic is spelled in a bucket.

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::state::json::Json;
use crate::state::name::TopicName;
use crate::state::revision::Revision;
use crate::state::session::Session;
use crate::state::topic::{Origin, Origins, Version, Writer};

/// The spelling that this program writes; it reads no other.
pub(super) const FORMAT: u8 = 1;

/// How many of the last revisions a record names. Each is some twenty bytes of every write.
const RECENT: usize = 64;

/// Tells one write from any other that may have made the same revision.
pub type Mark = u32;

/// A topic as all daemons of a cluster know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// What is held; none: it was deleted, under this revision.
    pub held: Result<Held, Revision>,
    /// The last writes, oldest first, this one among them.
    pub recent: Vec<(Revision, Mark)>,
}

/// A topic that has a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The state.
    pub version: Version,
    /// The revision of the last change that needs a redraw.
    pub structural: Revision,
}

#[derive(Serialize, Deserialize)]
struct Spelled<'a> {
    onlooker: u8,
    revision: u64,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    deleted: bool,
    #[serde(default)]
    structural: u64,
    /// Each but the first is told by its distance from the one before.
    recent: Vec<(u64, Mark)>,
    #[serde(default)]
    origins: HashMap<String, SpelledOrigin>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    session: Option<&'a RawValue>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SpelledOrigin {
    #[serde(rename = "r")]
    revision: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    source_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    device_id: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    local_revision: Option<u64>,
}

impl Record {
    /// Its revision.
    pub fn revision(&self) -> Revision {
        match &self.held {
            Ok(held) => held.version.revision,
            Err(deleted) => *deleted,
        }
    }

    /// Notes the write that makes this record.
    pub fn note(&mut self, mark: Mark) {
        self.recent.push((self.revision(), mark));
        let old = self.recent.len().saturating_sub(RECENT);
        self.recent.drain(..old);
    }

    /// Whether there may have been more writes than it names.
    pub fn forgets(&self) -> bool {
        self.recent.len() >= RECENT
    }

    /// As text.
    pub fn text(&self) -> String {
        let session = self
            .held
            .as_ref()
            .ok()
            .map(|held| held.version.session.to_json());
        // What was JSON is JSON.
        let session = session.and_then(|text| RawValue::from_string(text).ok());
        let held = self.held.as_ref().ok();
        let origins = held.iter().flat_map(|held| held.version.origins.iter());
        let spelled = Spelled {
            onlooker: FORMAT,
            revision: self.revision().get(),
            deleted: held.is_none(),
            structural: held.map_or(0, |held| held.structural.get()),
            recent: distances(&self.recent),
            origins: origins
                .map(|(field, origin)| (field.to_string(), origin.into()))
                .collect(),
            session: session.as_deref(),
        };
        // Strings and numbers never fail to serialize.
        serde_json::to_string(&spelled).unwrap_or_default()
    }

    /// Reads what [`Record::text`] wrote.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn parse(bytes: &[u8], topic: &TopicName) -> Result<Record, String> {
        let wrong = |error: serde_json::Error| error.to_string();
        let spelled: Spelled = serde_json::from_slice(bytes).map_err(wrong)?;
        if spelled.onlooker != FORMAT {
            return Err(format!(
                "its format is {}, and this program reads {FORMAT}: use one version of onlooker for all daemons",
                spelled.onlooker
            ));
        }
        let revision = revision(spelled.revision)?;
        if !revision.is_credible() {
            return Err(format!("a wrong clock has made its revision {revision}"));
        }
        let recent = sums(&spelled.recent)?;
        let held = match spelled.session {
            Some(session) if !spelled.deleted => Ok(Held {
                version: Version {
                    revision,
                    session: session_of(session.get(), topic)?,
                    origins: origins_of(spelled.origins, revision)?,
                },
                structural: self::revision(spelled.structural)?.min(revision),
            }),
            None if spelled.deleted => Err(revision),
            _ => return Err("it has neither a session nor been deleted".to_owned()),
        };
        Ok(Record { held, recent })
    }
}

fn session_of(text: &str, topic: &TopicName) -> Result<Session, String> {
    let document = Json::parse_kept(text.as_bytes()).map_err(|error| error.to_string())?;
    Session::from_json(&document, topic.as_str()).map_err(|error| error.to_string())
}

/// Who wrote what, none later than the session itself.
fn origins_of(spelled: HashMap<String, SpelledOrigin>, last: Revision) -> Result<Origins, String> {
    let origin = |(field, spelled): (String, SpelledOrigin)| {
        let mut origin = spelled.origin()?;
        origin.revision = origin.revision.min(last);
        Ok((field.into(), origin))
    };
    spelled.into_iter().map(origin).collect()
}

fn revision(number: u64) -> Result<Revision, String> {
    Revision::new(number).ok_or_else(|| format!("{number} is no revision"))
}

pub(super) fn distances(recent: &[(Revision, Mark)]) -> Vec<(u64, Mark)> {
    let mut before = 0;
    let distance = |(revision, mark): &(Revision, Mark)| {
        let distance = revision.get().saturating_sub(before);
        before = revision.get();
        (distance, *mark)
    };
    recent.iter().map(distance).collect()
}

pub(super) fn sums(distances: &[(u64, Mark)]) -> Result<Vec<(Revision, Mark)>, String> {
    let mut sum = 0_u64;
    let sums = distances.iter().map(|(distance, mark)| {
        sum = sum.saturating_add(*distance);
        Ok((revision(sum)?, *mark))
    });
    sums.collect()
}

impl From<&Origin> for SpelledOrigin {
    fn from(origin: &Origin) -> SpelledOrigin {
        SpelledOrigin {
            revision: origin.revision.get(),
            source_id: origin.writer.source_id.clone(),
            device_id: origin.writer.device_id,
            local_revision: origin.writer.local_revision,
        }
    }
}

impl SpelledOrigin {
    fn origin(self) -> Result<Origin, String> {
        let writer = Writer {
            source_id: self.source_id,
            device_id: self.device_id,
            local_revision: self.local_revision,
        };
        Ok(Origin {
            revision: revision(self.revision)?,
            writer: Arc::new(writer),
        })
    }
}

/// The key of a topic. A point would divide it, and no name has an equals sign.
pub fn key_of(topic: &TopicName) -> String {
    topic.as_str().replace('.', "=")
}

/// The topic of a key; none for a key that no topic has.
pub fn topic_of(key: &str) -> Option<TopicName> {
    key.replace('=', ".").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(number: u64) -> Revision {
        Revision::new(number).expect("a revision")
    }

    fn record() -> Record {
        let text = r#"{"name":"x","data":[18446744073709551616,1e400],"config":{"b":1,"a":2},"metadata":{}}"#;
        let json = Json::parse(text.as_bytes()).expect("JSON");
        let writer = Writer {
            source_id: Some("panel".to_owned()),
            ..Writer::default()
        };
        let origin = |at, writer| Origin {
            revision: number(at),
            writer: Arc::new(writer),
        };
        let origins = [
            ("a".into(), origin(7, writer)),
            ("b".into(), origin(9, Writer::default())),
        ];
        Record {
            held: Ok(Held {
                version: Version {
                    revision: number(9),
                    session: Session::from_json(&json, "x").expect("a session"),
                    origins: origins.into_iter().collect(),
                },
                structural: number(5),
            }),
            recent: vec![(number(5), 1), (number(7), 2), (number(9), 3)],
        }
    }

    fn topic() -> TopicName {
        "main".parse().expect("a name")
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let held = record();
        assert_eq!(Record::parse(held.text().as_bytes(), &topic()), Ok(held));
        let gone = Record {
            held: Err(number(12)),
            recent: vec![(number(12), 4)],
        };
        assert_eq!(Record::parse(gone.text().as_bytes(), &topic()), Ok(gone));
    }

    #[test]
    fn only_the_last_writes_are_noted() {
        let mut record = record();
        (0..200).for_each(|mark| record.note(mark));
        assert_eq!(record.recent.len(), RECENT);
        assert_eq!(record.recent.last(), Some(&(number(9), 199)));
        assert_eq!(
            Record::parse(record.text().as_bytes(), &topic()),
            Ok(record)
        );
    }

    #[test]
    fn what_is_no_record_is_an_error() {
        for wrong in [
            "",
            "[]",
            "{}",
            "{\"onlooker\":1}",
            r#"{"onlooker":2,"revision":1,"recent":[],"deleted":true}"#,
            r#"{"onlooker":1,"revision":1,"recent":[]}"#,
            r#"{"onlooker":1,"revision":9007199254740992,"recent":[],"deleted":true}"#,
            r#"{"onlooker":1,"revision":9007199254740991,"recent":[],"deleted":true}"#,
            r#"{"onlooker":1,"revision":1,"recent":[[18446744073709551615,1],[9,1]],"deleted":true}"#,
            r#"{"onlooker":1,"revision":1,"recent":[],"session":{"data":1,"data":2}}"#,
        ] {
            let parsed = Record::parse(wrong.as_bytes(), &topic());
            assert!(parsed.is_err(), "{wrong}: {parsed:?}");
        }
    }

    #[test]
    fn every_name_has_a_key() {
        for name in ["main", "a.b", ".", "..", "a-_B9"] {
            let topic: TopicName = name.parse().expect("a name");
            let key = key_of(&topic);
            assert!(!key.contains('.'), "{key}");
            assert_eq!(topic_of(&key), Some(topic));
        }
        assert_eq!(topic_of("a/b"), None);
    }
}
