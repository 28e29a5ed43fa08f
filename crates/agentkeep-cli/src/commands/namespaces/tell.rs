//! `namespaces create`, `namespaces tag`: what is told of a namespace.

use std::process::ExitCode;

use agentkeep::{Error, Json, Kind, NamespaceInfo, ObjectEditor, Result, Store};

use super::document;
use crate::args::{Global, Told};
use crate::commands::{Outcome, open, open_existing};
use crate::output;

/// Makes a namespace.
pub(super) async fn create(global: &Global, name: &str, told: &Told, tags: &[String]) -> Outcome {
    let info = changed(&NamespaceInfo::new(name)?, told, tags, &[])?;
    let store = open(global).await?;
    store.namespaces().create(info.clone()).await?;
    done(global, &store, &info, "Made").await
}

/// Changes what is told of it.
pub(super) async fn tag(
    global: &Global,
    name: &str,
    told: &Told,
    tags: &[String],
    remove: &[String],
) -> Outcome {
    if tags.is_empty() && remove.is_empty() && told.title.is_none() && told.set.is_empty() {
        return Err(Error::new(Kind::InvalidInput, "nothing to change was named")
            .advice("name tags to add, or --remove, --title or --set"));
    }
    let store = open_existing(global).await?;
    let change = |info: &NamespaceInfo| changed(info, told, tags, remove);
    let info = store.namespaces().update(name, change).await?;
    done(global, &store, &info, "Changed").await
}

async fn done(global: &Global, store: &Store, info: &NamespaceInfo, what: &str) -> Outcome {
    store.close().await?;
    if global.json {
        output::print_raw(&format!("{}\n", document(info)))?;
    } else {
        output::tell(&format!("{what} namespace {:?}.", info.name()));
    }
    Ok(ExitCode::SUCCESS)
}

fn changed(
    info: &NamespaceInfo,
    told: &Told,
    tags: &[String],
    remove: &[String],
) -> Result<NamespaceInfo> {
    let mut editor = ObjectEditor::of(info.json());
    if let Some(title) = &told.title {
        editor.set("title", &Json::string(title));
    }
    if !tags.is_empty() || !remove.is_empty() {
        let mut kept = info.tags();
        kept.retain(|tag| !remove.contains(tag));
        for tag in tags {
            if !kept.contains(tag) {
                kept.push(tag.clone());
            }
        }
        editor.set("tags", &Json::of(&kept)?);
    }
    if !told.set.is_empty() {
        let metadata = info.json().member("metadata").filter(Json::is_object);
        let mut members = metadata.as_ref().map(ObjectEditor::of).unwrap_or_default();
        for set in &told.set {
            let (key, value) = set.split_once('=').ok_or_else(|| {
                Error::new(Kind::InvalidInput, format!("{set:?} has no value"))
                    .advice("write --set KEY=VALUE")
            })?;
            members.set(key, &Json::parse(value).unwrap_or_else(|_| Json::string(value)));
        }
        editor.set("metadata", &members.finish());
    }
    NamespaceInfo::from_json(info.name(), editor.finish())
}
