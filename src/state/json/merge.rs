//! RFC 7396 on text: what a merge patch does not name stays as it was written and is copied once.

use std::borrow::Cow;

use indexmap::IndexMap;

use super::parts::{content, members};
use super::{Json, Work};

impl Json {
    /// The value after a merge patch (RFC 7396 §2). `None` if that would take looking at more
    /// bytes than `work` has left: a patch can go down a hundred levels, each of them as large as
    /// the whole.
    pub fn merged(target: Option<&Json>, patch: &Json, work: &mut Work<'_>) -> Option<Json> {
        let target = target.map(Json::as_str);
        let mut out = String::with_capacity(target.map_or(0, str::len) + patch.as_str().len());
        merge(&mut out, target, patch.as_str(), work)?;
        Some(Json(out.into()))
    }
}

fn merge(out: &mut String, target: Option<&str>, patch: &str, work: &mut Work<'_>) -> Option<()> {
    let Some(changes) = members(patch) else {
        out.push_str(patch);
        return Some(());
    };
    work.spend(patch.len() + target.map_or(0, str::len))?;
    let mut changes: IndexMap<Cow<'_, str>, (&str, &str)> = changes
        .into_iter()
        .map(|(key, value)| (content(key), (key, value)))
        .collect();
    let mut object = Object::begin(out);
    for (key, value) in target.and_then(members).unwrap_or_default() {
        match changes.get_mut(&content(key)) {
            // A change that was applied is marked by taking its value away.
            Some((_, change)) => {
                let change = std::mem::take(change);
                object.put(key, Some(value), change, work)?;
            }
            None => object.keep(key, value),
        }
    }
    let added = changes.into_values().filter(|(_, value)| !value.is_empty());
    for (key, change) in added {
        object.put(key, None, change, work)?;
    }
    object.end();
    Some(())
}

/// An object that is being written.
struct Object<'a> {
    out: &'a mut String,
    empty: bool,
}

impl<'a> Object<'a> {
    fn begin(out: &'a mut String) -> Object<'a> {
        out.push('{');
        Object { out, empty: true }
    }

    fn key(&mut self, key: &str) {
        if !std::mem::take(&mut self.empty) {
            self.out.push(',');
        }
        self.out.push_str(key);
        self.out.push(':');
    }

    fn keep(&mut self, key: &str, value: &str) {
        self.key(key);
        self.out.push_str(value);
    }

    /// A changed member; null removes it.
    fn put(
        &mut self,
        key: &str,
        before: Option<&str>,
        change: &str,
        work: &mut Work<'_>,
    ) -> Option<()> {
        if change == "null" {
            return Some(());
        }
        self.key(key);
        merge(self.out, before, change, work)
    }

    fn end(self) {
        self.out.push('}');
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    fn json(text: &str) -> Json {
        Json::parse(text.as_bytes()).unwrap()
    }

    fn merged(target: &str, patch: &str) -> String {
        let wanted = AtomicBool::new(false);
        let mut work = Work::new(1 << 20, &wanted);
        let merged = Json::merged(Some(&json(target)), &json(patch), &mut work);
        merged.unwrap().to_string()
    }

    #[test]
    fn what_is_not_named_stays_as_it_was_written() {
        let before = r#"{"z":1.50,"a":{"x":"\u0041","y":[1,{}]},"\u0062":2}"#;
        assert_eq!(merged(before, "{}"), before);
        assert_eq!(
            merged(
                before,
                r#"{"b":3,"a":{"y":null,"n":{"m":null}},"c":[null]}"#
            ),
            r#"{"z":1.50,"a":{"x":"\u0041","n":{}},"\u0062":3,"c":[null]}"#
        );
        assert_eq!(merged("[1]", r#"{"a":1,"b":null}"#), r#"{"a":1}"#);
        assert_eq!(merged(r#"{"a":1}"#, "[2]"), "[2]");
    }

    #[test]
    fn a_level_as_large_as_the_whole_is_work() {
        let nested =
            |bottom: &str| format!("{}{bottom}{}", r#"{"a":"#.repeat(100), "}".repeat(100));
        let target = json(&nested(&format!("\"{}\"", "y".repeat(100_000))));
        let patch = json(&nested(r#"{"b":1}"#));
        let with = |work, called_off| {
            let called_off = AtomicBool::new(called_off);
            Json::merged(Some(&target), &patch, &mut Work::new(work, &called_off))
        };
        assert!(with(1_000_000, false).is_none());
        assert_eq!(with(20_000_000, false), Some(patch.clone()));
        assert!(with(20_000_000, true).is_none(), "nobody waits for it");
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<u8>().prop_map(Into::into),
            "[a\"é]{0,2}".prop_map(Into::into)
        ];
        leaf.prop_recursive(3, 20, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..3).prop_map(Into::into),
                proptest::collection::hash_map("[ab\"]{0,2}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn it_is_what_another_library_makes(target in values(), patch in values()) {
            let text = merged(&target.to_string(), &patch.to_string());
            let mut expected = target;
            json_patch::merge(&mut expected, &patch);
            prop_assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), expected);
        }
    }
}
