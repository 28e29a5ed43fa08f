//! `namespaces ...`.

mod copy;
mod delete;
mod list;
mod show;
mod tell;

use agentkeep::{Error, Kind, NamespaceInfo, Result, Store};

use super::Outcome;
use crate::args::{Global, Namespaces};

/// Runs the command that was written.
pub(crate) async fn run(global: &Global, args: &Namespaces) -> Outcome {
    match args {
        Namespaces::List(args) => list::run(global, args).await,
        Namespaces::Show { name } => show::run(global, name).await,
        Namespaces::Create { name, told, tag } => tell::create(global, name, told, tag).await,
        Namespaces::Tag { name, told, tags, remove } => {
            tell::tag(global, name, told, tags, remove).await
        }
        Namespaces::Fork(names) => copy::fork(global, names).await,
        Namespaces::Rename(names) => copy::rename(global, names).await,
        Namespaces::Delete(doomed) => delete::run(global, doomed, false).await,
        Namespaces::Erase(doomed) => delete::run(global, doomed, true).await,
    }
}

/// What is told of a namespace that must be there.
pub(super) async fn existing(store: &Store, name: &str) -> Result<NamespaceInfo> {
    store.namespaces().get(name).await?.ok_or_else(|| {
        Error::new(Kind::NotFound, "there is no such namespace")
            .at(format!("namespace {name:?}"))
            .advice("agentkeep namespaces list names them all")
    })
}

/// A namespace for programs: its name before what is told of it.
fn document(info: &NamespaceInfo) -> agentkeep::Json {
    let mut editor = agentkeep::ObjectEditor::default();
    editor.set("namespace", &agentkeep::Json::string(info.name()));
    for (member, value) in info.json().members().filter(|(member, _)| member != "namespace") {
        editor.set(&member, &value);
    }
    editor.finish()
}
