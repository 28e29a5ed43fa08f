//! Times as people read them.

use jiff::Timestamp;

/// How times are shown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    now: i64,
    exact: bool,
}

impl Clock {
    /// Relative to now ("3 min ago"), or exact.
    pub(crate) fn new(exact: bool) -> Self {
        Self { now: Timestamp::now().as_millisecond(), exact }
    }

    /// Relative to a given time.
    #[cfg(test)]
    pub(crate) fn at(now: i64) -> Self {
        Self { now, exact: false }
    }

    /// A time in milliseconds since 1970; `-` when there is none.
    pub(crate) fn show(&self, millis: Option<i64>) -> String {
        match millis {
            None => "-".to_owned(),
            Some(millis) if self.exact => exact(millis),
            Some(millis) => ago(self.now.saturating_sub(millis)).unwrap_or_else(|| exact(millis)),
        }
    }
}

/// The time now, in milliseconds since 1970.
pub(crate) fn now() -> i64 {
    Timestamp::now().as_millisecond()
}

/// A duration.
pub(crate) fn took(millis: u64) -> String {
    let tenths = millis / 100;
    match millis {
        0..1_000 => format!("{millis} ms"),
        1_000..60_000 => format!("{}.{} s", tenths / 10, tenths % 10),
        60_000..3_600_000 => format!("{} min {} s", millis / 60_000, millis / 1_000 % 60),
        _ => format!("{} h {} min", millis / 3_600_000, millis / 60_000 % 60),
    }
}

/// UTC, to the millisecond.
fn exact(millis: i64) -> String {
    match Timestamp::from_millisecond(millis) {
        Ok(time) => format!("{time:.3}"),
        // Beyond the years that a calendar has: the number says it best.
        Err(_) => format!("{millis} ms"),
    }
}

/// `None` for the future, which only the exact time tells well.
fn ago(millis: i64) -> Option<String> {
    let seconds = millis.div_euclid(1000);
    Some(match seconds {
        // A clock that is a little ahead is no news.
        -5..5 => "just now".to_owned(),
        5..60 => format!("{seconds} s ago"),
        60..3600 => format!("{} min ago", seconds / 60),
        3600..86_400 => format!("{} h ago", seconds / 3600),
        86_400..172_800 => "1 day ago".to_owned(),
        172_800..5_184_000 => format!("{} days ago", seconds / 86_400),
        5_184_000..63_072_000 => format!("{} months ago", seconds / 2_592_000),
        63_072_000.. => format!("{} years ago", seconds / 31_536_000),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (millis, wanted) in [
            (0, "0 ms"),
            (999, "999 ms"),
            (1_099, "1.0 s"),
            (59_999, "59.9 s"),
            (60_000, "1 min 0 s"),
            (3_599_999, "59 min 59 s"),
            (7_260_000, "2 h 1 min"),
        ] {
            assert_eq!(took(millis), wanted);
        }
    }

    #[test]
    fn relative_times() {
        let clock = Clock::at(1_769_990_400_000);
        let shown = |seconds: i64| clock.show(Some(1_769_990_400_000 - seconds * 1000));
        assert_eq!(shown(0), "just now");
        assert_eq!(shown(42), "42 s ago");
        assert_eq!(shown(200), "3 min ago");
        assert_eq!(shown(7200), "2 h ago");
        assert_eq!(shown(90_000), "1 day ago");
        assert_eq!(shown(864_000), "10 days ago");
        assert_eq!(shown(-60), "2026-02-02T00:01:00.000Z");
        assert_eq!(clock.show(None), "-");
        assert!(clock.show(Some(i64::MIN)).ends_with("years ago"));
        assert_eq!(clock.show(Some(i64::MAX)), format!("{} ms", i64::MAX));
    }
}
