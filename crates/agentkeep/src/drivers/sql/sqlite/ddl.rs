//! From the schema to tables that an analyst would gladly query.
//!
//! A table of records has a column `namespace`, one for each part of its key and for each indexed
//! field (named as the schema names them), then `version`, `turn`, `refs` (a JSON list of blob
//! hashes, or NULL), `body` and `crc`. A list field has no column: each index over it is a table
//! of its own, `<table>__<index>`, with a row for each element. A log has one table, clustered by
//! `(stream_no, seq)`; `_streams` gives each stream its number. Columns of fields that came later than
//! their table stand last.

use crate::drivers::sql::shape::{
    fields_since, first_and_later, indexes_since, is_list_index, key_columns, quoted, side_table,
};
use crate::schema::{BLOBS, Index, LineageView, Log, NAMESPACES, Order, STREAMS, Schema, Table};

fn joined<'a>(columns: impl IntoIterator<Item = &'a str>) -> String {
    columns.into_iter().map(quoted).collect::<Vec<_>>().join(", ")
}

fn directed(index: &Index) -> String {
    let column = |(name, order): &(&str, Order)| match order {
        Order::Ascending => quoted(name),
        Order::Descending => format!("{} DESC", quoted(name)),
    };
    index.fields.iter().map(column).collect::<Vec<_>>().join(", ")
}

/// Blobs and their bytes, by number: new ones then stand beside each other, but for their hashes.
pub(super) const BLOB_TABLES: [&str; 4] = [
    "CREATE TABLE _blobs(no INTEGER PRIMARY KEY, namespace TEXT NOT NULL, hash TEXT NOT NULL, \
     size INTEGER NOT NULL, reference_count INTEGER NOT NULL, unreferenced_since, \
     version INTEGER NOT NULL, crc INTEGER NOT NULL)",
    "CREATE UNIQUE INDEX _blobs_key ON _blobs(namespace, hash)",
    "CREATE INDEX _blobs_by_unreferenced ON _blobs(namespace, unreferenced_since, hash) \
     WHERE unreferenced_since IS NOT NULL",
    "CREATE TABLE _blob_bytes(no INTEGER PRIMARY KEY, bytes BLOB NOT NULL)",
];

/// All statements that make a fresh store.
pub(super) fn create(schema: &Schema) -> Vec<String> {
    let mut sql = vec![
        "CREATE TABLE _store(name TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID".to_owned(),
        "CREATE TABLE _floors(namespace TEXT PRIMARY KEY, floor INTEGER NOT NULL, \
         crc INTEGER NOT NULL) WITHOUT ROWID"
            .to_owned(),
        "CREATE TABLE _operations(namespace TEXT NOT NULL, operation TEXT NOT NULL, \
         n INTEGER NOT NULL, digest BLOB NOT NULL, time INTEGER NOT NULL, result TEXT NOT NULL, \
         crc INTEGER NOT NULL, PRIMARY KEY(namespace, operation)) WITHOUT ROWID"
            .to_owned(),
        "CREATE UNIQUE INDEX _operations_n ON _operations(namespace, n)".to_owned(),
        "CREATE TABLE _streams(no INTEGER PRIMARY KEY, namespace TEXT NOT NULL, log TEXT NOT NULL, \
         stream TEXT NOT NULL, birth INTEGER NOT NULL, first INTEGER NOT NULL, \
         last INTEGER NOT NULL, count INTEGER NOT NULL, bytes INTEGER NOT NULL, \
         updated INTEGER NOT NULL, version INTEGER NOT NULL, crc INTEGER NOT NULL)"
            .to_owned(),
        "CREATE UNIQUE INDEX _streams_key ON _streams(namespace, log, stream)".to_owned(),
    ];
    sql.extend(BLOB_TABLES.map(str::to_owned));
    sql.extend(create_table(&NAMESPACES));
    sql.extend(add(schema, 0));
    sql
}

/// The statements that make what came after format `from`.
pub(super) fn add(schema: &Schema, from: u32) -> Vec<String> {
    let tables = schema.tables.iter().filter(|table| table.since > from);
    let logs = schema.logs.iter().filter(|log| log.since > from);
    let views = schema.views.iter().filter(|view| view.since > from);
    let mut sql: Vec<String> = fields_since(schema, from)
        .map(|(t, field)| {
            format!("ALTER TABLE {} ADD COLUMN {}", quoted(t.name), quoted(field.name))
        })
        .collect();
    for (table, index) in indexes_since(schema, from) {
        sql.push(format!("DROP INDEX IF EXISTS {}", quoted(&named(table, index))));
        sql.extend(create_index(table, index));
    }
    sql.extend(tables.flat_map(|table| create_table(table)));
    sql.extend(logs.flat_map(|log| create_log(log)));
    sql.extend(views.map(create_view));
    sql
}

fn create_table(table: &Table) -> Vec<String> {
    let name = quoted(table.name);
    let keys = key_columns(table);
    let mut columns: Vec<String> =
        keys.iter().map(|key| format!("{} TEXT NOT NULL", quoted(key))).collect();
    // No type: SQLite then keeps and compares values as they are.
    let [first, later] = first_and_later(table);
    columns.extend(first.iter().map(|field| quoted(field.name)));
    columns.extend(
        [
            "version INTEGER NOT NULL",
            "turn TEXT",
            "refs TEXT",
            "body TEXT NOT NULL",
            "crc INTEGER NOT NULL",
        ]
        .map(str::to_owned),
    );
    columns.extend(later.iter().map(|field| quoted(field.name)));
    let keys_joined = joined(keys.iter().copied());
    let mut sql = vec![
        format!(
            "CREATE TABLE {name}({}, PRIMARY KEY({keys_joined})) WITHOUT ROWID",
            columns.join(", ")
        ),
        format!(
            "CREATE INDEX {} ON {name}({}, turn, {}) WHERE turn IS NOT NULL",
            quoted(&format!("{}_by_turn", table.name)),
            quoted(keys[0]),
            joined(table.key.iter().copied()),
        ),
    ];
    sql.extend(table.indexes.iter().flat_map(|index| create_index(table, index)));
    sql
}

fn named(table: &Table, index: &Index) -> String {
    format!("{}_{}", table.name, index.name)
}

fn create_index(table: &Table, index: &Index) -> Vec<String> {
    let key = joined(table.key.iter().copied());
    if !is_list_index(table, index) {
        let unless = index.unless.map(|field| format!(" WHERE {} IS NULL", quoted(field)));
        return vec![format!(
            "CREATE INDEX {} ON {}(namespace, {}, {key}){}",
            quoted(&named(table, index)),
            quoted(table.name),
            directed(index),
            unless.unwrap_or_default()
        )];
    }
    let side = side_table(table, index);
    let fields = joined(index.fields.iter().map(|(name, _)| *name));
    let keys: Vec<String> =
        table.key.iter().map(|key| format!("{} TEXT NOT NULL", quoted(key))).collect();
    vec![
        format!(
            "CREATE TABLE {}(namespace TEXT NOT NULL, {fields}, {})",
            quoted(&side),
            keys.join(", ")
        ),
        format!(
            "CREATE INDEX {} ON {}(namespace, {}, {key})",
            quoted(&format!("{side}_order")),
            quoted(&side),
            directed(index)
        ),
    ]
}

fn create_log(log: &Log) -> Vec<String> {
    let name = quoted(log.name);
    vec![
        format!(
            "CREATE TABLE {name}(stream_no INTEGER NOT NULL, seq INTEGER NOT NULL, id TEXT, \
             body TEXT NOT NULL, time INTEGER NOT NULL, turn TEXT, rewritten INTEGER, refs TEXT, \
             crc INTEGER NOT NULL, PRIMARY KEY(stream_no, seq)) WITHOUT ROWID"
        ),
        format!(
            "CREATE UNIQUE INDEX {} ON {name}(stream_no, id) WHERE id IS NOT NULL",
            quoted(&format!("{}_id", log.name))
        ),
        format!(
            "CREATE INDEX {} ON {name}(turn, stream_no, seq) WHERE turn IS NOT NULL",
            quoted(&format!("{}_turn", log.name))
        ),
    ]
}

/// Each element of the list is `[stream, from, to]`; `to` is null while it is open.
fn create_view(view: &LineageView) -> String {
    let key_list: Vec<String> =
        view.table.key.iter().map(|key| format!("r.{}", quoted(key))).collect();
    format!(
        "CREATE VIEW {view_name} AS SELECT r.namespace AS namespace, {keys_r}, \
         row_number() OVER (PARTITION BY r.namespace, {keys_r} ORDER BY s.key, e.seq) - 1 \
         AS position, e.id AS id, e.time AS time, e.turn AS turn, e.body AS body, \
         h.stream AS stream, e.seq AS seq \
         FROM {table} AS r, json_each(r.body, '$.{member}') AS s \
         JOIN {streams} AS h ON h.namespace = r.namespace AND h.log = '{log_name}' \
         AND h.stream = json_extract(s.value, '$[0]') \
         JOIN {log} AS e ON e.stream_no = h.no AND e.seq >= json_extract(s.value, '$[1]') \
         AND e.seq <= ifnull(json_extract(s.value, '$[2]'), 9223372036854775807)",
        view_name = quoted(view.name),
        keys_r = key_list.join(", "),
        table = quoted(view.table.name),
        member = view.member,
        streams = quoted(STREAMS.name),
        log_name = view.log.name,
        log = quoted(view.log.name),
    )
}

/// The columns of a record as drivers read them, in the order in which they decode them.
pub(super) fn select_columns(table: &Table, alias: &str) -> String {
    let columns: Vec<&str> = if table.name == STREAMS.name {
        vec![
            "log", "stream", "birth", "first", "last", "count", "bytes", "updated", "version",
            "crc",
        ]
    } else if table.name == BLOBS.name {
        vec!["hash", "size", "reference_count", "unreferenced_since", "version", "crc"]
    } else {
        table.key.iter().copied().chain(["version", "turn", "refs", "body", "crc"]).collect()
    };
    columns.iter().map(|c| format!("{alias}.{}", quoted(c))).collect::<Vec<_>>().join(", ")
}
