//! Upkeep: the format, room that was freed, and how much a namespace holds.

use async_trait::async_trait;

use super::errors::strange;
use super::keys::Space;
use super::{Redis, in_redis};
use crate::driver::{Maintain, Usage};
use crate::error::Result;
use crate::schema::{BLOBS, Namespace, STREAMS};

/// Fields of a hash with what they hold.
type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

#[async_trait]
impl Maintain for Redis {
    /// Opening has done it, or was told not to.
    async fn upgrade(&self) -> Result<u32> {
        self.link.refuse_if_closed().map_err(in_redis)?;
        Ok(self.found)
    }

    /// The server gives room back by itself, at once; its file of commands is rewritten when it
    /// has grown enough.
    async fn compact(&self) -> Result<u64> {
        self.link.refuse_if_closed().map_err(in_redis)?;
        Ok(0)
    }

    async fn usage(&self, namespace: &Namespace) -> Result<Usage> {
        self.usage_now(namespace).await.map_err(in_redis)
    }
}

impl Redis {
    async fn usage_now(&self, namespace: &Namespace) -> Result<Usage> {
        let space = Space::new(&self.link.options.base, namespace);
        let mut usage = Usage::default();
        for table in self.schema.tables {
            let mut cmd = redis::cmd("HLEN");
            cmd.arg(space.records(table));
            let count = redis::from_redis_value(self.link.command(&cmd).await?);
            usage.records.push((table.name.to_owned(), count.map_err(|_| strange("records"))?));
        }
        for log in self.schema.logs {
            usage.logs.push((log.name.to_owned(), 0, 0, 0));
        }
        self.each(&space.records(&STREAMS), |field, row| {
            let (log, _) = std::str::from_utf8(field).ok()?.split_once('\u{1f}')?;
            let (head, _) = super::rows::head(row)?;
            let (_, streams, entries, bytes) =
                usage.logs.iter_mut().find(|(name, ..)| name == log)?;
            (*streams, *entries, *bytes) =
                (*streams + 1, *entries + head.count, *bytes + head.bytes);
            Some(())
        })
        .await?;
        let (mut blobs, mut bytes) = (0, 0);
        self.each(&space.records(&BLOBS), |_, row| {
            blobs += 1;
            bytes += super::rows::blob(row)?.size;
            Some(())
        })
        .await?;
        (usage.blobs, usage.blob_bytes) = (blobs, bytes);
        Ok(usage)
    }

    /// Every field of a hash, once.
    async fn each(
        &self,
        key: &str,
        mut with: impl FnMut(&[u8], &[u8]) -> Option<()>,
    ) -> Result<()> {
        let (mut seen, mut cursor) = (std::collections::HashSet::new(), 0u64);
        loop {
            let mut cmd = redis::cmd("HSCAN");
            cmd.arg(key).arg(cursor).arg("COUNT").arg(1000);
            let answer = self.link.command(&cmd).await?;
            let (next, rows): (u64, Pairs) =
                redis::from_redis_value(answer).map_err(|_| strange("what is there"))?;
            for (field, row) in rows {
                if seen.insert(field.clone()) {
                    with(&field, &row);
                }
            }
            if next == 0 {
                return Ok(());
            }
            cursor = next;
        }
    }
}
