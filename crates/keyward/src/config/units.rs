//! Durations and sizes, as people write them.

use std::time::Duration;

const UNITS: [(&str, u64); 5] =
    [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

const SIZES: [(&str, u64); 4] = [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];

/// What would be a duration.
pub const DURATION_REMEDY: &str = "write a whole number and a unit, like \"250ms\", \"10s\", \"5m\", \"12h\" or \"30d\", at most 1000 years";
/// What would be a size.
pub const SIZE_REMEDY: &str =
    "write a number of bytes, or one with a unit, like \"32 KiB\", \"10 MiB\" or \"1 GiB\"";

/// A thousand years: what is longer was mistyped, and could not be added to a moment.
const LONGEST: Duration = Duration::from_secs(365_250 * 24 * 3600);

/// `10s`, `5m`, `1h`; also several together, `1h30m`. At most 1000 years.
pub fn duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let mut millis = 0_u64;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let (number, after) = split_number(rest)?;
        let end = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at_checked(end)?;
        let (_, factor) = UNITS.into_iter().find(|(name, _)| *name == unit.trim())?;
        millis = millis.checked_add(number.checked_mul(factor)?)?;
        rest = after;
    }
    Some(Duration::from_millis(millis)).filter(|duration| *duration <= LONGEST)
}

/// `32 KiB`, `10MiB`, `512`.
pub fn size(text: &str) -> Option<u64> {
    let (number, unit) = split_number(text.trim())?;
    let unit = unit.trim();
    let factor = match unit {
        "" => 1,
        unit => SIZES.into_iter().find(|(name, _)| *name == unit)?.1,
    };
    number.checked_mul(factor)
}

fn split_number(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at_checked(end)?;
    Some((digits.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit() {
        for (text, millis) in [
            ("250ms", 250),
            ("10s", 10_000),
            ("5m", 300_000),
            ("1h30m", 5_400_000),
            ("12 h", 43_200_000),
            ("90d", 90 * 86_400_000),
            ("365250d", 365_250 * 86_400_000),
            ("0s", 0),
        ] {
            assert_eq!(duration(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for wrong in [
            "",
            "10",
            "s",
            "10 parsecs",
            "1.5h",
            "-1s",
            "10s 5",
            "365251d",
            "99999999999d",
            "999999999999999d",
            "99999999999999999999d",
        ] {
            assert_eq!(duration(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn sizes_may_have_a_unit() {
        for (text, bytes) in [("512", 512), ("32 KiB", 32 * 1024), ("1GiB", 1 << 30), ("7 B", 7)] {
            assert_eq!(size(text), Some(bytes), "{text}");
        }
        for wrong in ["", "KiB", "1 kb", "1.5 MiB", "-1", "99999999999 GiB"] {
            assert_eq!(size(wrong), None, "{wrong}");
        }
    }
}
