//! Values as people write them: `250ms`, `16MiB`, `off`. Each reader has its writer.

use std::time::Duration;

/// The longest duration: a clock that is asked for more may not be able to answer.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 60 * 60);

const TIMES: [(&str, u64); 4] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];

const SIZES: [(&str, u64); 7] = [
    ("B", 1),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];

/// `250ms`, `15s`, `2m`, `1h`; `0` needs no unit.
///
/// # Errors
/// Says what a duration looks like.
pub fn duration(text: &str) -> Result<Duration, String> {
    const LIKE: &str = "give a whole number and a unit, like 250ms, 15s, 2m or 1h";
    let (number, unit) = number_and_unit(text).ok_or(LIKE)?;
    if number == 0 && unit.is_empty() {
        return Ok(Duration::ZERO);
    }
    let factor = factor(&TIMES, unit).ok_or(LIKE)?;
    let duration = number.checked_mul(factor).map(Duration::from_millis);
    duration
        .filter(|duration| *duration <= LONGEST)
        .ok_or_else(|| "a week (168h) is the longest".to_owned())
}

/// Like [`duration`], but not zero.
///
/// # Errors
/// Says what a duration looks like.
pub fn some_duration(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("give more than zero, like 15s".to_owned()),
        duration => Ok(duration),
    }
}

/// Like [`some_duration`], or `off`.
///
/// # Errors
/// Says what a duration looks like.
pub fn duration_or_off(text: &str) -> Result<Option<Duration>, String> {
    match text {
        "off" | "" => Ok(None),
        text => some_duration(text)
            .map(Some)
            .map_err(|reason| format!("{reason}, or off")),
    }
}

/// `16MiB`, `64KiB`, `1MB`; a bare number is bytes.
///
/// # Errors
/// Says what a size looks like, or that it is under `least`.
pub fn size(text: &str, least: usize) -> Result<usize, String> {
    const LIKE: &str = "give a whole number and a unit, like 64KiB or 16MiB";
    let (number, unit) = number_and_unit(text).ok_or(LIKE)?;
    let unit = if unit.is_empty() { "B" } else { unit };
    let bytes = number.checked_mul(factor(&SIZES, unit).ok_or(LIKE)?);
    let bytes = bytes.and_then(|bytes| usize::try_from(bytes).ok());
    at_least(
        bytes.ok_or("more than this machine can address")?,
        least,
        shown_size,
    )
}

/// A whole number of at least `least`.
///
/// # Errors
/// Says what is expected.
pub fn count(text: &str, least: usize) -> Result<usize, String> {
    let number = text
        .parse()
        .map_err(|_| format!("give a whole number of at least {least}"))?;
    at_least(number, least, |number| number.to_string())
}

fn at_least(value: usize, least: usize, shown: fn(usize) -> String) -> Result<usize, String> {
    match value >= least {
        true => Ok(value),
        false => Err(format!("the least is {}", shown(least))),
    }
}

/// What [`duration`] reads back.
pub fn shown_duration(duration: Duration) -> String {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if millis == 0 {
        return "0ms".to_owned();
    }
    shown(&TIMES, millis)
}

/// What [`duration_or_off`] reads back.
pub fn shown_duration_or_off(duration: Option<Duration>) -> String {
    duration.map_or_else(|| "off".to_owned(), shown_duration)
}

/// What [`size`] reads back.
pub fn shown_size(bytes: usize) -> String {
    let binary = [SIZES[0], SIZES[4], SIZES[5], SIZES[6]];
    shown(&binary, bytes as u64)
}

/// In the greatest unit that leaves no rest.
fn shown(units: &[(&str, u64)], value: u64) -> String {
    let fits = |(_, factor): &&(&str, u64)| value >= *factor && value.is_multiple_of(*factor);
    match units.iter().rev().find(fits) {
        Some((unit, factor)) => format!("{}{unit}", value / factor),
        None => value.to_string(),
    }
}

fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    Some((number.parse().ok()?, unit.trim()))
}

fn factor(units: &[(&str, u64)], unit: &str) -> Option<u64> {
    let same = |(name, _): &&(&str, u64)| name.eq_ignore_ascii_case(unit);
    units.iter().find(same).map(|(_, factor)| *factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_and_write() {
        for (text, millis) in [
            ("250ms", 250),
            ("15s", 15_000),
            ("2m", 120_000),
            ("1h", 3_600_000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)));
            assert_eq!(shown_duration(Duration::from_millis(millis)), text);
        }
        assert_eq!(duration("0"), Ok(Duration::ZERO));
        assert_eq!(duration("1 s"), Ok(Duration::from_secs(1)));
        assert_eq!(shown_duration(Duration::from_millis(1500)), "1500ms");
    }

    #[test]
    fn a_wrong_duration_is_told_what_one_looks_like() {
        for bad in [
            "",
            "250",
            "ms",
            "-1s",
            "1.5s",
            "1 fortnight",
            "99999999999999999999s",
        ] {
            assert!(duration(bad).unwrap_err().contains("250ms"), "{bad}");
        }
        assert!(duration("9999999999h").unwrap_err().contains("168h"));
        assert!(some_duration("0").is_err());
        assert!(duration_or_off("never").unwrap_err().ends_with("or off"));
        assert_eq!(duration_or_off("off"), Ok(None));
    }

    #[test]
    fn sizes_read_and_write() {
        for (text, bytes) in [
            ("16MiB", 16 << 20),
            ("64KiB", 64 << 10),
            ("1GiB", 1 << 30),
            ("7B", 7),
        ] {
            assert_eq!(size(text, 0), Ok(bytes));
            assert_eq!(shown_size(bytes), text);
        }
        assert_eq!(size("1mb", 0), Ok(1_000_000));
        assert_eq!(size("4096", 0), Ok(4096));
        assert!(size("1KiB", 8192).unwrap_err().contains("8KiB"));
        assert!(size("16 potatoes", 0).unwrap_err().contains("16MiB"));
        assert!(size("99999999999GiB", 0).unwrap_err().contains("address"));
    }
}
