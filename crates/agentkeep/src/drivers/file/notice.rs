//! Waiting for the generation to change: by the system's notification, or by the clock alone where
//! there is none.

use std::path::Path;
use std::time::Duration;

/// Looks are this far apart at most, for file systems on which nobody is notified.
const SLOW: Duration = Duration::from_millis(if cfg!(target_os = "linux") { 250 } else { 50 });
/// And this far at least: one look stands for all changes in between.
const QUICK: Duration = Duration::from_millis(1);

/// Notified of writes to one file.
#[derive(Debug)]
pub(super) struct Notice {
    #[cfg(target_os = "linux")]
    inotify: Option<std::os::fd::OwnedFd>,
    pause: Duration,
}

impl Notice {
    #[cfg(target_os = "linux")]
    pub(super) fn of(path: &Path) -> Self {
        use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
        let begin = || {
            let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
            inotify::add_watch(&inotify, path, WatchFlags::MODIFY)?;
            rustix::io::Result::Ok(inotify)
        };
        // A user has a limited number of watches: without one, looking has to do.
        Self { inotify: begin().ok(), pause: QUICK }
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) fn of(_path: &Path) -> Self {
        Self { pause: QUICK }
    }

    /// Waits for a change, or for a while that grows as long as nothing happens.
    pub(super) fn wait(&mut self, quiet: bool) {
        self.pause = if quiet { (self.pause * 5 / 4).min(self.longest()) } else { QUICK };
        std::thread::sleep(QUICK.min(self.pause));
        self.notified(self.pause.saturating_sub(QUICK));
    }

    #[cfg(target_os = "linux")]
    fn longest(&self) -> Duration {
        if self.inotify.is_some() { SLOW } else { Duration::from_millis(50) }
    }

    #[cfg(not(target_os = "linux"))]
    fn longest(&self) -> Duration {
        SLOW
    }

    /// Waits so long at most; true when there was a change.
    #[cfg(target_os = "linux")]
    fn notified(&self, pause: Duration) -> bool {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let (Some(inotify), Ok(time)) = (&self.inotify, Timespec::try_from(pause)) else {
            std::thread::sleep(pause);
            return false;
        };
        let mut watched = [PollFd::new(inotify, PollFlags::IN)];
        let changed = poll(&mut watched, Some(&time)).is_ok_and(|ready| ready > 0);
        if changed {
            // What exactly was written does not matter; all of it is taken out.
            let mut buffer = [0; 4096];
            while rustix::io::read(inotify, &mut buffer).is_ok_and(|read| read > 0) {}
        }
        changed
    }

    #[cfg(not(target_os = "linux"))]
    fn notified(&self, pause: Duration) -> bool {
        std::thread::sleep(pause);
        false
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::os::unix::fs::FileExt as _;

    use super::*;

    #[test]
    fn a_write_ends_the_waiting() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("generation");
        let file = std::fs::File::create(&path).unwrap();
        let mut notice = Notice::of(&path);
        file.write_all_at(b"x", 0).unwrap();
        assert!(notice.notified(Duration::from_hours(1)), "at once, or never");
        // The notice has been taken.
        assert!(!notice.notified(Duration::from_millis(1)));
        for _ in 0..3 {
            notice.wait(true);
            assert!(notice.pause <= SLOW);
        }
    }
}
