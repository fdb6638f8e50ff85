//! What strangers try: silence, slowness, floods. Nobody else is to feel it.

use super::harness::{Daemon, Response};

#[cfg(target_os = "linux")]
#[test]
fn the_file_limit_is_told_once() {
    let daemon = Daemon::start();
    // What is opened once is open after the first answer.
    daemon.ask("GET", "/healthz", "");
    daemon.limit_files(3);
    // All but three of them wait to be accepted, until those before them are answered.
    let waiting: Vec<_> = (0..15).map(|_| daemon.connect()).collect();
    for tcp in waiting {
        let answer = Response::to(tcp, "GET", "/healthz", &[], "");
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    daemon.logged("no more connections can be accepted");
    assert_eq!(daemon.log_count("no more connections can be accepted"), 1);
}
