//! What tables are called and made of, alike in every SQL database.

use crate::schema::{Index, NAMESPACES, Table};

/// An identifier in SQL.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The columns that make up a record's primary key.
pub(super) fn key_columns(table: &Table) -> Vec<&'static str> {
    if table.name == NAMESPACES.name {
        return table.key.to_vec();
    }
    std::iter::once("namespace").chain(table.key.iter().copied()).collect()
}

/// The columns of indexed fields that are no lists, with their places among the fields.
pub(super) fn field_columns(table: &Table) -> impl Iterator<Item = (usize, &'static str)> + '_ {
    table.fields.iter().enumerate().filter(|(_, f)| !f.many).map(|(i, f)| (i, f.name))
}

/// True for an index whose first field is a list.
pub(super) fn is_list_index(table: &Table, index: &Index) -> bool {
    let first = index.fields.first().and_then(|(name, _)| table.field(name));
    first.is_some_and(|place| table.fields[place].many)
}

/// The table that holds a list index.
pub(super) fn side_table(table: &Table, index: &Index) -> String {
    format!("{}__{}", table.name, index.name)
}
