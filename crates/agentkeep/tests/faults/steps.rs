//! The steps that a workload is made of. What a step writes is made from its task and number alone,
//! so that every byte can be checked.

use agentkeep::schema::Turn;
use agentkeep::{At, Container, Image, Json, Load, Message, ObjectEditor, Result, Session, Store};

use crate::runs::RunStep;

/// One acknowledged thing that a child does; `n` makes its ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// A container, an image and a session, in one commit.
    Setup,
    Add(u64),
    AddMany(u64),
    /// A message with an attachment.
    Attach(u64),
    /// Two messages and metadata in one commit.
    Unit(u64),
    Edit(u64),
    Pop,
    Truncate(u64),
    MergeSession(u64),
    MergeImage(u64),
    Save(u64),
    Fork(u64),
    ForkAt(u64, u64),
    ForkImage(u64),
    AddToFork(u64),
    DeleteFork(u64),
    /// A container with an image, two sessions and messages, in one commit.
    Tree(u64),
    Cascade(u64),
    EraseTag(u64),
    /// An import: staged, then switched on.
    Load(u64),
    /// Something about runs or threads.
    Run(RunStep),
}

/// Ids begin with the task, so that each task can be checked by itself.
pub(crate) fn id(task: usize, name: &str, n: u64) -> String {
    format!("{task}-{name}{n}")
}

pub(crate) fn main_session(task: usize) -> String {
    id(task, "s", 0)
}

/// What message `id` says.
pub(crate) fn text_of(id: &str) -> String {
    let seed = id.bytes().fold(7_usize, |sum, byte| sum * 31 % 65_537 + usize::from(byte));
    // Most are short, some fill pages.
    let times = if seed.is_multiple_of(9) { 900 } else { 1 + seed % 40 };
    format!("{id}:").repeat(times)
}

fn message(id: &str, text: &str) -> Message {
    let mut editor = ObjectEditor::default();
    editor.set("id", &Json::string(id)).set("subtype", &Json::string("user"));
    editor.set("content", &Json::string(text));
    Message::from_json(editor.finish()).unwrap()
}

fn told(id: &str) -> Message {
    message(id, &text_of(id))
}

fn three(task: usize, name: &str, n: u64) -> Vec<Message> {
    (0..3).map(|i| told(&id(task, &format!("{name}{i}-"), n))).collect()
}

fn patch(key: &str, n: u64) -> Json {
    Json::parse(&format!(r#"{{"{key}":{n},"long":"{}"}}"#, text_of(key))).unwrap()
}

fn container(task: usize, name: &str, n: u64) -> Container {
    Container::new(&id(task, name, n)).unwrap().with("title", &format!("number {n}")).unwrap()
}

fn image(task: usize, name: &str, n: u64, container: &str) -> Image {
    let session = id(task, if name == "i" { "s" } else { "xs" }, n);
    Image::new(&id(task, name, n), container, "Helper")
        .unwrap()
        .with("sessionId", &session)
        .unwrap()
}

impl Step {
    /// Whether it is one commit, so that an error other than `OutcomeUnknown` means: nothing done.
    pub(crate) fn is_one_commit(self) -> bool {
        !matches!(
            self,
            Self::Attach(_)
                | Self::Truncate(_)
                | Self::DeleteFork(_)
                | Self::Cascade(_)
                | Self::EraseTag(_)
                | Self::Load(_)
        )
    }

    pub(crate) async fn apply(self, store: &Store, task: usize) -> Result<()> {
        let main = main_session(task);
        let messages = store.messages(&main);
        match self {
            Self::Setup => {
                let mut unit = store.unit();
                unit.containers().save(container(task, "c", 0));
                unit.images().save(image(task, "i", 0, &id(task, "c", 0)));
                let session = Session::new(&main, &id(task, "i", 0), &id(task, "c", 0))?;
                unit.sessions().save(session);
                unit.commit().await?;
            }
            Self::Add(n) => drop(messages.add(told(&id(task, "m", n))).await?),
            Self::AddMany(n) => drop(messages.add_many(three(task, "many", n)).await?),
            Self::Attach(n) => {
                let bytes = text_of(&id(task, "bytes", n)).repeat(7);
                let attachment = store.attachments().put(bytes.as_bytes()).await?;
                let told = told(&id(task, "a", n)).attach(&attachment)?;
                messages.add(told).await?;
            }
            Self::Unit(n) => {
                let mut unit = store.unit();
                unit.messages(&main).add(told(&id(task, "u", n))).add(told(&id(task, "v", n)));
                unit.sessions().merge_metadata(&main, &patch("last", n), &[]);
                unit.images().merge_metadata(&id(task, "i", 0), &patch("seen", n), &[]);
                unit.commit().await?;
            }
            Self::Edit(n) => {
                let id = id(task, "m", n);
                messages.edit(&id, message(&id, &format!("edited {}", text_of(&id)))).await?;
            }
            Self::Pop => drop(messages.pop().await?),
            Self::Truncate(n) => messages.truncate_after(&id(task, "m", n)).await?,
            Self::MergeSession(n) => {
                let key = format!("k{}", n % 5);
                let sessions = store.sessions();
                sessions.merge_metadata(&main, &patch(&key, n), &["k4"]).await?;
            }
            Self::MergeImage(n) => {
                let id = id(task, "i", 0);
                store.images().merge_metadata(&id, &patch("k", n), &[]).await?;
            }
            Self::Save(n) => {
                let renamed = container(task, "c", 0).with("title", &format!("now {n}"))?;
                store.containers().save(renamed).await?;
            }
            Self::Fork(n) => drop(store.sessions().fork(&main, At::End, &id(task, "f", n)).await?),
            Self::ForkAt(n, at) => {
                let at = At::Message(id(task, "m", at));
                store.sessions().fork(&main, at, &id(task, "f", n)).await?;
            }
            Self::ForkImage(n) => {
                let (image, session) = (id(task, "g", n), id(task, "gs", n));
                store.images().fork(&id(task, "i", 0), At::End, &image, &session).await?;
            }
            Self::AddToFork(n) => {
                store.messages(&id(task, "f", n)).add(told(&id(task, "fm", n))).await?;
            }
            Self::DeleteFork(n) => drop(store.sessions().delete(&id(task, "f", n)).await?),
            Self::Tree(n) => tree(store, task, n).await?,
            Self::Cascade(n) => drop(store.containers().delete_cascade(&id(task, "x", n)).await?),
            Self::EraseTag(n) => {
                store.erase_tag(&id(task, "tag", n)).await?;
            }
            Self::Load(n) => load(store, task, n).await?,
            Self::Run(step) => step.apply(store, task).await?,
        }
        Ok(())
    }

    /// A defect to be caught: what should be one commit is two.
    pub(crate) async fn apply_in_halves(self, store: &Store, task: usize) -> Result<()> {
        if let Self::Run(step) = self {
            return step.apply_in_halves(store, task).await;
        }
        let Self::Unit(n) = self else { return self.apply(store, task).await };
        let (main, image) = (main_session(task), id(task, "i", 0));
        store
            .messages(&main)
            .add_many(vec![told(&id(task, "u", n)), told(&id(task, "v", n))])
            .await?;
        store.sessions().merge_metadata(&main, &patch("last", n), &[]).await?;
        store.images().merge_metadata(&image, &patch("seen", n), &[]).await
    }

    /// A defect to be caught: messages have no ids, so that trying again may add them once more.
    pub(crate) async fn apply_without_id(self, store: &Store, task: usize) -> Result<()> {
        let Self::Unit(n) = self else { return self.apply(store, task).await };
        let main = main_session(task);
        let mut unit = store.unit();
        for name in ["u", "v"] {
            unit.messages(&main).add(told(&id(task, name, n)).without_entry_id());
        }
        unit.sessions().merge_metadata(&main, &patch("last", n), &[]);
        unit.images().merge_metadata(&id(task, "i", 0), &patch("seen", n), &[]);
        unit.commit().await.map(drop)
    }
}

async fn tree(store: &Store, task: usize, n: u64) -> Result<()> {
    let (top, tag) = (id(task, "x", n), id(task, "tag", n));
    let mut unit = store.unit();
    unit.containers().save(container(task, "x", n));
    unit.images().save(image(task, "xi", n, &top));
    for name in ["xs", "xt"] {
        let session = Session::new(&id(task, name, n), &id(task, "xi", n), &top)?;
        unit.sessions().save(session.with("tags", &[tag.as_str()])?);
        unit.messages(&id(task, name, n)).add_many(three(task, name, n));
    }
    unit.commit().await.map(drop)
}

async fn load(store: &Store, task: usize, n: u64) -> Result<()> {
    let mut load = store.load(&Turn::new(&id(task, "import", n))?).await?;
    give(&mut load, task, n).await?;
    if load.begin(false).await? {
        give(&mut load, task, n).await?;
    }
    load.finish().await.map(drop)
}

async fn give(load: &mut Load, task: usize, n: u64) -> Result<()> {
    load.container(container(task, "l", n)).await?;
    load.image(image(task, "li", n, &id(task, "l", n))).await?;
    for name in ["ls", "lt"] {
        let session = Session::new(&id(task, name, n), &id(task, "li", n), &id(task, "l", n))?;
        load.session(session).await?;
        load.messages(three(task, name, n)).await?;
    }
    Ok(())
}
