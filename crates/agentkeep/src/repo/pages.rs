//! Lists in pages.

use serde::Serialize;

use crate::driver::{Continuation, MAX_LIMIT};
use crate::error::{Error, Kind, Result};

/// Which page of a list: how many, and after what.
///
/// ```
/// use agentkeep::List;
/// let first = List::default();
/// let next = List::of(20)?.after("…what the page before gave as `next`…");
/// # Ok::<(), agentkeep::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List {
    limit: usize,
    after: Option<String>,
}

impl Default for List {
    /// The first 100.
    fn default() -> Self {
        Self { limit: 100, after: None }
    }
}

impl List {
    /// The first `limit`, 1 to 10,000.
    ///
    /// # Errors
    /// `InvalidInput` for a limit out of range.
    pub fn of(limit: usize) -> Result<Self> {
        if (1..=MAX_LIMIT).contains(&limit) {
            return Ok(Self { limit, after: None });
        }
        let message = format!("a page of {limit} cannot be had");
        Err(Error::new(Kind::InvalidInput, message)
            .advice(format!("ask for 1 to {MAX_LIMIT}, and for the next page after that")))
    }

    /// The same, after the page that gave `next`.
    #[must_use]
    pub fn after(mut self, next: &str) -> Self {
        self.after = Some(next.to_owned());
        self
    }

    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    pub(super) fn continuation(&self) -> Result<Option<Continuation>> {
        self.after.as_deref().map(Continuation::from_token).transpose()
    }

    /// The continuation of a list that is made of several queries, and itself is for `what`.
    pub(super) fn continuation_for(&self, what: &str) -> Result<Option<Continuation>> {
        let Some(token) = &self.after else { return Ok(None) };
        let Some(token) = token.strip_prefix(&sum(what)) else {
            return Err(Error::new(
                Kind::InvalidInput,
                "the continuation belongs to another query",
            )
            .advice("continue with the same filter and order, or start again"));
        };
        Continuation::from_token(token).map(Some)
    }
}

/// What [`List::continuation_for`] takes.
pub(super) fn token_for(what: &str, next: &Continuation) -> String {
    sum(what) + &next.token()
}

fn sum(what: &str) -> String {
    format!("{:08x}", crc32fast::hash(what.as_bytes()))
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Page<T> {
    /// What is on it, in order.
    pub items: Vec<T>,
    /// What to give to [`List::after`] for the next page; `None` on the last one.
    pub next: Option<String>,
}
