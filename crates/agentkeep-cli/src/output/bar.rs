//! Progress of work that takes long enough to need telling.

use std::future::Future;
use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Work that is done sooner shows nothing.
const PATIENCE: Duration = Duration::from_secs(1);
/// Between two looks at a clock.
const TICK: Duration = Duration::from_millis(200);
const STEPS: &str = "{msg} {wide_bar} {human_pos}/{human_len} {per_sec} {eta} left";
const UNKNOWN: &str = "{msg} {spinner} {elapsed}";

/// Shows itself on a terminal once the work takes over a second.
#[derive(Debug)]
pub(crate) struct Bar {
    bar: ProgressBar,
    since: Instant,
}

impl Bar {
    /// Of so many steps; of a number that is not known when it is `None`.
    pub(crate) fn new(steps: Option<u64>, what: &'static str) -> Self {
        let bar = ProgressBar::with_draw_target(steps, ProgressDrawTarget::hidden());
        let template = if steps.is_some() { STEPS } else { UNKNOWN };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_message(what);
        Self { bar, since: Instant::now() }
    }

    /// So many steps are done, of so many.
    pub(crate) fn at(&self, done: u64, of: u64) {
        self.bar.set_length(of);
        self.bar.set_position(done);
        self.show();
    }

    /// So many steps more.
    pub(crate) fn step(&self, steps: u64) {
        self.bar.inc(steps);
        self.show();
    }

    fn show(&self) {
        let hidden = self.bar.is_hidden();
        if hidden && self.since.elapsed() > PATIENCE && std::io::stderr().is_terminal() {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
    }

    /// Runs work that tells nothing of how far it is.
    pub(crate) async fn during<T>(what: &'static str, work: impl Future<Output = T>) -> T {
        let bar = Self::new(None, what);
        tokio::pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return done,
                () = tokio::time::sleep(TICK) => {
                    bar.show();
                    bar.bar.tick();
                }
            }
        }
    }

    /// Runs work whose progress can be looked at: how much is left of how much.
    pub(crate) async fn watching<T>(
        self,
        work: impl Future<Output = T>,
        left: impl AsyncFn() -> Option<u64>,
        of: u64,
    ) -> T {
        tokio::pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return done,
                () = tokio::time::sleep(TICK) => {
                    if let Some(left) = left().await {
                        self.at(of.saturating_sub(left), of);
                    }
                }
            }
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
