//! The built-in tables, which tell of streams, blobs and namespaces. Records of streams and blobs
//! carry no turn: they tell of what many turns did.

use super::built_in::blob_record;
use super::commit::Commit;
use super::ground::{Ground, StreamKey};
use crate::driver::{Hash, Put, Save};
use crate::error::Result;
use crate::json::{Json, ObjectEditor};
use crate::schema::Key;

impl<G: Ground> Commit<'_, G> {
    /// Brings the built-in tables up to date with what the commit did.
    pub(super) fn tell(&mut self) -> Result<()> {
        let mut streams = std::mem::take(&mut self.changed_streams);
        streams.sort_unstable();
        streams.dedup();
        for key in streams {
            if let Some(head) = self.ground.head(&key) {
                let record = self.ground.stream_record(&key)?;
                self.write_stream(&record, head)?;
            }
        }
        for hash in std::mem::take(&mut self.changed_blobs) {
            if let Some(state) = self.ground.blob(hash) {
                let body = state.told(hash);
                self.tell_blob(blob_record(hash)?, body)?;
            }
        }
        if self.made {
            let name = self.ground.name_record(self.namespace)?;
            if self.ground.stored(&name)?.is_none() {
                self.write(&Put::new(name, ObjectEditor::default().finish(), Save::Any)?, true)?;
            }
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

    /// At once, so that a stream made again in the same commit has a record made anew.
    pub(super) fn tell_dropped_stream(&mut self, key: &StreamKey) -> Result<()> {
        let record = self.ground.stream_record(key)?;
        self.remove(&record).map(|_| ())
    }

    /// At once, as for a stream.
    pub(super) fn tell_dropped_blob(&mut self, hash: Hash) -> Result<()> {
        self.remove(&blob_record(hash)?).map(|_| ())
    }
}
