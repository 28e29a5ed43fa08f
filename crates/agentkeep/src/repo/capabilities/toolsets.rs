//! Lists of tool references, each kept once.

use std::collections::{BTreeSet, HashMap};

use std::sync::Arc;

use super::kept::{Row, damaged};
use crate::driver::{Expect, Hash, Record, Save};
use crate::error::Result;
use crate::json::{Json, ObjectEditor};
use crate::repo::plan::{Guard, Plan};
use crate::repo::space::Space;
use crate::schema::{Key, MAX_INDEXED_TEXT, TOOLSETS};

/// That a list is kept; remembered, for it says nothing else and never changes.
#[derive(Debug)]
struct Toolset;

fn key(hash: &str) -> Result<Key> {
    Key::new(&TOOLSETS, [hash])
}

/// A list that a plan keeps.
#[derive(Debug)]
pub(super) struct Listed {
    name: Hash,
    refs: Json,
}

impl Listed {
    /// What the record says that has the list.
    pub(super) fn told(&self) -> Json {
        Json::string(&self.name.to_hex())
    }

    /// The list's name, if these are its references; it need not be kept once more.
    pub(super) fn name_of(&self, refs: &str) -> Option<Hash> {
        (refs.len() <= LONGEST && self.refs.as_str() == refs).then_some(self.name)
    }
}

/// The row without its tool references, and the list that has them; a list without elements stays in
/// the row.
pub(super) async fn take_out<T: Row>(
    plan: &mut Plan<'_>,
    row: &T,
) -> Result<(Json, Option<Listed>)> {
    let Some(refs) = row.json().member("toolRefs").filter(|refs| refs.as_str() != "[]") else {
        return Ok((row.json().clone(), None));
    };
    let name = name(&refs);
    keep(plan, &name, &refs).await?;
    Ok((row.json().with("toolRefs", &Json::null()), Some(Listed { name, refs })))
}

/// What a list is called.
pub(super) fn name(refs: &Json) -> Hash {
    Hash::of(refs.as_str().as_bytes())
}

/// Plans to keep a list, unless it is kept.
pub(super) async fn keep(plan: &mut Plan<'_>, name: &Hash, refs: &Json) -> Result<()> {
    let key = key(&name.to_hex())?;
    if plan.writes(&key) || plan.expects_record(&key) {
        return Ok(());
    }
    if plan.space.remembered::<Toolset>(&key).is_some() {
        plan.expect(Expect::Exists(key), Guard::Retry);
    } else if let Some(record) = plan.get(&key).await? {
        plan.space.remember(key.clone(), Arc::new(Toolset), record.version);
        plan.expect(Expect::Exists(key), Guard::Retry);
    } else {
        plan.expect(Expect::Version(key.clone(), 0), Guard::Retry);
        plan.put(key, toolset(refs), Save::Any)?;
    }
    Ok(())
}

/// A longer list of an envelope is a blob: a record's body is bounded, and each hash has a place in an index.
const LONGEST: usize = 256 << 10;

/// Whether a value of an envelope can be kept as a list of tool references: its hashes are indexed.
pub(super) fn fits(refs: &Json) -> bool {
    let short =
        |one: Json| one.member("toolHash").is_none_or(|hash| hash.len() <= MAX_INDEXED_TEXT);
    refs.len() <= LONGEST && refs.as_str().starts_with('[') && refs.elements().all(short)
}

fn toolset(refs: &Json) -> Json {
    let hashes: BTreeSet<String> =
        refs.elements().filter_map(|one| one.member("toolHash")?.to_text()).collect();
    let hashes: Vec<Json> = hashes.iter().map(|hash| Json::string(hash)).collect();
    let mut body = ObjectEditor::default();
    body.set("toolRefs", refs).set("hashes", &Json::array(&hashes));
    body.finish()
}

/// The lists of these names that there are.
pub(super) async fn lists(space: &Space, names: &[Hash]) -> Result<HashMap<Hash, Json>> {
    let found = of_names(space, names.iter().map(|name| name.to_hex()).collect()).await?;
    let list = |name: &Hash| Some((*name, found.get(&name.to_hex())?.clone()));
    Ok(names.iter().filter_map(list).collect())
}

async fn of_names(space: &Space, names: Vec<String>) -> Result<HashMap<String, Json>> {
    let keys = names.iter().map(|name| key(name)).collect::<Result<Vec<_>>>()?;
    let found = if keys.is_empty() { Vec::new() } else { space.get_many(&keys).await? };
    let refs = |record: Option<Record>| record?.body.member("toolRefs");
    let lists = names.into_iter().zip(found).filter_map(|(name, list)| Some((name, refs(list)?)));
    Ok(lists.collect())
}

/// The rows of these records with their tool references.
pub(super) async fn put_in(space: &Space, records: &[&Record]) -> Result<Vec<Json>> {
    let name = |record: &Record| record.body.member("toolset").and_then(|name| name.to_text());
    let names: BTreeSet<String> = records.iter().filter_map(|record| name(record)).collect();
    let names: Vec<String> = names.into_iter().collect();
    let lists = of_names(space, names).await?;
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
