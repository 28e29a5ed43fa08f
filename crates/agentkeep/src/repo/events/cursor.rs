//! Cursors: opaque text whose byte order is the order of events.
//!
//! The number in 13 digits of base 36, then 13 digits that only this topic of this store gives,
//! then `-0000`: the form that AgentX's cursors have. Of those digits, the last 6 are another
//! epoch's after a restore, and 13 more tell up to which number the first epoch goes along.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use super::epochs::Epochs;
use super::topic::lost;
use crate::driver::Description;
use crate::error::{Error, Kind, Result};
use crate::schema::Namespace;

const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
/// Digits of a number, and of a tag.
const WIDTH: usize = 13;
/// Digits of a tag that are the same in all epochs of a topic.
const SAME: usize = 7;
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
    /// 13 digits for the epoch, then, of one that is not the first, `shared`.
    tag: String,
    /// The epochs before, and up to which number they are still good.
    before: Vec<(String, u64)>,
    /// Up to which number this history goes with the topic's first epoch.
    shared: u64,
}

impl Issuer {
    pub(super) fn new(
        store: &Description,
        namespace: &Namespace,
        topic: &str,
        epochs: &Epochs,
    ) -> Self {
        let digits_of = |birth: &str| {
            let mut hasher = blake3::Hasher::new();
            let epoch = store.epoch.to_string();
            for part in [store.store_id.as_str(), &epoch, namespace.as_str(), topic, birth] {
                hasher.update(&(part.len() as u64).to_le_bytes());
                hasher.update(part.as_bytes());
            }
            let mut start = [0; 8];
            hasher.finalize_xof().fill(&mut start);
            digits(u64::from_le_bytes(start))
        };
        let origin = digits_of(epochs.origin());
        let of_epoch = |birth: &str| {
            if birth == epochs.origin() {
                return origin.clone();
            }
            [&origin[..SAME], &digits_of(birth)[SAME..]].concat()
        };
        let mut tag = of_epoch(epochs.birth());
        if epochs.birth() != epochs.origin() {
            tag.push_str(&digits(epochs.shared()));
        }
        let before = epochs.before().map(|(birth, last)| (of_epoch(birth), last));
        Self { tag, before: before.collect(), shared: epochs.shared() }
    }

    pub(crate) fn cursor(&self, number: u64) -> Cursor {
        Cursor([digits(number).as_str(), &self.tag, END].concat())
    }

    /// The number behind a cursor of this topic; `UnknownCursor` for any other, `CursorAhead` for one
    /// whose event a restore took back.
    pub(super) fn number(&self, topic: &str, cursor: &str) -> Result<u64> {
        let (number, tag) = taken_apart(cursor).ok_or_else(|| unknown(cursor))?;
        let agreed = self.agrees(tag).ok_or_else(|| unknown(cursor))?;
        if number <= agreed { Ok(number) } else { Err(lost(topic, agreed)) }
    }

    /// As [`Epochs::agrees`], by the tag of a cursor.
    fn agrees(&self, tag: &str) -> Option<u64> {
        let (epoch, later) = tag.split_at(WIDTH);
        if epoch == &self.tag[..WIDTH] {
            return Some(u64::MAX);
        }
        if let Some((_, last)) = self.before.iter().find(|(before, _)| before == epoch) {
            return Some(*last);
        }
        let theirs = u64::from_str_radix(later, 36).ok()?;
        (epoch[..SAME] == self.tag[..SAME]).then(|| self.shared.min(theirs))
    }
}

/// The number in a cursor, whoever gave it.
pub(super) fn claimed_number(cursor: &str) -> Result<u64> {
    taken_apart(cursor).map(|(number, _)| number).ok_or_else(|| unknown(cursor))
}

fn taken_apart(cursor: &str) -> Option<(u64, &str)> {
    let rest = cursor.strip_suffix(END)?;
    if ![2 * WIDTH, 3 * WIDTH].contains(&rest.len())
        || !rest.bytes().all(|byte| DIGITS.contains(&byte))
    {
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

    fn issuer(tag: u64) -> Issuer {
        Issuer { tag: digits(tag), before: Vec::new(), shared: u64::MAX }
    }

    #[test]
    fn the_order_of_cursors_is_that_of_numbers() {
        let issuer = issuer(u64::MAX);
        let numbers = [0, 1, 9, 10, 35, 36, 1_000_000, u64::from(u32::MAX), u64::MAX - 1, u64::MAX];
        let cursors: Vec<Cursor> = numbers.iter().map(|number| issuer.cursor(*number)).collect();
        assert!(cursors.is_sorted());
        for (cursor, number) in cursors.iter().zip(numbers) {
            assert_eq!(issuer.number("t", cursor.as_str()).unwrap(), number);
            assert_eq!(cursor.as_str().parse::<Cursor>().unwrap(), *cursor);
        }
    }

    #[test]
    fn other_texts_are_no_cursors() {
        let good = issuer(u64::MAX).cursor(5).to_string();
        let other = issuer(8).cursor(5).to_string();
        let upper = good.to_uppercase();
        for bad in ["", "-0000", &good[1..], &good[..good.len() - 1], &other, &upper, "é", "zzzzz"]
        {
            let error = issuer(u64::MAX).number("t", bad).unwrap_err();
            assert_eq!(error.kind(), Kind::UnknownCursor, "{bad}");
        }
    }
}
