//! How long events are kept.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind, Result};

/// The age at which events go, unless a topic or a default says otherwise.
const DAY: Duration = Duration::from_hours(24);
/// How long a consumer may be away before it is forgotten.
const WEEK: Duration = Duration::from_hours(7 * 24);

/// Bounds of what a topic keeps; what is older or beyond goes from the front.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Bounds {
    /// Age in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub age_ms: Option<u64>,
    /// Number of events.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// Bytes of their contents.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
}

/// How long a topic's events are kept.
///
/// ```
/// use agentkeep::{Bounds, Retention};
/// let week = Retention {
///     keep: Bounds { age_ms: Some(7 * 86_400_000), ..Bounds::default() },
///     hard: Bounds { count: Some(1_000_000), ..Bounds::default() },
///     ..Retention::default()
/// };
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Retention {
    /// What is beyond goes, once every registered consumer and group is done with it. By default
    /// what is older than 24 hours.
    pub keep: Bounds,
    /// What is beyond goes even if somebody has not read it yet; they are told so. None by default.
    pub hard: Bounds,
    /// A consumer not seen for so many milliseconds is forgotten, and holds nothing back any more;
    /// `None` for never. By default 7 days.
    pub forget_after_ms: Option<u64>,
}

impl Default for Retention {
    fn default() -> Self {
        let ms = |duration: Duration| u64::try_from(duration.as_millis()).ok();
        Self {
            keep: Bounds { age_ms: ms(DAY), ..Bounds::default() },
            hard: Bounds::default(),
            forget_after_ms: ms(WEEK),
        }
    }
}

impl Retention {
    /// Everything, for ever.
    pub fn forever() -> Self {
        Self { keep: Bounds::default(), hard: Bounds::default(), forget_after_ms: None }
    }

    pub(super) fn check(&self) -> Result<()> {
        let empties =
            |bounds: &Bounds| [bounds.age_ms, bounds.count, bounds.bytes].contains(&Some(0));
        if empties(&self.keep) || empties(&self.hard) || self.forget_after_ms == Some(0) {
            return Err(Error::new(Kind::InvalidInput, "a bound of 0 would keep nothing")
                .advice("give a bound of at least 1, or leave it out"));
        }
        Ok(())
    }
}
