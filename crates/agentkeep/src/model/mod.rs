//! The plain types that users think in.

mod attachment;
mod container;
pub(crate) mod document;
mod event;
mod image;
mod message;
mod namespace;
mod session;
mod tools;

pub use attachment::Attachment;
pub use container::Container;
pub use event::{Event, StoredEvent};
pub use image::Image;
pub use message::{Content, Message, StoredMessage};
pub use namespace::NamespaceInfo;
pub use session::Session;
pub use tools::{ToolCall, ToolResult};
