//! agentkeep keeps what an AI agent must not lose: its conversations, events, runs, transcripts
//! and capabilities today; checkpoints next, in one store on the database you already run.
//!
//! ```
//! use agentkeep::{At, Container, Image, Message, Session, Store};
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> agentkeep::Result<()> {
//! let store = Store::open("memory:").await?; // or sqlite:./keep.db
//! store.containers().save(Container::new("acme")?).await?;
//! store.images().save(Image::new("helper", "acme", "Helper")?).await?;
//! store.sessions().save(Session::new("chat", "helper", "acme")?).await?;
//!
//! let chat = store.messages("chat");
//! chat.add(Message::user("Where is my order?")?).await?;
//! chat.add(Message::assistant("On its way.")?).await?;
//!
//! store.sessions().fork("chat", At::End, "what-if").await?; // shares the past, costs nothing
//! assert_eq!(store.messages("what-if").count().await?, 2);
//! # Ok(()) }
//! ```
//!
//! - [`Store`] is the handle; [`urls`] says what can be opened.
//! - [`Unit`] changes several things in one commit.
//! - [`driver`] is the seam to databases, with its laws; [`schema`] what is kept.
//! - [`Error`] says what was wrong, where, and what to do.

#[cfg(feature = "capabilities")]
pub mod capabilities;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod driver;
pub mod drivers;
mod error;
#[cfg(any(feature = "postgres", feature = "redis"))]
pub mod foreign;
mod frozen;
mod json;
mod model;
mod repo;
pub mod schema;
mod store;
pub mod urls;

pub use error::{Error, Kind, Result};
pub use json::{Json, MAX_DEPTH, ObjectEditor, Problem, ScanError};
pub use model::{
    Attachment, CapabilityLink, Container, Content, Event, Image, Message, NamespaceInfo,
    RunSnapshot, RunStatus, Session, StoredEvent, StoredMessage, ToolCall, ToolRef, ToolResult,
};
pub use model::{
    ENVELOPE_VERSION, EnvelopeRow, LinkRow, OpContext, RegistrationRow, RuntimeSnapshotRow,
    TransitionRow,
};
pub use model::{StoredTranscriptEntry, TranscriptEntry};
pub use repo::{
    Added, At, Attachments, Bounds, Clock, Collected, ConsumerInfo, Containers, Copied, Cursor,
    DeadLetter, Done, Events, Group, GroupInfo, GroupOptions, Images, Lease, Leased, List, Load,
    Loaded, Messages, Met, Namespaces, Page, Parents, Published, Recovered, Restored, Resumable,
    Retained, Retention, RunFilter, RunInfo, RunTotals, Runs, SaveOptions, Sessions, Start,
    Subscription, SystemClock, Tally, TopicInfo, Topics, TurnMessages, Undone, Unfinished, Unit,
    UnitContainers, UnitEvents, UnitImages, UnitMessages, UnitRuns, UnitSessions, estimate_tokens,
};
pub use repo::{
    Attributed, Capabilities, Follows, HashKind, HashUse, Kept, Lineage, LinkPage, TurnAccount,
    TurnAttribution, TurnEntry, UnitCapabilities,
};
pub use repo::{Following, ThreadInfo, Transcripts, UnitTranscripts};
pub use store::Store;
