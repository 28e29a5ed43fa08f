//! Time for what ages: a clock that may jump must neither empty nor freeze a topic.

use std::collections::HashMap;
use std::fmt::Debug;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::model::document;
use crate::schema::Namespace;

/// How far the wall clock is believed when it runs ahead of the time that has passed.
const BELIEVED: i64 = 5 * 60 * 1000;
/// How long after its first look a topic may be trimmed freely by age.
pub(super) const INTERVAL: Duration = Duration::from_mins(5);

/// What time it is.
pub trait Clock: Debug + Send + Sync {
    /// Milliseconds since 1970; may jump.
    fn wall(&self) -> i64;

    /// The time that has passed since some fixed moment; never goes back.
    fn passed(&self) -> Duration;

    /// Waits.
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(tokio::time::sleep(duration))
    }
}

/// The clock of the machine.
#[derive(Debug, Clone)]
pub struct SystemClock(Instant);

impl Default for SystemClock {
    fn default() -> Self {
        Self(Instant::now())
    }
}

impl Clock for SystemClock {
    fn wall(&self) -> i64 {
        document::now()
    }

    fn passed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// The time by which things age within one open.
#[derive(Debug)]
pub(crate) struct Ages {
    clock: Arc<dyn Clock>,
    opened: (i64, Duration),
    /// When each topic was first looked at.
    first_looks: Mutex<HashMap<(Namespace, String), Duration>>,
}

/// How much may be trimmed by age.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Allowed {
    /// A first look: the clock may have jumped while the store was closed.
    Half,
    /// Shortly after a first look.
    Nothing,
    Everything,
}

impl Ages {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        let opened = (clock.wall(), clock.passed());
        Self { clock, opened, first_looks: Mutex::default() }
    }

    /// The time that passed since the store was opened.
    pub(super) fn open_for(&self) -> Duration {
        self.clock.passed().saturating_sub(self.opened.1)
    }

    /// Now: the wall clock, but never behind the time that has passed since the store was opened,
    /// and never far ahead of it.
    pub(super) fn now(&self) -> i64 {
        let passed = i64::try_from(self.open_for().as_millis()).unwrap_or(i64::MAX);
        let least = self.opened.0.saturating_add(passed);
        self.clock.wall().clamp(least, least.saturating_add(BELIEVED))
    }

    /// Waits, by the clock's own measure.
    pub(crate) async fn sleep(&self, duration: Duration) {
        self.clock.sleep(duration).await;
    }

    /// What the wall clock says.
    pub(super) fn wall(&self) -> i64 {
        self.clock.wall()
    }

    /// How much of a topic may go by age now; notes a first look.
    pub(super) fn allowed(&self, namespace: &Namespace, topic: &str) -> Allowed {
        let passed = self.clock.passed();
        let mut looks = self.first_looks.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (namespace.clone(), topic.to_owned());
        match looks.get(&key) {
            None => {
                looks.insert(key, passed);
                Allowed::Half
            }
            Some(first) if passed.saturating_sub(*first) < INTERVAL => Allowed::Nothing,
            Some(_) => Allowed::Everything,
        }
    }
}
