//! When a peer that does not answer is gone.

use std::time::Duration;

/// After this many unanswered pings a peer is gone.
pub const UNANSWERED: u8 = 2;
/// How long the answer to the last of them may take at most. A shard looks at its viewers once
/// a second: a dead one is gone within two pings and five seconds.
const LAST_ANSWER: Duration = Duration::from_secs(2);

/// How long to wait for a peer that has left so many pings unanswered, before the next one or
/// its end.
pub fn patience(ping: Duration, unanswered: u8) -> Duration {
    match unanswered < UNANSWERED {
        true => ping,
        false => ping.min(LAST_ANSWER),
    }
}
