//! The tables of a namespace, found by where their declarations stand.

use std::sync::Arc;

use crate::drivers::kernel::Rows;
use crate::schema::{BLOBS, STREAMS, Schema, Table};

/// All but the store-wide one, in the order of their names. A clone shares their records.
#[derive(Debug, Clone)]
pub(super) struct Tables {
    by_name: Vec<(&'static Table, Arc<Rows>)>,
    /// The address of each declaration, ascending, and its place.
    by_address: Arc<[(usize, usize)]>,
}

impl Tables {
    pub(super) fn new(schema: &Schema) -> Self {
        let tables = [&STREAMS, &BLOBS].into_iter().chain(schema.tables.iter().copied());
        let mut tables: Vec<_> = tables.map(|table| (table, Arc::new(Rows::new(table)))).collect();
        tables.sort_by_key(|(table, _)| table.name);
        let places = tables.iter().enumerate();
        let mut by_address: Vec<_> =
            places.map(|(place, (table, _))| (std::ptr::from_ref(*table).addr(), place)).collect();
        by_address.sort_unstable();
        Self { by_name: tables, by_address: by_address.into() }
    }

    /// Mostly the table is known by its address; a copy of its declaration has the same name.
    fn place(&self, table: &Table) -> Option<usize> {
        let address = std::ptr::from_ref(table).addr();
        match self.by_address.binary_search_by_key(&address, |(known, _)| *known) {
            Ok(found) => self.by_address.get(found).map(|(_, place)| *place),
            Err(_) => self.by_name.binary_search_by_key(&table.name, |(known, _)| known.name).ok(),
        }
    }

    pub(super) fn get(&self, table: &Table) -> Option<&Arc<Rows>> {
        self.by_name.get(self.place(table)?).map(|(_, rows)| rows)
    }

    pub(super) fn get_mut(&mut self, table: &Table) -> Option<&mut Arc<Rows>> {
        let place = self.place(table)?;
        self.by_name.get_mut(place).map(|(_, rows)| rows)
    }

    /// Each with its name.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&'static str, &Arc<Rows>)> {
        self.by_name.iter().map(|(table, rows)| (table.name, rows))
    }
}
