//! The plain types that users think in.

mod attachment;
mod capability;
mod container;
pub(crate) mod document;
mod event;
mod image;
mod message;
mod namespace;
mod run;
mod session;
mod tools;
mod transcript;

pub use attachment::Attachment;
pub use capability::{
    CapabilityLink, ENVELOPE_VERSION, EnvelopeRow, LinkRow, OpContext, RegistrationRow,
    RuntimeSnapshotRow, ToolRef, TransitionRow,
};
pub(crate) use capability::{INLINE, Long, OPENED, each_member, new_id};
pub use container::Container;
pub use event::{Event, StoredEvent};
pub use image::Image;
pub use message::{Content, Message, StoredMessage};
pub use namespace::NamespaceInfo;
pub(crate) use run::{OWN, check_run_id};
pub use run::{RunSnapshot, RunStatus};
pub use session::Session;
pub use tools::{ToolCall, ToolResult};
pub use transcript::{StoredTranscriptEntry, TranscriptEntry};
