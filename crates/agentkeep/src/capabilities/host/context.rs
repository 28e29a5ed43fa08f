//! The context of one start: what the agent, its registration and the session put together.

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::BoxFuture;

use crate::capabilities::agent::RegisteredAgent;
use crate::capabilities::tool::{AbortSignal, Failure};
use crate::json::{Json, ObjectEditor};

type Resolve = dyn Fn(
        Arc<RegisteredAgent>,
        Json,
        SessionContext,
    ) -> BoxFuture<'static, Result<Option<Json>, Failure>>
    + Send
    + Sync;

/// The context of one start, shared by resolvers, hooks and the runner: what one of them sets, the
/// later ones see.
#[derive(Clone)]
pub struct SessionContext {
    held: Arc<Mutex<ObjectEditor>>,
    signal: Option<AbortSignal>,
}

/// A part of a context: later parts win.
#[derive(Clone)]
pub enum ContextLayer {
    /// An object.
    Static(Json),
    /// What a function gives, if it gives anything.
    Resolver(Resolver),
}

/// A function that gives a part of a context.
#[derive(Clone)]
pub struct Resolver(Arc<Resolve>);

impl SessionContext {
    pub(super) fn new(of: &Json, signal: Option<AbortSignal>) -> Self {
        Self { held: Arc::new(Mutex::new(ObjectEditor::of(of))), signal }
    }

    fn with<T>(&self, look: impl FnOnce(&mut ObjectEditor) -> T) -> T {
        look(&mut self.held.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The whole as an object.
    pub fn json(&self) -> Json {
        self.with(|held| held.finish())
    }

    /// One member.
    pub fn get(&self, name: &str) -> Option<Json> {
        self.json().member(name)
    }

    /// Gives a member a value.
    pub fn set(&self, name: &str, value: &Json) {
        self.with(|held| {
            held.set(name, value);
        });
    }

    /// Tells when the start is no longer wanted, if anybody can say so.
    pub fn signal(&self) -> Option<&AbortSignal> {
        self.signal.as_ref()
    }

    pub(super) fn merge(&self, object: &Json) {
        for (name, value) in object.members() {
            self.set(&name, &value);
        }
    }
}

impl fmt::Debug for SessionContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionContext({} bytes)", self.json().len())
    }
}

impl ContextLayer {
    /// A part that a function gives, from the agent, the input and the context so far.
    pub fn resolver<F, R>(resolve: F) -> Self
    where
        F: Fn(Arc<RegisteredAgent>, Json, SessionContext) -> R + Send + Sync + 'static,
        R: Future<Output = Result<Option<Json>, Failure>> + Send + 'static,
    {
        Self::Resolver(Resolver(Arc::new(move |agent, input, context| {
            Box::pin(resolve(agent, input, context))
        })))
    }

    pub(super) async fn put_in(
        &self,
        agent: &Arc<RegisteredAgent>,
        input: &Json,
        context: &SessionContext,
    ) -> Result<(), Failure> {
        match self {
            Self::Static(object) => context.merge(object),
            Self::Resolver(Resolver(resolve)) => {
                let given = resolve(Arc::clone(agent), input.clone(), context.clone()).await?;
                if let Some(object) = given {
                    context.merge(&object);
                }
            }
        }
        Ok(())
    }
}

impl From<Json> for ContextLayer {
    fn from(object: Json) -> Self {
        Self::Static(object)
    }
}

impl fmt::Debug for ContextLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Static(object) => write!(f, "Static({} bytes)", object.len()),
            Self::Resolver(resolver) => resolver.fmt(f),
        }
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Resolver")
    }
}
