//! The lines of `operations.jsonl`.

use serde::{Deserialize, Serialize};

use super::changes::OperationChange;
use super::seal;
use crate::driver::{Committed, Outcome};
use crate::error::{Error, Kind, Result};
use crate::json::Json;
use crate::schema::OperationId;

#[derive(Serialize, Deserialize)]
struct Line {
    operation: String,
    digest: String,
    time: i64,
    replayed: bool,
    outcomes: Vec<Outcome>,
}

pub(super) fn write(change: &OperationChange<'_>) -> Result<String> {
    let outcomes =
        serde_json::from_str(&change.outcomes).map_err(|error| damaged().caused_by(error))?;
    let line = Line {
        operation: change.operation.clone().into_owned(),
        digest: data_encoding::HEXLOWER.encode(&change.digest),
        time: change.time,
        replayed: change.replayed,
        outcomes,
    };
    let mut text = seal::seal(&[b"operation"], &Json::of(&line)?, "\"of\":1");
    text.push('\n');
    Ok(text)
}

pub(super) fn read(line: &[u8]) -> Result<(OperationId, [u8; 32], Committed)> {
    let text = std::str::from_utf8(line).map_err(|_| damaged())?;
    let (body, _) = seal::open(&[b"operation"], text)?;
    let line: Line =
        serde_json::from_str(body.as_str()).map_err(|error| damaged().caused_by(error))?;
    let digest = data_encoding::HEXLOWER
        .decode(line.digest.as_bytes())
        .ok()
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(damaged)?;
    let committed = Committed { time: line.time, replayed: line.replayed, outcomes: line.outcomes };
    Ok((OperationId::new(&line.operation)?, digest, committed))
}

fn damaged() -> Error {
    Error::new(Kind::Corrupt, "a remembered operation is damaged")
}
