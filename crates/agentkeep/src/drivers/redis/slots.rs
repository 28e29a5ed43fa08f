//! Slots: the server keeps, for each client and each of its slots, the number of the last call and
//! what it answered. A slot has one call under way at a time.

use std::sync::{Mutex, PoisonError};

/// The slots of this client.
#[derive(Default)]
pub(super) struct Slots(Mutex<State>);

#[derive(Default)]
struct State {
    /// Those in which nothing is under way, with the number of the last call.
    free: Vec<(usize, u64)>,
    made: usize,
}

/// A slot, for one call.
pub(super) struct Slot<'a> {
    slots: &'a Slots,
    pub(super) place: usize,
    pub(super) number: u64,
}

impl Slots {
    pub(super) fn take(&self) -> Slot<'_> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (place, number) = state.free.pop().unwrap_or_else(|| {
            state.made += 1;
            (state.made, 0)
        });
        Slot { slots: self, place, number: number + 1 }
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        let mut state = self.slots.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.free.push((self.place, self.number));
    }
}
