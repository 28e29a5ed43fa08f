//! The host of sessions: registrations, hooks, contexts, cancellation.

mod context;
mod error;
mod hooks;
mod registry;
mod session;

pub use self::context::{ContextLayer, Resolver, SessionContext};
pub use self::error::SessionError;
pub use self::hooks::{RunArgs, Runner, SessionHooks, Stage, StageEvent};
pub use self::registry::{AgentRegistry, Attribution, RegisterOptions};
pub use self::session::{AgentSession, SessionOptions};
