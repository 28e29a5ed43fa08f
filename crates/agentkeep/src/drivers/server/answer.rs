//! What a server answers to a commit, as the seam has it: one line for each batch.
//!
//! `ok R TIME TOKENS...` with R = 1 for what was not done now, or `no STEP CODE ARGUMENTS...`.

use crate::driver::{Batch, Committed, Expect, MAX_BATCH_BYTES, MAX_NUMBER, Operation, Outcome};
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
    if let Some(committed) = done(line, entries(batch))? {
        return if committed.replayed || fits(&committed, batch) {
            Ok(Ok(committed))
        } else {
            Err(strange(line))
        };
    }
    let mut words = line.split(' ').skip(1);
    let step = words.next().and_then(|step| step.parse::<usize>().ok());
    let step = step.ok_or_else(|| strange(line))?.saturating_sub(first);
    let code = words.next().unwrap_or_default();
    Ok(Err(refusal(batch, step, code, words.next().unwrap_or_default())))
}

/// How many entries a batch appends.
pub(in crate::drivers) fn entries(batch: &Batch) -> usize {
    let entries = |operation: &Operation| match operation {
        Operation::Append(append) => append.entries.len(),
        _ => 0,
    };
    batch.operations.iter().map(entries).sum()
}

/// Whether there is an outcome for each operation, and a number for each entry.
fn fits(committed: &Committed, batch: &Batch) -> bool {
    let alike = |(outcome, operation): (&Outcome, &Operation)| match (outcome, operation) {
        (Outcome::Appended { numbers }, Operation::Append(append)) => {
            numbers.len() == append.entries.len()
        }
        (Outcome::Appended { .. }, _) | (_, Operation::Append(_)) => *outcome == Outcome::LeftOut,
        _ => true,
    };
    committed.outcomes.len() == batch.operations.len()
        && committed.outcomes.iter().zip(&batch.operations).all(alike)
}

/// What was done, with no more than `most` numbers in a row; `None` for a refusal.
pub(in crate::drivers) fn done(line: &str, most: usize) -> Result<Option<Committed>> {
    let mut words = line.split(' ');
    match words.next() {
        Some("ok") => {
            let replayed = words.next() == Some("1");
            // What is repeated may be planned otherwise than it was.
            let most = if replayed { MAX_BATCH_BYTES } else { most };
            let time = words.next().and_then(|time| time.parse().ok());
            let time = time.ok_or_else(|| strange(line))?;
            let outcomes = words.map(|word| outcome(word, most).ok_or_else(|| strange(line)));
            let outcomes = outcomes.collect::<Result<_>>()?;
            Ok(Some(Committed { time, replayed, outcomes }))
        }
        Some("no") => Ok(None),
        _ => Err(strange(line)),
    }
}

fn outcome(word: &str, most: usize) -> Option<Outcome> {
    let rest = word.get(1..)?;
    let yes = || Some(rest == "1");
    Some(match word.as_bytes().first()? {
        b'P' => Outcome::Put { version: rest.parse().ok()? },
        b'D' => Outcome::Deleted { existed: yes()? },
        b'A' => Outcome::Appended { numbers: numbers(rest, most)? },
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
fn numbers(text: &str, most: usize) -> Option<Vec<u64>> {
    match text.split_once('-') {
        Some((first, count)) => {
            let (first, count): (u64, u64) = (first.parse().ok()?, count.parse().ok()?);
            let end = first.checked_add(count)?;
            // There is room for as many as were asked for.
            (count <= most as u64).then(|| (first..end).collect())
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
    if let Some(expect) = batch.expect.get(step) {
        return of_expect(expect, code, found).of_expectation(step);
    }
    let place = step.checked_sub(batch.expect.len() + 1);
    of_operation(place.and_then(|place| batch.operations.get(place)), code, found)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Json;
    use crate::driver::{Append, Known, NewEntry};
    use crate::schema::{MESSAGES, Namespace, Stream};

    fn two_entries() -> Batch {
        let mut batch = Batch::new(Namespace::default());
        let entry = NewEntry { id: None, body: Json::null(), refs: Vec::new() };
        let stream = Stream::new("s").unwrap();
        let (entries, known) = (vec![entry.clone(), entry], Known::Answer);
        batch.push(Operation::Append(Append {
            log: &MESSAGES,
            stream,
            entries,
            known,
            start: None,
        }));
        batch
    }

    #[test]
    fn what_was_not_asked_for_is_no_answer() {
        let batch = two_entries();
        let fine = answer("ok 0 5 A7-2", &batch, 1).unwrap().unwrap();
        assert_eq!(fine.outcomes, [Outcome::Appended { numbers: vec![7, 8] }]);
        let repeated = answer("ok 1 5 A1-3 P1 L", &batch, 1).unwrap().unwrap();
        assert_eq!(repeated.outcomes.len(), 3, "planned otherwise than it is now");
        for line in [
            "ok 0 5 A7-1",
            "ok 0 5 A7-9000000000000000000",
            "ok 0 5 A7-60000000000",
            "ok 1 5 A7-60000000000",
            "ok 0 5 A18446744073709551615-2",
            "ok 0 5 A7,8,9",
            "ok 0 5 A7-2 A9-2",
            "ok 0 5 P1",
            "ok 0 5",
            "ok 0",
            "",
        ] {
            assert_eq!(answer(line, &batch, 1).unwrap_err().kind(), Kind::Corrupt, "{line:?}");
        }
    }

    #[test]
    fn a_refusal_of_no_step_is_no_refusal() {
        for step in ["0", "1", "3", "18446744073709551615"] {
            let refused = answer(&format!("no {step} there"), &two_entries(), 0).unwrap();
            let kind = refused.unwrap_err().kind();
            assert_eq!(
                kind,
                if step == "1" { Kind::AlreadyExists } else { Kind::Corrupt },
                "{step}"
            );
        }
    }
}
