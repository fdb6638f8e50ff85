//! The house rules, read from the sources: which folder may lean on which, which words are
//! not used, how long a function may be.

use std::fs;
use std::path::{Path, PathBuf};

mod circles;

/// The folders in reading order; each may use those before it. The layers of the
/// map in `src/lib.rs`, from the bottom up.
const FOLDERS: [&[&str]; 11] = [
    &["state"],
    &["wire"],
    &["discovery"],
    &["store", "cluster"],
    &["hub"],
    &["access"],
    &["source"],
    &["viewer"],
    &["http"],
    &["options", "server"],
    &["program", "main"],
];

/// Layers up to this one never wait, read a clock or touch a socket or a file.
const PURE: usize = 2;

struct Source {
    path: PathBuf,
    folder: String,
    /// Without its tests.
    text: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources() -> Vec<Source> {
    let mut found = Vec::new();
    collect(&root().join("src"), &mut found);
    assert!(found.len() > 10, "the sources are where they are expected");
    found
}

fn collect(directory: &Path, found: &mut Vec<Source>) {
    for entry in fs::read_dir(directory).expect("a directory of sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") && !is_tests(&path) {
            found.push(Source::read(path));
        }
    }
}

/// Whether a file has only tests: by its name, or by that of a folder below `src`.
fn is_tests(path: &Path) -> bool {
    let inside = path.strip_prefix(root().join("src")).expect("below src");
    path.ends_with("tests.rs") || inside.iter().any(|part| part == "tests")
}

impl Source {
    fn read(path: PathBuf) -> Source {
        let text = fs::read_to_string(&path).expect("text");
        let code = text.split("mod tests {\n").next().unwrap_or_default();
        let inside = path.strip_prefix(root().join("src")).expect("below src");
        let first = inside.iter().next().expect("a name").to_string_lossy();
        let folder = first.trim_end_matches(".rs").to_owned();
        Source {
            folder,
            text: code.to_owned(),
            path: inside.to_owned(),
        }
    }

    fn layer(&self) -> Option<usize> {
        place(&self.folder).map(|place| place.0 + 1)
    }

    /// The lines that are code, with their numbers.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self
            .text
            .lines()
            .enumerate()
            .map(|(at, line)| (at + 1, line));
        lines.filter(|(_, line)| !line.trim_start().starts_with("//"))
    }

    fn lines_with(&self, word: &str) -> Vec<String> {
        let found = self.code().filter(|(_, line)| line.contains(word));
        found
            .map(|(at, line)| format!("src/{}:{at}: {}", self.path.display(), line.trim()))
            .collect()
    }
}

fn place(folder: &str) -> Option<(usize, usize)> {
    let inside = |(layer, folders): (usize, &&[&str])| {
        Some((layer, folders.iter().position(|known| *known == folder)?))
    };
    FOLDERS.iter().enumerate().find_map(inside)
}

/// The folders that a line names.
fn named_folders(line: &str) -> Vec<String> {
    let ident = |text: &str| {
        text.chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect::<String>()
    };
    let after = line
        .match_indices("crate::")
        .map(|(at, found)| &line[at + found.len()..]);
    let names = after.flat_map(|rest| match rest.strip_prefix('{') {
        Some(group) => group
            .split([',', '}'])
            .map(|name| ident(name.trim()))
            .collect(),
        None => vec![ident(rest)],
    });
    names
        .filter(|name| name.starts_with(|c: char| c.is_ascii_lowercase()))
        .collect()
}

fn none(what: &str, found: Vec<String>) {
    assert!(found.is_empty(), "{what}:\n{}", found.join("\n"));
}

#[test]
fn the_map_names_every_folder_in_its_layer() {
    let map = fs::read_to_string(root().join("src/lib.rs")).expect("the map");
    for (index, folders) in FOLDERS.iter().enumerate() {
        let line = format!("//! | {} |", index + 1);
        let line = map.lines().find(|row| row.starts_with(&line));
        let line = line.expect("a row for each layer");
        for folder in *folders {
            assert!(line.contains(&format!("`{folder}`")), "{folder}: {line}");
        }
    }
    let folders: usize = FOLDERS.iter().map(|folders| folders.len()).sum();
    let modules = map.lines().filter(|line| {
        let name = line.strip_prefix("pub ").unwrap_or(line);
        name.starts_with("mod ") && name.ends_with(';')
    });
    assert_eq!(modules.count() + 1, folders, "main is the only other one");
}

#[test]
fn every_folder_has_its_place() {
    let homeless = sources()
        .into_iter()
        .filter(|source| source.folder != "lib" && source.layer().is_none());
    none(
        "not in the table of folders",
        homeless
            .map(|source| source.path.display().to_string())
            .collect(),
    );
}

#[test]
fn a_folder_uses_only_those_before_it() {
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|source| source.folder != "lib") {
        for (at, line) in source.code() {
            let upward = |folder: &String| {
                *folder != source.folder && place(folder) >= place(&source.folder)
            };
            for folder in named_folders(line).into_iter().filter(upward) {
                wrong.push(format!("src/{}:{at} uses {folder}", source.path.display()));
            }
        }
    }
    none("leaning on a higher folder", wrong);
}

#[test]
fn the_lower_layers_are_pure() {
    let words = [
        ".await",
        "async ",
        "Instant::now",
        "SystemTime::now",
        "tokio::net",
        "tokio::time",
        "std::net::Tcp",
    ];
    let pure: Vec<Source> = sources()
        .into_iter()
        .filter(|source| source.layer().is_some_and(|layer| layer <= PURE))
        .collect();
    let words = words.iter().chain(&["std::fs"]);
    let found = words.flat_map(|word| pure.iter().flat_map(|source| source.lines_with(word)));
    none(
        "waiting, clocks, sockets or files in layers 1 and 2",
        found.collect(),
    );
}

#[test]
fn nothing_panics_on_purpose() {
    let words = [
        ".unwrap()",
        ".expect(",
        "panic!(",
        "todo!(",
        "unimplemented!(",
        "unreachable!(",
        "dbg!(",
        "process::abort",
    ];
    let found = words.iter().flat_map(|word| {
        sources()
            .iter()
            .flat_map(|source| source.lines_with(word))
            .collect::<Vec<_>>()
    });
    none("may panic", found.collect());
}

#[test]
fn no_unbounded_queue_and_no_blocking_sleep() {
    let words = [
        "unbounded_channel",
        "mpsc::channel()",
        "thread::sleep",
        "unsafe ",
    ];
    let found = words.iter().flat_map(|word| {
        sources()
            .iter()
            .flat_map(|source| source.lines_with(word))
            .collect::<Vec<_>>()
    });
    none("against the house rules", found.collect());
}

/// What tells how long something took.
const TIMES: [&str; 3] = [".elapsed()", "performance.now()", "Date.now()"];

/// On a paused clock, where time is exact; and a long form of its own, whose subject is time.
const TIMED: [&str; 2] = ["tests/it/attack.rs", "tests/it/narrow.rs"];

#[test]
fn no_test_asserts_a_time() {
    let mut found = Vec::new();
    for folder in ["tests/it", "tests/browser", "tests/rooms", "client/test"] {
        for (path, text) in files(&root().join(folder), &["rs", "js"]) {
            let is_test = folder == "tests/it" || path.contains(".test.");
            let is_free =
                TIMED.iter().any(|free| path.ends_with(free)) || path.ends_with("tidy.rs");
            let lines = text.lines().enumerate().filter(|_| is_test && !is_free);
            let timed = lines.filter(|(_, line)| TIMES.iter().any(|word| line.contains(word)));
            found.extend(timed.map(|(at, line)| format!("{path}:{}: {}", at + 1, line.trim())));
        }
    }
    none("machines are busy, figures are for bench/run", found);
}

/// The words that the glossary replaces, and what does not belong into a project.
const BANNED: [&str; 7] = [
    "publisher",
    "publishers",
    "subscribers",
    "producer",
    "ingest",
    "backend",
    "dump",
];

/// What a library calls so.
const THEIRS: &str = "files::Backend";

#[test]
fn one_word_per_idea() {
    let mut texts: Vec<(String, String)> = sources()
        .into_iter()
        .map(|source| (source.path.display().to_string(), source.text))
        .collect();
    for folder in ["", "docs", "config", "examples"] {
        texts.extend(files(&root().join(folder), &["md", "toml", "rs"]));
    }
    let mut found = Vec::new();
    for (path, text) in &texts {
        for (at, line) in text.lines().enumerate() {
            let words: Vec<String> = words_of(&line.replace(THEIRS, ""));
            let bad = BANNED
                .iter()
                .filter(|banned| words.iter().any(|word| word == *banned));
            found.extend(bad.map(|word| format!("{path}:{}: {word}", at + 1)));
            let places = ["/work/", "/root/", "/home/"]
                .into_iter()
                .filter(|place| line.contains(place));
            found.extend(places.map(|place| format!("{path}:{}: {place}", at + 1)));
        }
    }
    none("words that the glossary replaces", found);
}

/// In lower case; what is joined by an underscore is one name.
fn words_of(line: &str) -> Vec<String> {
    line.split(|c: char| !c.is_alphanumeric() && c != '_')
        .map(str::to_lowercase)
        .collect()
}

/// The files of a folder, by the ends of their names, and what is in them.
fn files(folder: &Path, ends: &[&str]) -> Vec<(String, String)> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let is_wanted = |path: &PathBuf| {
        path.extension()
            .is_some_and(|extension| ends.iter().any(|end| extension == *end))
    };
    let texts = paths
        .filter(is_wanted)
        .filter_map(|path| Some((path.display().to_string(), fs::read_to_string(&path).ok()?)));
    texts.collect()
}

/// A function of this many lines is read in one look.
const LONGEST: usize = 45;

#[test]
fn functions_are_short() {
    let mut long = Vec::new();
    for source in sources() {
        let mut open: Option<(usize, usize, String)> = None;
        for (at, line) in source.text.lines().enumerate() {
            let indent = line.len() - line.trim_start().len();
            match &open {
                None if is_function(line) && !line.ends_with(['}', ';']) => {
                    open = Some((at, indent, line.trim().to_owned()))
                }
                Some((start, outer, name)) if indent == *outer && line.trim_start() == "}" => {
                    if at - start + 1 > LONGEST {
                        long.push(format!(
                            "src/{}:{}: {} lines: {name}",
                            source.path.display(),
                            start + 1,
                            at - start + 1
                        ));
                    }
                    open = None;
                }
                // Only declared.
                Some((_, outer, _)) if indent == *outer && line.ends_with(';') => open = None,
                _ => {}
            }
        }
    }
    none("longer than one look", long);
}

fn is_function(line: &str) -> bool {
    let line = line.trim_start();
    [
        "fn ",
        "pub fn ",
        "async fn ",
        "pub async fn ",
        "pub(super) fn ",
        "pub(crate) fn ",
        "pub(super) async fn ",
        "const fn ",
    ]
    .iter()
    .any(|start| line.starts_with(start))
}
