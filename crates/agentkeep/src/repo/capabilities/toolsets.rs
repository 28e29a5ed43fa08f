//! Lists of tool references, each kept once.

use std::collections::{BTreeSet, HashMap};

use std::sync::Arc;

use super::kept::{Row, damaged};
use crate::driver::{Expect, Record, Save};
use crate::error::Result;
use crate::json::{Json, ObjectEditor};
use crate::repo::plan::{Guard, Plan};
use crate::repo::space::Space;
use crate::schema::{Key, TOOLSETS};

/// That a list is kept; remembered, for it says nothing else and never changes.
#[derive(Debug)]
struct Toolset;

fn key(hash: &str) -> Result<Key> {
    Key::new(&TOOLSETS, [hash])
}

/// The row without its tool references, and the name of the list that has them; a list without
/// elements stays in the row.
pub(super) async fn take_out<T: Row>(plan: &mut Plan<'_>, row: &T) -> Result<(Json, Option<Json>)> {
    let Some(refs) = row.json().member("toolRefs").filter(|refs| refs.as_str() != "[]") else {
        return Ok((row.json().clone(), None));
    };
    let hash = crate::driver::Hash::of(refs.as_str().as_bytes()).to_hex();
    let key = key(&hash)?;
    if !plan.writes(&key) {
        if plan.space.remembered::<Toolset>(&key).is_some() {
            plan.expect(Expect::Exists(key), Guard::Retry);
        } else if let Some(record) = plan.get(&key).await? {
            plan.space.remember(key.clone(), Arc::new(Toolset), record.version);
            plan.expect(Expect::Exists(key), Guard::Retry);
        } else {
            plan.expect(Expect::Version(key.clone(), 0), Guard::Retry);
            plan.put(key, toolset(&refs), Save::Any)?;
        }
    }
    Ok((row.json().with("toolRefs", &Json::null()), Some(Json::string(&hash))))
}

fn toolset(refs: &Json) -> Json {
    let hashes: BTreeSet<String> =
        refs.elements().filter_map(|one| one.member("toolHash")?.to_text()).collect();
    let hashes: Vec<Json> = hashes.iter().map(|hash| Json::string(hash)).collect();
    let mut body = ObjectEditor::default();
    body.set("toolRefs", refs).set("hashes", &Json::array(&hashes));
    body.finish()
}

/// The rows of these records with their tool references.
pub(super) async fn put_in(space: &Space, records: &[&Record]) -> Result<Vec<Json>> {
    let name = |record: &Record| record.body.member("toolset").and_then(|name| name.to_text());
    let names: BTreeSet<String> = records.iter().filter_map(|record| name(record)).collect();
    let keys = names.iter().map(|name| key(name)).collect::<Result<Vec<_>>>()?;
    let found = if keys.is_empty() { Vec::new() } else { space.get_many(&keys).await? };
    let mut lists: HashMap<String, Json> = HashMap::new();
    for (name, list) in names.into_iter().zip(found) {
        if let Some(refs) = list.and_then(|list| list.body.member("toolRefs")) {
            lists.insert(name, refs);
        }
    }
    let whole = |record: &&Record| {
        let row = record.body.member("row").ok_or_else(|| damaged(&record.key))?;
        let Some(name) = name(record) else { return Ok(row) };
        let refs = lists.get(&name).ok_or_else(|| damaged(&record.key))?;
        let mut row = ObjectEditor::of(&row);
        row.set("toolRefs", refs);
        Ok(row.finish())
    };
    records.iter().map(whole).collect()
}
