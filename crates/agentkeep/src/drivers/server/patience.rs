//! How often and how long a server is tried.

use std::time::Duration;

/// How often a call is tried whose repetition is harmless.
pub(in crate::drivers) const ATTEMPTS: u32 = 5;
/// Time for finding out what became of a commit beyond its deadline: an answer is worth more than
/// punctuality.
pub(in crate::drivers) const GRACE: Duration = Duration::from_secs(5);

/// The pause after an attempt: a server that restarts is back within a second or two.
pub(in crate::drivers) fn pause(attempt: u32) -> Duration {
    Duration::from_millis(50 << attempt.min(4))
}
