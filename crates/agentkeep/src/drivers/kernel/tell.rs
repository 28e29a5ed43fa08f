//! The built-in tables, which tell of streams, blobs and namespaces. Records of streams and blobs
//! carry no turn: they tell of what many turns did.

use super::built_in::{blob_record, name_key};
use super::commit::Commit;
use super::ground::{Ground, StreamKey};
use crate::driver::{Hash, Put, Save};
use crate::error::Result;
use crate::json::{Json, ObjectEditor};
use crate::schema::Key;

impl<G: Ground> Commit<'_, G> {
    /// The stream has something to tell of.
    pub(super) fn changed(&mut self, key: &StreamKey) {
        if self.changed_stream.is_none() {
            self.changed_stream = Some(key.clone());
        } else if self.changed_stream.as_ref() != Some(key) {
            self.changed_streams.push(key.clone());
        }
    }

    /// Brings the built-in tables up to date with what the commit did.
    pub(super) fn tell(&mut self) -> Result<()> {
        for key in self.changed_stream.take().iter().chain(&distinct(&mut self.changed_streams)) {
            self.ground.tell_stream(key)?;
        }
        for hash in distinct(&mut self.changed_blobs) {
            if let Some(state) = self.ground.blob(hash) {
                let body = state.told(hash);
                self.tell_blob(blob_record(hash)?, body)?;
            }
        }
        if self.made && !self.ground.is_named(self.namespace)? {
            let name = name_key(self.namespace)?;
            self.write(&Put::new(name, ObjectEditor::default().finish(), Save::Any)?, true)?;
        }
        Ok(())
    }

    /// A reference that went and came again is no change.
    fn tell_blob(&mut self, key: Key, body: Json) -> Result<()> {
        if self.ground.stored(&key)?.is_none_or(|stored| *stored.body() != body) {
            self.write(&Put::new(key, body, Save::Any)?, false)?;
        }
        Ok(())
    }

    /// At once, as for a stream.
    pub(super) fn tell_dropped_blob(&mut self, hash: Hash) -> Result<()> {
        self.remove(&blob_record(hash)?).map(|_| ())
    }
}

/// All of them, each once and in order.
fn distinct<T: Ord>(changed: &mut Vec<T>) -> Vec<T> {
    let mut changed = std::mem::take(changed);
    changed.sort_unstable();
    changed.dedup();
    changed
}
