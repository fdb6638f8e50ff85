//! When changes leave: after a pause, or after `max_wait` at the latest. Pure: the
//! time is passed in, as a duration since some fixed moment.

use std::time::Duration;

/// If changes hold the flush back for this long, that is worth a warning.
pub const STARVING: Duration = Duration::from_secs(5);

/// How long one topic's changes wait.
#[derive(Clone, Debug)]
pub struct Debounce {
    pause: Duration,
    max_wait: Option<Duration>,
    waiting: Option<Waiting>,
    warned: bool,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    first: Duration,
    last: Duration,
    hurried: bool,
}

impl Debounce {
    /// Flushes `pause` after the last change, and `max_wait` after the first one if that is sooner.
    pub fn new(pause: Duration, max_wait: Option<Duration>) -> Debounce {
        Debounce {
            pause,
            max_wait,
            waiting: None,
            warned: false,
        }
    }

    /// Something changed.
    pub fn changed(&mut self, now: Duration) {
        let first = self.waiting.map_or(now, |waiting| waiting.first);
        self.waiting = Some(Waiting {
            first,
            last: now,
            hurried: false,
        });
    }

    /// When to flush; `None` while nothing is waiting.
    pub fn deadline(&self) -> Option<Duration> {
        let Waiting {
            first,
            last,
            hurried,
        } = self.waiting?;
        if hurried {
            return Some(first);
        }
        let pause_ends = last + self.pause;
        Some(
            self.max_wait
                .map_or(pause_ends, |most| pause_ends.min(first + most)),
        )
    }

    /// What is waiting leaves at once.
    pub fn hurry(&mut self) {
        if let Some(waiting) = &mut self.waiting {
            waiting.hurried = true;
        }
    }

    /// Everything that was waiting has left.
    pub fn flushed(&mut self) {
        self.waiting = None;
    }

    /// Whether to warn that changes without a pause hold the flush back. It warns only once.
    pub fn warns(&mut self, now: Duration) -> bool {
        let starving = self.max_wait.is_none()
            && self
                .waiting
                .is_some_and(|waiting| now.saturating_sub(waiting.first) > STARVING);
        let warns = starving && !self.warned;
        self.warned |= starving;
        warns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn waits_for_a_pause() {
        let mut debounce = Debounce::new(ms(250), None);
        assert_eq!(debounce.deadline(), None);
        for now in [0, 100, 200] {
            debounce.changed(ms(now));
        }
        assert_eq!(debounce.deadline(), Some(ms(450)));
        debounce.flushed();
        assert_eq!(debounce.deadline(), None);
    }

    #[test]
    fn what_is_hurried_waits_for_nothing() {
        let mut debounce = Debounce::new(ms(250), None);
        debounce.hurry();
        assert_eq!(debounce.deadline(), None);
        debounce.changed(ms(100));
        debounce.hurry();
        assert_eq!(debounce.deadline(), Some(ms(100)));
        debounce.flushed();
        debounce.changed(ms(200));
        assert_eq!(debounce.deadline(), Some(ms(450)));
    }

    #[test]
    fn max_wait_bounds_continuous_change() {
        let mut debounce = Debounce::new(ms(250), Some(ms(1000)));
        for now in (0..=900).step_by(100) {
            debounce.changed(ms(now));
        }
        assert_eq!(debounce.deadline(), Some(ms(1000)));
    }

    #[test]
    fn warns_once_of_starvation() {
        let mut debounce = Debounce::new(ms(250), None);
        debounce.changed(ms(0));
        assert!(!debounce.warns(ms(5000)));
        assert!(debounce.warns(ms(5001)));
        assert!(!debounce.warns(ms(6000)));
        let mut bounded = Debounce::new(ms(250), Some(ms(1)));
        bounded.changed(ms(0));
        assert!(!bounded.warns(ms(60_000)));
    }
}
