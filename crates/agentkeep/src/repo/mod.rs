//! What users think in, written once over any [`Driver`](crate::driver::Driver).

pub(crate) mod conversations;
pub(crate) mod namespaces;
mod pages;
pub(crate) mod plan;
mod space;
mod unit;

pub use conversations::{
    Added, At, Attachments, Collected, Containers, Images, Load, Loaded, Messages, Met, Parents,
    SaveOptions, Sessions, Tally, TurnMessages, Undone, Unfinished, UnitContainers, UnitImages,
    UnitMessages, UnitSessions, estimate_tokens,
};
pub use namespaces::{Copied, Namespaces};
pub use pages::{List, Page};
pub(crate) use space::Space;
pub use unit::{Done, Unit};
