//! When to try again, as our viewers do. Pure: time and chance are passed in.

use std::time::Duration;

/// The gaps, in milliseconds; each is spread back to the one before it.
const GAPS: [u64; 9] = [250, 300, 400, 2000, 3000, 4500, 6750, 10_125, 15_000];
/// A connection that lasted for so long was a good one.
const PROOF: Duration = Duration::from_secs(4);
/// After it has stopped, it may soon be back: for so long the gaps stay short.
const RESTART: Duration = Duration::from_secs(15);
const SOON: u64 = 1000;
/// Nobody is told to stay away for longer.
const LONGEST: Duration = Duration::from_secs(60 * 60);

/// How often it was tried since a connection was good.
#[derive(Debug, Default)]
pub struct Pace {
    attempt: usize,
}

impl Pace {
    /// A connection ended that was there for so long.
    pub fn ended(&mut self, lasted: Duration) {
        if lasted >= PROOF {
            self.attempt = 0;
        }
    }

    /// How long to wait before the next attempt. `stopped`: how long ago it said that it stops, if
    /// it did so last. `chance` is from 0 to 1.
    pub fn gap(&mut self, stopped: Option<Duration>, chance: f64) -> Duration {
        let last = self.attempt.min(GAPS.len() - 1);
        let before = last.checked_sub(1).map_or(0, |before| GAPS[before]);
        if GAPS[last] > SOON && stopped.is_some_and(|ago| ago < RESTART) {
            return spread(SOON / 2, SOON, chance);
        }
        self.attempt += 1;
        spread(before, GAPS[last], chance)
    }

    /// How long to wait where trying soon would not help.
    pub fn long_gap(&mut self, chance: f64) -> Duration {
        self.attempt = GAPS.len();
        spread(GAPS[7], GAPS[8], chance)
    }
}

/// As long as it has asked for, within reason.
pub fn asked(retry_after_ms: u64) -> Duration {
    Duration::from_millis(retry_after_ms).min(LONGEST)
}

fn spread(from: u64, to: u64, chance: f64) -> Duration {
    let step = (to - from) as f64 * chance.clamp(0.0, 1.0);
    Duration::from_millis(to - step as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn gaps_grow_to_a_limit_and_are_spread() {
        let mut pace = Pace::default();
        let latest: Vec<Duration> = (0..11).map(|_| pace.gap(None, 0.0)).collect();
        let expected = GAPS.into_iter().chain([15_000, 15_000]).map(ms);
        assert_eq!(latest, expected.collect::<Vec<_>>());
        assert_eq!(pace.gap(None, 1.0), ms(10_125));
        pace.ended(ms(3999));
        assert_eq!(pace.gap(None, 0.5), ms(12_563));
        pace.ended(PROOF);
        assert_eq!(pace.gap(None, 0.0), ms(250));
    }

    #[test]
    fn what_restarts_is_soon_there_again() {
        let mut pace = Pace::default();
        for _ in 0..3 {
            pace.gap(Some(ms(1)), 0.0);
        }
        assert_eq!(pace.gap(Some(ms(14_999)), 1.0), ms(500));
        assert_eq!(pace.gap(Some(RESTART), 0.0), ms(2000), "the long gaps come");
        assert_eq!(pace.long_gap(0.0), ms(15_000));
        assert_eq!(asked(u64::MAX), LONGEST);
    }
}
