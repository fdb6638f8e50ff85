//! What the query of a request asks for.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use hyper::http::request::Parts;

use super::app::App;
use crate::access;
use crate::hub::TopicEntry;
use crate::state::name::TopicName;
use crate::state::revision::Revision;
use crate::wire::Problem;

/// The longest name that a viewer may give itself, in bytes.
const LONGEST_ID: usize = 64;

/// The query of a request, empty if there is none.
pub struct Query(String);

impl<S: Sync> FromRequestParts<S> for Query {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Query, Infallible> {
        Ok(Query(parts.uri.query().unwrap_or_default().to_owned()))
    }
}

impl Query {
    /// The topics that are named, which need not exist.
    /// Fails with 400 for a name that cannot be a topic's.
    pub fn topics(&self) -> Result<Vec<TopicName>, Problem> {
        let names = access::queries(&self.0, "topic").into_iter();
        Ok(names.map(|name| name.parse()).collect::<Result<_, _>>()?)
    }

    /// The topic that is named first, or the default one.
    /// Fails with 400 for a name that cannot be a topic's.
    pub fn topic(&self, app: &App) -> Result<TopicName, Problem> {
        match access::query(&self.0, "topic") {
            Some(name) => Ok(name.parse()?),
            None => Ok(app.hub.default_topic().clone()),
        }
    }

    /// The same topic, if it exists.
    /// Fails with 400 for a name that cannot be a topic's, 404 for an unknown topic.
    pub fn entry(&self, app: &App) -> Result<Arc<TopicEntry>, Problem> {
        let name = self.topic(app)?;
        app.hub.topic(&name).ok_or_else(|| {
            let detail = format!("there is no topic {:?} yet", name.as_str());
            app.absent(Problem::not_found(detail).because("there is no such topic yet"))
        })
    }

    /// What a viewer calls itself, so that its next connection can replace this one; anything that
    /// is no such name counts as none.
    pub fn id(&self) -> Option<Box<str>> {
        let id = access::query(&self.0, "id")?;
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        let is_id = (1..=LONGEST_ID).contains(&id.len()) && id.bytes().all(is_plain);
        is_id.then(|| id.into())
    }

    /// What the client of one of a room's people calls it, over all its connections; anything that
    /// is no such name counts as none.
    pub fn person(&self) -> Option<Box<str>> {
        let name = access::query(&self.0, "_pk")?;
        (1..=LONGEST_ID).contains(&name.len()).then(|| name.into())
    }

    /// The room that is named, as `PARTY/ROOM`.
    pub fn room(&self) -> Option<String> {
        access::query(&self.0, "room")
    }

    /// The time since when rows are wanted, in milliseconds since 1970.
    /// Fails with 400 for what is no time.
    pub fn from(&self) -> Result<Option<u64>, Problem> {
        let Some(from) = access::query(&self.0, "from") else {
            return Ok(None);
        };
        let wrong = |_| {
            Problem::bad_request(format!(
                "from: expected milliseconds since 1970, got {from:?}"
            ))
        };
        from.parse().map(Some).map_err(wrong)
    }

    /// Whether a host looks on at its own topic.
    pub fn is_panel(&self) -> bool {
        access::query(&self.0, "panel").is_some_and(|panel| panel == "1")
    }

    /// The revision that a viewer has already. Whatever is not a revision of ours counts as an
    /// unknown one, which means a snapshot.
    pub fn since(&self) -> Option<Revision> {
        access::query(&self.0, "since")?.parse().ok()
    }
}
