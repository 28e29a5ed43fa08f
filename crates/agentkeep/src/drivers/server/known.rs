//! What a batch names, against the schema.

use crate::driver::{Append, Batch, Expect, Operation, Put};
use crate::error::{Error, Kind, Result};
use crate::schema::{Log, Schema, Table};

fn unknown(what: &str, name: &str) -> Error {
    Error::new(Kind::InvalidInput, format!("the schema has no {what} {name}"))
}

pub(in crate::drivers) fn known_table(schema: &Schema, table: &Table) -> Result<()> {
    if schema.table(table.name).is_some() { Ok(()) } else { Err(unknown("table", table.name)) }
}

pub(in crate::drivers) fn known_log(schema: &Schema, log: &Log) -> Result<()> {
    if schema.log(log.name).is_some() { Ok(()) } else { Err(unknown("log", log.name)) }
}

/// Refuses what the schema does not have, so that no neighbour in the group suffers from it.
pub(in crate::drivers) fn refuse_unknown(schema: &Schema, batch: &Batch) -> Result<()> {
    for (i, expect) in batch.expect.iter().enumerate() {
        let known = match expect {
            Expect::Absent(key) | Expect::Exists(key) | Expect::Version(key, _) => {
                known_table(schema, key.table())
            }
            Expect::LogEnds(log, ..) => known_log(schema, log),
            Expect::NoRecord(table, index, _) => known_table(schema, table).and_then(|()| {
                let has = table.index(index.name).is_some_and(|known| std::ptr::eq(known, *index));
                if has && !index.fields.is_empty() {
                    return Ok(());
                }
                Err(Error::new(Kind::InvalidInput, "the table has no such index over a field")
                    .at(format!("{} {}", table.name, index.name)))
            }),
            Expect::BlobPresent(_) => Ok(()),
        };
        known.map_err(|error| error.of_expectation(i))?;
    }
    for operation in &batch.operations {
        match operation {
            Operation::Put(Put { key, .. }) | Operation::Delete(key) => {
                known_table(schema, key.table())?;
            }
            Operation::Append(Append { log, .. })
            | Operation::Trim { log, .. }
            | Operation::Rewrite { log, .. }
            | Operation::Drop { log, .. } => known_log(schema, log)?,
            Operation::PutBlob(_) | Operation::DropBlob(_) => {}
        }
    }
    Ok(())
}
