//! Policies: conditions under which an agent has a tool.

use std::fmt;
use std::future::Future;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::Failure;
use crate::json::Json;

type Check = dyn Fn(Json) -> BoxFuture<'static, Result<bool, Failure>> + Send + Sync;

/// When a policy is looked at again before a tool is executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum ExecuteBinding {
    /// Each time.
    #[default]
    Live,
    /// Not if the turn's snapshot has its result.
    Snapshot,
}

impl ExecuteBinding {
    /// Its name in hashes.
    pub fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Snapshot => "snapshot",
        }
    }
}

/// A condition on the environment. A clone is the same policy; two policies with one id are two.
///
/// ```
/// use agentkeep::capabilities::Policy;
/// let paying = Policy::new("tier-pro", |env| async move {
///     Ok(env.member("tier").and_then(|tier| tier.to_text()).as_deref() == Some("pro"))
/// });
/// assert_eq!(paying.id(), "tier-pro");
/// ```
#[derive(Clone)]
pub struct Policy(Arc<Inner>);

struct Inner {
    id: String,
    binding: ExecuteBinding,
    check: Box<Check>,
}

impl Policy {
    /// A live policy. A check that fails denies.
    pub fn new<F, R>(id: &str, check: F) -> Self
    where
        F: Fn(Json) -> R + Send + Sync + 'static,
        R: Future<Output = Result<bool, Failure>> + Send + 'static,
    {
        Self::bound(id, ExecuteBinding::Live, check)
    }

    /// A policy that is bound so.
    pub fn bound<F, R>(id: &str, binding: ExecuteBinding, check: F) -> Self
    where
        F: Fn(Json) -> R + Send + Sync + 'static,
        R: Future<Output = Result<bool, Failure>> + Send + 'static,
    {
        let check: Box<Check> = Box::new(move |env| Box::pin(check(env)));
        Self(Arc::new(Inner { id: id.to_owned(), binding, check }))
    }

    /// Its id, any text.
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// How it is bound.
    pub fn binding(&self) -> ExecuteBinding {
        self.0.binding
    }

    pub(crate) async fn check(&self, env: Json) -> Result<bool, Failure> {
        (self.0.check)(env).await
    }
}

impl PartialEq for Policy {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Policy {}

impl Hash for Policy {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.0).hash(state);
    }
}

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Policy({:?}, {})", self.0.id, self.0.binding.name())
    }
}
