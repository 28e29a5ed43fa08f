//! Conversations: containers, images, sessions, messages and their attachments.

mod add;
mod attachments;
pub(crate) mod check;
pub(crate) mod collect;
mod containers;
mod cut;
pub(crate) mod delete;
mod edit;
mod fork;
mod images;
pub(crate) mod lineage;
mod lists;
mod load;
mod messages;
mod parents;
pub(crate) mod pending;
mod save;
mod sessions;
mod sweep;
pub(crate) mod turns;
mod view;
mod window;

pub use add::Added;
pub use attachments::Attachments;
pub use collect::Collected;
pub use containers::{Containers, UnitContainers};
pub use fork::At;
pub use images::{Images, UnitImages};
pub use load::{Load, Loaded, Tally};
pub use messages::{Messages, UnitMessages};
pub use parents::Parents;
pub use save::SaveOptions;
pub use sessions::{Sessions, UnitSessions};
pub use turns::TurnMessages;
pub use window::estimate_tokens;
