//! Who sends what. A caller who is alone sends for himself: so there is no task between him and the
//! server. Those who come meanwhile are sent together, by tasks that end when nobody is left.
//!
//! Nobody waits for a caller, who may leave his future lying: the server puts calls in order.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// So many tasks send at once: while the server is at one group, the next is on its way.
const RUNNERS: usize = 2;

/// Those who wait to be sent together.
pub(super) struct Queue<T>(Mutex<State<T>>);

struct State<T> {
    waiting: VecDeque<T>,
    runners: usize,
    /// Whether a caller sends for himself.
    alone: bool,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self(Mutex::new(State { waiting: VecDeque::new(), runners: 0, alone: false }))
    }
}

/// What is to be done by who came.
pub(super) enum Entered<T> {
    /// To send it himself.
    Alone(T, Alone<T>),
    /// To start a task with this.
    Runs(Runner<T>),
    /// To wait.
    Waits,
}

/// Held by a caller as long as he sends for himself.
pub(super) struct Alone<T>(Arc<Queue<T>>);

/// The right to send what waits. Who loses it, with his task, gives back what nobody else will send.
pub(super) struct Runner<T> {
    queue: Arc<Queue<T>>,
    give_back: fn(T),
    runs: bool,
}

impl<T> Queue<T> {
    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn enter(self: &Arc<Self>, asked: T, give_back: fn(T)) -> Entered<T> {
        let mut state = self.state();
        if state.runners == 0 && !state.alone {
            state.alone = true;
            return Entered::Alone(asked, Alone(Arc::clone(self)));
        }
        state.waiting.push_back(asked);
        if state.runners == RUNNERS {
            return Entered::Waits;
        }
        state.runners += 1;
        Entered::Runs(Runner { queue: Arc::clone(self), give_back, runs: true })
    }
}

impl<T> Drop for Alone<T> {
    fn drop(&mut self) {
        self.0.state().alone = false;
    }
}

impl<T> Runner<T> {
    pub(super) fn waiting(&self) -> usize {
        self.queue.state().waiting.len()
    }

    /// Takes from the front: the first, and more as long as they are wanted. `None` gives the right
    /// up, because nobody waits.
    pub(super) fn take(mut self, mut wanted: impl FnMut(&T) -> bool) -> Option<(Self, Vec<T>)> {
        let mut taken = Vec::new();
        let mut state = self.queue.state();
        while state.waiting.front().is_some_and(|next| wanted(next) || taken.is_empty()) {
            taken.extend(state.waiting.pop_front());
        }
        if taken.is_empty() {
            // In one step: who comes now finds that nobody sends.
            state.runners -= 1;
            drop(state);
            self.runs = false;
            return None;
        }
        drop(state);
        Some((self, taken))
    }
}

impl<T> Drop for Runner<T> {
    fn drop(&mut self) {
        if self.runs {
            let mut state = self.queue.state();
            state.runners -= 1;
            let left = if state.runners == 0 {
                std::mem::take(&mut state.waiting)
            } else {
                VecDeque::new()
            };
            drop(state);
            left.into_iter().for_each(self.give_back);
        }
    }
}
