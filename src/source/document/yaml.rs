//! YAML as JSON, by the core schema of YAML 1.2: digits and order stay.
//!
//! What JSON has no word for is refused: `.nan`, a list as a key, tags of one's own, a second
//! document. So are merge keys, which YAML 1.2 does not have, because `<<` as an ordinary key
//! would surprise whoever knows them. An alias is written out, within the bounds of a session.

mod schema;

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::ops::Range;

use granit_parser::{Event, Marker, Parser, ScalarStyle};

use schema::{check_tag, scalar};

use super::draft::{Draft, Misfit};
use crate::state::json::{Json, MAX_DEPTH};

/// More than people write. The reader keeps the name of each: two million of them, in 16 MiB,
/// would take 700 MiB.
const MOST_ANCHORS: usize = 10_000;

/// The JSON that a text means.
pub fn json(text: &str, max: usize) -> Result<Json, Misfit> {
    let offset = |marker: &Marker| marker.byte_offset().unwrap_or_default();
    let mut reader = Reader {
        draft: Draft::new(max),
        open: Vec::new(),
        anchors: HashMap::new(),
    };
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| (offset(error.marker()), error.info()))?;
        if event
            .anchor_id()
            .is_some_and(|anchor| anchor > MOST_ANCHORS)
        {
            let reason = format!("more than {MOST_ANCHORS} anchors (&)");
            return Err((offset(&span.start), reason));
        }
        let is_empty = span.start.index() == span.end.index();
        reader.take(event, is_empty, offset(&span.start))?;
    }
    match reader.draft.len() {
        0 => Err((0, "holds no value".to_owned())),
        _ => reader.draft.finish(),
    }
}

struct Reader {
    draft: Draft,
    /// The lists and mappings around, the innermost last.
    open: Vec<Level>,
    /// By their numbers, which begin at 1.
    anchors: HashMap<usize, Node>,
}

/// A list, or a mapping with its keys.
struct Level {
    start: usize,
    anchor: usize,
    height: usize,
    keys: Option<HashSet<String>>,
    key_is_next: bool,
}

/// A whole value: where it is in the draft, and how many levels it has.
#[derive(Clone)]
struct Node {
    place: Range<usize>,
    height: usize,
}

impl Reader {
    fn take(&mut self, event: Event<'_>, is_empty: bool, at: usize) -> Result<(), Misfit> {
        let misfit = |reason: String| (at, reason);
        match event {
            Event::DocumentStart(..) if self.draft.len() > 0 => Err(misfit(
                "a second document (---) begins here: a file is one state".to_owned(),
            )),
            Event::Scalar(text, style, anchor, tag) => {
                let is_plain = style == ScalarStyle::Plain;
                // The reader says `~` for nothing as well.
                let text = if is_empty { Cow::Borrowed("") } else { text };
                if self.key_is_next() {
                    check_tag(tag.as_deref(), "str").map_err(misfit)?;
                    return self.key(&text, is_plain, at);
                }
                let json = scalar(&text, is_plain, tag.as_deref()).map_err(misfit)?;
                let place = self.draft.value(at, &json)?;
                self.done(Node { place, height: 0 }, anchor);
                Ok(())
            }
            Event::SequenceStart(_, anchor, tag) => {
                check_tag(tag.as_deref(), "seq").map_err(misfit)?;
                self.enter(at, anchor, None)
            }
            Event::MappingStart(_, anchor, tag) => {
                check_tag(tag.as_deref(), "map").map_err(misfit)?;
                self.enter(at, anchor, Some(HashSet::new()))
            }
            Event::SequenceEnd | Event::MappingEnd => {
                self.leave();
                Ok(())
            }
            Event::Alias(anchor) => self.alias(at, anchor),
            _ => Ok(()),
        }
    }

    fn key_is_next(&self) -> bool {
        self.open.last().is_some_and(|level| level.key_is_next)
    }

    /// A key is the text that it is written with, also one that would be a number elsewhere.
    fn key(&mut self, key: &str, is_plain: bool, at: usize) -> Result<(), Misfit> {
        match key {
            "<<" if is_plain => {
                let reason = "merge keys (<<) are not YAML 1.2: write the members out";
                return Err((at, reason.to_owned()));
            }
            "" if is_plain => return Err((at, "a key is missing".to_owned())),
            _ => {}
        }
        let Some(level) = self.open.last_mut() else {
            return Ok(());
        };
        level.key_is_next = false;
        if !level.keys.get_or_insert_default().insert(key.to_owned()) {
            return Err((at, format!("duplicate key {key:?}")));
        }
        self.draft.key(at, key)
    }

    fn enter(
        &mut self,
        at: usize,
        anchor: usize,
        keys: Option<HashSet<String>>,
    ) -> Result<(), Misfit> {
        self.check(at, 1)?;
        let place = self
            .draft
            .open(at, if keys.is_some() { "{" } else { "[" })?;
        self.open.push(Level {
            start: place.start,
            anchor,
            height: 1,
            key_is_next: keys.is_some(),
            keys,
        });
        Ok(())
    }

    fn leave(&mut self) {
        let Some(level) = self.open.pop() else { return };
        self.draft
            .close(if level.keys.is_some() { '}' } else { ']' });
        let place = level.start..self.draft.len();
        let height = level.height;
        self.done(Node { place, height }, level.anchor);
    }

    fn alias(&mut self, at: usize, anchor: usize) -> Result<(), Misfit> {
        let Some(node) = self.anchors.get(&anchor).cloned() else {
            let reason = "an alias of a key, or of what it is a part of";
            return Err((at, reason.to_owned()));
        };
        self.check(at, node.height)?;
        self.draft.again(at, node.place.clone())?;
        self.done(node, 0);
        Ok(())
    }

    /// Whether a value of so many levels can be here.
    fn check(&self, at: usize, height: usize) -> Result<(), Misfit> {
        if self.key_is_next() {
            let reason = "a key has to be a text: no list, mapping or alias";
            return Err((at, reason.to_owned()));
        }
        match self.open.len() + height > MAX_DEPTH {
            true => Err((at, format!("nesting deeper than {MAX_DEPTH} levels"))),
            false => Ok(()),
        }
    }

    /// A value is complete.
    fn done(&mut self, node: Node, anchor: usize) {
        if let Some(around) = self.open.last_mut() {
            around.height = around.height.max(node.height + 1);
            around.key_is_next = around.keys.is_some();
        }
        if anchor > 0 {
            self.anchors.insert(anchor, node);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> String {
        json(text, 10_000).unwrap().to_string()
    }

    /// By the text that the fault points at.
    fn fault(text: &str) -> (&str, String) {
        let (at, reason) = json(text, 10_000).unwrap_err();
        (text[at..].split('\n').next().unwrap_or_default(), reason)
    }

    #[test]
    fn digits_and_order_stay() {
        assert_eq!(
            read("z: 1.50\na: 18446744073709551616\nlist:\n- -0\n- 1E+06\n- 0.1e-7\n"),
            r#"{"z":1.50,"a":18446744073709551616,"list":[-0,1E+06,0.1e-7]}"#
        );
    }

    #[test]
    fn json_is_yaml() {
        let text = r#"{"a":[1.50,"\u00e9",null,{}],"b":{"c":true}}"#;
        assert_eq!(read(text), text.replace(r"\u00e9", "é"));
    }

    #[test]
    fn quotes_and_blocks_are_texts() {
        assert_eq!(
            read("[null, Null, ~, NULL, true, FALSE, 'null', \"1\"]"),
            r#"[null,null,null,null,true,false,"null","1"]"#
        );
        assert_eq!(
            read("a: |\n  1\n  2\nb: >-\n  x\n  y\nc:\nd: !!str\n"),
            r#"{"a":"1\n2\n","b":"x y","c":null,"d":""}"#
        );
    }

    #[test]
    fn keys_are_the_texts_they_are_written_with() {
        assert_eq!(
            read("8080: a\ntrue: b\n~: c\n1.50: d\n'': e\n'<<': f\n!!str g: h"),
            r#"{"8080":"a","true":"b","~":"c","1.50":"d","":"e","<<":"f","g":"h"}"#
        );
        assert_eq!(
            fault("a: 1\n\"a\": 2"),
            ("\"a\": 2", "duplicate key \"a\"".to_owned())
        );
        assert_eq!(fault("a: {1: 2, '1': 3}").0, "'1': 3}");
        assert_eq!(fault("a: 1\n: 2"), (": 2", "a key is missing".to_owned()));
        for key in ["[a]", "{a: 1}", "*x"] {
            let text = format!("x: &x 1\n? {key}\n: 2");
            let (at, reason) = fault(&text);
            assert_eq!(at, key);
            assert!(reason.contains("a key has to be a text"), "{reason}");
        }
    }

    #[test]
    fn an_alias_is_written_out() {
        assert_eq!(
            read("a: &a [1.50, {b: &b x}]\nc: *a\nd: [*b, *a]\na2: &a 2\ne: *a"),
            r#"{"a":[1.50,{"b":"x"}],"c":[1.50,{"b":"x"}],"d":["x",[1.50,{"b":"x"}]],"a2":2,"e":2}"#
        );
        assert_eq!(fault("a: &a [1, *a]").0, "*a]");
        assert!(fault("a: &a [1, *a]").1.contains("of what it is a part of"));
        assert!(fault("&k a: *k").1.contains("an alias of a key"));
        assert!(fault("a: *b").1.contains("anchor"));
        let merge = fault("a: &a {b: 1}\nc:\n  <<: *a");
        assert_eq!(merge.0, "<<: *a");
        assert!(merge.1.contains("merge keys"), "{merge:?}");
    }

    /// A billion laughs, and a tower that aliases make deeper than any text does.
    #[test]
    fn aliases_are_bounded() {
        let twice = |level: usize| format!("a{level}: &a{level} [*a{0}, *a{0}]\n", level - 1);
        let laughs: String = (1..60).map(twice).collect();
        let (at, reason) = fault_of(&format!("a0: &a0 ha\n{laughs}"));
        assert_eq!(
            reason,
            "over the limit of 10000 bytes as JSON (--max-session)"
        );
        assert!(at.starts_with("*a"), "{at}");
        let once = |level: usize| format!("a{level}: &a{level} [*a{}]\n", level - 1);
        let tower: String = (1..200).map(once).collect();
        let tower = format!("a0: &a0 1\n{tower}");
        let (at, reason) = json(&tower, 1 << 20).unwrap_err();
        assert_eq!(reason, "nesting deeper than 128 levels");
        assert!(tower[at..].starts_with("*a127]"), "{}", &tower[at..]);
    }

    #[test]
    fn anchors_are_counted() {
        let anchors =
            |count: usize| -> String { (0..count).map(|n| format!("- &a{n} 1\n")).collect() };
        assert!(json(&anchors(MOST_ANCHORS), 1 << 20).is_ok());
        let reason = json(&anchors(MOST_ANCHORS + 1), 1 << 20).unwrap_err().1;
        assert_eq!(reason, "more than 10000 anchors (&)");
    }

    fn fault_of(text: &str) -> (String, String) {
        let (at, reason) = json(text, 10_000).unwrap_err();
        (
            text[at..].split('\n').next().unwrap_or_default().to_owned(),
            reason,
        )
    }

    #[test]
    fn depth_is_limited() {
        let nested = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
        assert_eq!(read(&nested(128)), nested(128));
        assert_eq!(fault_of(&nested(129)).1, "nesting deeper than 128 levels");
        assert!(!fault_of(&"[".repeat(100_000)).1.is_empty());
        assert_eq!(
            fault_of(&"- ".repeat(100_000)).1,
            "nesting deeper than 128 levels"
        );
    }

    #[test]
    fn tags_of_the_core_schema_are_known() {
        assert_eq!(
            read(
                "[!!str 1, ! 2, !!int '3', !!float 4, !!bool true, !!null '', !!seq [], !!map {}, !<tag:yaml.org,2002:str> 5]"
            ),
            r#"["1","2",3,4,true,null,[],{},"5"]"#
        );
        for (text, tag) in [
            ("a: !!binary aGk=", "this tag"),
            ("a: !mine 1", "this tag"),
            ("a: !mine {}", "this tag"),
            ("a: !!set {}", "this tag"),
            ("a: !!int 1.5", "!!int"),
            ("a: !!bool yes", "!!bool"),
            ("a: !!map []", "!!map"),
            ("!mine a: 1", "this tag"),
        ] {
            let reason = fault(text).1;
            assert!(reason.contains(tag), "{text}: {reason}");
        }
    }

    #[test]
    fn what_json_cannot_say_is_refused_where_it_is() {
        for word in [".nan", ".inf", "-.Inf", "+.INF"] {
            let text = format!("a: 1\nb: {word}");
            let expected = (word.to_owned(), format!("{word} is not JSON"));
            assert_eq!(fault_of(&text), expected);
        }
        assert!(
            fault("a: 0xfffffffffffffffffffffffffffffffff")
                .1
                .contains("quote it")
        );
        assert!(
            fault("a: 1\n b: 2")
                .1
                .contains("mapping values are not allowed")
        );
        assert_eq!(fault("é: [1,\n  2").0, "[1,");
    }

    #[test]
    fn a_file_is_one_document() {
        assert_eq!(read("%YAML 1.2\n--- # first\na: 1\n...\n"), r#"{"a":1}"#);
        assert_eq!(read("\u{feff}a: 1"), r#"{"a":1}"#);
        let (at, reason) = fault("a: 1\n---\nb: 2");
        assert_eq!(at, "---");
        assert!(reason.contains("a second document"), "{reason}");
        assert_eq!(fault("# nothing").1, "holds no value");
    }
}
