//! A file's bytes as a session. Other formats become the JSON that they mean, with their digits
//! and their order; what is wrong has its place in the file as it is written.

mod comments;
mod csv;
mod draft;
pub mod lines;
mod toml;
mod yaml;

use std::path::Path;

use draft::Misfit;

use crate::state::json::{Json, JsonError};
use crate::state::session::Session;

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Also every file whose name tells nothing.
    Json,
    /// JSON with comments and trailing commas.
    Jsonc,
    /// One document of YAML 1.2.
    Yaml,
    /// TOML 1.
    Toml,
    /// NDJSON: the last complete line is the state.
    Lines,
    /// CSV: a row is an object.
    Csv,
    /// The same, separated by tabs.
    Tsv,
}

/// By their extensions.
pub const FORMATS: [(&str, Format); 9] = [
    ("json", Format::Json),
    ("jsonc", Format::Jsonc),
    ("yaml", Format::Yaml),
    ("yml", Format::Yaml),
    ("toml", Format::Toml),
    ("ndjson", Format::Lines),
    ("jsonl", Format::Lines),
    ("csv", Format::Csv),
    ("tsv", Format::Tsv),
];

impl Format {
    /// Decided by the file's extension, if that is one of [`FORMATS`].
    pub fn named(path: &Path) -> Option<Format> {
        let extension = path.extension()?.to_str()?;
        let is_it = |(known, _): &(&str, Format)| extension.eq_ignore_ascii_case(known);
        FORMATS.into_iter().find(is_it).map(|(_, format)| format)
    }

    /// As [`Format::named`]; JSON otherwise.
    pub fn of(path: &Path) -> Format {
        Format::named(path).unwrap_or(Format::Json)
    }
}

/// The session in a file, which is called `name` unless it names itself. What an alias or CSV's
/// names stand for may have `max` bytes as JSON, and so may a line of NDJSON.
pub fn session(bytes: &[u8], format: Format, name: &str, max: usize) -> Result<Session, String> {
    let document = match format {
        Format::Lines => lines::json(bytes, max)?,
        _ => whole(bytes, format, max).map_err(|error| error.to_string())?,
    };
    Session::from_json(&document, name).map_err(|error| error.to_string())
}

/// What a file as a whole means.
fn whole(bytes: &[u8], format: Format, max: usize) -> Result<Json, JsonError> {
    let misfit = |(at, reason): Misfit| JsonError::at(bytes, at, reason);
    let text = std::str::from_utf8(bytes)
        .map_err(|error| {
            (
                error.valid_up_to(),
                "not valid UTF-8: save it as UTF-8".to_owned(),
            )
        })
        .map_err(misfit);
    match format {
        Format::Json | Format::Lines => Json::parse(bytes),
        Format::Jsonc => Json::parse(&comments::blank(text?).map_err(misfit)?),
        Format::Yaml => yaml::json(text?, max).map_err(misfit),
        Format::Toml => toml::json(text?, max).map_err(misfit),
        Format::Csv | Format::Tsv => csv::json(text?, format == Format::Tsv, max).map_err(misfit),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// More than any of these tests needs.
    const MAX: usize = 1 << 20;

    fn read(text: &str, format: Format) -> Result<String, String> {
        session(text.as_bytes(), format, "state", MAX).map(|session| session.data.to_string())
    }

    #[test]
    fn the_extension_tells_the_format() {
        for (extension, format) in FORMATS {
            let loud = format!("a.{}", extension.to_uppercase());
            assert_eq!(Format::named(Path::new(&loud)), Some(format));
        }
        for unnamed in ["toml", "a.toml.bak", "/dev/fd/63", ".yaml", "a.json5"] {
            assert_eq!(Format::named(Path::new(unnamed)), None);
            assert_eq!(Format::of(Path::new(unnamed)), Format::Json);
        }
    }

    #[test]
    fn a_session_is_one_in_every_format() {
        let expected = r#"{"name":"Demo","data":{},"config":{"speed":1.50},"metadata":{}}"#;
        for (text, format) in [
            (
                r#"{"name":"Demo","data":{},"config":{"speed":1.50}}"#,
                Format::Json,
            ),
            (
                r#"{"name":"Demo","data":{},"config":{"speed":1.50},} //"#,
                Format::Jsonc,
            ),
            (
                "name: Demo\ndata: {}\nconfig:\n  speed: 1.50\n",
                Format::Yaml,
            ),
            (
                "name = \"Demo\"\n[config]\nspeed = 1.50\n[data]\n",
                Format::Toml,
            ),
            (
                "1\n{\"name\":\"Demo\",\"data\":{},\"config\":{\"speed\":1.50}}\n",
                Format::Lines,
            ),
        ] {
            let session = session(text.as_bytes(), format, "state", MAX).unwrap();
            assert_eq!(session.to_json(), expected, "{format:?}");
        }
        let session = session(b"config\tspeed\n1\t1.50", Format::Tsv, "state", MAX).unwrap();
        assert_eq!(
            session.data.as_str(),
            r#"[{"config":1,"speed":1.50}]"#,
            "rows are data"
        );
        assert_eq!(session.name.as_str(), "\"state\"");
    }

    #[test]
    fn json_faults_have_a_place() {
        let reason = read("{\n  \"config\": {,}}", Format::Json).unwrap_err();
        assert!(reason.ends_with("(line 2, column 14)"), "{reason}");
        let shape = read("{\"config\": 1}", Format::Json).unwrap_err();
        assert_eq!(shape, "config: expected an object, got number");
        let comment = read("{\n/*", Format::Jsonc).unwrap_err();
        assert_eq!(comment, "this comment never ends (line 2, column 1)");
    }

    #[test]
    fn what_only_json_forbids_is_found_in_every_format() {
        let token = "$serde_json::private::Number";
        for (text, format) in [
            (format!("{{\"{token}\":1}}"), Format::Jsonc),
            (format!("{token}: 1"), Format::Yaml),
            (format!("\"{token}\" = 1"), Format::Toml),
            (format!("{{\"{token}\":1}}\n"), Format::Lines),
            (format!("{token}\n1"), Format::Csv),
        ] {
            let reason = read(&text, format).unwrap_err();
            assert!(reason.contains("reserved"), "{format:?}: {reason}");
        }
    }

    #[test]
    fn what_is_not_utf_8_has_a_place() {
        for (_, format) in FORMATS {
            let reason = session(b"a: 1\nb\xff: 2\n", format, "state", MAX).unwrap_err();
            let place = ["(line 2, column 2)", "(last line, column 2)"];
            assert!(
                place.iter().any(|place| reason.ends_with(place)),
                "{format:?}: {reason}"
            );
            assert!(
                reason.starts_with("not valid UTF-8"),
                "{format:?}: {reason}"
            );
        }
    }

    mod whatever_comes {
        use proptest::prelude::*;

        use super::*;

        /// Text that is nearly something.
        fn nearly() -> impl Strategy<Value = String> {
            let pieces = r#"{ } [ ] , : "a" " \ - 1 .5 0x 1e9 true null a b = ? & * & &a *a ! !!str !!int << --- ... | > # // /* */ ' ; é . .inf %YAML"#;
            let spaces = [
                "a: ", "- ", "? ", " ", "  ", "\n", "\n  ", "\n- ", "\r\n", "\t", "\u{feff}", "\0",
            ];
            let pieces: Vec<&str> = pieces.split(' ').chain(spaces).collect();
            proptest::collection::vec(proptest::sample::select(pieces), 0..24)
                .prop_map(|pieces| pieces.concat())
        }

        proptest! {
            #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

            #[test]
            fn is_exact_json_or_a_fault(text in nearly()) {
                for (_, format) in FORMATS {
                    match session(text.as_bytes(), format, "state", 1000) {
                        Ok(session) => {
                            let json = session.to_json();
                            prop_assert!(Json::parse_kept(json.as_bytes()).is_ok(), "{:?}: {}", format, json);
                            prop_assert!(json.len() < 1200, "{:?} is bounded: {}", format, json.len());
                        }
                        Err(reason) => prop_assert!(!reason.is_empty()),
                    }
                }
            }
        }
    }
}
