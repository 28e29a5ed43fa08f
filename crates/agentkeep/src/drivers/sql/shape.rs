//! What tables are called and made of, alike in every SQL database.

use crate::schema::{Field, Index, NAMESPACES, Schema, Table};

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

/// The fields that the table was made with, and those that came later: their columns stand behind all
/// others, where an upgrade can add them.
pub(super) fn first_and_later(table: &Table) -> [Vec<&'static Field>; 2] {
    let fields: &'static [Field] = table.fields;
    let columns = || fields.iter().filter(|field| !field.many);
    [true, false].map(|first| columns().filter(|field| (field.since == 0) == first).collect())
}

/// The fields that came after this format to tables that there were.
pub(super) fn fields_since(
    schema: &Schema,
    from: u32,
) -> impl Iterator<Item = (&'static Table, &'static Field)> {
    let of_table = |table: &'static Table| table.fields.iter().map(move |field| (table, field));
    let added = move |field: &Field| field.since > from && !field.many;
    known(schema, from).flat_map(of_table).filter(move |(_, field)| added(field))
}

/// The indexes of tables that there were which are others since this format.
pub(super) fn indexes_since(
    schema: &Schema,
    from: u32,
) -> impl Iterator<Item = (&'static Table, &'static Index)> {
    let of_table = |table: &'static Table| table.indexes.iter().map(move |index| (table, index));
    known(schema, from).flat_map(of_table).filter(move |(_, index)| index.since > from)
}

fn known(schema: &Schema, from: u32) -> impl Iterator<Item = &'static Table> {
    schema.tables.iter().copied().filter(move |table| table.since <= from)
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
