//! What checking asks of a namespace, and where it notes what it found.

use std::collections::{HashMap, HashSet};

use super::errors::strange;
use super::reader::Place;
use super::snapshot::Copy;
use crate::driver::{CheckReport, Hash};
use crate::error::{Kind, Result};

/// Rows in one question.
pub(super) const PAGE: usize = 500;

/// A look at a copy, or at what is read in place.
pub(super) struct Look<'a> {
    pub(super) at: Place<'a>,
    pub(super) copy: &'a Copy,
    pub(super) report: &'a mut CheckReport,
    pub(super) references: HashMap<Hash, u64>,
    /// Keys that hold something else than they should.
    pub(super) unreadable: HashSet<String>,
}

type Field = Option<Vec<u8>>;
type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

impl Look<'_> {
    pub(super) fn refer<'r>(&mut self, refs: impl IntoIterator<Item = &'r Hash>) {
        for hash in refs {
            *self.references.entry(*hash).or_default() += 1;
        }
    }

    pub(super) fn place(&self, what: impl std::fmt::Display) -> String {
        format!("{:?} {what}", self.at.namespace)
    }

    /// `None` for a key of another kind: that is told once, and what else there is is looked at.
    pub(super) async fn ask<T: redis::FromRedisValue>(
        &mut self,
        command: &str,
        key: &str,
        arguments: &[&[u8]],
    ) -> Result<Option<T>> {
        // Each question prolongs the copy.
        self.copy.place(self.at.namespace).await?;
        let arguments = [&[command.as_bytes()], arguments].concat();
        let asked = self.at.ask(&self.at.scripts.command, vec![key.to_owned()], &arguments).await;
        let error = match asked {
            Ok(answer) => {
                let answer = redis::from_redis_value(answer);
                return answer.map(Some).map_err(|_| strange("what is there"));
            }
            Err(error) => error,
        };
        if error.kind() != Kind::Corrupt {
            return Err(error);
        }
        if self.unreadable.insert(key.to_owned()) {
            let name = key.strip_prefix(self.at.space.prefix()).unwrap_or(key);
            self.report.damaged(self.place(name), "the key holds something of another kind");
        }
        Ok(None)
    }

    /// A part of a hash, and where it goes on; 0 at the end.
    pub(super) async fn scan(&mut self, key: &str, cursor: u64) -> Result<Option<(u64, Pairs)>> {
        let (cursor, count) = (cursor.to_string(), PAGE.to_string());
        self.ask("HSCAN", key, &[cursor.as_bytes(), b"COUNT", count.as_bytes()]).await
    }

    /// How many of the places a sorted set lacks.
    pub(super) async fn lacking(
        &mut self,
        index: &str,
        places: &[Vec<u8>],
    ) -> Result<Option<usize>> {
        let mut lacking = 0;
        for page in places.chunks(PAGE) {
            let page: Vec<&[u8]> = page.iter().map(Vec::as_slice).collect();
            let scores: Option<Vec<Option<f64>>> = self.ask("ZMSCORE", index, &page).await?;
            let Some(scores) = scores else { return Ok(None) };
            lacking += scores.iter().filter(|score| score.is_none()).count();
        }
        Ok(Some(lacking))
    }

    /// What a hash has in some fields.
    pub(super) async fn fields(
        &mut self,
        key: &str,
        fields: &[&[u8]],
    ) -> Result<Option<Vec<Field>>> {
        if fields.is_empty() {
            return Ok(Some(Vec::new()));
        }
        self.ask("HMGET", key, fields).await
    }

    /// Holds the places that records have against those that an index has.
    pub(super) async fn index(&mut self, name: &str, places: &[Vec<u8>]) -> Result<()> {
        let key = self.at.space.of(name);
        let Some(missing) = self.lacking(&key, places).await? else { return Ok(()) };
        if missing > 0 {
            self.report.damaged(self.place(name), format!("the index lacks {missing} places"));
        }
        let there: Option<usize> = self.ask("ZCARD", &key, &[]).await?;
        let Some(there) = there else { return Ok(()) };
        if there + missing != places.len() {
            let what = format!("the index has {there} places, not {}", places.len());
            self.report.damaged(self.place(name), what);
        }
        Ok(())
    }
}
