//! The record of a namespace.

use super::apply::{Apply, Outcomes};
use crate::driver::{Put, Save};
use crate::error::{Error, Kind};
use crate::json::ObjectEditor;
use crate::schema::{Key, NAMESPACES};

impl Apply<'_> {
    /// The record of the namespace comes into being with the first commit that makes a record, a
    /// stream or a blob in it.
    pub(super) fn name_namespace(&mut self) -> Outcomes<()> {
        if !self.made || (self.cache.is_named(self.namespace) && !self.unnamed) {
            return Ok(());
        }
        let key = Key::new(&NAMESPACES, [self.namespace.as_str()])?;
        if self.version_now(&key)? == 0 {
            self.put(&Put::new(key, ObjectEditor::default().finish(), Save::Any)?)?;
        }
        Ok(())
    }

    /// The version of a record as this batch leaves it so far.
    fn version_now(&mut self, key: &Key) -> Outcomes<u64> {
        let own = self.versions.iter().rev().find(|(written, _)| written == key);
        match own {
            Some((_, version)) => Ok(*version),
            None => self.version(key),
        }
    }

    /// A commit changes one namespace: it may not write the record of another.
    pub(super) fn only_our_name(&self, key: &Key) -> Outcomes<()> {
        if key.table().name != NAMESPACES.name || key.first() == self.namespace.as_str() {
            return Ok(());
        }
        let error = Error::new(Kind::InvalidInput, "it is the record of another namespace");
        let error = error.advice("write it in a commit of its own namespace");
        Err(error.at(key.to_string()).into())
    }

    /// The record cannot go while the namespace holds anything.
    pub(super) fn unname(&mut self, key: &Key) -> Outcomes<()> {
        self.write_blobs()?;
        if self.holds_anything()? {
            let error = Error::new(Kind::Conflict, "the namespace still holds something");
            let error =
                error.retryable(false).advice("delete its records, streams and blobs first");
            return Err(error.at(key.to_string()).into());
        }
        (self.made, self.unnamed) = (false, true);
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
