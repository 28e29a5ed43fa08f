//! Preconditions.

use super::space::stream_place;
use super::steps::Steps;
use crate::driver::Expect;
use crate::error::{Error, Kind, Result};

/// Refuses a precondition that does not hold.
pub(super) fn holds(steps: &Steps<'_>, expect: &Expect) -> Result<()> {
    match expect {
        Expect::Absent(key) => {
            let there = steps.stored(key)?.is_some();
            unless(!there, Kind::AlreadyExists, "the record exists already", || key.to_string())
        }
        Expect::Exists(key) => {
            let there = steps.stored(key)?.is_some();
            unless(there, Kind::NotFound, "the record does not exist", || key.to_string())
        }
        Expect::Version(key, version) => {
            let found = steps.stored(key)?.map_or(0, |stored| stored.record.version);
            let message = format!("the record has version {found}, not {version}");
            unless(found == *version, Kind::Conflict, &message, || key.to_string())
        }
        Expect::LogEnds(log, stream, last) => {
            let key = steps.space().key(log, stream)?;
            let found = steps.stream(&key).map_or(0, |stream| stream.head.last);
            let message = format!("the stream ends at {found}, not {last}");
            unless(found == *last, Kind::Conflict, &message, || stream_place(&key))
        }
        Expect::NoRecord(table, index, value) => {
            let place = || format!("{} {}", table.name, index.name);
            let there = steps.rows(table)?.has(index, value).ok_or_else(|| {
                Error::new(Kind::InvalidInput, "the table has no such index over a field")
                    .at(place())
            })?;
            unless(!there, Kind::Conflict, "a record has the value", place)
        }
        Expect::BlobPresent(hash) => {
            let there = steps.space().blobs.contains_key(hash);
            unless(there, Kind::NotFound, "the blob is not there", || format!("blob {hash}"))
        }
    }
}

fn unless(holds: bool, kind: Kind, message: &str, place: impl Fn() -> String) -> Result<()> {
    if holds { Ok(()) } else { Err(Error::new(kind, message).at(place())) }
}
