//! What an action or a host's rows ask for, checked against the columns of their channel.

use std::cell::LazyCell;
use std::sync::Arc;

use super::channel::{Channel, TIMES};
use super::row::{Row, RowId, spelled};
use crate::state::fields::Field;
use crate::state::json::{Json, Kind};

/// One of the actions that the daemon itself decides on.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// A new row: its values by column; its id may be missing.
    Create(Vec<(String, Json)>),
    /// Other values for some columns of a row, its id among them.
    Update(Vec<(String, Json)>),
    /// The end of the row with this id.
    Delete(Vec<(String, Json)>),
    /// The end of all rows.
    DeleteAll,
}

/// What becomes of one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// It has these values, as a JSON array. A new one may say when it was made, in milliseconds
    /// since 1970.
    Put(RowId, Arc<str>, Option<u64>),
    /// It is deleted.
    Delete(RowId),
}

/// Why rows are not changed, in sentences.
pub type Refused = Vec<String>;

/// What is wrong, in one sentence.
pub fn refused(reason: impl ToString) -> Refused {
    vec![reason.to_string()]
}

/// How many faults are named.
const FAULTS: usize = 8;

impl Action {
    /// The columns that are given.
    pub fn given(&self) -> &[(String, Json)] {
        match self {
            Action::Create(given) | Action::Update(given) | Action::Delete(given) => given,
            Action::DeleteAll => &[],
        }
    }

    /// Reads `{"type": …, "payload": …}`.
    ///
    /// # Errors
    /// Names the type or the member.
    pub fn parse(action: &Json) -> Result<Action, Refused> {
        let members = action.members().unwrap_or_default();
        let get = |key: &str| members.iter().find(|(name, _)| name == key);
        let kind = get("type").and_then(|(_, kind)| kind.as_string());
        let payload = || {
            let members = get("payload").and_then(|(_, payload)| payload.members());
            members.ok_or_else(|| refused("payload: expected an object of columns"))
        };
        match kind.as_deref() {
            Some("create") => Ok(Action::Create(payload()?)),
            Some("update") => Ok(Action::Update(payload()?)),
            Some("delete") => Ok(Action::Delete(payload()?)),
            Some("delete-all") => Ok(Action::DeleteAll),
            Some(other) => Err(refused(format_args!(
                "unknown action {:?}: expected create, update, delete or delete-all",
                other.chars().take(80).collect::<String>()
            ))),
            None => Err(refused(
                r#"action: expected {"type": "create", "payload": {…}}"#,
            )),
        }
    }
}

impl Channel {
    /// The id among the columns that are given.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn id(&self, given: &[(String, Json)]) -> Result<RowId, Refused> {
        let id = given.iter().find(|(name, _)| name == "id");
        let id = id.zip(self.columns.first());
        let ((name, id), (_, field)) = id.ok_or_else(|| refused("id: it is missing"))?;
        let id = checked(name, field, id).map_err(refused)?;
        Ok(id.as_str().into())
    }

    /// The values of a row, in the order of the columns: those that are given, and for the rest
    /// those that it had. The first of them is the id.
    ///
    /// # Errors
    /// Names every column at fault.
    pub fn values(
        &self,
        given: &[(String, Json)],
        before: Option<&Row>,
    ) -> Result<Vec<Json>, Refused> {
        let unknown = |(name, _): &&(String, Json)| !self.columns.contains_key(name);
        let mut faults: Refused = given
            .iter()
            .filter(unknown)
            .map(|(name, _)| self.unknown(name))
            .collect();
        let had = LazyCell::new(|| before.map(|row| Json::items(&row.values)));
        let mut values = Vec::with_capacity(self.columns.len());
        for (place, (name, field)) in self.columns.iter().enumerate() {
            let value = given.iter().find(|(given, _)| given == name);
            let value = value.map(|(_, value)| checked(name, field, value));
            let had = || had.as_ref()?.get(place).cloned();
            // Even null, where the column was declared later.
            match value.or_else(|| had().map(Ok)) {
                Some(Ok(value)) => values.push(value),
                Some(Err(fault)) => faults.push(fault),
                None => faults.push(format!("{name}: it is missing")),
            }
        }
        faults.truncate(FAULTS);
        match faults.is_empty() {
            true => Ok(values),
            false => Err(faults),
        }
    }

    /// A row that was kept, whose values may be of other columns by now: those that do not fit stay
    /// as they are. None if its id does not.
    pub fn kept_row(&self, members: &[(String, Json)]) -> Option<Edit> {
        self.id(members).ok()?;
        let value = |(name, field): (&String, &Field)| {
            let value = members.iter().find(|(known, _)| known == name);
            let value = value.map_or_else(Json::null, |(_, value)| value.clone());
            checked(name, field, &value).unwrap_or(value)
        };
        let values: Vec<Json> = self.columns.iter().map(value).collect();
        Some(put(&values, None))
    }

    fn unknown(&self, name: &str) -> String {
        let name: String = name.chars().take(80).collect();
        match TIMES.contains(&name.as_str()) {
            true => format!("{name}: the daemon writes it"),
            false => format!("{name:?}: there is no such column"),
        }
    }

    /// A host's row: an array of the columns, perhaps with the three times behind them, or an
    /// object of its members. One with a `deleted_at` is deleted.
    ///
    /// # Errors
    /// Names every column at fault.
    pub fn host_row(&self, row: &Json) -> Result<Edit, Refused> {
        let mut members = self.host_members(row)?;
        let mut time = |name: &str| {
            let place = members.iter().position(|(known, _)| known == name);
            let time = place.map(|place| members.remove(place).1);
            time.filter(|time| time.kind() != Kind::Null)
        };
        let (created, _, deleted) = (time(TIMES[0]), time(TIMES[1]), time(TIMES[2]));
        if deleted.is_some() {
            return Ok(Edit::Delete(self.id(&members)?));
        }
        let created = created.and_then(|time| time.as_str().parse().ok());
        Ok(put(&self.values(&members, None)?, created))
    }

    fn host_members(&self, row: &Json) -> Result<Vec<(String, Json)>, Refused> {
        let wrong = |got: &dyn std::fmt::Display| {
            let all: Vec<&str> = self.columns.keys().map(String::as_str).collect();
            refused(format_args!(
                "expected a row of {}, got {got}",
                all.join(", ")
            ))
        };
        match row.kind() {
            Kind::Object => Ok(row.members().unwrap_or_default()),
            Kind::Array => {
                let values = Json::items(row.as_str());
                let is_row =
                    [0, TIMES.len()].contains(&(values.len().wrapping_sub(self.columns.len())));
                let names = self.names().map(str::to_owned);
                is_row
                    .then(|| names.zip(values.clone()).collect())
                    .ok_or_else(|| wrong(&format_args!("{} values", values.len())))
            }
            kind => Err(wrong(&kind)),
        }
    }
}

/// A row of these values.
pub fn put(values: &[Json], created: Option<u64>) -> Edit {
    let id = values.first().map_or("null", Json::as_str);
    Edit::Put(id.into(), Json::of(&values).as_str().into(), created)
}

/// A value for a column. Booleans are 0 and 1, as SQLite has them.
fn checked(name: &str, field: &Field, value: &Json) -> Result<Json, String> {
    let as_boolean = match (field.kind, value.as_str()) {
        (Kind::Boolean, "0") => Json::of(&false),
        (Kind::Boolean, "1") => Json::of(&true),
        _ => value.clone(),
    };
    match (field.fault(name, &as_boolean), field.kind) {
        (Some(fault), _) => Err(fault.to_string()),
        (None, Kind::Boolean) => Ok(Json::of(&u8::from(as_boolean.as_str() == "true"))),
        (None, _) if name == "id" => spelled(value),
        (None, _) => Ok(as_boolean),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Json {
        Json::parse(text.as_bytes()).unwrap()
    }

    fn channel() -> Channel {
        let field = |written: &str| serde_json::from_str(written).map(Field::from_written);
        let columns = [
            ("id", r#""string""#),
            ("stars", r#"{"type":"number","min":0,"max":5}"#),
            ("done", r#""boolean""#),
            ("tags", r#""array""#),
        ];
        let column = |(name, written): (&str, _)| (name.to_owned(), field(written).unwrap());
        let columns = columns.into_iter().map(column);
        let columns = columns.map(|(name, field)| (name, field.unwrap()));
        Channel::new(columns.collect()).unwrap()
    }

    fn parse(text: &str) -> Result<Action, Refused> {
        Action::parse(&json(text))
    }

    #[test]
    fn actions_are_told_apart() {
        let given = vec![("id".to_owned(), json(r#""a""#))];
        let text = |kind: &str| format!(r#"{{"type":"{kind}","payload":{{"id":"a"}}}}"#);
        assert_eq!(parse(&text("create")), Ok(Action::Create(given.clone())));
        assert_eq!(parse(&text("update")), Ok(Action::Update(given.clone())));
        assert_eq!(parse(&text("delete")), Ok(Action::Delete(given)));
        assert_eq!(parse(&text("delete-all")), Ok(Action::DeleteAll));
        assert_eq!(parse(r#"{"type":"delete-all"}"#), Ok(Action::DeleteAll));
    }

    #[test]
    fn what_is_no_action_is_said() {
        let shape = r#"action: expected {"type": "create", "payload": {…}}"#;
        for (text, reason) in [
            ("null", shape),
            ("[1]", shape),
            ("{}", shape),
            (r#"{"type":7}"#, shape),
            (
                r#"{"type":"drop","payload":{}}"#,
                r#"unknown action "drop": expected create, update, delete or delete-all"#,
            ),
            (
                r#"{"type":"create"}"#,
                "payload: expected an object of columns",
            ),
            (
                r#"{"type":"update","payload":[]}"#,
                "payload: expected an object of columns",
            ),
        ] {
            assert_eq!(parse(text), Err(refused(reason)), "{text}");
        }
        let long = format!(r#"{{"type":"{}"}}"#, "é".repeat(1000));
        assert!(parse(&long).unwrap_err()[0].len() < 300);
    }

    #[test]
    fn every_column_at_fault_is_named() {
        let values = |text: &str| {
            let given = json(text).members().unwrap();
            channel()
                .values(&given, None)
                .map(|values| Json::of(&values).to_string())
        };
        let good = r#"{"tags":[1, "x"],"done":true,"stars":4.50,"id":"\u0061"}"#;
        assert_eq!(values(good), Ok(r#"["a",4.50,1,[1,"x"]]"#.to_owned()));
        for (given, wire) in [("true", "1"), ("false", "0"), ("1", "1"), ("0", "0")] {
            let text = format!(r#"{{"id":"a","stars":0,"done":{given},"tags":[]}}"#);
            assert_eq!(values(&text), Ok(format!(r#"["a",0,{wire},[]]"#)));
        }
        let bad = r#"{"id":7,"stars":6,"done":2,"more":1,"updated_at":1}"#;
        let faults = [
            r#""more": there is no such column"#,
            "updated_at: the daemon writes it",
            "id: expected string, got 7",
            "stars: expected number from 0 to 5, got 6",
            "done: expected boolean, got 2",
            "tags: it is missing",
        ];
        assert_eq!(values(bad), Err(faults.map(str::to_owned).to_vec()));
        let null = r#"{"id":null,"stars":null,"done":null,"tags":null}"#;
        assert_eq!(values(null).unwrap_err().len(), 4, "null fits no type");
        let many: Vec<String> = (0..99).map(|at| format!(r#""x{at}":0"#)).collect();
        let many = values(&format!("{{{}}}", many.join(",")));
        assert_eq!(many.unwrap_err().len(), FAULTS);
    }

    #[test]
    fn an_id_has_one_spelling() {
        let id = |kind, text: &str| {
            let columns = [("id".to_owned(), Field::of(kind))];
            let channel = Channel::new(columns.into_iter().collect()).unwrap();
            let id = channel.id(&[("id".to_owned(), json(text))]);
            id.map(|id| id.to_string())
                .map_err(|reason| reason.join("; "))
        };
        for text in [r#""a/\n""#, r#""\u0061\/\u000a""#] {
            assert_eq!(id(Kind::String, text).as_deref(), Ok(r#""a/\n""#));
        }
        for (one, spellings) in [
            ("7", &["7", "7.0", "70e-1", "0.7E+1"][..]),
            ("0", &["0", "-0", "-0.0e5"]),
            ("-9007199254740991", &["-9007199254740991"]),
        ] {
            for spelling in spellings {
                assert_eq!(id(Kind::Number, spelling).as_deref(), Ok(one), "{spelling}");
            }
        }
        for rounded in ["1.5", "9007199254740993", "1e400"] {
            let reason = format!(
                "id: expected a string or an integer that JavaScript can hold, got {rounded}"
            );
            assert_eq!(id(Kind::Number, rounded), Err(reason));
        }
        let wrong = id(Kind::Number, r#""7""#).unwrap_err();
        assert_eq!(wrong, r#"id: expected number, got "7""#);
        assert_eq!(channel().id(&[]).unwrap_err(), refused("id: it is missing"));
    }

    #[test]
    fn what_is_not_given_stays() {
        let row = Row {
            id: r#""a""#.into(),
            values: r#"["a",4.50,1,[]]"#.into(),
            created: 1,
            updated: 2,
            order: 2,
            is_deleted: false,
        };
        let given = json(r#"{"id":"a","done":false}"#).members().unwrap();
        let values = channel().values(&given, Some(&row)).unwrap();
        assert_eq!(Json::of(&values).as_str(), r#"["a",4.50,0,[]]"#);
    }

    #[test]
    fn a_host_gives_rows_as_arrays_or_objects() {
        let row = |text: &str| channel().host_row(&json(text));
        let put = |created| {
            let (id, values) = (r#""a""#.into(), r#"["a",4,1,[]]"#.into());
            Ok(Edit::Put(id, values, created))
        };
        let delete = || Ok(Edit::Delete(r#""a""#.into()));
        assert_eq!(row(r#"["a",4,true,[]]"#), put(None));
        assert_eq!(row(r#"["a",4,1,[],17,18,null]"#), put(Some(17)));
        assert_eq!(row(r#"["a",4,1,[],null,null,null]"#), put(None));
        assert_eq!(row(r#"["a",4,1,[],17,18,19]"#), delete());
        assert_eq!(row(r#"["\u0061",null,null,null,0,0,0]"#), delete());
        let object = r#"{"id":"a","stars":4,"done":1,"tags":[]"#;
        assert_eq!(row(&format!("{object}}}")), put(None));
        assert_eq!(
            row(&format!(r#"{object},"created_at":17}}"#)),
            put(Some(17))
        );
        assert_eq!(row(&format!(r#"{object},"created_at":"x"}}"#)), put(None));
        assert_eq!(row(r#"{"id":"a","deleted_at":1}"#), delete());
    }

    #[test]
    fn what_is_no_row_of_a_host_is_said() {
        let reason = |text: &str| channel().host_row(&json(text)).unwrap_err().join("; ");
        let shape = "expected a row of id, stars, done, tags";
        for (text, got) in [
            ("7", "number"),
            ("null", "null"),
            ("[]", "0 values"),
            (r#"["a",4,1]"#, "3 values"),
            (r#"["a",4,1,[],17]"#, "5 values"),
        ] {
            assert_eq!(reason(text), format!("{shape}, got {got}"));
        }
        let missing =
            "id: it is missing; stars: it is missing; done: it is missing; tags: it is missing";
        assert_eq!(reason("{}"), missing);
        assert_eq!(reason(r#"{"deleted_at":1}"#), "id: it is missing");
        let id = r#"{"id":7,"deleted_at":1}"#;
        assert_eq!(reason(id), "id: expected string, got 7");
    }
}
