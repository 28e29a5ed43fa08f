//! What an agent was and could do, as rows that are kept.

mod link;
mod long;
mod op;
mod rows;

pub use link::{CapabilityLink, ToolRef};
pub(crate) use long::{INLINE, Long, OPENED, each_member};
pub use op::OpContext;
pub(crate) use rows::new_id;
pub use rows::{
    ENVELOPE_VERSION, EnvelopeRow, LinkRow, RegistrationRow, RuntimeSnapshotRow, TransitionRow,
};
