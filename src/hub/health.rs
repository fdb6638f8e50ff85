//! How the store fares, as those who hand changes over and the thread that keeps them see it.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

/// How often the store is looked at, and how often what failed is tried again.
pub(super) const TICK: Duration = Duration::from_secs(1);
/// How many ticks a disk may take before that is logged.
const PATIENCE: u32 = 5;

/// One moment of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Health {
    /// Changes that wait for the disk, and those that no longer do.
    pub waiting: u64,
    pub settled: u64,
    /// Commits that failed, and why the last of them did.
    pub errors: u64,
    pub last_error: String,
    /// Whether the file may hold something else than it should.
    pub unsure: bool,
    /// Whether the disk does not answer.
    pub stalled: bool,
}

impl Health {
    /// Whether changes are not kept at the moment.
    pub fn is_failing(&self) -> bool {
        self.unsure || self.stalled
    }

    /// What is wrong, in words.
    pub fn reason(&self) -> String {
        match self.stalled {
            true => "the disk of the store does not answer".to_owned(),
            false => self.last_error.clone(),
        }
    }

    /// The thread is back from the disk.
    pub fn settle(&mut self, count: u64) {
        self.waiting -= count;
        self.settled += count;
        self.stalled = false;
    }
}

/// Another change waits for the disk.
pub(super) fn wait_for(health: &watch::Sender<Health>) {
    health.send_if_modified(|health| {
        health.waiting += 1;
        // Whoever watches is awake already while others wait.
        health.waiting == 1
    });
}

/// Waits until a commit has failed, after so many that have, or takes longer than it may. Returns
/// what was seen then.
pub(super) async fn failed(health: &watch::Sender<Health>, known: u64) -> Health {
    let mut news = health.subscribe();
    let (mut silent, mut settled) = (0, 0);
    loop {
        let now = news.borrow_and_update().clone();
        if now.errors != known || now.is_failing() {
            return now;
        }
        if now.waiting == 0 || now.settled != settled {
            (silent, settled) = (0, now.settled);
        }
        if silent == PATIENCE {
            health.send_modify(|health| health.stalled = health.settled == settled);
            continue;
        }
        tokio::select! {
            () = sleep(TICK), if now.waiting > 0 => silent += 1,
            // The sender is there as long as this.
            _ = news.changed() => {}
        }
    }
}
