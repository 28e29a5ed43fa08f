//! Operations on records.

use std::sync::Arc;

use super::commit::Commit;
use super::ground::Ground;
use super::rows::Stored;
use crate::driver::{Outcome, Put, Record, Save};
use crate::error::{Error, Kind, Result};
use crate::schema::{Key, NAMESPACES};

impl<G: Ground> Commit<'_, G> {
    pub(super) fn put(&mut self, put: &Put) -> Result<Outcome> {
        self.only_our_name(&put.key)?;
        let found = self.ground.version(&put.key)?;
        match put.save {
            Save::Create if found > 0 => {
                return Err(Error::new(Kind::AlreadyExists, "the record exists already")
                    .at(put.key.to_string()));
            }
            Save::At(version) if version != found => {
                let message = format!("the record has version {found}, not {version}");
                return Err(Error::new(Kind::Conflict, message).at(put.key.to_string()));
            }
            _ => {}
        }
        let version = self.write(put, true)?;
        self.made = true;
        Ok(Outcome::Put { version })
    }

    /// Writes a record over whatever there is; answers its version.
    pub(super) fn write(&mut self, put: &Put, with_turn: bool) -> Result<u64> {
        let key = &put.key;
        let old = self.ground.stored(key)?;
        let before = match &old {
            Some(old) => old.record.version,
            None => self.ground.floor(key.table()),
        };
        // The new references first: a blob that both refer to never counts as unreferenced.
        let refs = self.refer(&put.refs, || key.to_string())?;
        let record = Record {
            key: key.clone(),
            body: put.body.clone(),
            version: before + 1,
            turn: self.turn.filter(|_| with_turn).cloned(),
            refs,
        };
        let stored = Stored::new(record, put.fields.clone());
        self.ground.set_record(key, Some(Arc::new(stored)));
        self.release(old.as_ref().map_or(&[], |old| &old.record.refs));
        Ok(before + 1)
    }

    pub(super) fn delete(&mut self, key: &Key) -> Result<Outcome> {
        self.only_our_name(key)?;
        let is_name = key.table().name == NAMESPACES.name;
        if is_name && !self.ground.is_empty() {
            return Err(Error::new(Kind::Conflict, "the namespace still holds something")
                .at(key.to_string())
                .retryable(false)
                .advice("delete its records, streams and blobs first"));
        }
        let existed = self.remove(key)?;
        if is_name {
            // What made it before in this commit is gone again.
            self.made = false;
        }
        Ok(Outcome::Deleted { existed })
    }

    /// Removes a record; answers whether there was one.
    pub(super) fn remove(&mut self, key: &Key) -> Result<bool> {
        let Some(old) = self.ground.stored(key)? else { return Ok(false) };
        self.ground.raise_floor(key.table(), old.record.version);
        self.ground.set_record(key, None);
        self.release(&old.record.refs);
        Ok(true)
    }

    /// A commit changes one namespace: it may not write the record of another.
    fn only_our_name(&self, key: &Key) -> Result<()> {
        if key.table().name != NAMESPACES.name || key.first() == self.namespace.as_str() {
            return Ok(());
        }
        Err(Error::new(Kind::InvalidInput, "it is the record of another namespace")
            .at(key.to_string())
            .advice("write it in a commit of its own namespace"))
    }
}
