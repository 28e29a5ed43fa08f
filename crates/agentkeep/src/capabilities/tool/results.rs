//! What policies said.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::Policy;

/// What policies said in one evaluation, by policy, not by id; clones share it.
#[derive(Debug, Clone, Default)]
pub struct PolicyResults {
    held: Arc<Mutex<Held>>,
}

#[derive(Debug, Default)]
struct Held {
    results: Vec<(Policy, bool)>,
    places: HashMap<Policy, usize>,
}

impl PolicyResults {
    fn with<T>(&self, look: impl FnOnce(&mut Held) -> T) -> T {
        look(&mut self.held.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What a policy said, if it was asked.
    pub fn get(&self, policy: &Policy) -> Option<bool> {
        self.with(|held| held.places.get(policy).map(|place| held.results[*place].1))
    }

    /// Notes what a policy said.
    pub fn set(&self, policy: &Policy, allowed: bool) {
        self.with(|held| {
            if let Some(place) = held.places.get(policy) {
                held.results[*place].1 = allowed;
            } else {
                held.places.insert(policy.clone(), held.results.len());
                held.results.push((policy.clone(), allowed));
            }
        });
    }

    /// What all policies said, in the order in which they were first asked.
    pub fn all(&self) -> Vec<(Policy, bool)> {
        self.with(|held| held.results.clone())
    }
}
