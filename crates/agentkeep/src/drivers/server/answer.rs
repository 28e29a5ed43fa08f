//! What a server answers to a commit, as the seam has it: one line for each batch.
//!
//! `ok R TIME TOKENS...` with R = 1 for what was not done now, or `no STEP CODE ARGUMENTS...`.

use crate::driver::{Batch, Committed, Expect, MAX_NUMBER, Operation, Outcome};
use crate::error::{Error, Kind, Result};
use crate::schema::OperationId;

/// An answer that is none.
pub(in crate::drivers) fn strange(text: &str) -> Error {
    let start: String = text.chars().take(60).collect();
    Error::new(Kind::Corrupt, format!("the server answered a commit with {start:?}"))
        .advice("does something else stand between, or under this name?")
}

/// The answer to one batch. `first`: the place of its first step among those of its group.
pub(in crate::drivers) fn answer(
    line: &str,
    batch: &Batch,
    first: usize,
) -> Result<Result<Committed>> {
    if let Some(committed) = done(line)? {
        return Ok(Ok(committed));
    }
    let mut words = line.split(' ').skip(1);
    let step = words.next().and_then(|step| step.parse::<usize>().ok());
    let step = step.ok_or_else(|| strange(line))?.saturating_sub(first);
    let code = words.next().unwrap_or_default();
    Ok(Err(refusal(batch, step, code, words.next().unwrap_or_default())))
}

/// What was done; `None` for a refusal.
pub(in crate::drivers) fn done(line: &str) -> Result<Option<Committed>> {
    let mut words = line.split(' ');
    match words.next() {
        Some("ok") => {
            let replayed = words.next() == Some("1");
            let time = words.next().and_then(|time| time.parse().ok());
            let time = time.ok_or_else(|| strange(line))?;
            let outcomes = words.map(|word| outcome(word).ok_or_else(|| strange(line)));
            let outcomes = outcomes.collect::<Result<_>>()?;
            Ok(Some(Committed { time, replayed, outcomes }))
        }
        Some("no") => Ok(None),
        _ => Err(strange(line)),
    }
}

fn outcome(word: &str) -> Option<Outcome> {
    let rest = word.get(1..)?;
    let yes = || Some(rest == "1");
    Some(match word.as_bytes().first()? {
        b'P' => Outcome::Put { version: rest.parse().ok()? },
        b'D' => Outcome::Deleted { existed: yes()? },
        b'A' => Outcome::Appended { numbers: numbers(rest)? },
        b'T' => Outcome::Trimmed { removed: rest.parse().ok()? },
        b'W' => Outcome::Rewritten,
        b'X' => Outcome::Dropped { existed: yes()? },
        b'K' => Outcome::Kept { new: yes()? },
        b'B' => Outcome::BlobDropped { existed: yes()? },
        b'L' => Outcome::LeftOut,
        _ => return None,
    })
}

/// `FIRST-COUNT`, or a list.
fn numbers(text: &str) -> Option<Vec<u64>> {
    match text.split_once('-') {
        Some((first, count)) => {
            let (first, count): (u64, u64) = (first.parse().ok()?, count.parse().ok()?);
            Some((first..first.checked_add(count)?).collect())
        }
        None => text.split(',').map(|number| number.parse().ok()).collect(),
    }
}

/// The error of a step of the batch.
fn refusal(batch: &Batch, step: usize, code: &str, found: &str) -> Error {
    if code == "operation" {
        let place = format!("operation {:?}", batch.operation.as_ref().map(OperationId::as_str));
        return Error::new(Kind::IdempotencyConflict, "the operation id stands for another commit")
            .at(place)
            .advice("take a new operation id for a new change");
    }
    match batch.expect.get(step) {
        Some(expect) => of_expect(expect, code, found).of_expectation(step),
        None => of_operation(batch.operations.get(step - batch.expect.len() - 1), code, found),
    }
}

fn of_expect(expect: &Expect, code: &str, found: &str) -> Error {
    let (kind, message, place) = match expect {
        Expect::Absent(key) => {
            (Kind::AlreadyExists, "the record exists already".to_owned(), key.to_string())
        }
        Expect::Exists(key) => {
            (Kind::NotFound, "the record does not exist".to_owned(), key.to_string())
        }
        Expect::Version(key, version) => (
            Kind::Conflict,
            format!("the record has version {found}, not {version}"),
            key.to_string(),
        ),
        Expect::LogEnds(log, stream, last) => (
            Kind::Conflict,
            format!("the stream ends at {found}, not {last}"),
            format!("{} {stream:?}", log.name),
        ),
        Expect::NoRecord(table, index, _) => (
            Kind::Conflict,
            "a record has the value".to_owned(),
            format!("{} {}", table.name, index.name),
        ),
        Expect::BlobPresent(hash) => {
            (Kind::NotFound, "the blob is not there".to_owned(), format!("blob {hash}"))
        }
    };
    if code.is_empty() {
        strange("a refusal without a reason")
    } else {
        Error::new(kind, message).at(place)
    }
}

fn place_of(operation: &Operation) -> String {
    match operation {
        Operation::Put(put) => put.key.to_string(),
        Operation::Delete(key) => key.to_string(),
        Operation::Append(append) => {
            let id = match append.entries.as_slice() {
                [entry] => entry.id.as_ref().map(|id| format!(" entry {id:?}")),
                _ => None,
            };
            format!("{} {:?}{}", append.log.name, append.stream, id.unwrap_or_default())
        }
        Operation::Rewrite { log, stream, number, .. } => {
            format!("{} {stream:?} entry {number}", log.name)
        }
        Operation::Trim { log, stream, .. } | Operation::Drop { log, stream } => {
            format!("{} {stream:?}", log.name)
        }
        Operation::PutBlob(blob) => format!("blob {}", blob.hash()),
        Operation::DropBlob(hash) => format!("blob {hash}"),
    }
}

fn of_operation(operation: Option<&Operation>, code: &str, found: &str) -> Error {
    let Some(operation) = operation else { return strange("a refusal of no operation") };
    let error = |kind, message: String| Error::new(kind, message).at(place_of(operation));
    let wanted = match operation {
        Operation::Put(put) => match put.save {
            crate::driver::Save::At(version) => version,
            _ => 0,
        },
        Operation::Append(append) => append.start.unwrap_or(0),
        _ => 0,
    };
    match code {
        "there" => error(Kind::AlreadyExists, "the record exists already".to_owned()),
        "version" => error(Kind::Conflict, format!("the record has version {found}, not {wanted}")),
        "known" => error(Kind::AlreadyExists, "the stream has an entry with this id".to_owned()),
        "differs" => {
            error(Kind::IdempotencyConflict, "the entry is there with another body".to_owned())
                .advice("give the new entry another id")
        }
        "start" => error(
            Kind::Conflict,
            format!("the stream has given numbers up to {found}, not below {wanted}"),
        )
        .advice("start above the last number that it gave"),
        "numbers" => error(Kind::TooLarge, "the stream has no such numbers".to_owned())
            .advice(format!("numbers go up to {MAX_NUMBER}")),
        "noblob" => error(Kind::NotFound, format!("the blob {found} is not there"))
            .advice("keep the blob before, or earlier in the same commit"),
        "holds" => error(Kind::Conflict, "the namespace still holds something".to_owned())
            .retryable(false)
            .advice("delete its records, streams and blobs first"),
        "referenced" => {
            error(Kind::Conflict, format!("{found} record(s) or entries refer to the blob"))
                .advice("remove what refers to it first")
        }
        "nostream" => error(Kind::NotFound, "there is no such stream".to_owned()),
        "noentry" => error(Kind::NotFound, "there is no entry with this number".to_owned()),
        "foreign" => error(Kind::InvalidInput, "it is the record of another namespace".to_owned())
            .advice("write it in a commit of its own namespace"),
        code => strange(code),
    }
}
