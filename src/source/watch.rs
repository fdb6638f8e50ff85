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
use std::sync::atomic::{AtomicBool, Ordering};

use notify::event::{AccessKind, AccessMode, RemoveKind};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;

/// Links are followed this far, as the kernel does.
const MAX_HOPS: usize = 40;

/// The watched directories of one file.
pub struct Watch {
    watcher: notify::Result<RecommendedWatcher>,
    /// With what tells a directory from another one put in its place.
    watched: BTreeMap<PathBuf, Option<u64>>,
    /// A directory was removed, and its watch with it. The next one of that name may get
    /// the same inode.
    removed: Arc<AtomicBool>,
    complained: bool,
}

impl Watch {
    /// Watches nothing yet; `wake` is notified by every event.
    pub fn new(wake: Arc<Notify>) -> Watch {
        let removed = Arc::new(AtomicBool::new(false));
        let noted = removed.clone();
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let kind = event.map_or(EventKind::Any, |event| event.kind);
            if removes_directory(&kind) {
                noted.store(true, Ordering::Relaxed);
            }
            if may_change(&kind) {
                wake.notify_one();
            }
        });
        Watch {
            watcher,
            watched: BTreeMap::new(),
            removed,
            complained: false,
        }
    }

    /// Watches the directories that lead to `path` now, and only those. Says once why
    /// one cannot be watched; the slow poll still sees its changes then.
    pub fn follow(&mut self, path: &Path) {
        if self.removed.swap(false, Ordering::Relaxed) {
            self.unwatch(|_, _| true);
        }
        let wanted: BTreeMap<PathBuf, Option<u64>> = directories(path)
            .into_iter()
            .map(|directory| (directory.clone(), identity(&directory)))
            .collect();
        if wanted == self.watched {
            return;
        }
        self.unwatch(|directory, id| wanted.get(directory) != Some(id));
        if let Err(error) = self.watch(&wanted) {
            self.complain(path, &error);
        }
        self.watched = wanted;
    }

    fn unwatch(&mut self, unwanted: impl Fn(&Path, &Option<u64>) -> bool) {
        let Ok(watcher) = &mut self.watcher else {
            return;
        };
        self.watched.retain(|directory, id| {
            let unwanted = unwanted(directory, id);
            if unwanted {
                // It may be gone, and its watch with it.
                let _ = watcher.unwatch(directory);
            }
            !unwanted
        });
    }

    fn watch(&mut self, wanted: &BTreeMap<PathBuf, Option<u64>>) -> Result<(), String> {
        let watcher = self.watcher.as_mut().map_err(|error| error.to_string())?;
        let mut watched = Ok(());
        let added = wanted
            .keys()
            .filter(|directory| !self.watched.contains_key(*directory));
        for directory in added {
            if let Err(error) = watcher.watch(directory, RecursiveMode::NonRecursive) {
                watched = Err(error.to_string());
            }
        }
        watched
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

fn removes_directory(kind: &EventKind) -> bool {
    matches!(kind, EventKind::Remove(kind) if *kind != RemoveKind::File)
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

    /// Follows `path`, does something, and waits for being woken by it.
    async fn wakes(watch: &mut Watch, wake: &Notify, path: &Path, act: impl FnOnce()) {
        watch.follow(path);
        act();
        let woken = tokio::time::timeout(std::time::Duration::from_secs(20), wake.notified());
        woken.await.expect("the change is noticed");
    }

    #[tokio::test]
    async fn every_way_to_change_a_file_is_noticed() {
        let (_temp, root) = root();
        let path = root.join("state.json");
        let wake = Arc::new(Notify::new());
        let mut watch = Watch::new(wake.clone());
        let other = root.join("other");
        wakes(&mut watch, &wake, &path, || fs::write(&path, "1").unwrap()).await;
        wakes(&mut watch, &wake, &path, || fs::write(&other, "2").unwrap()).await;
        wakes(&mut watch, &wake, &path, || {
            fs::rename(&other, &path).unwrap()
        })
        .await;
        wakes(&mut watch, &wake, &path, || fs::remove_file(&path).unwrap()).await;
    }

    #[tokio::test]
    async fn a_swap_two_hops_away_is_noticed_again_and_again() {
        let (_temp, root) = root();
        let path = root.join("mount/state.json");
        fs::create_dir_all(root.join("mount/..0")).unwrap();
        symlink("..0", root.join("mount/..data")).unwrap();
        symlink("..data/state.json", &path).unwrap();
        let wake = Arc::new(Notify::new());
        let mut watch = Watch::new(wake.clone());
        for generation in 1..4 {
            let real = root.join(format!("mount/..{generation}"));
            fs::create_dir(&real).unwrap();
            symlink(&real, root.join("mount/..new")).unwrap();
            let swap = || fs::rename(root.join("mount/..new"), root.join("mount/..data")).unwrap();
            wakes(&mut watch, &wake, &path, swap).await;
            watch.follow(&path);
            let written = real.join("state.json");
            wakes(&mut watch, &wake, &path, || {
                fs::write(&written, "1").unwrap()
            })
            .await;
        }
    }

    #[tokio::test]
    async fn a_directory_put_in_another_s_place_is_watched() {
        let (_temp, root) = root();
        let path = root.join("mount/state.json");
        let wake = Arc::new(Notify::new());
        let mut watch = Watch::new(wake.clone());
        fs::create_dir(root.join("mount")).unwrap();
        for _ in 0..3 {
            wakes(&mut watch, &wake, &path, || fs::write(&path, "1").unwrap()).await;
            let again = || {
                fs::remove_dir_all(root.join("mount")).unwrap();
                fs::create_dir(root.join("mount")).unwrap();
            };
            wakes(&mut watch, &wake, &path, again).await;
        }
    }

    #[test]
    fn our_own_reading_is_no_change() {
        use notify::event::CreateKind;
        let close = |mode| EventKind::Access(AccessKind::Close(mode));
        assert!(!may_change(&EventKind::Access(AccessKind::Open(
            AccessMode::Any
        ))));
        assert!(!may_change(&close(AccessMode::Read)));
        assert!(may_change(&close(AccessMode::Write)));
        assert!(may_change(&EventKind::Create(CreateKind::File)));
        assert!(may_change(&EventKind::Any));
    }
}
