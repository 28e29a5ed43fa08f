//! [`Store`]: the handle on everything that is kept.

use std::sync::Arc;

use crate::driver::{CheckReport, Description, Driver};
use crate::error::Result;
use crate::json::Json;
use crate::model::OpContext;
use crate::repo::{
    Attachments, Capabilities, Clock, Collected, Containers, Events, Images, Load, Messages,
    Namespaces, Restored, Runs, Sessions, Space, Transcripts, TurnAccount, TurnMessages, Undone,
    Unfinished, Unit, conversations,
};
use crate::schema::{Namespace, Turn};

/// One handle on everything that is kept, for one namespace; cheap to clone.
///
/// ```
/// use agentkeep::{Container, Image, Message, Session, Store};
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> agentkeep::Result<()> {
/// let store = Store::open("memory:").await?;
/// store.containers().save(Container::new("acme")?).await?;
/// store.images().save(Image::new("helper", "acme", "Helper")?).await?;
/// store.sessions().save(Session::new("chat", "helper", "acme")?).await?;
/// store.messages("chat").add(Message::user("Hello!")?).await?;
/// assert_eq!(store.messages("chat").all().await?.len(), 1);
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Store {
    space: Space,
}

impl Store {
    /// Opens a store from its URL: `memory:`, or `sqlite:PATH` with options as query parameters
    /// (see [`urls`](crate::urls)).
    ///
    /// # Errors
    /// `InvalidInput` for an unknown scheme or option, `Unsupported` for a driver that is not
    /// compiled in, and what the driver says: `Unavailable`, `PermissionDenied`, `NewerFormat`,
    /// `DurabilityNotMet`, `Corrupt`, ...
    pub async fn open(url: &str) -> Result<Self> {
        let store = Self::over(crate::urls::open(url).await?);
        crate::repo::keep_trimming(&store.space);
        Ok(store)
    }

    /// A store over any driver that was opened with [`AGENTKEEP`](crate::schema::AGENTKEEP). Events
    /// are trimmed only when [`Events::retain`] is called; [`open`](Self::open) sees to that.
    pub fn over(driver: Arc<dyn Driver>) -> Self {
        Self { space: Space::new(driver, Namespace::default()) }
    }

    /// As [`over`](Self::over), with a clock of one's own: for tests of what depends on time.
    pub fn with_clock(driver: Arc<dyn Driver>, clock: Arc<dyn Clock>) -> Self {
        Self { space: Space::with_clock(driver, Namespace::default(), clock) }
    }

    /// The same store, another namespace. It comes into being with its first write.
    ///
    /// # Errors
    /// `InvalidId`.
    pub fn namespace(&self, name: &str) -> Result<Self> {
        Ok(Self { space: self.space.sibling(Namespace::new(name)?) })
    }

    /// This namespace as it is now: what others commit later does not show in it, and it cannot be
    /// changed. A file-based store cannot shrink while one is held.
    ///
    /// # Errors
    /// `Unsupported` by drivers without snapshots.
    pub async fn snapshot(&self) -> Result<Self> {
        let namespace = self.space.namespace().clone();
        let frozen = crate::frozen::Frozen::take(self.space.driver(), &namespace).await?;
        Ok(Self { space: Space::new(Arc::new(frozen), namespace) })
    }

    pub(crate) fn space(&self) -> &Space {
        &self.space
    }

    /// The name of this handle's namespace.
    pub fn namespace_name(&self) -> &str {
        self.space.namespace().as_str()
    }

    /// Containers.
    pub fn containers(&self) -> Containers<'_> {
        Containers::new(&self.space)
    }

    /// Images.
    pub fn images(&self) -> Images<'_> {
        Images::new(&self.space)
    }

    /// Sessions.
    pub fn sessions(&self) -> Sessions<'_> {
        Sessions::new(&self.space)
    }

    /// The messages of one session.
    pub fn messages<'a>(&'a self, session_id: &'a str) -> Messages<'a> {
        Messages::new(&self.space, session_id)
    }

    /// Runs, under no number: see [`Runs::under`].
    pub fn runs(&self) -> Runs<'_> {
        Runs::new(&self.space)
    }

    /// Transcripts.
    pub fn transcripts(&self) -> Transcripts<'_> {
        Transcripts::new(&self.space)
    }

    /// What agents were and could do, turn by turn.
    pub fn capabilities(&self) -> Capabilities<'_> {
        Capabilities::new(&self.space)
    }

    /// The store of an operation's tenant: the namespace of that name, or this one if the operation
    /// is of none.
    ///
    /// # Errors
    /// `InvalidId`.
    pub fn tenant(&self, op: &OpContext) -> Result<Self> {
        op.tenant_id.as_deref().map_or_else(|| Ok(self.clone()), |tenant| self.namespace(tenant))
    }

    /// Attachments.
    pub fn attachments(&self) -> Attachments<'_> {
        Attachments::new(&self.space)
    }

    /// Events.
    pub fn events(&self) -> Events<'_> {
        Events::new(&self.space)
    }

    /// A unit of work: several changes, one commit, one turn.
    pub fn unit(&self) -> Unit {
        Unit::new(self.space.clone())
    }

    /// Takes in a whole data set of any size, all or none: for imports. Everything that it writes
    /// carries `import` as its turn, so the same data should always have the same.
    ///
    /// # Errors
    /// `Conflict` while another import is under way in the namespace.
    pub async fn load(&self, import: &Turn) -> Result<Load> {
        Load::new(self.space.clone(), import).await
    }

    /// Takes back what the import `import` has brought and nobody has changed since; also what an
    /// interrupted one has left. Can be repeated.
    ///
    /// # Errors
    /// `NotFound` when nothing of it is there.
    pub async fn undo_load(&self, import: &Turn) -> Result<Undone> {
        conversations::imports::undo(&self.space, import).await
    }

    /// The imports that have begun in this namespace and not ended. While one of them is staged,
    /// the namespace appears empty and takes no other changes.
    ///
    /// # Errors
    /// What the driver says.
    pub async fn unfinished_loads(&self) -> Result<Vec<Unfinished>> {
        conversations::imports::unfinished(&self.space).await
    }

    /// The definitions of one kind that imports have brought and that are no images: AgentX's
    /// `prototype` and `llm-provider`, by id.
    ///
    /// # Errors
    /// `InvalidId`.
    pub async fn definitions(&self, kind: &str) -> Result<Vec<(String, Json)>> {
        conversations::definitions::all(&self.space, kind).await
    }

    /// What one turn wrote.
    ///
    /// # Errors
    /// What the driver says.
    pub async fn turn(&self, turn: &Turn) -> Result<Vec<TurnMessages>> {
        conversations::turns::read(&self.space, turn).await
    }

    /// Why a message was written: what the turn that wrote it saw, could do, did and published.
    ///
    /// # Errors
    /// `NotFound` when the session has no such message.
    pub async fn why(&self, session_id: &str, message_id: &str) -> Result<TurnAccount> {
        let account = crate::repo::capabilities::why::account;
        account(&self.space, session_id, message_id).await.map_err(|error| error.during("why"))
    }

    /// Erases every image and session that has this tag, with all messages and the attachments
    /// that nothing else refers to. Takes effect in one commit; what is left to collect after an
    /// interruption is told by [`check`](Self::check) and done by [`collect`](Self::collect).
    /// Messages that a fork without the tag shares stay with the fork.
    ///
    /// # Errors
    /// `TooLarge` for a text longer than any tag; what the driver says.
    pub async fn erase_tag(&self, tag: &str) -> Result<Collected> {
        conversations::delete::erase_tag(&self.space, tag).await
    }

    /// Does the work that deletions left due in this namespace, in small commits; safe to
    /// interrupt and to run in several processes at once.
    ///
    /// # Errors
    /// What the driver says.
    pub async fn collect(&self) -> Result<Collected> {
        conversations::collect::collect(&self.space).await
    }

    /// All namespaces of the store, whichever this handle is for.
    pub fn namespaces(&self) -> Namespaces<'_> {
        Namespaces::new(&self.space)
    }

    /// To be called once after the store has been put back from a backup: [`Events::restored`] in all
    /// namespaces.
    ///
    /// # Errors
    /// As for [`Events::restored`].
    pub async fn restored(&self) -> Result<Restored> {
        let mut done = Restored::default();
        for name in self.namespaces().names().await? {
            done.topics += self.namespace(&name)?.events().restored().await?.topics;
        }
        Ok(done)
    }

    /// Looks at everything in the store, all namespaces: what is damaged, and what is due.
    ///
    /// # Errors
    /// What the driver says.
    pub async fn check(&self) -> Result<CheckReport> {
        conversations::check::check(&self.space).await
    }

    /// What the driver promises.
    pub fn describe(&self) -> &Description {
        self.space.driver().describe()
    }

    /// The driver below.
    pub fn driver(&self) -> &Arc<dyn Driver> {
        self.space.driver()
    }

    /// Ends the driver's tasks and connections; later calls on any clone give `Closed`.
    ///
    /// # Errors
    /// What the driver says.
    pub async fn close(&self) -> Result<()> {
        self.space.driver().close().await
    }
}
