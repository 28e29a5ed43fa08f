//! The tables, made from the schema so that an analyst would gladly query them.
//!
//! All names are qualified: nothing depends on a search path. Texts that the driver compares are of
//! the collation "C": by bytes, and as ids compare everywhere in agentkeep.

use super::columns::columns;
use super::{commit_sql, lone};
use crate::drivers::sql::shape::{
    fields_since, first_and_later, indexes_since, is_list_index, key_columns, quoted, side_table,
};
use crate::schema::{Index, LineageView, Log, NAMESPACES, Order, Schema, Table};

/// Most bytes in a row of an index: a third of a page, less what the row itself takes.
const MAX_INDEX_ROW: usize = 2_600;
const MAX_KEY_PART: usize = 255;
/// A text, or as much as a number can take.
const MAX_FIELD: usize = 1_024;

const ID: &str = "text COLLATE \"C\" NOT NULL";
const OPTIONAL_ID: &str = "text COLLATE \"C\"";

/// An identifier within the store's schema.
pub(super) fn within(place: &str, name: &str) -> String {
    format!("{}.{}", quoted(place), quoted(name))
}

/// The functions that commit, and the types of locks. The functions' names have a checksum of their
/// text: what a process calls is what it was written for, also while another version of agentkeep uses
/// the same store.
pub(super) fn functions(schema: &Schema, place: &str) -> Vec<String> {
    let mut statements = lone::create(place);
    statements.extend(commit_sql::create(schema, place));
    statements
}

/// All statements that make a fresh store, but for the facts about it.
pub(super) fn create(schema: &Schema, place: &str) -> Vec<String> {
    let t = |name: &str| within(place, name);
    let mut sql = vec![
        format!("CREATE TABLE {}(name text PRIMARY KEY, value text NOT NULL)", t("_store")),
        format!("CREATE TABLE {}(scope {ID} PRIMARY KEY, floor bigint NOT NULL)", t("_floors")),
        format!(
            "CREATE TABLE {}(namespace {ID}, operation {ID}, \
             n bigint GENERATED ALWAYS AS IDENTITY, digest bytea NOT NULL, time bigint NOT NULL, \
             result text NOT NULL, PRIMARY KEY (namespace, operation))",
            t("_operations")
        ),
        format!("CREATE INDEX \"_operations_n\" ON {}(namespace, n)", t("_operations")),
        format!(
            "CREATE TABLE {}(token uuid PRIMARY KEY, time bigint NOT NULL, result text)",
            t("_commits")
        ),
        format!(
            "CREATE TABLE {}(no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, namespace {ID}, \
             log {ID}, stream {ID}, birth bigint NOT NULL, first bigint NOT NULL, \
             last bigint NOT NULL, count bigint NOT NULL, bytes bigint NOT NULL, \
             updated bigint NOT NULL, version bigint NOT NULL) WITH (fillfactor = 70)",
            t("_streams")
        ),
        format!(
            "CREATE UNIQUE INDEX \"_streams_key\" ON {}(namespace, log, stream)",
            t("_streams")
        ),
        format!(
            "CREATE TABLE {}(namespace {ID}, hash {ID}, size bigint NOT NULL, \
             reference_count bigint NOT NULL, unreferenced_since bigint, version bigint NOT NULL, \
             PRIMARY KEY (namespace, hash))",
            t("_blobs")
        ),
        format!(
            "CREATE INDEX \"_blobs_by_unreferenced\" ON {}(namespace, \
             unreferenced_since NULLS FIRST, hash)",
            t("_blobs")
        ),
        format!(
            "CREATE TABLE {}(namespace {ID}, hash {ID}, bytes bytea NOT NULL, \
             PRIMARY KEY (namespace, hash))",
            t("_blob_bytes")
        ),
        // Most blobs are compressed by who made them.
        format!("ALTER TABLE {} ALTER COLUMN bytes SET STORAGE EXTERNAL", t("_blob_bytes")),
    ];
    sql.extend(create_table(&NAMESPACES, place));
    sql.extend(add(schema, place, 0));
    sql
}

/// The statements that make what came after format `from`.
pub(super) fn add(schema: &Schema, place: &str, from: u32) -> Vec<String> {
    let tables = schema.tables.iter().filter(|table| table.since > from);
    let logs = schema.logs.iter().filter(|log| log.since > from);
    let views = schema.views.iter().filter(|view| view.since > from);
    let mut sql: Vec<String> = fields_since(schema, from)
        .flat_map(|(table, field)| {
            let name = within(place, table.name);
            let add = move |column| format!("ALTER TABLE {name} ADD COLUMN {column}");
            typed(table, field.name).into_iter().map(add)
        })
        .collect();
    for (table, index) in indexes_since(schema, from) {
        sql.push(format!("DROP INDEX IF EXISTS {}", within(place, &named(table, index))));
        sql.extend(create_index(table, index, place));
    }
    sql.extend(tables.flat_map(|table| create_table(table, place)));
    sql.extend(logs.flat_map(|log| create_log(log, place)));
    sql.extend(views.map(|view| create_view(view, place)));
    sql
}

/// The two columns of a field with their types.
fn typed(table: &Table, field: &str) -> Vec<String> {
    let (text, number) = columns(table, field);
    let text = text.map(|text| format!("{} {OPTIONAL_ID}", quoted(&text)));
    text.into_iter().chain([format!("{} numeric", quoted(&number))]).collect()
}

/// The fields of an index in its order, NULL as the smallest.
pub(super) fn directed(table: &Table, fields: &[(&str, Order)]) -> Vec<String> {
    let mut directed = Vec::new();
    for (field, order) in fields {
        let (text, number) = columns(table, field);
        for column in text.into_iter().chain([number]) {
            directed.push(format!(
                "{} {}",
                quoted(&column),
                direction(*order == Order::Descending)
            ));
        }
    }
    directed
}

/// How a column is ordered, NULL as the smallest.
pub(super) fn direction(descending: bool) -> &'static str {
    if descending { "DESC NULLS LAST" } else { "ASC NULLS FIRST" }
}

/// As many parts of the key as surely fit behind the fields.
fn fitting(table: &Table, fields: usize) -> impl Iterator<Item = String> + '_ {
    let room = MAX_INDEX_ROW.saturating_sub(MAX_KEY_PART + fields * MAX_FIELD);
    table.key.iter().take(room / MAX_KEY_PART).map(|key| quoted(key))
}

fn create_table(table: &Table, place: &str) -> Vec<String> {
    let name = within(place, table.name);
    let keys = key_columns(table);
    let mut columns: Vec<String> = keys.iter().map(|key| format!("{} {ID}", quoted(key))).collect();
    let [first, later] = first_and_later(table);
    columns.extend(first.iter().flat_map(|field| typed(table, field.name)));
    columns.extend(
        ["version bigint NOT NULL", "turn text COLLATE \"C\"", "refs text", "body json NOT NULL"]
            .map(str::to_owned),
    );
    columns.extend(later.iter().flat_map(|field| typed(table, field.name)));
    let key_list: Vec<String> = keys.iter().map(|key| quoted(key)).collect();
    columns.push(format!("PRIMARY KEY ({})", key_list.join(", ")));
    let mut by_turn: Vec<String> = vec![quoted(keys[0]), "turn".to_owned()];
    by_turn.extend(table.key.iter().map(|key| quoted(key)).filter(|key| *key != quoted(keys[0])));
    let mut sql = vec![
        format!("CREATE TABLE {name}({})", columns.join(", ")),
        format!(
            "CREATE INDEX {} ON {name}({}) WHERE turn IS NOT NULL",
            quoted(&format!("{}_by_turn", table.name)),
            by_turn.join(", ")
        ),
    ];
    for index in table.indexes {
        sql.extend(create_index(table, index, place));
    }
    sql
}

fn named(table: &Table, index: &Index) -> String {
    format!("{}_{}", table.name, index.name)
}

/// That a record does not have the field that keeps it out of the index, if there is one.
pub(super) fn unless(table: &Table, index: &Index, alias: &str) -> Option<String> {
    let (text, number) = columns(table, index.unless?);
    let columns = text.into_iter().chain([number]);
    let tests = columns.map(|column| format!("{alias}{} IS NULL", quoted(&column)));
    Some(tests.collect::<Vec<_>>().join(" AND "))
}

fn create_index(table: &Table, index: &Index, place: &str) -> Vec<String> {
    let order = |on: &str, name: &str| {
        let columns: Vec<String> = std::iter::once("namespace".to_owned())
            .chain(directed(table, index.fields))
            .chain(fitting(table, index.fields.len()))
            .collect();
        format!("CREATE INDEX {} ON {on}({})", quoted(name), columns.join(", "))
    };
    if !is_list_index(table, index) {
        let sql = order(&within(place, table.name), &named(table, index));
        return vec![match unless(table, index, "") {
            Some(unless) => format!("{sql} WHERE {unless}"),
            None => sql,
        }];
    }
    let side = side_table(table, index);
    let on = within(place, &side);
    let mut columns = vec![format!("namespace {ID}")];
    columns.extend(index.fields.iter().flat_map(|(field, _)| typed(table, field)));
    columns.extend(table.key.iter().map(|key| format!("{} {ID}", quoted(key))));
    let key: Vec<String> = table.key.iter().map(|key| quoted(key)).collect();
    vec![
        format!("CREATE TABLE {on}({})", columns.join(", ")),
        order(&on, &format!("{side}_order")),
        format!(
            "CREATE INDEX {} ON {on}(namespace, {})",
            quoted(&format!("{side}_key")),
            key.join(", ")
        ),
    ]
}

/// The unique index over the ids of a log's entries.
pub(super) fn id_index(log: &Log) -> String {
    format!("{}_id", log.name)
}

fn create_log(log: &Log, place: &str) -> Vec<String> {
    let name = within(place, log.name);
    vec![
        format!(
            "CREATE TABLE {name}(stream_no bigint NOT NULL, seq bigint NOT NULL, id {OPTIONAL_ID}, \
             body json NOT NULL, time bigint NOT NULL, turn {OPTIONAL_ID}, rewritten bigint, \
             refs text, PRIMARY KEY (stream_no, seq))"
        ),
        format!(
            "CREATE UNIQUE INDEX {} ON {name}(stream_no, id) WHERE id IS NOT NULL",
            quoted(&id_index(log))
        ),
        format!(
            "CREATE INDEX {} ON {name}(turn, stream_no, seq) WHERE turn IS NOT NULL",
            quoted(&format!("{}_turn", log.name))
        ),
    ]
}

/// Each element of the list is `[stream, from, to]`; `to` is null while it is open.
fn create_view(view: &LineageView, place: &str) -> String {
    let keys: Vec<String> = view.table.key.iter().map(|key| format!("r.{}", quoted(key))).collect();
    format!(
        "CREATE VIEW {view_name} AS SELECT r.namespace AS namespace, {keys}, \
         row_number() OVER (PARTITION BY r.namespace, {keys} ORDER BY s.n, e.seq) - 1 AS position, \
         e.id AS id, e.time AS time, e.turn AS turn, e.body AS body, h.stream AS stream, \
         e.seq AS seq FROM {table} AS r \
         CROSS JOIN LATERAL json_array_elements(r.body -> '{member}') WITH ORDINALITY AS s(value, n) \
         JOIN {streams} AS h ON h.namespace = r.namespace AND h.log = '{log_name}' \
         AND h.stream = s.value ->> 0 \
         JOIN {log} AS e ON e.stream_no = h.no AND e.seq >= (s.value ->> 1)::bigint \
         AND e.seq <= coalesce((s.value ->> 2)::bigint, 9223372036854775807)",
        view_name = within(place, view.name),
        keys = keys.join(", "),
        table = within(place, view.table.name),
        member = view.member,
        streams = within(place, "_streams"),
        log_name = view.log.name,
        log = within(place, view.log.name),
    )
}
