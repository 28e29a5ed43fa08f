//! Records by key, and blobs: each call one statement, and so one moment.

use std::collections::HashMap;

use deadpool_postgres::ClientWrapper;
use tokio_postgres::types::{ToSql, Type};

use super::connections::{Connections, Failed};
use super::ddl::within;
use super::rows;
use crate::driver::{Blob, FoundBlob, Hash, Record, Want};
use crate::drivers::server::known::known_table;
use crate::drivers::sql::shape::quoted;
use crate::error::Result;
use crate::schema::{Key, NAMESPACES, Namespace, Schema, Table};

/// Up to so many keys of a table are asked for one by one.
const FEW: usize = 4;

/// Keys of one table, each with its place among all that are asked for.
struct Wanted<'a> {
    table: &'static Table,
    keys: Vec<(i32, &'a Key)>,
}

/// By table, each key once; and for each place in `keys` which of them it is.
fn wanted(keys: &[Key]) -> (Vec<Wanted<'_>>, Vec<i32>) {
    let mut tables: Vec<Wanted<'_>> = Vec::new();
    let mut known: HashMap<&Key, i32> = HashMap::new();
    let mut places = Vec::with_capacity(keys.len());
    for key in keys {
        let next = i32::try_from(known.len()).unwrap_or(i32::MAX);
        let place = *known.entry(key).or_insert(next);
        places.push(place);
        if place < next {
            continue;
        }
        match tables.iter_mut().find(|wanted| wanted.table.name == key.table().name) {
            Some(wanted) => wanted.keys.push((place, key)),
            None => tables.push(Wanted { table: key.table(), keys: vec![(place, key)] }),
        }
    }
    (tables, places)
}

pub(super) async fn get(
    schema: &Schema,
    connections: &Connections,
    client: &ClientWrapper,
    namespace: &Namespace,
    keys: &[Key],
) -> std::result::Result<Vec<Option<Record>>, Failed> {
    let (tables, places) = wanted(keys);
    let mut tables_of: Vec<&'static Table> = Vec::new();
    for wanted in &tables {
        known_table(schema, wanted.table)?;
        tables_of.extend(wanted.keys.iter().map(|_| wanted.table));
    }
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let mut question = Question::new(namespace.as_str());
    for wanted in &tables {
        question.add(wanted, &connections.options.schema);
    }
    let rows = connections
        .ask(client, &question.parts.join(" UNION ALL "), &question.parameters())
        .await?;
    let mut by_place: HashMap<i32, &'static Table> = HashMap::new();
    for wanted in &tables {
        by_place.extend(wanted.keys.iter().map(|(place, _)| (*place, wanted.table)));
    }
    let mut found: HashMap<i32, Record> = HashMap::new();
    for row in &rows {
        let place: i32 = row.try_get(0)?;
        if let Some(table) = by_place.get(&place) {
            found.insert(place, rows::record(table, row, 1)?);
        }
    }
    Ok(places.iter().map(|place| found.get(place).cloned()).collect())
}

/// A statement under way. `$1` is the namespace.
struct Question<'a> {
    namespace: &'a str,
    parts: Vec<String>,
    texts: Vec<&'a str>,
    lists: Vec<Vec<&'a str>>,
    places: Vec<Vec<i32>>,
    order: Vec<Kind>,
}

/// Which of the lists of parameters one is in.
enum Kind {
    Text(usize),
    List(usize),
    Places(usize),
}

impl<'a> Question<'a> {
    fn new(namespace: &'a str) -> Self {
        let (parts, texts, lists) = (Vec::new(), Vec::new(), Vec::new());
        Self { namespace, parts, texts, lists, places: Vec::new(), order: Vec::new() }
    }

    /// The number of the next parameter.
    fn next(&mut self, kind: Kind) -> usize {
        self.order.push(kind);
        self.order.len() + 1
    }

    fn add(&mut self, wanted: &Wanted<'a>, place: &str) {
        let table = wanted.table;
        let from = within(place, table.name);
        let columns = rows::record_columns(table, "t");
        // The record of a namespace is read alike from everywhere; `$1` must be used all the same.
        let scope =
            if table.name == NAMESPACES.name { "$1::text IS NOT NULL" } else { "t.namespace = $1" };
        if wanted.keys.len() <= FEW {
            for (n, key) in &wanted.keys {
                let mut conditions = vec![scope.to_owned()];
                for (column, part) in table.key.iter().zip(key.parts()) {
                    self.texts.push(part);
                    let parameter = self.next(Kind::Text(self.texts.len() - 1));
                    conditions.push(format!("t.{} = ${parameter}", quoted(column)));
                }
                self.places.push(vec![*n]);
                let parameter = self.next(Kind::Places(self.places.len() - 1));
                self.parts.push(format!(
                    "SELECT (${parameter}::int4[])[1], {columns} FROM {from} AS t WHERE {}",
                    conditions.join(" AND ")
                ));
            }
            return;
        }
        self.places.push(wanted.keys.iter().map(|(n, _)| *n).collect());
        let parameter = self.next(Kind::Places(self.places.len() - 1));
        let (mut names, mut lists) = (vec!["n".to_owned()], vec![format!("${parameter}::int4[]")]);
        let mut same = Vec::new();
        for (i, column) in table.key.iter().enumerate() {
            self.lists.push(wanted.keys.iter().filter_map(|(_, key)| key.parts().nth(i)).collect());
            let parameter = self.next(Kind::List(self.lists.len() - 1));
            names.push(format!("k{i}"));
            lists.push(format!("${parameter}::text[]"));
            same.push(format!("t.{} = k.k{i}", quoted(column)));
        }
        self.parts.push(format!(
            "SELECT k.n, {columns} FROM unnest({}) AS k({}) JOIN {from} AS t ON {scope} AND {}",
            lists.join(", "),
            names.join(", "),
            same.join(" AND ")
        ));
    }

    fn parameters(&self) -> Vec<(&(dyn ToSql + Sync), Type)> {
        let mut parameters: Vec<(&(dyn ToSql + Sync), Type)> = vec![(&self.namespace, Type::TEXT)];
        parameters.extend(self.order.iter().map(|kind| -> (&(dyn ToSql + Sync), Type) {
            match kind {
                Kind::Text(i) => (&self.texts[*i], Type::TEXT),
                Kind::List(i) => (&self.lists[*i], Type::TEXT_ARRAY),
                Kind::Places(i) => (&self.places[*i], Type::INT4_ARRAY),
            }
        }));
        parameters
    }
}

pub(super) async fn blobs(
    connections: &Connections,
    client: &ClientWrapper,
    namespace: &Namespace,
    hashes: &[Hash],
    want: Want,
) -> std::result::Result<Vec<Option<FoundBlob>>, Failed> {
    let place = &connections.options.schema;
    let (column, table) = match want {
        Want::Presence => ("NULL::bytea", within(place, "_blobs")),
        Want::Bytes => ("t.bytes", within(place, "_blob_bytes")),
    };
    let sql = format!(
        "SELECT t.hash, {column} FROM {table} AS t WHERE t.namespace = $1 AND t.hash = ANY($2)"
    );
    let names: Vec<String> = hashes.iter().map(|hash| hash.to_hex()).collect();
    let namespace = namespace.as_str();
    let parameters: [(&(dyn ToSql + Sync), Type); 2] =
        [(&namespace, Type::TEXT), (&names, Type::TEXT_ARRAY)];
    let rows = connections.ask(client, &sql, &parameters).await?;
    let mut found: HashMap<&str, FoundBlob> = HashMap::new();
    for row in &rows {
        let name: &str = row.try_get(0)?;
        let blob = match row.try_get::<_, Option<&[u8]>>(1)? {
            None => FoundBlob::Present,
            Some(bytes) => FoundBlob::Bytes(stored(name, bytes)?),
        };
        found.insert(name, blob);
    }
    Ok(names.iter().map(|name| found.get(name.as_str()).cloned()).collect())
}

fn stored(name: &str, bytes: &[u8]) -> Result<Blob> {
    Blob::from_stored(Hash::from_hex(name)?, bytes)
}
