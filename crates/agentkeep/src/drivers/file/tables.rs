//! The tables of a namespace, found by where their declarations stand.

use std::sync::Arc;

use crate::drivers::kernel::Rows;
use crate::schema::{BLOBS, STREAMS, Schema, Table};

/// All but the store-wide one, in the order of their names. A clone shares their records.
#[derive(Debug, Clone)]
pub(super) struct Tables(Vec<(&'static Table, Arc<Rows>)>);

impl Tables {
    pub(super) fn new(schema: &Schema) -> Self {
        let tables = [&STREAMS, &BLOBS].into_iter().chain(schema.tables.iter().copied());
        let mut tables: Vec<_> = tables.map(|table| (table, Arc::new(Rows::new(table)))).collect();
        tables.sort_by_key(|(table, _)| table.name);
        Self(tables)
    }

    /// Mostly the table is known by its address; a copy of its declaration has the same name.
    fn place(&self, table: &Table) -> Option<usize> {
        let same = self.0.iter().position(|(known, _)| std::ptr::eq(*known, table));
        same.or_else(|| self.0.binary_search_by_key(&table.name, |(known, _)| known.name).ok())
    }

    pub(super) fn get(&self, table: &Table) -> Option<&Arc<Rows>> {
        self.0.get(self.place(table)?).map(|(_, rows)| rows)
    }

    pub(super) fn get_mut(&mut self, table: &Table) -> Option<&mut Arc<Rows>> {
        let place = self.place(table)?;
        self.0.get_mut(place).map(|(_, rows)| rows)
    }

    /// Each with its name.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&'static str, &Arc<Rows>)> {
        self.0.iter().map(|(table, rows)| (table.name, rows))
    }
}
