//! When what is quick may run on the caller's thread: the way to another thread and back costs more.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// What took longer than this on the caller's thread was none for it: the disk is slow, or the page
/// was not in memory. The next ones keep away from it.
const LONG: Duration = Duration::from_micros(500);
/// So many keep away after a long one, twice as many after the next one in a row, and so on: one
/// may have been the scheduler's doing, many are a slow disk.
const KEEP_AWAY: u32 = 4;
const KEEP_AWAY_LONGEST: u32 = 1_024;
/// Most bytes of bodies that are read or written on the caller's thread.
pub(super) const FEW_BYTES: usize = 256 << 10;

/// Learns from what ran on callers' threads whether the next may.
#[derive(Debug)]
pub(super) struct Pace {
    /// So many have still to keep away.
    keep_away: AtomicU32,
    /// How many it will be after the next long one.
    next_time: AtomicU32,
}

impl Default for Pace {
    fn default() -> Self {
        Self { keep_away: AtomicU32::new(0), next_time: AtomicU32::new(KEEP_AWAY) }
    }
}

impl Pace {
    /// Whether the caller's thread may be tried; each no brings the next yes nearer.
    pub(super) fn allows(&self) -> bool {
        let away = self.keep_away.load(Ordering::Relaxed);
        if away > 0 {
            // Two at once may count as one, which does no harm.
            self.keep_away.store(away - 1, Ordering::Relaxed);
        }
        away == 0
    }

    /// Something ran on a caller's thread for so long.
    pub(super) fn took(&self, time: Duration) {
        if time > LONG {
            let away = self.next_time.load(Ordering::Relaxed);
            self.keep_away.store(away, Ordering::Relaxed);
            self.next_time.store((away * 2).min(KEEP_AWAY_LONGEST), Ordering::Relaxed);
        } else {
            self.next_time.store(KEEP_AWAY, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_long_one_in_a_row_keeps_twice_as_many_away() {
        let pace = Pace::default();
        let mut kept = Vec::new();
        for _ in 0..10 {
            assert!(pace.allows());
            pace.took(LONG * 2);
            let mut away = 0;
            while !pace.allows() {
                away += 1;
            }
            kept.push(away);
        }
        assert_eq!(kept, [4, 8, 16, 32, 64, 128, 256, 512, 1_024, 1_024]);
        pace.took(LONG / 2);
        assert!(pace.allows());
        pace.took(LONG * 2);
        assert_eq!((0..10).filter(|_| !pace.allows()).count(), 4);
    }
}
