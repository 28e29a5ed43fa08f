//! The text of every statement, made once from the schema: never from data.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use foldhash::fast::RandomState;

use super::ddl::select_columns;
use crate::drivers::sql::shape::{field_columns, is_list_index, key_columns, quoted, side_table};
use crate::schema::{Index, Log, NAMESPACES, Schema, Table};

/// The statements for one table of records.
#[derive(Debug)]
pub(super) struct TableSql {
    /// One record by its key.
    pub(super) get: String,
    /// The version of one record.
    pub(super) version: String,
    /// Version, refs, body and turn of the record that is about to go.
    pub(super) old: String,
    pub(super) insert: String,
    pub(super) update: String,
    /// The same for a record that stands in its indexes as before: they are not written.
    pub(super) touch: String,
    pub(super) delete: String,
    /// How many records a namespace has.
    pub(super) count: String,
    /// For each list index: the index, adding to it, taking from it.
    pub(super) lists: Vec<(&'static Index, String, String)>,
}

/// The statements for one log.
#[derive(Debug)]
pub(super) struct LogSql {
    pub(super) insert: String,
    pub(super) by_id: String,
    pub(super) by_number: String,
    pub(super) rewrite: String,
    pub(super) front: String,
    pub(super) delete_front: String,
    pub(super) delete_all: String,
    pub(super) first: String,
    pub(super) refs: String,
    pub(super) forward: String,
    pub(super) backward: String,
    pub(super) by_turn: String,
    pub(super) by_turn_backward: String,
}

/// All statements.
#[derive(Debug)]
pub(super) struct Sql {
    pub(super) tables: HashMap<&'static str, TableSql>,
    pub(super) logs: HashMap<&'static str, LogSql>,
    /// Of queries by an index that have been asked for before.
    finds: RwLock<HashMap<Shape, Arc<str>, RandomState>>,
}

/// What makes the text of a query that gives values for leading fields, and nothing else: table,
/// index, how many values, which of them are missing, whether it goes backwards.
pub(super) type Shape = (&'static str, &'static str, usize, u32, bool);

/// The stream's number and head.
pub(super) const HEAD: &str = "SELECT no, birth, first, last, count, bytes, updated, version, crc \
     FROM _streams WHERE namespace = ?1 AND log = ?2 AND stream = ?3";

impl Sql {
    pub(super) fn new(schema: &'static Schema) -> Self {
        let tables = std::iter::once(&NAMESPACES).chain(schema.tables.iter().copied());
        Self {
            tables: tables.map(|table| (table.name, TableSql::new(table))).collect(),
            logs: schema.logs.iter().map(|log| (log.name, LogSql::new(log))).collect(),
            finds: RwLock::default(),
        }
    }

    /// The text of a query of this shape, made once. There are few: an index has few fields.
    pub(super) fn find(&self, shape: Shape, make: impl FnOnce() -> String) -> Arc<str> {
        let known = self.finds.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(text) = known.get(&shape) {
            return Arc::clone(text);
        }
        drop(known);
        let mut known = self.finds.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(known.entry(shape).or_insert_with(|| make().into()))
    }
}

fn conditions(columns: &[&str]) -> String {
    let condition = |(i, column): (usize, &&str)| format!("{} = ?{}", quoted(column), i + 1);
    columns.iter().enumerate().map(condition).collect::<Vec<_>>().join(" AND ")
}

fn parameters(count: usize) -> String {
    (1..=count).map(|i| format!("?{i}")).collect::<Vec<_>>().join(", ")
}

impl TableSql {
    fn new(table: &'static Table) -> Self {
        let name = quoted(table.name);
        let keys = key_columns(table);
        let key = conditions(&keys);
        let columns: Vec<&str> = keys
            .iter()
            .copied()
            .chain(field_columns(table).map(|(_, field)| field))
            .chain(["version", "turn", "refs", "body", "crc"])
            .collect();
        let set = |(i, column): (usize, &&str)| format!("{} = ?{}", quoted(column), i + 1);
        let sets: Vec<String> = columns.iter().enumerate().skip(keys.len()).map(set).collect();
        let content = ["version", "refs", "body", "crc"];
        let touch =
            |(i, column): (usize, &&str)| format!("{} = ?{}", quoted(column), keys.len() + i + 1);
        let touches: Vec<String> = content.iter().enumerate().map(touch).collect();
        let names: Vec<String> = columns.iter().map(|column| quoted(column)).collect();
        let lists = table.indexes.iter().filter(|index| is_list_index(table, index));
        Self {
            get: format!("SELECT {} FROM {name} AS t WHERE {key}", select_columns(table, "t")),
            version: format!("SELECT version FROM {name} WHERE {key}"),
            old: format!("SELECT version, refs, body, turn FROM {name} WHERE {key}"),
            insert: format!(
                "INSERT INTO {name}({}) VALUES ({}) ON CONFLICT({}) DO NOTHING",
                names.join(", "),
                parameters(columns.len()),
                names[..keys.len()].join(", ")
            ),
            update: format!("UPDATE {name} SET {} WHERE {key}", sets.join(", ")),
            touch: format!("UPDATE {name} SET {} WHERE {key}", touches.join(", ")),
            delete: format!("DELETE FROM {name} WHERE {key}"),
            count: format!("SELECT count(*) FROM {name} WHERE namespace = ?1"),
            lists: lists.map(|index| list_sql(table, index)).collect(),
        }
    }
}

fn list_sql(table: &'static Table, index: &'static Index) -> (&'static Index, String, String) {
    let side = quoted(&side_table(table, index));
    let columns: Vec<&str> = std::iter::once("namespace")
        .chain(index.fields.iter().map(|(name, _)| *name))
        .chain(table.key.iter().copied())
        .collect();
    let names: Vec<String> = columns.iter().map(|column| quoted(column)).collect();
    // IS, for a field may be NULL.
    let same = |(i, column): (usize, &&str)| format!("{} IS ?{}", quoted(column), i + 1);
    let same: Vec<String> = columns.iter().enumerate().map(same).collect();
    let insert =
        format!("INSERT INTO {side}({}) VALUES ({})", names.join(", "), parameters(columns.len()));
    (index, insert, format!("DELETE FROM {side} WHERE {}", same.join(" AND ")))
}

impl LogSql {
    fn new(log: &Log) -> Self {
        let name = quoted(log.name);
        let columns = super::rows::ENTRY_COLUMNS;
        let stretch = format!(
            "SELECT {columns} FROM {name} WHERE stream_no = ?1 AND seq >= ?2 AND seq <= ?3"
        );
        let by_turn = format!(
            "SELECT h.stream, h.no, {} FROM {name} AS e JOIN _streams AS h ON h.no = e.stream_no \
             WHERE e.turn = ?1 AND h.namespace = ?2 AND h.log = ?3",
            columns.split(", ").map(|c| format!("e.{c}")).collect::<Vec<_>>().join(", ")
        );
        Self {
            insert: format!(
                "INSERT INTO {name}(stream_no, seq, id, body, time, turn, rewritten, refs, crc) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, NULL, ?7, ?8)"
            ),
            by_id: format!("SELECT {columns} FROM {name} WHERE stream_no = ?1 AND id = ?2"),
            by_number: format!("SELECT {columns} FROM {name} WHERE stream_no = ?1 AND seq = ?2"),
            rewrite: format!(
                "UPDATE {name} SET body = ?3, rewritten = ?4, refs = ?5, crc = ?6 \
                 WHERE stream_no = ?1 AND seq = ?2"
            ),
            front: format!(
                "SELECT count(*), ifnull(sum(octet_length(body)), 0) FROM {name} \
                 WHERE stream_no = ?1 AND seq < ?2"
            ),
            delete_front: format!("DELETE FROM {name} WHERE stream_no = ?1 AND seq < ?2"),
            delete_all: format!("DELETE FROM {name} WHERE stream_no = ?1"),
            first: format!("SELECT min(seq) FROM {name} WHERE stream_no = ?1"),
            refs: format!(
                "SELECT refs FROM {name} WHERE stream_no = ?1 AND seq < ?2 AND refs IS NOT NULL"
            ),
            forward: format!("{stretch} ORDER BY seq LIMIT ?4"),
            backward: format!("{stretch} ORDER BY seq DESC LIMIT ?4"),
            by_turn: format!("{by_turn} ORDER BY h.stream, e.seq LIMIT ?4"),
            by_turn_backward: format!("{by_turn} ORDER BY h.stream DESC, e.seq DESC LIMIT ?4"),
        }
    }
}

impl Sql {
    /// For each list index of a table: how often a row stands in it.
    pub(super) fn lists_of(table: &'static Table) -> Vec<(&'static Index, String)> {
        let lists = table.indexes.iter().filter(|index| is_list_index(table, index));
        let count = |index: &'static Index| {
            let (index, _, delete) = list_sql(table, index);
            (index, delete.replacen("DELETE", "SELECT count(*)", 1))
        };
        lists.map(count).collect()
    }
}
