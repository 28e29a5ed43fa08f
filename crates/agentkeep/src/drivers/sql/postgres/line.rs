//! A connection is driven by whoever waits for its answer: so there is no other thread to be woken
//! for what he sends, nor for what comes back. A task drives it while nobody waits, as the client's
//! library means it to be.
//!
//! All that can happen to a connection wakes one waker that it keeps for life, and this one passes it
//! on to who drives. So nothing needs to be registered anew when another one takes over, and nothing
//! gets lost in between: what happened and was not looked at is noted, and told to the next one.

use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// So often what is driven may ask to be polled again, before others get their turn.
const STEPS: u32 = 8;

type Connection = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A connection that somebody drives.
pub(super) struct Line {
    /// `None` once it has ended.
    connection: Mutex<Option<Connection>>,
    relay: Arc<Relay>,
    /// What the connection wakes,
    of_connection: Waker,
    /// and what wakes the call of him who drives.
    of_call: Waker,
}

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Line")
    }
}

/// Who is to be woken, and what for.
#[derive(Debug)]
struct Relay(Mutex<State>);

#[derive(Debug)]
struct State {
    /// The caller who drives,
    caller: Option<Waker>,
    /// and the task that drives when none does.
    task: Option<Waker>,
    /// Whether the caller is at it, and looks himself for what there is to do.
    busy: bool,
    /// What has been woken since it was last polled.
    connection: bool,
    call: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Connection,
    Call,
}

#[derive(Debug)]
struct Bell(Arc<Relay>, Side);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let Self(relay, side) = &**self;
        let mut state = locked(&relay.0);
        match side {
            Side::Connection => state.connection = true,
            Side::Call => state.call = true,
        }
        let for_task = (*side == Side::Connection).then_some(state.task.as_ref()).flatten();
        let waker = if state.busy { None } else { state.caller.as_ref().or(for_task).cloned() };
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Line {
    /// The line, and the task that drives it: without the task the connection ends.
    pub(super) fn new(
        connection: impl Future<Output = ()> + Send + 'static,
    ) -> (Arc<Self>, Driver) {
        // It has to be polled to be woken.
        let state = State { caller: None, task: None, busy: false, connection: true, call: false };
        let relay = Arc::new(Relay(Mutex::new(state)));
        let bell = |side| Waker::from(Arc::new(Bell(Arc::clone(&relay), side)));
        let (of_connection, of_call) = (bell(Side::Connection), bell(Side::Call));
        let connection = Mutex::new(Some(Box::pin(connection) as Connection));
        let line = Arc::new(Self { connection, relay, of_connection, of_call });
        (Arc::clone(&line), Driver(line))
    }

    /// Drives the connection until the future, which waits for it, is done or dropped. Within a call
    /// that drives already it only waits.
    pub(super) async fn drive<F: Future>(&self, future: F) -> F::Output {
        let mut future = pin!(future);
        // Dropped before the future: what that one leaves behind is for the task.
        let mut turn = Turn { line: self, drives: false };
        std::future::poll_fn(move |context| turn.poll(future.as_mut(), context)).await
    }

    fn state(&self) -> MutexGuard<'_, State> {
        locked(&self.relay.0)
    }

    fn poll_connection(&self) -> Poll<()> {
        let mut place = locked(&self.connection);
        // One that panics is not put back: it ends, and whoever uses it next is told.
        let Some(mut connection) = place.take() else { return Poll::Ready(()) };
        let polled = connection.as_mut().poll(&mut Context::from_waker(&self.of_connection));
        if polled.is_pending() {
            *place = Some(connection);
        }
        polled
    }
}

/// A caller's turn at driving.
struct Turn<'a> {
    line: &'a Line,
    drives: bool,
}

impl Turn<'_> {
    fn poll<F: Future>(
        &mut self,
        mut future: Pin<&mut F>,
        context: &mut Context<'_>,
    ) -> Poll<F::Output> {
        if !self.take_over(context.waker()) {
            return future.poll(context);
        }
        for _ in 0..STEPS {
            let mut state = self.line.state();
            // The call first: what it sends is for the connection.
            if std::mem::take(&mut state.call) {
                drop(state);
                let call = &mut Context::from_waker(&self.line.of_call);
                if let Poll::Ready(output) = future.as_mut().poll(call) {
                    self.give_back();
                    return Poll::Ready(output);
                }
            } else if std::mem::take(&mut state.connection) {
                drop(state);
                // When it has ended, the call is told.
                let _ = self.line.poll_connection();
            } else {
                state.busy = false;
                return Poll::Pending;
            }
        }
        self.line.state().busy = false;
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// False if another one drives.
    fn take_over(&mut self, waker: &Waker) -> bool {
        let mut state = self.line.state();
        if !self.drives {
            if state.caller.is_some() {
                return false;
            }
            self.drives = true;
            // It does not know its waker yet.
            state.call = true;
        }
        if !state.caller.as_ref().is_some_and(|caller| caller.will_wake(waker)) {
            state.caller = Some(waker.clone());
        }
        state.busy = true;
        true
    }

    /// To the task: it is woken only if something happened that nobody has looked at.
    fn give_back(&mut self) {
        if !std::mem::take(&mut self.drives) {
            return;
        }
        let mut state = self.line.state();
        (state.caller, state.busy, state.call) = (None, false, false);
        let waker = if state.connection { state.task.clone() } else { None };
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.give_back();
    }
}

/// Drives a line while no caller does; ends with the connection.
#[derive(Debug)]
pub(super) struct Driver(Arc<Line>);

impl Future for Driver {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.0.state();
        if !state.task.as_ref().is_some_and(|task| task.will_wake(context.waker())) {
            state.task = Some(context.waker().clone());
        }
        if state.caller.is_some() {
            return Poll::Pending;
        }
        state.connection = false;
        drop(state);
        self.0.poll_connection()
    }
}

/// With its task, aborted or taken down with its runtime, a connection ends.
impl Drop for Driver {
    fn drop(&mut self) {
        self.0.state().task = None;
        let connection = locked(&self.0.connection).take();
        // This wakes who waits for an answer.
        drop(connection);
    }
}

#[cfg(test)]
mod tests;
