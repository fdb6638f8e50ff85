//! Values with a unit, as people write them: `250ms`, `16MiB`. Each reader has its writer.

use std::time::Duration;

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
pub fn duration(text: &str) -> Result<Duration, String> {
    const LIKE: &str = "give a whole number and a unit, like 250ms, 15s, 2m or 1h";
    let (number, unit) = number_and_unit(text).ok_or(LIKE)?;
    if number == 0 && unit.is_empty() {
        return Ok(Duration::ZERO);
    }
    let factor = factor(&TIMES, unit).ok_or(LIKE)?;
    Ok(Duration::from_millis(number.saturating_mul(factor)))
}

/// `16MiB`, `64KiB`, `1MB`; a bare number is bytes.
pub fn size(text: &str) -> Result<usize, String> {
    const LIKE: &str = "give a whole number and a unit, like 64KiB or 16MiB";
    let (number, unit) = number_and_unit(text).ok_or(LIKE)?;
    let unit = if unit.is_empty() { "B" } else { unit };
    let bytes = number.checked_mul(factor(&SIZES, unit).ok_or(LIKE)?);
    let bytes = bytes.and_then(|bytes| usize::try_from(bytes).ok());
    bytes.ok_or_else(|| "more than this machine can address".to_owned())
}

/// What [`duration`] reads back.
pub fn shown_duration(duration: Duration) -> String {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if millis == 0 {
        return "0ms".to_owned();
    }
    shown(&TIMES, millis)
}

/// What [`size`] reads back.
pub fn shown_size(bytes: usize) -> String {
    let binary = [SIZES[0], SIZES[4], SIZES[5], SIZES[6]];
    shown(&binary, bytes as u64)
}

/// In the largest unit that leaves no remainder.
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
    fn a_wrong_duration_is_answered_with_what_one_looks_like() {
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
        assert!(
            duration("9999999999h").is_ok(),
            "whether it is too long is not for us"
        );
    }

    #[test]
    fn sizes_read_and_write() {
        for (text, bytes) in [
            ("16MiB", 16 << 20),
            ("64KiB", 64 << 10),
            ("1GiB", 1 << 30),
            ("7B", 7),
        ] {
            assert_eq!(size(text), Ok(bytes));
            assert_eq!(shown_size(bytes), text);
        }
        assert_eq!(size("1mb"), Ok(1_000_000));
        assert_eq!(size("4096"), Ok(4096));
        assert!(size("16 potatoes").unwrap_err().contains("16MiB"));
        assert!(size("99999999999GiB").unwrap_err().contains("address"));
    }
}
