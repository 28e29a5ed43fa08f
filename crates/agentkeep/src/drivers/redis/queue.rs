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

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    type Asked = (u32, Sender<u32>);

    /// Told by what nobody sends.
    fn give_back((asked, tell): Asked) {
        let _ = tell.send(asked);
    }

    fn enter(queue: &Arc<Queue<Asked>>, asked: u32, tell: &Sender<u32>) -> Entered<Asked> {
        queue.enter((asked, tell.clone()), give_back)
    }

    fn runner(entered: Entered<Asked>) -> Runner<Asked> {
        let Entered::Runs(runner) = entered else { panic!("somebody else sends") };
        runner
    }

    fn taken(taken: Option<(Runner<Asked>, Vec<Asked>)>) -> (Runner<Asked>, Vec<u32>) {
        let (runner, group) = taken.unwrap();
        (runner, group.into_iter().map(|(asked, _)| asked).collect())
    }

    fn all(told: &Receiver<u32>) -> Vec<u32> {
        told.try_iter().collect()
    }

    #[test]
    fn whoever_is_alone_sends_himself_and_holds_up_nobody() {
        let (queue, (tell, told)) = (Arc::default(), channel());
        for asked in 0..2 {
            assert!(
                matches!(enter(&queue, asked, &tell), Entered::Alone((found, _), _) if found == asked)
            );
        }
        // One who leaves it lying.
        let lying = enter(&queue, 2, &tell);
        assert!(matches!(lying, Entered::Alone(..)));
        let first = runner(enter(&queue, 3, &tell));
        let (first, group) = taken(first.take(|_| true));
        assert_eq!(group, [3]);
        assert!(first.take(|_| true).is_none());
        let again = runner(enter(&queue, 4, &tell));
        drop(lying);
        assert!(taken(again.take(|_| true)).0.take(|_| true).is_none());
        assert!(matches!(enter(&queue, 5, &tell), Entered::Alone(..)));
        assert!(all(&told).is_empty());
    }

    #[test]
    fn those_who_come_meanwhile_go_together_as_far_as_they_are_wanted() {
        let (queue, (tell, _told)) = (Arc::default(), channel());
        let _alone = enter(&queue, 0, &tell);
        let first = runner(enter(&queue, 1, &tell));
        let second = runner(enter(&queue, 2, &tell));
        for asked in 3..7 {
            assert!(matches!(enter(&queue, asked, &tell), Entered::Waits));
        }
        let (first, group) = taken(first.take(|(asked, _)| *asked < 4));
        assert_eq!(group, [1, 2, 3]);
        // The first is taken whatever it is.
        let (first, group) = taken(first.take(|_| false));
        assert_eq!(group, [4]);
        assert_eq!(first.waiting(), 2);
        let (second, group) = taken(second.take(|_| true));
        assert_eq!(group, [5, 6]);
        assert!(first.take(|_| true).is_none());
        assert!(second.take(|_| true).is_none());
    }

    #[test]
    fn whoever_was_to_send_and_is_taken_down_leaves_nobody_waiting() {
        let (queue, (tell, told)) = (Arc::default(), channel());
        let _alone = enter(&queue, 0, &tell);
        let (first, second) = (runner(enter(&queue, 1, &tell)), runner(enter(&queue, 2, &tell)));
        assert!(matches!(enter(&queue, 3, &tell), Entered::Waits));
        // There is another one.
        drop(first);
        assert!(all(&told).is_empty());
        drop(second);
        assert_eq!(all(&told), [1, 2, 3]);
        let next = runner(enter(&queue, 4, &tell));
        assert_eq!(taken(next.take(|_| true)).1, [4]);
    }
}
