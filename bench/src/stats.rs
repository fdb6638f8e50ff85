//! Medians and quartiles.

use std::fmt;
use std::time::Duration;

/// The middle of some figures and how far they are apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    pub low: f64,
    pub median: f64,
    pub high: f64,
}

/// Median and quartiles; not a number when there are none.
pub fn spread(mut figures: Vec<f64>) -> Spread {
    figures.sort_by(f64::total_cmp);
    Spread {
        low: at(&figures, 0.25),
        median: at(&figures, 0.5),
        high: at(&figures, 0.75),
    }
}

/// The figure below which a share of sorted ones lies.
fn at(sorted: &[f64], share: f64) -> f64 {
    let place = (sorted.len().saturating_sub(1)) as f64 * share;
    sorted
        .get(place.round() as usize)
        .copied()
        .unwrap_or(f64::NAN)
}

/// As [`at`], in milliseconds.
pub fn milliseconds(sorted: &[Duration], share: f64) -> f64 {
    let place = (sorted.len().saturating_sub(1)) as f64 * share;
    sorted
        .get(place.round() as usize)
        .map_or(f64::NAN, |time| time.as_secs_f64() * 1e3)
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2} ({:.2}..{:.2})", self.median, self.low, self.high)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles() {
        let shown = spread(vec![5.0, 1.0, 4.0, 2.0, 3.0]);
        assert_eq!((shown.low, shown.median, shown.high), (2.0, 3.0, 4.0));
        assert!(spread(Vec::new()).median.is_nan());
    }
}
