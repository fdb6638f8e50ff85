//! The config: fields in the host's order, cheap to copy however many there are.

use std::sync::Arc;

use indexmap::IndexSet;
use rpds::VectorSync;
use serde::{Serialize, Serializer};

use crate::state::json::{Json, key_len};

/// A field's name, shared by everything that mentions the field.
pub type FieldName = Arc<str>;

/// The flat map of parameters, in the host's order.
///
/// A copy shares everything, and changing a field copies a few nodes: so one field out of a
/// hundred thousand costs no more than one out of three. Adding and removing fields rebuilds it.
#[derive(Clone, Debug, Default)]
pub struct Config {
    names: Arc<IndexSet<FieldName>>,
    /// By the position of the name.
    values: VectorSync<Json>,
    text_len: usize,
}

impl Config {
    /// How many fields there are.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// A field's value.
    pub fn get(&self, field: &str) -> Option<&Json> {
        self.values.get(self.names.get_index_of(field)?)
    }

    /// A field by its place.
    pub fn at(&self, place: usize) -> Option<(&FieldName, &Json)> {
        Some((self.names.get_index(place)?, self.values.get(place)?))
    }

    /// The positions of the fields whose value is another one in `other`; only among `fields`, if
    /// they are given. Looking names up is what this costs, so where both have the same order
    /// each is looked up once.
    pub fn places_that_differ(&self, other: &Config, fields: Option<&[String]>) -> Vec<usize> {
        let same_places = self.has_order_of(other);
        let differs = |place: &usize| match (self.at(*place), same_places) {
            (Some((_, value)), true) => other.values.get(*place) != Some(value),
            (Some((name, value)), false) => other.get(name) != Some(value),
            (None, _) => false,
        };
        match fields {
            None => (0..self.len()).filter(differs).collect(),
            Some(fields) => {
                let places = fields.iter().map(|field| self.names.get_index_of(&**field));
                places.flatten().filter(differs).collect()
            }
        }
    }

    /// Whether both are known to have the same fields in the same order, because one was made from
    /// the other.
    pub fn has_order_of(&self, other: &Config) -> bool {
        Arc::ptr_eq(&self.names, &other.names)
    }

    /// All fields, in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Json)> {
        self.names
            .iter()
            .map(|name| &**name)
            .zip(self.values.iter())
    }

    /// The names of all fields, in their order.
    pub fn names(&self) -> impl Iterator<Item = &FieldName> {
        self.names.iter()
    }

    /// Whether both have the same fields, in any order and with any values.
    pub fn has_names_of(&self, other: &Config) -> bool {
        self.has_order_of(other)
            || (self.len() == other.len() && self.names.is_subset(&other.names))
    }

    /// About how long the fields are as JSON text, in bytes.
    pub fn text_len(&self) -> usize {
        self.text_len
    }

    /// Sets a field; a new one becomes the last.
    pub fn set(&mut self, field: &str, value: Json) {
        match self.names.get_index_of(field) {
            Some(place) => {
                let old = self.values.get(place).map_or(0, |old| old.as_str().len());
                self.text_len = self.text_len - old + value.as_str().len();
                self.values.set_mut(place, value);
            }
            None => self.push(field.into(), value),
        }
    }

    fn push(&mut self, name: FieldName, value: Json) {
        // The colon and the comma too.
        self.text_len += key_len(&name) + 2 + value.as_str().len();
        Arc::make_mut(&mut self.names).insert(name);
        self.values.push_back_mut(value);
    }

    /// Keeps only the fields for which `keep` holds.
    pub fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        if !self.names.iter().all(|name| keep(name)) {
            let kept = self.names.iter().zip(self.values.iter());
            *self = kept
                .filter(|(name, _)| keep(name))
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect();
        }
    }
}

impl<N: Into<FieldName>> FromIterator<(N, Json)> for Config {
    fn from_iter<I: IntoIterator<Item = (N, Json)>>(fields: I) -> Config {
        let mut config = Config::default();
        for (name, value) in fields {
            let name = name.into();
            match config.names.contains(&name) {
                true => config.set(&name, value),
                false => config.push(name, value),
            }
        }
        config
    }
}

impl Serialize for Config {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

/// The same fields with the same values in the same order: the same text.
impl PartialEq for Config {
    fn eq(&self, other: &Config) -> bool {
        self.len() == other.len() && self.iter().eq(other.iter())
    }
}

impl Eq for Config {}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Json {
        Json::parse(text.as_bytes()).unwrap()
    }

    fn config(fields: &[(&str, &str)]) -> Config {
        fields
            .iter()
            .map(|(name, value)| (*name, json(value)))
            .collect()
    }

    #[test]
    fn a_copy_that_is_changed_leaves_the_other_as_it_was() {
        let before = config(&[("a", "1"), ("b", "2")]);
        let mut after = before.clone();
        after.set("a", json("10"));
        after.set("c", json("3"));
        assert_eq!(before, config(&[("a", "1"), ("b", "2")]));
        assert_eq!(after, config(&[("a", "10"), ("b", "2"), ("c", "3")]));
        after.retain(|name| name != "b");
        assert_eq!(after, config(&[("a", "10"), ("c", "3")]));
        assert_eq!(
            after.text_len(),
            config(&[("a", "10"), ("c", "3")]).text_len()
        );
    }

    #[test]
    fn a_name_counts_as_it_is_written() {
        let config = config(&[("\u{1}\u{1}\"", "[1]")]);
        let text = serde_json::to_string(&config).unwrap();
        assert_eq!(text, r#"{"\u0001\u0001\"":[1]}"#);
        assert_eq!(config.text_len(), text.len() - 1);
    }

    #[test]
    fn what_differs_is_told_by_its_place_whoever_made_the_other() {
        let before = config(&[("a", "1"), ("b", "2"), ("c", "3")]);
        let mut after = before.clone();
        after.set("c", json("30"));
        after.set("b", json("20"));
        assert_eq!(after.places_that_differ(&before, None), [1, 2]);
        let named = ["c", "a", "x"].map(String::from);
        assert_eq!(after.places_that_differ(&before, Some(&named)), [2]);
        let elsewhere = config(&[("c", "3"), ("b", "20"), ("a", "1")]);
        assert_eq!(after.places_that_differ(&elsewhere, None), [2]);
        assert_eq!(after.places_that_differ(&elsewhere, Some(&named)), [2]);
        after.set("x", json("0"));
        assert_eq!(after.places_that_differ(&before, None), [1, 2, 3]);
    }

    #[test]
    fn order_is_part_of_the_text_and_not_of_the_names() {
        let (one, other) = (
            config(&[("a", "1"), ("b", "2")]),
            config(&[("b", "2"), ("a", "1")]),
        );
        assert!(one.has_names_of(&other));
        assert_ne!(one, other);
        assert!(!one.has_names_of(&config(&[("a", "1")])));
        assert!(!one.has_names_of(&config(&[("a", "1"), ("c", "2")])));
    }
}
