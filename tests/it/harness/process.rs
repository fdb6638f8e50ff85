//! What every program that a test has started can do.

use std::process::{Child, Command, ExitStatus};
use std::time::Instant;

use super::LIMIT;

/// Sends it a signal by name, as `kill` does.
pub fn signal(child: &Child, name: &str) {
    let pid = child.id().to_string();
    let sent = Command::new("kill").args(["-s", name, &pid]).status();
    assert!(sent.expect("kill is there").success());
}

/// Waits for its end.
pub fn exited(child: &mut Child) -> ExitStatus {
    let deadline = Instant::now() + LIMIT;
    loop {
        if let Some(status) = child.try_wait().expect("it is our child") {
            return status;
        }
        assert!(Instant::now() < deadline, "it does not end");
        std::thread::yield_now();
    }
}
