//! Being woken when a file may have changed.
//!
//! Not the file is watched but the directories that lead to it: an editor replaces the
//! file by renaming another over it, and a mounted `ConfigMap` swaps a link called
//! `..data` two hops away. So no event is filtered by name.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::OsString;
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;

/// Links are followed this far, as the kernel does.
const MAX_HOPS: usize = 40;

/// The watched directories of one file.
pub struct Watch {
    watcher: notify::Result<RecommendedWatcher>,
    /// With what tells a directory from another one put in its place.
    watched: BTreeMap<PathBuf, Option<u64>>,
    complained: bool,
}

impl Watch {
    /// Watches nothing yet; `wake` is notified by every event.
    pub fn new(wake: Arc<Notify>) -> Watch {
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            if event.as_ref().map_or(true, |event| may_change(&event.kind)) {
                wake.notify_one();
            }
        });
        Watch {
            watcher,
            watched: BTreeMap::new(),
            complained: false,
        }
    }

    /// Watches the directories that lead to `path` now, and only those. Says once why
    /// one cannot be watched; the slow poll still sees its changes then.
    pub fn follow(&mut self, path: &Path) {
        let wanted: BTreeMap<PathBuf, Option<u64>> = directories(path)
            .into_iter()
            .map(|directory| (directory.clone(), identity(&directory)))
            .collect();
        if wanted == self.watched {
            return;
        }
        if let Err(error) = self.rewatch(&wanted) {
            self.complain(path, &error);
        }
        self.watched = wanted;
    }

    fn rewatch(&mut self, wanted: &BTreeMap<PathBuf, Option<u64>>) -> Result<(), String> {
        let watcher = self.watcher.as_mut().map_err(|error| error.to_string())?;
        let stale = self.watched.iter();
        for (directory, _) in stale.filter(|(path, id)| wanted.get(*path) != Some(*id)) {
            // It may be gone, and its watch with it.
            let _ = watcher.unwatch(directory);
        }
        let mut failed = Ok(());
        let fresh = wanted.iter();
        for (directory, _) in fresh.filter(|(path, id)| self.watched.get(*path) != Some(*id)) {
            if let Err(error) = watcher.watch(directory, RecursiveMode::NonRecursive) {
                failed = Err(error.to_string());
            }
        }
        failed
    }

    fn complain(&mut self, path: &Path, error: &str) {
        if !self.complained {
            let path = path.display();
            tracing::warn!("{path}: cannot be watched ({error}): looking every 2 s instead");
        }
        self.complained = true;
    }
}

/// Reading a file is an event too, and ours would wake us for ever.
fn may_change(kind: &EventKind) -> bool {
    match kind {
        EventKind::Access(access) => *access == AccessKind::Close(AccessMode::Write),
        _ => true,
    }
}

/// The directory of every symbolic link on the way to `path`, and of the file itself.
/// Where the way breaks off, the last directory that is there.
fn directories(path: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let Ok(absolute) = std::path::absolute(path) else {
        return found;
    };
    let mut ahead = parts(&absolute);
    let mut here = PathBuf::new();
    let mut hops = 0;
    while let Some(part) = ahead.pop_front() {
        let next = here.join(&part);
        match fs::read_link(&next) {
            Ok(target) if hops < MAX_HOPS => {
                hops += 1;
                found.insert(here.clone());
                let rest = std::mem::take(&mut ahead);
                ahead = parts(&target).into_iter().chain(rest).collect();
            }
            _ if part == ".." => _ = here.pop(),
            _ if next.is_dir() => here = next,
            _ => break,
        }
    }
    found.insert(here);
    found
}

fn parts(path: &Path) -> VecDeque<OsString> {
    let named = |part: &Component<'_>| *part != Component::CurDir;
    path.components()
        .filter(named)
        .map(|part| part.as_os_str().to_owned())
        .collect()
}

#[cfg(unix)]
fn identity(directory: &Path) -> Option<u64> {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(directory).ok().map(|metadata| metadata.ino())
}

#[cfg(not(unix))]
fn identity(directory: &Path) -> Option<u64> {
    let created = fs::metadata(directory).ok()?.created().ok()?;
    let since = created.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(since.as_nanos() as u64)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn root() -> (tempfile::TempDir, PathBuf) {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path().canonicalize().unwrap();
        (temp, root)
    }

    fn names(root: &Path, path: &str) -> Vec<String> {
        let relative =
            |directory: PathBuf| directory.strip_prefix(root).unwrap().display().to_string();
        directories(&root.join(path))
            .into_iter()
            .map(relative)
            .collect()
    }

    #[test]
    fn a_plain_file_has_one_directory() {
        let (_temp, root) = root();
        fs::create_dir(root.join("a")).unwrap();
        assert_eq!(
            names(&root, "a/state.json"),
            ["a"],
            "also when it is not there"
        );
        fs::write(root.join("a/state.json"), "1").unwrap();
        assert_eq!(names(&root, "a/state.json"), ["a"]);
        assert_eq!(names(&root, "a/../a/./state.json"), ["a"]);
    }

    #[test]
    fn every_hop_counts() {
        let (_temp, root) = root();
        for directory in ["mount", "mount/..1", "other"] {
            fs::create_dir(root.join(directory)).unwrap();
        }
        fs::write(root.join("mount/..1/state.json"), "1").unwrap();
        symlink("..1", root.join("mount/..data")).unwrap();
        symlink("..data/state.json", root.join("mount/state.json")).unwrap();
        symlink("../mount/state.json", root.join("other/link.json")).unwrap();
        assert_eq!(names(&root, "mount/state.json"), ["mount", "mount/..1"]);
        assert_eq!(
            names(&root, "other/link.json"),
            ["mount", "mount/..1", "other"]
        );
    }

    #[test]
    fn loops_and_missing_directories_end() {
        let (_temp, root) = root();
        symlink("b", root.join("a")).unwrap();
        symlink("a", root.join("b")).unwrap();
        assert_eq!(names(&root, "a"), [""]);
        assert_eq!(names(&root, "no/such/state.json"), [""]);
    }
}
