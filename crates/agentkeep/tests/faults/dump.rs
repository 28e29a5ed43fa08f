//! A store as text: everything that its users can see, byte for byte, but for the times at which
//! records were changed.

use std::collections::BTreeMap;

use agentkeep::{Attachment, Json, ObjectEditor, Result, Store};

/// A line for each thing that is kept, by its kind and id.
pub(crate) type Dump = BTreeMap<String, String>;

pub(crate) async fn dump(store: &Store) -> Result<Dump> {
    let mut lines = Dump::new();
    for container in store.containers().all().await? {
        lines.insert(format!("container/{}", container.id()), timeless(container.json()));
    }
    for image in store.images().all().await? {
        lines.insert(format!("image/{}", image.id()), timeless(image.json()));
    }
    for session in store.sessions().all().await? {
        let id = session.id();
        lines.insert(format!("session/{id}"), timeless(session.json()));
        for (place, stored) in store.messages(id).all().await?.into_iter().enumerate() {
            let mut line = format!("#{} edited={} ", stored.index, stored.edited);
            line.push_str(stored.message.json().as_str());
            for attachment in stored.message.attachments() {
                let bytes = store.attachments().get(&attachment).await?;
                let whole = Attachment::of(&bytes).hash() == attachment.hash();
                line.push_str(if whole { " (attachment whole)" } else { " (attachment TORN)" });
            }
            lines.insert(format!("message/{id}/{place:04}"), line);
        }
    }
    crate::runs::dump(store, &mut lines).await?;
    Ok(lines)
}

/// The record without its times, which are the clock's.
fn timeless(json: &Json) -> String {
    let mut editor = ObjectEditor::of(json);
    for field in ["createdAt", "updatedAt"] {
        if json.member(field).is_some() {
            editor.set(field, &Json::integer(0));
        }
    }
    editor.finish().as_str().to_owned()
}

/// The lines of one task: its ids begin with it.
pub(crate) fn of_task(dump: &Dump, task: usize) -> Dump {
    let prefix = format!("{task}-");
    let own = |key: &str| key.split('/').nth(1).is_some_and(|id| id.starts_with(&prefix));
    dump.iter().filter(|(key, _)| own(key)).map(|(k, v)| (k.clone(), v.clone())).collect()
}

/// The first difference, in words.
pub(crate) fn difference(expected: &Dump, found: &Dump) -> String {
    let short = |line: Option<&String>| match line {
        None => "nothing".to_owned(),
        Some(line) => line.chars().take(120).collect(),
    };
    let keys = expected.keys().chain(found.keys());
    let first = keys.filter(|key| expected.get(*key) != found.get(*key)).min();
    first.map_or_else(String::new, |key| {
        format!("{key}: expected {:?}, found {:?}", short(expected.get(key)), short(found.get(key)))
    })
}
