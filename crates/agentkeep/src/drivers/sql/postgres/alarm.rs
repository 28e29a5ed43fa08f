//! Deadlines of calls that come one after the other.

use std::pin::{Pin, pin};

use futures_util::future::{Either, select};
use tokio::runtime::{Handle, Id};
use tokio::time::{Instant, Sleep};

/// A timer that is only put off from call to call: to make a new one for each wakes the thread that
/// waits for the runtime's next event.
#[derive(Debug, Default)]
pub(super) struct Alarm(Option<(Id, Pin<Box<Sleep>>)>);

impl Alarm {
    /// What the future answers; `None` when the deadline comes first.
    pub(super) async fn before<F: Future>(
        &mut self,
        deadline: Instant,
        future: F,
    ) -> Option<F::Output> {
        // A timer lives as long as the runtime that it was made in.
        let runtime = Handle::current().id();
        let sleep = match &mut self.0 {
            Some((of, sleep)) if *of == runtime => {
                sleep.as_mut().reset(deadline);
                sleep
            }
            other => {
                let sleep = Box::pin(tokio::time::sleep_until(deadline));
                &mut other.insert((runtime, sleep)).1
            }
        };
        match select(pin!(future), sleep.as_mut()).await {
            Either::Left((output, _)) => Some(output),
            Either::Right(_) => None,
        }
    }
}
