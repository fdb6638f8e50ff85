//! A topic's version, which grows with every accepted change and across restarts.

use std::fmt;
use std::str::FromStr;

use crate::state::json::MAX_SAFE_INTEGER;

/// No clock that is right shows more: the year 2200, in microseconds since 1970. Revisions end
/// at 2^53 - 1, in 2255.
pub const LATEST: u64 = 7_258_118_400_000_000;

/// At most 2^53 - 1, so that JavaScript holds it exactly. On the wire it is a canonical
/// decimal in a string. Readers may rely on "greater", never on "+1".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(u64);

impl Revision {
    /// Before any change.
    pub const ZERO: Revision = Revision(0);

    /// A revision that was stored or received as a number; `None` beyond 2^53 - 1.
    pub fn new(number: u64) -> Option<Revision> {
        (number <= MAX_SAFE_INTEGER).then_some(Revision(number))
    }

    /// The revision after this one: the clock's microseconds since 1970, or one more
    /// if the clock is not ahead. As it follows the clock, it grows across restarts even
    /// if nothing was kept.
    pub fn next(self, unix_micros: u64) -> Revision {
        Revision((self.0 + 1).max(unix_micros).min(MAX_SAFE_INTEGER))
    }

    /// Whether a clock that is right may have made it. Another one leaves no room for those after it.
    pub fn is_credible(self) -> bool {
        self.0 <= LATEST
    }

    /// As a number.
    pub fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A text that is not a revision.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a revision: expected a decimal number without leading zeros, at most 2^53 - 1"
)]
pub struct RevisionError(String);

impl FromStr for Revision {
    type Err = RevisionError;

    fn from_str(text: &str) -> Result<Revision, RevisionError> {
        let canonical = text.len() <= 16
            && text.bytes().all(|b| b.is_ascii_digit())
            && (text == "0" || !text.starts_with('0'));
        let number = if canonical { text.parse().ok() } else { None };
        number
            .and_then(Revision::new)
            .ok_or_else(|| RevisionError(text.chars().take(40).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_with_or_without_the_clock() {
        let first = Revision::ZERO.next(1_795_226_400_123_456);
        assert_eq!(first.get(), 1_795_226_400_123_456);
        assert_eq!(first.next(5).get(), first.get() + 1);
    }

    #[test]
    fn only_canonical_text() {
        assert_eq!("9007199254740991".parse(), Ok(Revision(MAX_SAFE_INTEGER)));
        assert_eq!("0".parse(), Ok(Revision::ZERO));
        for bad in [
            "",
            "01",
            "+1",
            "-1",
            " 1",
            "9007199254740992",
            "99999999999999999999",
            "1.0",
        ] {
            assert!(bad.parse::<Revision>().is_err(), "{bad:?}");
        }
    }
}
