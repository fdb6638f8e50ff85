//! A topic's whole state.

mod config;

pub use config::{Config, FieldName};

use serde::Serialize;

use crate::state::json::{self, Json, Kind};

/// `{name, data, config, metadata}`. Cloning shares every part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Session {
    /// A JSON string.
    pub name: Json,
    /// Anything.
    pub data: Json,
    /// The parameters that may change without a redraw.
    pub config: Config,
    /// Anything.
    pub metadata: Json,
}

/// A document that looks like a session but is not one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{member}: expected {}, got {got}", expected.with_article())]
pub struct ShapeError {
    /// Which member of the session.
    pub member: String,
    /// What belongs there.
    pub expected: Kind,
    /// What was there.
    pub got: Kind,
}

/// The members of a session, in their order.
pub const MEMBERS: [&str; 4] = ["name", "data", "config", "metadata"];

impl Session {
    /// A session that holds only data.
    pub fn of_data(name: &str, data: Json) -> Session {
        Session {
            name: Json::string(name),
            data,
            config: Config::default(),
            metadata: Json::empty_object(),
        }
    }

    /// An object whose keys are all among `name data config metadata`, with `data`
    /// or `config`, is a session; anything else is the data of a session called
    /// `name`.
    pub fn from_json(document: &Json, name: &str) -> Result<Session, ShapeError> {
        Session::from_split(document, document.members(), name)
    }

    /// As [`Session::from_json`], for a document that was already split into its members.
    pub fn from_split(
        document: &Json,
        members: Option<Vec<(String, Json)>>,
        name: &str,
    ) -> Result<Session, ShapeError> {
        match members {
            Some(members) if is_session(&members) => Session::from_members(members, name),
            _ => Ok(Session::of_data(name, document.clone())),
        }
    }

    fn from_members(members: Vec<(String, Json)>, name: &str) -> Result<Session, ShapeError> {
        let mut session = Session::of_data(name, Json::empty_object());
        for (member, value) in members {
            match member.as_str() {
                "name" => session.name = expect(&member, value, Kind::String)?,
                "data" => session.data = value,
                "config" => {
                    let config = expect(&member, value, Kind::Object)?;
                    session.config = config.members().into_iter().flatten().collect();
                }
                _ => session.metadata = value,
            }
        }
        Ok(session)
    }

    /// The session as one JSON text.
    pub fn to_json(&self) -> String {
        json::text(self)
    }

    /// About how long [`Session::to_json`]'s text is, in bytes.
    pub fn text_len(&self) -> usize {
        let parts = [&self.name, &self.data, &self.metadata];
        let parts: usize = parts.iter().map(|part| part.as_str().len()).sum();
        parts + self.config.text_len() + 64
    }

    /// The first integer that JavaScript will round (above 2^53), if there is one.
    pub fn first_rounded(&self) -> Option<&str> {
        let fields = self.config.iter().map(|(_, value)| value);
        [&self.data, &self.metadata]
            .into_iter()
            .chain(fields)
            .find_map(Json::first_rounded)
    }
}

/// Whether a session has a member of that name.
pub fn is_member(name: &str) -> bool {
    MEMBERS.contains(&name)
}

fn is_session(members: &[(String, Json)]) -> bool {
    members.iter().all(|(key, _)| is_member(key))
        && members
            .iter()
            .any(|(key, _)| key == "data" || key == "config")
}

/// The value, if it has the type that the member needs.
pub fn expect(member: &str, value: Json, kind: Kind) -> Result<Json, ShapeError> {
    match value.kind() {
        got if got == kind => Ok(value),
        got => Err(ShapeError {
            member: member.to_owned(),
            expected: kind,
            got,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(text: &str) -> Result<Session, ShapeError> {
        Session::from_json(&Json::parse(text.as_bytes()).unwrap(), "source")
    }

    #[test]
    fn a_session_is_told_by_its_keys() {
        let whole =
            r#"{"name":"Demo","data":{"z":1,"a":2},"config":{"speed":1.50},"metadata":{"by":"x"}}"#;
        assert_eq!(session(whole).unwrap().to_json(), whole);
        let defaults = r#"{"name":"source","data":{},"config":{"speed":1},"metadata":{}}"#;
        assert_eq!(
            session(r#"{"config":{"speed":1}}"#).unwrap().to_json(),
            defaults
        );
    }

    #[test]
    fn anything_else_is_data() {
        for text in [
            "[1,2]",
            "7",
            "null",
            r#"{"name":"x"}"#,
            r#"{"data":1,"other":2}"#,
        ] {
            let expected =
                format!(r#"{{"name":"source","data":{text},"config":{{}},"metadata":{{}}}}"#);
            assert_eq!(session(text).unwrap().to_json(), expected);
        }
    }

    #[test]
    fn a_broken_session_names_its_member() {
        assert_eq!(
            session(r#"{"config":[1]}"#).unwrap_err().to_string(),
            "config: expected an object, got array"
        );
        assert_eq!(
            session(r#"{"data":1,"name":2}"#).unwrap_err().to_string(),
            "name: expected a string, got number"
        );
    }
}
