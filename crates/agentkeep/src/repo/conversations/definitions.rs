//! Definitions that are no images: what imports bring of kinds that agentkeep does not use itself.

use crate::driver::{Find, Put, Save};
use crate::error::Result;
use crate::json::{Json, ObjectEditor};
use crate::repo::space::Space;
use crate::schema::{DEFINITIONS, Key, check_id};

use super::pending::Pending;

pub(super) fn key(kind: &str, id: &str) -> Result<Key> {
    check_id("definition", id)?;
    Key::new(&DEFINITIONS, [kind, id])
}

pub(super) fn put(kind: &str, id: &str, body: &Json) -> Result<Put> {
    Put::new(key(kind, id)?, body.clone(), Save::Create)
}

/// The record that says that an import added to a thread which was there before. Its id cannot be
/// a session's, for which the same is noted.
pub(super) fn growth_of_thread(import: &str, thread: &str) -> Result<(Key, Json)> {
    let id = format!("thread:{}", blake3::hash(thread.as_bytes()).to_hex());
    let mut body = ObjectEditor::default();
    body.set("thread", &Json::string(thread));
    Ok((key(import, &id)?, body.finish()))
}

/// All of one kind, by id.
pub(crate) async fn all(space: &Space, kind: &str) -> Result<Vec<(String, Json)>> {
    check_id("kind", kind)?;
    if Pending::load(space).await?.hides_all() {
        return Ok(Vec::new());
    }
    let records = space.find_all(Find::by(&DEFINITIONS, "key")?).await?;
    let of_kind = records.into_iter().filter(|record| record.key.first() == kind);
    Ok(of_kind
        .map(|record| (record.key.parts().nth(1).unwrap_or_default().to_owned(), record.body))
        .collect())
}
