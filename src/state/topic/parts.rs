//! What a change is about, by name and for people. Never a value, for it may be a secret.

use json_patch::jsonptr::Pointer;

use super::{Change, Refusal};
use crate::state::json::{Json, LARGE};
use crate::state::session::FieldName;

/// How many parts are named at most, and how long a name may be, in characters.
const NAMED: usize = 8;
const LONGEST: usize = 40;

/// All of it.
const SESSION: &str = "session";

/// Fields of the config, and members of the session besides it: `speed`, `data`; or `session`,
/// where that is all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// The first few.
    pub names: Vec<FieldName>,
    /// How many more there are.
    pub more: usize,
}

impl Parts {
    /// All of a session.
    pub fn whole() -> Parts {
        Parts::of([SESSION])
    }

    /// Those with these names.
    pub fn of(names: impl IntoIterator<Item = impl AsRef<str>>) -> Parts {
        let mut parts = Parts::default();
        for name in names {
            let name = name.as_ref();
            if parts.names.len() == NAMED {
                parts.more += 1;
            } else if parts.names.iter().all(|named| **named != *name) {
                parts.names.push(short(name));
            }
        }
        parts
    }

    /// Whether all of them are among others.
    pub fn are_among(&self, others: &Parts) -> bool {
        self.more == 0 && self.names.iter().all(|name| others.names.contains(name))
    }
}

impl Change {
    /// What it asks to change, whether or not it does.
    pub fn parts(&self) -> Parts {
        match self {
            Change::Fields(fields) => Parts::of(fields.iter().map(|(field, _)| field)),
            Change::Patch(patch) => Parts::of(patch.iter().map(|operation| part(operation.path()))),
            Change::Merge(patch) if patch.as_str().len() <= LARGE => merged(patch),
            // To look into a large one takes long.
            Change::Merge(_) | Change::Replace(_) => Parts::whole(),
        }
    }
}

impl Refusal {
    /// What is at fault, if it is not the change as a whole.
    pub fn parts(&self) -> Option<Parts> {
        let Refusal::Fields(faults) = self else {
            return None;
        };
        Some(Parts::of(faults.iter().map(|fault| &fault.field)))
    }

    /// The rule that was broken, without the values that broke it.
    pub fn rule(&self) -> String {
        const TOLD: usize = 3;
        let Refusal::Fields(faults) = self else {
            return self.to_string();
        };
        let rules = faults.iter().take(TOLD);
        let rules = rules.map(|fault| format!("{}: expected {}", fault.field, fault.expected));
        let mut rules: Vec<String> = rules.collect();
        if faults.len() > TOLD {
            rules.push(format!("and {} more", faults.len() - TOLD));
        }
        rules.join("; ")
    }
}

/// The parts that a merge patch names.
fn merged(patch: &Json) -> Parts {
    let members = patch.members().unwrap_or_default();
    let names = members.into_iter().flat_map(|(member, value)| {
        let fields = (member == "config").then(|| value.members()).flatten();
        let fields = fields.map(|fields| fields.into_iter().map(|(field, _)| field).collect());
        fields.unwrap_or_else(|| vec![member])
    });
    Parts::of(names)
}

/// The part that a pointer leads to.
fn part(pointer: &Pointer) -> String {
    let mut tokens = pointer.tokens().map(|token| token.decoded().into_owned());
    match (tokens.next(), tokens.next()) {
        (Some(member), Some(field)) if member == "config" => field,
        (Some(member), _) => member,
        (None, _) => SESSION.to_owned(),
    }
}

/// A name, or the beginning of a long one.
fn short(name: &str) -> FieldName {
    match name.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &name[..end]).into(),
        None => name.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::fields::FieldError;

    fn names(parts: &Parts) -> Vec<&str> {
        parts.names.iter().map(|name| &**name).collect()
    }

    #[test]
    fn a_change_names_what_it_asks_for_and_no_value() {
        let json = |text: &str| Json::parse(text.as_bytes()).unwrap();
        let merge = r#"{"data":{"pin":1234},"config":{"speed":1,"on":null}}"#;
        let merge = Change::Merge(json(merge)).parts();
        assert_eq!(names(&merge), ["data", "speed", "on"]);
        let patch = r#"[{"op":"add","path":"/config/a~1b/c","value":1},{"op":"remove","path":"/data/x"},{"op":"remove","path":""}]"#;
        let patch = Change::Patch(serde_json::from_str(patch).unwrap()).parts();
        assert_eq!(names(&patch), ["a/b", "data", "session"]);
        let fields = vec![("speed".to_owned(), json("1"))];
        assert_eq!(names(&Change::Fields(fields).parts()), ["speed"]);
    }

    #[test]
    fn parts_are_few_and_short() {
        let many = (0..10).map(|n| format!("{n}{}", "é".repeat(100)));
        let many = Parts::of(many);
        assert_eq!((many.names.len(), many.more), (8, 2));
        assert_eq!(many.names[0].chars().count(), LONGEST + 1);
        assert!(!many.are_among(&many), "not all of them are known");
        let (one, two) = (Parts::of(["a"]), Parts::of(["b", "a"]));
        assert!(one.are_among(&two) && !two.are_among(&one));
    }

    #[test]
    fn a_rule_is_told_without_the_value_that_broke_it() {
        let fault = |field: &str| FieldError {
            field: field.to_owned(),
            expected: "number from 0 to 5".to_owned(),
            got: "s3cret".to_owned(),
        };
        let refusal = Refusal::Fields(["a", "b", "c", "d"].map(fault).into());
        let rule = refusal.rule();
        assert!(rule.starts_with("a: expected number from 0 to 5; b: "));
        assert!(rule.ends_with("; and 1 more") && !rule.contains("s3cret"));
        let parts = refusal.parts().unwrap_or_default();
        assert_eq!(names(&parts), ["a", "b", "c", "d"]);
        let large = Refusal::TooLarge(9);
        assert!(large.parts().is_none() && large.rule().contains("--max-session"));
    }
}
