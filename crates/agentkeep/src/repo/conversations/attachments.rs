//! Attachments: bytes kept once, however many messages refer to them.

use crate::driver::{Batch, Blob, FoundBlob, Operation, Want};
use crate::error::{Error, Kind, Result};
use crate::model::Attachment;
use crate::repo::space::Space;

/// The attachments of a namespace.
#[derive(Debug, Clone, Copy)]
pub struct Attachments<'a> {
    space: &'a Space,
}

impl<'a> Attachments<'a> {
    pub(crate) fn new(space: &'a Space) -> Self {
        Self { space }
    }

    /// Keeps bytes and describes them, for [`Message::attach`](crate::Message::attach). The same
    /// bytes again are kept once. Bytes that no message refers to within a day are collected.
    ///
    /// # Errors
    /// `TooLarge` past 64 MiB.
    pub async fn put(&self, bytes: &[u8]) -> Result<Attachment> {
        let mut batch = Batch::new(self.space.namespace().clone());
        batch.push(Operation::PutBlob(Blob::new(bytes)));
        self.space.commit(batch).await?;
        Ok(Attachment::of(bytes))
    }

    /// The bytes of an attachment.
    ///
    /// # Errors
    /// `NotFound` when they are not there (any more).
    pub async fn get(&self, attachment: &Attachment) -> Result<Vec<u8>> {
        let hash = attachment.hash();
        let driver = self.space.driver();
        let found = driver.blobs(self.space.namespace(), &[hash], Want::Bytes).await?;
        match found.into_iter().next().flatten() {
            Some(FoundBlob::Bytes(blob)) => Ok(blob.bytes().to_vec()),
            _ => Err(Error::new(Kind::NotFound, "there is no such attachment")
                .at(format!("blob {hash}"))),
        }
    }
}
