//! The functions for what is committed most: entries appended to streams that are there, nothing
//! else. One for each log; `append.sql` is their frame.
//!
//! What an ordinary function of PL/pgSQL costs is first of all its expressions, each of which is made
//! ready anew in each transaction, then its statements. So these have few of both, no block that
//! catches, and no `SET`: their names and operators are qualified instead. They answer NULL, having
//! changed nothing, when anything is out of the ordinary: then the commit function decides.

use super::commit_sql::{placed, revision};
use super::ddl::within;
use crate::drivers::sql::shape::quoted;
use crate::schema::{Log, Schema, Table};

/// From here on the commit function looks whether numbers are left: far below the last one, so that
/// no batch gets past it.
pub(super) const NEAR_THE_END: &str = "9000000000000000000";

const FRAME: &str = include_str!("append.sql");

/// The parameters of the functions, in order.
pub(super) const PARAMETERS: [(&str, &str); 18] = [
    ("p_token", "uuid"),
    ("p_time", "bigint"),
    ("p_locks", "bigint[]"),
    ("p_exclusive", "boolean[]"),
    ("p_listeners", "bigint"),
    ("p_channel", "text"),
    ("p_namespace", "text"),
    ("p_turn", "text"),
    ("x_table", "integer[]"),
    ("x_key", "text[]"),
    ("x_version", "bigint[]"),
    ("p_streams", "integer"),
    ("s_key", "text[]"),
    ("s_from", "integer[]"),
    ("s_count", "integer[]"),
    ("s_size", "bigint[]"),
    ("e_id", "text[]"),
    ("e_body", "text[]"),
];

/// What the function of a log is called.
pub(super) fn name(schema: &Schema, log: &Log, place: &str) -> String {
    within(place, &format!("_append_{}_{}", log.name, revision(schema)))
}

/// The statements that make the functions.
pub(super) fn create(schema: &Schema, place: &str) -> Vec<String> {
    let parameters: Vec<String> =
        PARAMETERS.iter().map(|(name, type_name)| format!("{name} {type_name}")).collect();
    let function = |log: &&Log| {
        format!(
            "CREATE OR REPLACE FUNCTION {}({}) RETURNS text LANGUAGE plpgsql AS \
             $agentkeep$\n{}$agentkeep$",
            name(schema, log, place),
            parameters.join(", "),
            body(schema, log, place)
        )
    };
    schema.logs.iter().map(function).collect()
}

/// What the function of a log does.
pub(super) fn body(schema: &Schema, log: &Log, place: &str) -> String {
    let look = match schema.tables {
        [] => "RETURN NULL;\n".to_owned(),
        tables => look(tables, 0, place),
    };
    let text = qualified(FRAME)
        .replace("@log@", log.name)
        .replace("@look@\n", &qualified(&look))
        .replace("@entries@", &within(place, log.name))
        .replace("@end@", NEAR_THE_END);
    placed(&text, place)
}

/// Whatever the caller's search path is: no operator of somebody else is meant.
pub(super) fn qualified(text: &str) -> String {
    ["<>", "<", ">", "=", "+", "-", "*"].iter().fold(text.to_owned(), |text, operator| {
        text.replace(&format!("@{operator}@"), &format!("OPERATOR(pg_catalog.{operator})"))
    })
}

/// Looks for the record `x_key[i]` of the table with the number `v_table`: halves the tables until
/// one is left, for each comparison costs.
fn look(tables: &[&Table], first: usize, place: &str) -> String {
    let (below, above) = tables.split_at(tables.len() / 2);
    if let ([], [table]) = (below, above) {
        return format!(
            "SELECT t.version INTO v_found FROM {} t WHERE {};\n",
            within(place, table.name),
            same_key(table, "p_namespace", "x_key[i]")
        );
    }
    let middle = first + below.len();
    format!(
        "IF v_table @<@ {middle} THEN\n{}ELSE\n{}END IF;\n",
        look(below, first, place),
        look(above, middle, place)
    )
}

/// The condition that a row has a namespace and a key, both of them expressions.
pub(super) fn same_key(table: &Table, namespace: &str, key: &str) -> String {
    let part = |i: usize| match table.key {
        [_] => key.to_owned(),
        _ => format!("pg_catalog.split_part({key}, pg_catalog.chr(31), {})", i + 1),
    };
    table.key.iter().enumerate().fold(format!("t.namespace @=@ {namespace}"), |text, (i, key)| {
        format!("{text} AND t.{} @=@ {}", quoted(key), part(i))
    })
}
