//! The record of a namespace.

use super::apply::{Apply, Outcomes};
use crate::driver::{Batch, Operation, Put, Save};
use crate::error::{Error, Kind};
use crate::json::Json;
use crate::schema::{Key, NAMESPACES};

impl Apply<'_> {
    /// The record of the namespace comes into being with its first commit, and cannot go while
    /// the namespace holds anything.
    pub(super) fn name_namespace(&mut self, batch: &Batch) -> Outcomes<()> {
        let deleted = batch.operations.iter().find_map(|operation| match operation {
            Operation::Delete(key) if key.table().name == NAMESPACES.name => Some(key),
            _ => None,
        });
        if let Some(key) = deleted {
            if key.first() != batch.namespace.as_str() {
                let error = Error::new(Kind::InvalidInput, "it is another namespace");
                return Err(error
                    .at(key.to_string())
                    .advice("delete a namespace in a commit of its own namespace")
                    .into());
            }
            if self.holds_anything()? {
                let error = Error::new(Kind::Conflict, "the namespace still holds something");
                let error = error.retryable(false).advice("delete what it holds first");
                return Err(error.at(key.to_string()).into());
            }
            return Ok(());
        }
        if self.cache.is_named(self.namespace) {
            return Ok(());
        }
        let key = Key::new(&NAMESPACES, [batch.namespace.as_str()])?;
        if self.version(&key)? == 0 {
            self.put(&Put::new(key, Json::parse("{}")?, Save::Any)?)?;
        }
        Ok(())
    }

    fn holds_anything(&self) -> Outcomes<bool> {
        let counts = self.sql.tables.iter().filter(|(name, _)| **name != NAMESPACES.name);
        let counts = counts.map(|(_, table)| table.count.as_str()).chain([
            "SELECT count(*) FROM _streams WHERE namespace = ?1",
            "SELECT count(*) FROM _blobs WHERE namespace = ?1",
        ]);
        for sql in counts {
            let mut statement = self.connection.prepare_cached(sql)?;
            let count: i64 = statement.query_row([self.namespace.as_str()], |row| row.get(0))?;
            if count > 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
