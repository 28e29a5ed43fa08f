//! Preconditions.

use super::commit::Commit;
use super::ground::{Ground, stream_place};
use crate::driver::Expect;
use crate::error::{Error, Kind, Result};

impl<G: Ground> Commit<'_, G> {
    /// Refuses a precondition that does not hold.
    pub(super) fn holds(&self, expect: &Expect) -> Result<()> {
        match expect {
            Expect::Absent(key) => {
                let there = self.ground.version(key)? > 0;
                unless(
                    !there,
                    Kind::AlreadyExists,
                    || "the record exists already",
                    || key.to_string(),
                )
            }
            Expect::Exists(key) => {
                let there = self.ground.version(key)? > 0;
                unless(there, Kind::NotFound, || "the record does not exist", || key.to_string())
            }
            Expect::Version(key, version) => {
                let found = self.ground.version(key)?;
                let message = || format!("the record has version {found}, not {version}");
                unless(found == *version, Kind::Conflict, message, || key.to_string())
            }
            Expect::LogEnds(log, stream, last) => {
                let key = (self.ground.log(log)?, stream.clone());
                let found = self.ground.head(&key).map_or(0, |head| head.last);
                let message = || format!("the stream ends at {found}, not {last}");
                unless(found == *last, Kind::Conflict, message, || stream_place(&key))
            }
            Expect::NoRecord(table, index, value) => {
                let place = || format!("{} {}", table.name, index.name);
                let there = self.ground.has(table, index, value)?.ok_or_else(|| {
                    Error::new(Kind::InvalidInput, "the table has no such index over a field")
                        .at(place())
                })?;
                unless(!there, Kind::Conflict, || "a record has the value", place)
            }
            Expect::BlobPresent(hash) => {
                let there = self.ground.blob(*hash).is_some();
                unless(there, Kind::NotFound, || "the blob is not there", || format!("blob {hash}"))
            }
        }
    }
}

fn unless<M: Into<String>>(
    holds: bool,
    kind: Kind,
    message: impl Fn() -> M,
    place: impl Fn() -> String,
) -> Result<()> {
    if holds { Ok(()) } else { Err(Error::new(kind, message()).at(place())) }
}
