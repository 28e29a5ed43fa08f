//! What is kept of a turn, as plain data.

mod hydrate;
mod policies;
mod turn;

pub use self::hydrate::{HydrateError, hydrate_affordances};
pub use self::policies::PolicySnapshot;
pub use self::turn::{
    CaptureOptions, CapturedTurn, EnvKeys, affordances_to_wire, capture_turn,
    compute_full_capability_link,
};
