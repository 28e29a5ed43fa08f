//! What the commit function answers to a group: one line for each of its units.

use super::join::{self, Unit};
use crate::driver::{Batch, Committed};
use crate::drivers::server::answer::{answer, done, entries, strange};
use crate::error::Result;

/// The answers to a group's batches, in its order; `None` for those that were joined and refused
/// together: then nothing is known of each.
pub(super) fn answers(
    text: &str,
    group: &[&Batch],
    units: &[Unit],
) -> Result<Vec<Option<Result<Committed>>>> {
    let lines: Vec<&str> = text.lines().collect();
    if lines.len() != units.len() {
        return Err(strange(text));
    }
    let mut first = 1;
    let mut answers: Vec<Option<Result<Committed>>> = group.iter().map(|_| None).collect();
    for (line, unit) in lines.into_iter().zip(units) {
        first += match unit {
            Unit::Own(place) => {
                let batch = group[*place];
                answers[*place] = Some(answer(line, batch, first)?);
                batch.expect.len() + 1 + batch.operations.len()
            }
            Unit::Joined(streams) => {
                let most = group.iter().map(|batch| entries(batch)).sum();
                if let Some(joined) = done(line, most)?
                    && !join::part(group, streams, &joined, &mut answers)
                {
                    return Err(strange(line));
                }
                join::expected(group, streams).len() + 1 + streams.len()
            }
        };
    }
    Ok(answers)
}
