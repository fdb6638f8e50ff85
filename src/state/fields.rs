//! The whitelist: which config fields may change without a redraw, and to what.

use indexmap::IndexMap;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::state::json::{Json, Kind};
use crate::state::session::Config;

/// Field by field, declared in the configuration or learned from the session.
#[derive(Clone, Debug, PartialEq)]
pub enum Whitelist {
    /// Under `[fields]`: a write with a value that it forbids is refused.
    Declared(IndexMap<String, Field>),
    /// Every top-level config key with its present type, learned again with each structural change.
    Learned(IndexMap<String, Field>),
}

/// What one field may hold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Field {
    /// The field's JSON type; never null.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// The least number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// The greatest number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
    /// How far a control moves at a time: a hint that is not checked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<f64>,
    /// The only values it may have.
    #[serde(default, deserialize_with = "options")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<Json>,
    /// What people call it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
}

/// A value that a declared field cannot have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{field}: expected {expected}, got {got}")]
pub struct FieldError {
    /// The field.
    pub field: String,
    /// What it may hold.
    pub expected: String,
    /// What was sent.
    pub got: String,
}

impl Field {
    /// A field of a type, without bounds.
    pub fn of(kind: Kind) -> Field {
        Field {
            kind,
            min: None,
            max: None,
            step: None,
            options: Vec::new(),
            label: None,
        }
    }

    /// A field as it is declared under `[fields]` in the configuration.
    pub fn from_written(written: Value) -> Result<Field, String> {
        if let Ok(kind) = serde_json::from_value(written.clone()) {
            return Field::of(kind).checked();
        }
        match written {
            Value::Object(_) => serde_json::from_value(written)
                .map_err(|error| error.to_string())
                .and_then(Field::checked),
            _ => Err(format!(
                "expected number, string, boolean, array, object or a table with `type`, got {written}"
            )),
        }
    }

    fn checked(self) -> Result<Field, String> {
        self.check().map(|()| self)
    }

    /// Whether there is a value that it accepts.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.kind == Kind::Null {
            return Err("null fits no type".to_owned());
        }
        if let (Some(min), Some(max)) = (self.min, self.max)
            && min > max
        {
            return Err(format!("min {min} is above max {max}"));
        }
        let kind = |option: &&Json| option.kind() != self.kind;
        match self.options.iter().find(kind) {
            Some(option) => Err(format!(
                "option {option} is not {}",
                self.kind.with_article()
            )),
            None => Ok(()),
        }
    }

    /// What is wrong with a value for the field of this name, if anything is.
    pub fn fault(&self, name: &str, value: &Json) -> Option<FieldError> {
        (!self.accepts(value)).then(|| FieldError {
            field: name.to_owned(),
            expected: self.expected(),
            got: brief(value),
        })
    }

    fn accepts(&self, value: &Json) -> bool {
        value.kind() == self.kind && self.in_range(value) && self.is_option(value)
    }

    fn in_range(&self, value: &Json) -> bool {
        let Some(number) = value.as_f64() else {
            return true;
        };
        self.min.is_none_or(|min| number >= min) && self.max.is_none_or(|max| number <= max)
    }

    fn is_option(&self, value: &Json) -> bool {
        let same = |option: &Json| {
            option == value || (option.as_f64().is_some() && option.as_f64() == value.as_f64())
        };
        self.options.is_empty() || self.options.iter().any(same)
    }

    /// What it accepts, for a person.
    fn expected(&self) -> String {
        if !self.options.is_empty() {
            let options: Vec<&str> = self.options.iter().map(Json::as_str).collect();
            return format!("one of {}", options.join(", "));
        }
        match (self.min, self.max) {
            (Some(min), Some(max)) => format!("{} from {min} to {max}", self.kind),
            (Some(min), None) => format!("{} of at least {min}", self.kind),
            (None, Some(max)) => format!("{} of at most {max}", self.kind),
            (None, None) => self.kind.to_string(),
        }
    }
}

impl Whitelist {
    /// A whitelist that has learned nothing yet.
    pub fn learning() -> Whitelist {
        Whitelist::Learned(IndexMap::new())
    }

    /// The fields, in their order.
    pub fn fields(&self) -> &IndexMap<String, Field> {
        match self {
            Whitelist::Declared(fields) | Whitelist::Learned(fields) => fields,
        }
    }

    /// Whether it is learned from the session rather than declared.
    pub fn is_learned(&self) -> bool {
        matches!(self, Whitelist::Learned(_))
    }

    /// Every value of `config` that a declared field cannot have.
    pub fn check(&self, config: &Config) -> Vec<FieldError> {
        let Whitelist::Declared(fields) = self else {
            return Vec::new();
        };
        let at_fault = |(name, field): (&String, &Field)| field.fault(name, config.get(name)?);
        fields.iter().filter_map(at_fault).collect()
    }

    /// Whether `field` may become `value` without a redraw.
    pub fn covers(&self, field: &str, value: &Json) -> bool {
        self.fields()
            .get(field)
            .is_some_and(|known| known.kind == value.kind())
    }

    /// Learns the fields of a config that changed structurally; a declared whitelist stays as it is.
    pub fn learn(&mut self, config: &Config) {
        if let Whitelist::Learned(fields) = self {
            let known = config
                .iter()
                .filter(|(_, value)| value.kind() != Kind::Null);
            *fields = known
                .map(|(name, value)| (name.to_owned(), Field::of(value.kind())))
                .collect();
        }
    }
}

fn options<'de, D: Deserializer<'de>>(written: D) -> Result<Vec<Json>, D::Error> {
    let written = Vec::<Value>::deserialize(written)?;
    Ok(written.iter().map(Json::of).collect())
}

/// The value, shortened for an error message.
fn brief(value: &Json) -> String {
    const LIMIT: usize = 80;
    let text = value.as_str();
    match text.char_indices().nth(LIMIT) {
        Some((end, _)) => format!("{} {}…", value.kind(), &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn declared(name: &str, written: Value) -> Whitelist {
        Whitelist::Declared(
            [(name.to_owned(), Field::from_written(written).unwrap())]
                .into_iter()
                .collect(),
        )
    }

    fn faults(whitelist: &Whitelist, value: &str) -> Vec<String> {
        let config = [("speed".to_owned(), Json::parse(value.as_bytes()).unwrap())]
            .into_iter()
            .collect();
        whitelist
            .check(&config)
            .into_iter()
            .map(|fault| format!("{}, got {}", fault.expected, fault.got))
            .collect()
    }

    #[test]
    fn bounds_and_types_are_checked() {
        let speed = declared("speed", json!({"type": "number", "min": 0, "max": 5}));
        for good in ["0", "5", "2.5", "5.0", "-0"] {
            assert_eq!(faults(&speed, good), Vec::<String>::new(), "{good}");
        }
        for bad in ["-1", "6", "1e400", "\"1\"", "null", "[1]"] {
            assert_eq!(
                faults(&speed, bad),
                [format!("number from 0 to 5, got {bad}")]
            );
        }
    }

    #[test]
    fn options_compare_numbers_by_value() {
        let speed = declared("speed", json!({"type": "number", "options": [1, 2]}));
        assert!(faults(&speed, "1.0").is_empty());
        assert_eq!(faults(&speed, "3"), ["one of 1, 2, got 3"]);
    }

    #[test]
    fn a_learned_whitelist_refuses_nothing() {
        let mut learned = Whitelist::learning();
        let config: Config = [("a", "1"), ("b", "null")]
            .map(|(k, v)| (k.to_owned(), Json::parse(v.as_bytes()).unwrap()))
            .into_iter()
            .collect();
        learned.learn(&config);
        assert!(learned.check(&config).is_empty());
        let value = |text: &str| Json::parse(text.as_bytes()).unwrap();
        assert!(learned.covers("a", &value("2")));
        assert!(
            !learned.covers("a", &value("\"2\"")),
            "a changed type is structural"
        );
        assert!(
            !learned.covers("b", &value("2")),
            "a null field is undeclared"
        );
    }

    #[test]
    fn a_wrong_declaration_is_named() {
        let error = |written| Field::from_written(written).unwrap_err();
        assert_eq!(
            error(json!({"type": "number", "min": 2, "max": 1})),
            "min 2 is above max 1"
        );
        assert!(
            error(json!({"type": "number", "mim": 2}))
                .starts_with("unknown field `mim`, expected one of")
        );
        assert_eq!(
            error(json!({"type": "string", "options": [1]})),
            "option 1 is not a string"
        );
        assert_eq!(error(json!("null")), "null fits no type");
        assert!(error(json!("int")).contains("got \"int\""));
    }
}
