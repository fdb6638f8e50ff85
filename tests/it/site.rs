//! `--viewer DIR`: a folder's regular files are served, and nothing outside of it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use super::harness::{Daemon, Response};

fn get(daemon: &Daemon, path: &str) -> Response {
    Response::to(daemon.connect(), "GET", path, &[], "")
}

/// A site with everything in it that must not be shown, and next to it what is not part of it.
fn build(home: &Path) {
    let site = home.join("site");
    for folder in ["site/sub", "site/assets", "site/.git", "outside"] {
        fs::create_dir_all(home.join(folder)).unwrap();
    }
    for (file, text) in [
        ("index.html", "front"),
        ("sub/index.html", "sub"),
        ("page.js", "script"),
        ("assets/built.js", "built"),
        (".env", "secret"),
        (".git/config", "secret"),
        ("../outside/index.html", "secret"),
    ] {
        fs::write(site.join(file), text).unwrap();
    }
    for (target, link) in [
        ("page.js", "alias.js"),
        ("../outside/index.html", "leak.html"),
        ("../outside", "out"),
        (".env", "env"),
        ("/dev/zero", "zero"),
        ("loop", "loop"),
        ("page.js", ".alias.js"),
    ] {
        symlink(target, site.join(link)).unwrap();
    }
    let made = Command::new("mkfifo").arg(site.join("fifo")).status();
    assert!(made.unwrap().success());
}

#[test]
fn a_site_is_the_regular_files_of_its_folder() {
    let home = tempfile::tempdir().unwrap();
    build(home.path());
    // The folder may be a link itself, switched to another one with each release.
    let current = home.path().join("current");
    symlink("site", &current).unwrap();
    let daemon = Daemon::with(&["--viewer", current.to_str().unwrap()]);
    for (path, text) in [
        ("/", "front"),
        ("/sub/", "sub"),
        ("/page.js", "script"),
        ("/alias.js", "script"),
        ("/assets/built.js", "built"),
    ] {
        let answer = get(&daemon, path);
        assert_eq!((answer.status, answer.body.as_str()), (200, text), "{path}");
    }
    assert_eq!(get(&daemon, "/sub").header("location"), Some("/sub/"));
    let long = format!("/{}", "x".repeat(5_000));
    let hidden = [
        "/.env",
        "/%2Eenv",
        "/.git/config",
        "/.alias.js",
        "/env",
        "/leak.html",
        "/out",
        "/out/",
        "/out/index.html",
        "/..%2Foutside/index.html",
        "/zero",
        "/loop",
        "/fifo",
        "/nothing",
        "/a%00b",
        "/page.js/",
        "/page.js/more",
        &long,
    ];
    for path in hidden {
        for method in ["GET", "HEAD"] {
            let answer = Response::to(daemon.connect(), method, path, &[], "");
            assert_eq!(answer.status, 404, "{method} {path}");
        }
        assert_eq!(get(&daemon, path).json()["status"], 404, "{path}");
    }

    fs::remove_file(&current).unwrap();
    symlink("site/sub", &current).unwrap();
    assert_eq!(get(&daemon, "/").body, "sub");
    fs::remove_file(&current).unwrap();
    assert_eq!(get(&daemon, "/").status, 404);
}
