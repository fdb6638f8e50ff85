//! The wall clock, as revisions are made from it, and how long ago something was.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use crate::state::revision::{LATEST, Revision};

/// Microseconds since 1970; 0 when the clock is beyond reason, and revisions count on without it.
pub(super) fn unix_micros() -> u64 {
    static SAID: AtomicBool = AtomicBool::new(false);
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let micros = u64::try_from(since.as_micros()).unwrap_or(u64::MAX);
    if micros > LATEST && !SAID.swap(true, Ordering::Relaxed) {
        tracing::warn!("the clock is past the year 2200: revisions count on without it");
    }
    if micros > LATEST { 0 } else { micros }
}

/// When a kept state was made, as its revision tells; none if the clock has gone back since.
pub(super) fn changed_at(kept: Revision) -> Option<Instant> {
    let age = unix_micros().checked_sub(kept.get())?;
    Instant::now().checked_sub(Duration::from_micros(age))
}

/// The revision of a topic that was kept, if it is credible: one that was made by a wrong clock
/// leaves no room for those after it.
pub(super) fn credible(kept: Revision) -> Revision {
    match kept.is_credible() {
        true => kept,
        false => Revision::ZERO.next(unix_micros()),
    }
}

/// Shown as how long ago, in whole milliseconds.
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
