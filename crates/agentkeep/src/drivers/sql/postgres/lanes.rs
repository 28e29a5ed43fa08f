//! Who sends what. The first caller of a lane sends for himself: so one who is alone has no task
//! between himself and the server. Those who come meanwhile are sent together, by a task that ends
//! when nobody is left.
//!
//! A caller may leave his future lying, or drop it. So as soon as another one waits, or when it is
//! dropped, what he was sending goes on in a task.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::alarm::Alarm;

/// One who waits for somebody else to send what he asks.
#[derive(Debug)]
pub(super) struct Waiting<T, A> {
    pub(super) asked: T,
    pub(super) tell: oneshot::Sender<A>,
}

/// One lane: what is in it is sent one group after the other.
pub(super) struct Lane<T, A>(Mutex<State<T, A>>);

struct State<T, A> {
    waiting: VecDeque<Waiting<T, A>>,
    /// Whether somebody sends,
    led: bool,
    /// and what he does, if it is a caller.
    own: Option<Arc<Own<A>>>,
    alarm: Alarm,
}

impl<T, A> Default for Lane<T, A> {
    fn default() -> Self {
        let (waiting, alarm) = (VecDeque::new(), Alarm::default());
        Self(Mutex::new(State { waiting, led: false, own: None, alarm }))
    }
}

impl<T, A> fmt::Debug for Lane<T, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lane")
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T, A: Send + 'static> Lane<T, A> {
    /// Waits behind who is sending, or sends.
    pub(super) fn enter<F: Future<Output = A> + Send + 'static>(
        self: &Arc<Self>,
        asked: T,
        runtime: &Handle,
        send: impl FnOnce(Lead<T, A>, T) -> F,
    ) -> Entered<A> {
        let (tell, answered) = oneshot::channel();
        let mut state = locked(&self.0);
        if state.led {
            state.waiting.push_back(Waiting { asked, tell });
            let before = state.own.take();
            drop(state);
            if let Some(own) = before {
                own.go_on();
            }
            return Entered { own: None, answered };
        }
        let alarm = std::mem::take(&mut state.alarm);
        let lead = Lead { lane: Arc::clone(self), leads: true, alarm };
        let sending = Box::pin(send(lead, asked));
        let own = Own { sending: Mutex::new(Some((sending, tell))), runtime: runtime.clone() };
        let own = Arc::new(own);
        state.led = true;
        state.own = Some(Arc::clone(&own));
        Entered { own: Some(own), answered }
    }

    pub(super) fn waiting(&self) -> usize {
        locked(&self.0).waiting.len()
    }
}

type Sending<A> = (Pin<Box<dyn Future<Output = A> + Send>>, oneshot::Sender<A>);

/// What a caller sends, as long as he does it himself.
struct Own<A> {
    sending: Mutex<Option<Sending<A>>>,
    runtime: Handle,
}

impl<A: Send + 'static> Own<A> {
    /// In a task from now on.
    fn go_on(&self) {
        if let Some((sending, tell)) = locked(&self.sending).take() {
            self.runtime.spawn(async move {
                // Perhaps nobody waits for it any more.
                let _ = tell.send(sending.await);
            });
        }
    }
}

/// Waits for the answer; `None` when whoever was to send was taken down.
pub(super) struct Entered<A: Send + 'static> {
    own: Option<Arc<Own<A>>>,
    answered: oneshot::Receiver<A>,
}

impl<A: Send + 'static> Future for Entered<A> {
    type Output = Option<A>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<A>> {
        if let Some(own) = &self.own {
            let mut sending = locked(&own.sending);
            if let Some((future, _)) = sending.as_mut()
                && let Poll::Ready(answer) = future.as_mut().poll(context)
            {
                *sending = None;
                return Poll::Ready(Some(answer));
            }
        }
        // From now on it may be a task that answers.
        Pin::new(&mut self.answered).poll(context).map(Result::ok)
    }
}

impl<A: Send + 'static> Drop for Entered<A> {
    fn drop(&mut self) {
        if let Some(own) = self.own.take() {
            own.go_on();
        }
    }
}

/// The right to send what is in a lane. Who loses it, with his task, leaves nobody waiting.
#[derive(Debug)]
pub(super) struct Lead<T, A> {
    lane: Arc<Lane<T, A>>,
    leads: bool,
    pub(super) alarm: Alarm,
}

impl<T, A> Lead<T, A> {
    pub(super) fn lane(&self) -> &Lane<T, A> {
        &self.lane
    }

    /// Takes from the front: the first, and more as long as they are wanted. `None` gives the lead
    /// up, because nobody waits.
    pub(super) fn take(
        mut self,
        mut wanted: impl FnMut(&T) -> bool,
    ) -> Option<(Self, Vec<Waiting<T, A>>)> {
        let mut taken = Vec::new();
        let mut state = locked(&self.lane.0);
        while state.waiting.front().is_some_and(|next| wanted(&next.asked) || taken.is_empty()) {
            taken.extend(state.waiting.pop_front());
        }
        if taken.is_empty() {
            // In one step: who comes now finds nobody sending.
            state.led = false;
            state.alarm = std::mem::take(&mut self.alarm);
            self.leads = false;
        }
        drop(state);
        self.leads.then_some((self, taken))
    }
}

impl<T, A> Drop for Lead<T, A> {
    fn drop(&mut self) {
        if self.leads {
            let mut state = locked(&self.lane.0);
            state.led = false;
            // Nobody would ever send them.
            let left = std::mem::take(&mut state.waiting);
            drop(state);
            drop(left);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use tokio::sync::Notify;

    use super::*;

    /// Waits for the gate, answers with twice what was asked, and serves those who came meanwhile.
    async fn doubled(lead: Lead<u32, u32>, asked: u32, gate: Arc<Notify>) -> u32 {
        gate.notified().await;
        let mut next = lead.take(|_| true);
        while let Some((lead, group)) = next {
            for Waiting { asked, tell } in group {
                let _ = tell.send(2 * asked);
            }
            next = lead.take(|_| true);
        }
        2 * asked
    }

    fn enter(lane: &Arc<Lane<u32, u32>>, asked: u32, gate: &Arc<Notify>) -> Entered<u32> {
        let gate = Arc::clone(gate);
        lane.enter(asked, &Handle::current(), |lead, asked| doubled(lead, asked, gate))
    }

    #[tokio::test]
    async fn whoever_is_alone_sends_himself() {
        let (lane, gate) = (Arc::new(Lane::default()), Arc::new(Notify::new()));
        for asked in 1..4 {
            gate.notify_one();
            // Without another task: it is done when it is asked.
            assert_eq!(enter(&lane, asked, &gate).now_or_never(), Some(Some(2 * asked)));
        }
    }

    #[tokio::test]
    async fn a_future_left_lying_holds_up_nobody() {
        let (lane, gate) = (Arc::new(Lane::default()), Arc::new(Notify::new()));
        let mut lying = enter(&lane, 1, &gate);
        assert!((&mut lying).now_or_never().is_none());
        let second = enter(&lane, 2, &gate);
        gate.notify_one();
        assert_eq!(second.await, Some(4));
        assert_eq!(lying.await, Some(2));
        gate.notify_one();
        assert_eq!(enter(&lane, 3, &gate).await, Some(6), "the lead was given up");
    }

    #[tokio::test]
    async fn what_nobody_waits_for_is_sent_all_the_same() {
        let (lane, gate) = (Arc::new(Lane::default()), Arc::new(Notify::new()));
        let done = Arc::new(Notify::new());
        let (told, sending) = (Arc::clone(&done), Arc::clone(&gate));
        let mut dropped = lane.enter(1, &Handle::current(), |lead, asked| async move {
            let answer = doubled(lead, asked, sending).await;
            told.notify_one();
            answer
        });
        assert!((&mut dropped).now_or_never().is_none());
        drop(dropped);
        gate.notify_one();
        done.notified().await;
    }

    #[test]
    fn whoever_was_to_send_and_is_taken_down_leaves_nobody_waiting() {
        let (lane, gate) = (Arc::new(Lane::default()), Arc::new(Notify::new()));
        let runtime = || tokio::runtime::Builder::new_current_thread().build().unwrap();
        let taken_down = runtime();
        let mut first = {
            let _within = taken_down.enter();
            enter(&lane, 1, &gate)
        };
        assert!((&mut first).now_or_never().is_none());
        let runtime = runtime();
        let second = {
            let _within = runtime.enter();
            enter(&lane, 2, &gate)
        };
        // The first goes on in a task now, and with its runtime the task ends.
        drop(taken_down);
        assert_eq!(runtime.block_on(first), None);
        assert_eq!(runtime.block_on(second), None);
        gate.notify_one();
        let _within = runtime.enter();
        assert_eq!(runtime.block_on(enter(&lane, 3, &gate)), Some(6));
    }
}
