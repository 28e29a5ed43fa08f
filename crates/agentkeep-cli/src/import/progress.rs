//! Progress of work that takes long enough to need telling: a bar on a terminal, else a line now
//! and then.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output::{self, text};

/// Work that is done sooner tells nothing; then it tells so often.
const PATIENCE: Duration = Duration::from_secs(1);
const TEMPLATE: &str =
    "{msg} {wide_bar} {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {eta} left";

/// Counts bytes; shows itself once the work takes over a second.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
    what: &'static str,
    total: u64,
    done: u64,
    since: Instant,
    told: Instant,
    terminal: bool,
    shown: bool,
}

impl Progress {
    /// Work on so many bytes.
    pub(crate) fn new(total: u64, what: &'static str) -> Self {
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::hidden());
        if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
            bar.set_style(style);
        }
        bar.set_message(what);
        let now = Instant::now();
        let terminal = std::io::stderr().is_terminal();
        Self { bar, what, total, done: 0, since: now, told: now, terminal, shown: false }
    }

    /// So many bytes more are done.
    pub(crate) fn advance(&mut self, bytes: u64) {
        self.done += bytes;
        self.bar.inc(bytes);
        if self.told.elapsed() < PATIENCE {
            return;
        }
        if self.terminal && !self.shown {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
            self.shown = true;
        } else if !self.terminal {
            self.told = Instant::now();
            output::tell(&self.line());
        }
    }

    fn line(&self) -> String {
        let millis = self.since.elapsed().as_millis().max(1);
        let rate = u64::try_from(u128::from(self.done) * 1000 / millis).unwrap_or(u64::MAX);
        let left = self.total.saturating_sub(self.done) / rate.max(1);
        let (done, total) = (text::bytes(self.done), text::bytes(self.total));
        format!("{}: {done} of {total}, {}/s, {left} s left", self.what, text::bytes(rate))
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
