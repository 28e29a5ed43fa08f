//! Cursors: opaque text whose byte order is the order of events.
//!
//! The number in 13 digits of base 36, then 13 digits that only this topic of this store gives,
//! then `-0000`: the form that AgentX's cursors have.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use crate::driver::Description;
use crate::error::{Error, Kind, Result};
use crate::schema::Namespace;

const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
/// Digits of a number, and of a tag.
const WIDTH: usize = 13;
const END: &str = "-0000";

/// The place of an event in its topic: opaque, to be kept and given back.
///
/// ```
/// # use agentkeep::{Event, Store};
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> agentkeep::Result<()> {
/// # let store = Store::open("memory:").await?;
/// let first = store.events().publish("news", Event::of("one")?).await?;
/// let second = store.events().publish("news", Event::of("two")?).await?;
/// assert!(first < second);
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Cursor(String);

impl Cursor {
    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Cursor {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Cursor {
    type Err = Error;

    /// From the text that a cursor has.
    fn from_str(text: &str) -> Result<Self> {
        taken_apart(text).map(|_| Self(text.to_owned())).ok_or_else(|| unknown(text))
    }
}

/// What is told of a cursor that was never given for a topic.
pub(super) fn unknown(cursor: &str) -> Error {
    let shown: String = cursor.chars().take(40).collect();
    Error::new(Kind::UnknownCursor, format!("{shown:?} is no cursor of this topic"))
        .advice("give back a cursor that this topic of this store gave, or begin anew")
}

/// Gives the cursors of one topic, and knows them again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Issuer {
    tag: String,
}

impl Issuer {
    /// `birth` tells the topic from one that had its name before.
    pub(crate) fn new(
        store: &Description,
        namespace: &Namespace,
        topic: &str,
        birth: &str,
    ) -> Self {
        let mut hasher = blake3::Hasher::new();
        let epoch = store.epoch.to_string();
        for part in [store.store_id.as_str(), &epoch, namespace.as_str(), topic, birth] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        let mut start = [0; 8];
        hasher.finalize_xof().fill(&mut start);
        Self { tag: digits(u64::from_le_bytes(start)) }
    }

    pub(crate) fn cursor(&self, number: u64) -> Cursor {
        Cursor([digits(number).as_str(), &self.tag, END].concat())
    }

    /// The number behind a cursor of this topic; `UnknownCursor` for any other.
    pub(super) fn number(&self, cursor: &str) -> Result<u64> {
        match taken_apart(cursor) {
            Some((number, tag)) if tag == self.tag => Ok(number),
            _ => Err(unknown(cursor)),
        }
    }
}

/// The number in a cursor, whoever gave it.
pub(super) fn claimed_number(cursor: &str) -> Result<u64> {
    taken_apart(cursor).map(|(number, _)| number).ok_or_else(|| unknown(cursor))
}

fn taken_apart(cursor: &str) -> Option<(u64, &str)> {
    let rest = cursor.strip_suffix(END)?;
    if rest.len() != 2 * WIDTH || !rest.bytes().all(|byte| DIGITS.contains(&byte)) {
        return None;
    }
    let (number, tag) = rest.split_at(WIDTH);
    Some((u64::from_str_radix(number, 36).ok()?, tag))
}

fn digits(mut number: u64) -> String {
    let mut text = [b'0'; WIDTH];
    for place in text.iter_mut().rev() {
        *place = DIGITS[(number % 36) as usize];
        number /= 36;
    }
    text.iter().map(|digit| char::from(*digit)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_cursors_is_that_of_numbers() {
        let issuer = Issuer { tag: digits(u64::MAX) };
        let numbers = [0, 1, 9, 10, 35, 36, 1_000_000, u64::from(u32::MAX), u64::MAX - 1, u64::MAX];
        let cursors: Vec<Cursor> = numbers.iter().map(|number| issuer.cursor(*number)).collect();
        assert!(cursors.is_sorted());
        for (cursor, number) in cursors.iter().zip(numbers) {
            assert_eq!(issuer.number(cursor.as_str()).unwrap(), number);
            assert_eq!(cursor.as_str().parse::<Cursor>().unwrap(), *cursor);
        }
    }

    #[test]
    fn other_texts_are_no_cursors() {
        let issuer = Issuer { tag: digits(u64::MAX) };
        let good = issuer.cursor(5).to_string();
        let other = Issuer { tag: digits(8) }.cursor(5).to_string();
        let upper = good.to_uppercase();
        for bad in ["", "-0000", &good[1..], &good[..good.len() - 1], &other, &upper, "é", "zzzzz"]
        {
            let error = issuer.number(bad).unwrap_err();
            assert_eq!(error.kind(), Kind::UnknownCursor, "{bad}");
        }
    }
}
