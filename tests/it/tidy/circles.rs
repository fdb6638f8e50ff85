//! Which file leans on which: no two may lean on each other, not even by way of others.

use std::collections::{BTreeMap, BTreeSet};

use super::{Source, none, sources};

/// A module's path, from the crate's root.
type Path = Vec<String>;

/// What the sources say of each other.
struct Graph {
    modules: BTreeSet<Path>,
    /// What a module hands on: a name, and where it comes from.
    passed_on: BTreeMap<(Path, String), Path>,
    /// What it hands on whole.
    opened: BTreeMap<Path, Vec<Path>>,
    uses: BTreeMap<Path, BTreeSet<Path>>,
}

/// One `use`, without braces.
struct Use {
    passes_on: bool,
    path: Path,
}

#[test]
fn no_files_go_in_circles() {
    let graph = Graph::read(&sources());
    assert!(graph.uses.values().flatten().count() > 200, "uses are seen");
    let circles = graph.uses.keys().filter_map(|from| graph.circle(from));
    // One circle is found from each of its files: it is told once.
    let told: BTreeSet<String> = circles.map(|circle| smallest_first(&circle)).collect();
    none("files that go in circles", told.into_iter().collect());
}

impl Graph {
    fn read(sources: &[Source]) -> Graph {
        let modules = sources.iter().map(module).collect();
        let mut graph = Graph {
            modules,
            passed_on: BTreeMap::new(),
            opened: BTreeMap::new(),
            uses: BTreeMap::new(),
        };
        for source in sources {
            graph.read_what_is_passed_on(source);
        }
        for source in sources {
            graph.read_uses(source);
        }
        graph
    }

    fn read_what_is_passed_on(&mut self, source: &Source) {
        let here = module(source);
        for found in uses(source).into_iter().filter(|found| found.passes_on) {
            let Some(path) = self.absolute(&here, &found.path) else {
                continue;
            };
            match path.split_last() {
                Some((star, whole)) if star == "*" => {
                    let opened = self.opened.entry(here.clone()).or_default();
                    opened.push(whole.to_vec());
                }
                Some((name, _)) => {
                    self.passed_on.insert((here.clone(), name.clone()), path);
                }
                None => {}
            }
        }
    }

    fn read_uses(&mut self, source: &Source) {
        let here = module(source);
        let mut found = BTreeSet::new();
        for used in uses(source).into_iter().filter(|used| !used.passes_on) {
            let path = self.absolute(&here, &used.path);
            found.extend(path.map(|path| self.home(&path)));
        }
        found.remove(&here);
        self.uses.insert(here, found);
    }

    /// From the crate's root; none for another crate.
    fn absolute(&self, here: &Path, path: &[String]) -> Option<Path> {
        let mut from = here.clone();
        let mut rest = path;
        while let Some((first, after)) = rest.split_first() {
            match first.as_str() {
                "crate" => from.clear(),
                "self" => {}
                "super" => drop(from.pop()),
                _ => break,
            }
            rest = after;
        }
        let own = [here.as_slice(), path.get(..1)?].concat();
        let is_ours = rest.len() < path.len() || self.modules.contains(&own);
        is_ours.then(|| [from.as_slice(), rest].concat())
    }

    /// The module in which it is defined.
    fn home(&self, path: &[String]) -> Path {
        let whole = (0..=path.len()).rev();
        let module = whole.map(|end| &path[..end]);
        let mut known = module.filter(|start| self.modules.contains(*start));
        let module = known.next().unwrap_or_default().to_vec();
        let Some(name) = path.get(module.len()) else {
            return module;
        };
        if let Some(target) = self.passed_on.get(&(module.clone(), name.clone())) {
            return self.home(target);
        }
        let opened = self.opened.get(&module).into_iter().flatten();
        // What is handed on whole is looked for where there is such a name.
        let named = opened.filter(|opened| self.defines(opened, name));
        named.map(|opened| opened.to_vec()).next().unwrap_or(module)
    }

    fn defines(&self, module: &Path, name: &str) -> bool {
        let sources = sources();
        let source = sources
            .iter()
            .find(|source| self::module(source) == *module);
        let kinds = [
            "fn", "struct", "enum", "const", "static", "type", "mod", "trait",
        ];
        source.is_some_and(|source| {
            let defined = |kind: &&str| source.text.contains(&format!("pub {kind} {name}"));
            kinds.iter().any(defined)
        })
    }

    /// A way from a file back to itself.
    fn circle(&self, start: &Path) -> Option<Vec<Path>> {
        let mut ways = vec![vec![start.clone()]];
        let mut seen = BTreeSet::new();
        while let Some(way) = ways.pop() {
            for next in self.uses.get(way.last()?).into_iter().flatten() {
                if next == start {
                    return Some(way);
                }
                if seen.insert(next.clone()) {
                    ways.insert(0, [way.as_slice(), std::slice::from_ref(next)].concat());
                }
            }
        }
        None
    }
}

fn smallest_first(circle: &[Path]) -> String {
    let names = circle.iter().map(|path| path.join("::"));
    let mut names: Vec<String> = names.collect();
    let first = names.iter().min().cloned();
    let at = names.iter().position(|name| Some(name) == first.as_ref());
    names.rotate_left(at.unwrap_or_default());
    names.extend(first);
    names.join(" -> ")
}

fn module(source: &Source) -> Path {
    let path = source.path.with_extension("");
    let parts = path.iter().map(|part| part.to_string_lossy().into_owned());
    let parts = parts.filter(|part| part != "mod" && part != "lib");
    parts.collect()
}

/// All that a file names of this crate: its `use`s, and the paths in its code.
fn uses(source: &Source) -> Vec<Use> {
    let code: String = source.code().map(|(_, line)| format!("{line}\n")).collect();
    let mut found = Vec::new();
    let mut rest = code.as_str();
    let mut others = String::new();
    while let Some((before, passes_on, after)) = next_use(rest) {
        others.push_str(before);
        let (tree, after) = after.split_once(';').unwrap_or((after, ""));
        let tree: String = tree.split_whitespace().collect();
        let paths = flatten(&tree);
        found.extend(paths.into_iter().map(|path| Use { passes_on, path }));
        rest = after;
    }
    others.push_str(rest);
    let paths = others
        .match_indices("crate::")
        .chain(others.match_indices("super::"));
    found.extend(paths.map(|(at, _)| Use {
        passes_on: false,
        path: path_at(&others[at..]),
    }));
    found
}

/// What is before the next `use`, whether it is public, and what is behind it.
fn next_use(code: &str) -> Option<(&str, bool, &str)> {
    let at = |word: &str| {
        code.match_indices(word).find(|(at, _)| {
            let line = code[..*at].rsplit('\n').next().unwrap_or_default();
            line.trim().is_empty()
        })
    };
    let private = at("use ").map(|(at, word)| (at, false, at + word.len()));
    let public = at("pub use ").map(|(at, word)| (at, true, at + word.len()));
    let (start, passes_on, end) = [private, public].into_iter().flatten().min()?;
    Some((&code[..start], passes_on, &code[end..]))
}

/// The paths of a tree such as `a::{b, c::{self, d}}`; renamed ones by their own names.
fn flatten(tree: &str) -> Vec<Path> {
    let Some((start, group)) = tree.split_once('{') else {
        let name = tree.split("as_").next().unwrap_or_default();
        let parts = name.split("::").filter(|part| !part.is_empty());
        return vec![parts.map(str::to_owned).collect()];
    };
    let group = group.strip_suffix('}').unwrap_or(group);
    let start: Vec<String> = start
        .split("::")
        .filter(|part| !part.is_empty())
        .map(str::to_owned)
        .collect();
    let inner = branches(group).into_iter().flat_map(flatten);
    inner
        .map(|path| {
            let path = path.into_iter().filter(|part| part != "self");
            start.iter().cloned().chain(path).collect()
        })
        .collect()
}

/// What stands between the commas, but not those inside of braces.
fn branches(group: &str) -> Vec<&str> {
    let (mut depth, mut start, mut found) = (0, 0, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                found.push(&group[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    found.push(&group[start..]);
    found.retain(|branch| !branch.is_empty());
    found
}

fn path_at(code: &str) -> Path {
    let is_path = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let end = code.find(|c: char| !is_path(c)).unwrap_or(code.len());
    let parts = code[..end].split("::").filter(|part| !part.is_empty());
    parts.map(str::to_owned).collect()
}
