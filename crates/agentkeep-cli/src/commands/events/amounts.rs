//! Ages, counts and sizes as people write and read them.

use jiff::{Span, SpanRelativeTo};

use crate::args::events::Bound;
use crate::output::text;

/// `24h`, `7d`, `1h 30m`; `none` or `never`. In milliseconds.
pub(crate) fn age(written: &str) -> Result<Bound, String> {
    if is_none(written) {
        return Ok(Bound(None));
    }
    let wrong = |_| format!("{written:?} is no age: write 24h, 7d, or none");
    let span: Span = written.parse().map_err(wrong)?;
    let duration = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(wrong)?;
    positive(u64::try_from(duration.as_millis()).ok())
}

/// A number of events; `none`.
pub(crate) fn count(written: &str) -> Result<Bound, String> {
    if is_none(written) { Ok(Bound(None)) } else { positive(written.parse().ok()) }
}

/// A number of bytes, also as `KiB`, `MiB` or `GiB`; `none`.
pub(crate) fn bytes(written: &str) -> Result<Bound, String> {
    if is_none(written) {
        return Ok(Bound(None));
    }
    let (number, shift) = [("KiB", 10), ("MiB", 20), ("GiB", 30)]
        .into_iter()
        .find_map(|(unit, shift)| Some((written.strip_suffix(unit)?, shift)))
        .unwrap_or((written, 0));
    let number = number.trim_end().parse::<u64>().ok();
    positive(number.and_then(|number| number.checked_mul(1 << shift)))
}

fn is_none(written: &str) -> bool {
    matches!(written, "none" | "never")
}

fn positive(number: Option<u64>) -> Result<Bound, String> {
    match number {
        Some(number) if number > 0 => Ok(Bound(Some(number))),
        _ => Err("it must be at least 1, or none".to_owned()),
    }
}

/// An age for people.
pub(super) fn shown_age(millis: u64) -> String {
    const UNITS: [(u64, &str); 4] =
        [(86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s")];
    let unit = UNITS.into_iter().find(|(size, _)| millis.is_multiple_of(*size));
    match unit {
        // A single day reads better as its hours.
        Some((86_400_000, _)) if millis == 86_400_000 => "24 h".to_owned(),
        Some((size, unit)) => format!("{} {unit}", millis / size),
        None => format!("{millis} ms"),
    }
}

/// A bound for people.
pub(super) fn shown(bound: Option<u64>, how: impl Fn(u64) -> String) -> String {
    bound.map_or_else(|| "-".to_owned(), how)
}

pub(super) fn shown_bytes(count: u64) -> String {
    text::bytes(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read() {
        let day = 86_400_000;
        for (written, millis) in
            [("24h", day), ("7d", 7 * day), ("90s", 90_000), ("1h 30m", 5_400_000), ("1w", 7 * day)]
        {
            assert_eq!(age(written), Ok(Bound(Some(millis))), "{written}");
        }
        assert_eq!(age("never"), Ok(Bound(None)));
        assert_eq!(bytes("10MiB"), Ok(Bound(Some(10 << 20))));
        assert_eq!((count("5"), bytes("5")), (Ok(Bound(Some(5))), Ok(Bound(Some(5)))));
        for bad in ["", "0", "0s", "-1h", "soon", "1month", "10 apples"] {
            assert!(age(bad).is_err() && count(bad).is_err() && bytes(bad).is_err(), "{bad}");
        }
        assert!(bytes("99999999999GiB").is_err());
    }

    #[test]
    fn ages_are_shown() {
        for (millis, wanted) in [
            (86_400_000, "24 h"),
            (604_800_000, "7 d"),
            (90_000, "90 s"),
            (120_000, "2 min"),
            (1, "1 ms"),
        ] {
            assert_eq!(shown_age(millis), wanted);
        }
    }
}
