//! What users think in, written once over any [`Driver`](crate::driver::Driver).

pub(crate) mod capabilities;
mod clock;
pub(crate) mod conversations;
mod events;
mod few;
pub(crate) mod namespaces;
mod pages;
mod patience;
pub(crate) mod plan;
pub(crate) mod runs;
mod space;
pub(crate) mod transcripts;
mod unit;

pub use capabilities::{
    Attributed, Capabilities, Follows, HashKind, HashUse, Kept, Lineage, LinkPage, TurnAccount,
    TurnAttribution, TurnEntry, UnitCapabilities,
};
pub use clock::{Clock, SystemClock};
pub use conversations::{
    Added, At, Attachments, Collected, Containers, Images, Load, Loaded, Messages, Met, Parents,
    SaveOptions, Sessions, Tally, TurnMessages, Undone, Unfinished, UnitContainers, UnitImages,
    UnitMessages, UnitSessions, estimate_tokens,
};
pub(crate) use events::keep_trimming;
pub use events::{
    Bounds, ConsumerInfo, Cursor, DeadLetter, Events, Group, GroupInfo, GroupOptions, Leased,
    Published, Recovered, Restored, Retained, Retention, Start, Subscription, TopicInfo, Topics,
    UnitEvents,
};
pub use namespaces::{Copied, Namespaces};
pub use pages::{List, Page};
pub use runs::{Lease, Resumable, RunFilter, RunInfo, RunTotals, Runs, UnitRuns};
pub(crate) use space::Space;
pub use transcripts::{Following, ThreadInfo, Transcripts, UnitTranscripts};
pub use unit::{Done, Unit};
