//! The other daemons of a cluster. Pure: the time is passed in.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::told::Daemon;

/// Who has not said that it is there for so long is gone.
const ABSENT: Duration = Duration::from_secs(5);
/// More daemons than that are not listed: whoever writes to the subject could make up any number.
const MOST: usize = 1000;

/// Whoever says more of itself than that, in bytes, is none.
const LONGEST: usize = 300;

/// The other daemons, and when each was heard last.
#[derive(Default)]
pub struct Peers {
    /// Where viewers find this one.
    pub url: String,
    others: BTreeMap<String, (Daemon, Instant)>,
}

impl Peers {
    /// One says that it is there.
    pub fn meet(&mut self, daemon: Daemon, now: Instant) {
        self.others
            .retain(|_, (_, heard)| now.saturating_duration_since(*heard) < ABSENT);
        let texts = [&daemon.id, &daemon.url, &daemon.version];
        if texts.iter().any(|text| text.len() > LONGEST) {
            return;
        }
        let is_known = self.others.contains_key(&daemon.id);
        if is_known || self.others.len() < MOST {
            self.others.insert(daemon.id.clone(), (daemon, now));
        }
    }

    /// One has left.
    pub fn part_from(&mut self, id: &str) {
        self.others.remove(id);
    }

    /// Those who are there.
    pub fn present(&self, now: Instant) -> impl Iterator<Item = &Daemon> {
        let others = self.others.values();
        let present =
            others.filter(move |(_, heard)| now.saturating_duration_since(*heard) < ABSENT);
        present.map(|(daemon, _)| daemon)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn daemon(id: usize) -> Daemon {
        Daemon {
            id: id.to_string(),
            url: String::new(),
            viewers: id,
            version: String::new(),
        }
    }

    #[test]
    fn who_is_not_heard_of_is_gone() {
        let (mut peers, start) = (Peers::default(), Instant::now());
        peers.meet(daemon(1), start);
        peers.meet(daemon(2), start + ABSENT / 2);
        let present = |peers: &Peers, now| {
            peers
                .present(now)
                .map(|daemon| daemon.viewers)
                .collect::<Vec<_>>()
        };
        assert_eq!(present(&peers, start + ABSENT / 2), [1, 2]);
        assert_eq!(present(&peers, start + ABSENT), [2]);
        peers.part_from("2");
        assert!(present(&peers, start).len() == 1);
    }

    #[test]
    fn nobody_can_make_up_any_number_of_them() {
        let (mut peers, now) = (Peers::default(), Instant::now());
        (0..2 * MOST).for_each(|id| peers.meet(daemon(id), now));
        assert_eq!(peers.present(now).count(), MOST);
        peers.meet(daemon(1), now);
        peers.meet(daemon(2 * MOST), now + ABSENT);
        let mut loud = daemon(3);
        loud.version = "x".repeat(LONGEST + 1);
        peers.meet(loud, now + ABSENT);
        assert_eq!(peers.present(now + ABSENT).count(), 1);
    }
}
