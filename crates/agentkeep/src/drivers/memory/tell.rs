//! The built-in tables, which tell of streams, blobs and namespaces. Records of streams and blobs
//! carry no turn: they tell of what many turns did.

use super::commit::Commit;
use super::space::{BlobState, StreamKey};
use crate::driver::{Hash, Head, Put, Save};
use crate::error::Result;
use crate::json::{Json, ObjectEditor};
use crate::schema::{BLOBS, Key, NAMESPACES, STREAMS};

impl Commit<'_> {
    /// Brings the built-in tables up to date with what the commit did.
    pub(super) fn tell(&mut self) -> Result<()> {
        for key in std::mem::take(&mut self.changed_streams) {
            if let Some(stream) = self.steps.stream(&key) {
                let body = stream_body(&key, &stream.head);
                self.write(&Put::new(stream_record(&key)?, body, Save::Any)?, false)?;
            }
        }
        for hash in std::mem::take(&mut self.changed_blobs) {
            if let Some(state) = self.steps.space().blobs.get(&hash) {
                let body = blob_body(hash, state);
                self.tell_blob(blob_record(hash)?, body)?;
            }
        }
        if self.made {
            let name = Key::new(&NAMESPACES, [self.namespace.as_str()])?;
            if self.steps.stored(&name)?.is_none() {
                self.write(&Put::new(name, ObjectEditor::default().finish(), Save::Any)?, true)?;
            }
        }
        Ok(())
    }

    /// A reference that went and came again is no change.
    fn tell_blob(&mut self, key: Key, body: Json) -> Result<()> {
        if self.steps.stored(&key)?.is_none_or(|stored| stored.record.body != body) {
            self.write(&Put::new(key, body, Save::Any)?, false)?;
        }
        Ok(())
    }

    /// At once, so that a stream made again in the same commit has a record made anew.
    pub(super) fn tell_dropped_stream(&mut self, key: &StreamKey) -> Result<()> {
        self.remove(&stream_record(key)?).map(|_| ())
    }

    /// At once, as for a stream.
    pub(super) fn tell_dropped_blob(&mut self, hash: Hash) -> Result<()> {
        self.remove(&blob_record(hash)?).map(|_| ())
    }
}

pub(super) fn stream_record(key: &StreamKey) -> Result<Key> {
    Key::new(&STREAMS, [key.0, key.1.as_str()])
}

pub(super) fn blob_record(hash: Hash) -> Result<Key> {
    Key::new(&BLOBS, [hash.to_hex().as_str()])
}

pub(super) fn stream_body((log, stream): &StreamKey, head: &Head) -> Json {
    let mut body = ObjectEditor::default();
    body.set("log", &Json::string(log)).set("stream", &Json::string(stream.as_str()));
    body.set("birth", &Json::string(&format!("{:016x}", head.birth)));
    body.set("first", &integer(head.first)).set("last", &integer(head.last));
    body.set("count", &integer(head.count)).set("bytes", &integer(head.bytes));
    body.set("updated", &Json::integer(head.updated));
    body.finish()
}

pub(super) fn blob_body(hash: Hash, state: &BlobState) -> Json {
    let mut body = ObjectEditor::default();
    body.set("hash", &Json::string(&hash.to_hex()));
    body.set("size", &integer(state.blob.bytes().len() as u64));
    body.set("references", &integer(state.references));
    if let Some(since) = state.unreferenced_since {
        body.set("unreferencedSince", &Json::integer(since));
    }
    body.finish()
}

/// Counts and numbers never come near the end of `i64`.
fn integer(value: u64) -> Json {
    Json::integer(i64::try_from(value).unwrap_or(i64::MAX))
}
