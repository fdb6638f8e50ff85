//! When a peer that does not answer pings is taken to be gone.

use std::time::Duration;

/// After this many unanswered pings a peer is taken to be gone.
pub const UNANSWERED: u8 = 2;
/// How long the answer to the last of them may take. A shard looks at its viewers once a second,
/// so a dead one is gone within two pings and five seconds.
const LAST_ANSWER: Duration = Duration::from_secs(2);

/// How long to wait for a peer that has left so many pings unanswered, before the next ping or
/// the end.
pub fn patience(ping: Duration, unanswered: u8) -> Duration {
    match unanswered < UNANSWERED {
        true => ping,
        false => ping.min(LAST_ANSWER),
    }
}
