//! What is kept of a turn, as plain data.

mod hydrate;
mod policies;

pub use self::hydrate::{HydrateError, hydrate_affordances};
pub use self::policies::PolicySnapshot;
