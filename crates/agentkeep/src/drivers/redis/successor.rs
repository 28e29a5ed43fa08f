//! What a stream's head becomes by one more entry, so that the server need not compute it: it only
//! looks whether the head is still what it was.

use super::rows::{SEPARATOR, digits};
use crate::driver::MAX_NUMBER;

/// The server keeps up to so many fields of a hash as a list,
const LISTED: u64 = 512;
/// which is made a table whenever a stream passes another so many entries.
const TABLE: u64 = 64;

/// A head with one entry more.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Successor {
    /// The number of the entry.
    pub(super) number: u64,
    /// The row of the head up to its time, and what comes behind it.
    pub(super) before: String,
    pub(super) after: String,
    /// Whether the list of the stream's ids is to be made a table.
    pub(super) table: bool,
}

/// After the row, by an entry of so many bytes; `None` if it is for the server to say.
pub(super) fn of(row: &str, size: usize) -> Option<Successor> {
    let mut facts = row.split(SEPARATOR);
    let mut next = || facts.next();
    let (birth, first, last) = (next()?, next()?, next()?.parse::<u64>().ok()?);
    let mut number = || next()?.parse::<u64>().ok();
    let (count, bytes, _) = (number()?, number()?, number()?);
    let (version, turned, referring) = (number()?, number()?, number()?);
    let number = last.checked_add(1).filter(|number| *number <= MAX_NUMBER)?;
    let written = digits(number);
    let first = if count == 0 { written.as_str() } else { first };
    let bytes = bytes.checked_add(size as u64)?;
    let entries = count.checked_add(1)?;
    let mut before = String::with_capacity(row.len());
    for fact in [birth, first, &written] {
        before.push_str(fact);
        before.push(SEPARATOR);
    }
    for fact in [entries, bytes] {
        before.push_str(itoa::Buffer::new().format(fact));
        before.push(SEPARATOR);
    }
    let mut after = String::with_capacity(24);
    for fact in [version.checked_add(1)?, turned, referring] {
        after.push(SEPARATOR);
        after.push_str(itoa::Buffer::new().format(fact));
    }
    let table = count < LISTED && count / TABLE < entries / TABLE;
    Some(Successor { number, before, after, table })
}

/// The number of the last entry, as a row tells.
pub(super) fn last(row: &str) -> Option<u64> {
    row.split(SEPARATOR).nth(2)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(first: u64, last: u64, count: u64) -> String {
        let (first, last) = (digits(first), digits(last));
        format!("00ab\u{1f}{first}\u{1f}{last}\u{1f}{count}\u{1f}40\u{1f}1700\u{1f}9\u{1f}1\u{1f}2")
    }

    #[test]
    fn a_head_with_one_entry_more() {
        let next = of(&row(3, 999_999_999, 7), 5).unwrap();
        assert_eq!((next.number, next.table), (1_000_000_000, false));
        let written = "00ab\u{1f}0000000000000000003\u{1f}0000000001000000000\u{1f}8\u{1f}45\u{1f}";
        assert_eq!(next.before, written);
        assert_eq!(next.after, "\u{1f}10\u{1f}1\u{1f}2");
        // One that has lost all entries begins anew.
        let next = of(&row(5, 4, 0), 0).unwrap();
        assert!(
            next.before
                .starts_with("00ab\u{1f}0000000000000000005\u{1f}0000000000000000005\u{1f}1\u{1f}")
        );
        assert_eq!(last(&row(1, 17, 17)), Some(17));
    }

    #[test]
    fn what_is_not_understood_is_for_the_server() {
        assert_eq!(of(&row(1, MAX_NUMBER, 7), 5), None);
        assert!(of(&row(1, MAX_NUMBER - 1, 7), 5).is_some());
        assert_eq!(of("", 5), None);
        assert_eq!(of(row(1, 7, 7).rsplit_once('\u{1f}').unwrap().0, 5), None);
    }

    #[test]
    fn lists_become_tables_now_and_then() {
        let at = (0..2000).filter(|count| of(&row(1, *count, *count), 0).unwrap().table);
        assert_eq!(at.collect::<Vec<_>>(), [63, 127, 191, 255, 319, 383, 447, 511]);
    }
}
