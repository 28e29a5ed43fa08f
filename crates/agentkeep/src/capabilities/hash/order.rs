//! The order of keys and names: root collation, and what an ECMAScript object makes of it.

use std::cmp::Ordering;
use std::sync::LazyLock;

use icu_collator::options::CollatorOptions;
use icu_collator::{Collator, CollatorBorrowed};

/// The primary order of ASCII, in one text; what is missing is skipped.
const ASCII: &[u8] = b"\t\n\x0b\x0c\r _-,;:!?.'\"()[]{}@*/\\&#%`^+<=>|~$0123456789";
/// The largest array index: 2^32 - 2.
const MAX_INDEX: u32 = 4_294_967_294;

/// The rank of each ASCII character, 0 for those that are skipped; a letter and its capital share
/// one.
static RANKS: [u8; 128] = ranks();

#[allow(clippy::cast_possible_truncation, reason = "all of ASCII has fewer than 128 ranks")]
const fn ranks() -> [u8; 128] {
    let mut ranks = [0; 128];
    let mut place = 0;
    while place < ASCII.len() {
        ranks[ASCII[place] as usize] = place as u8 + 1;
        place += 1;
    }
    let mut letter = 0;
    while letter < 26 {
        let rank = (ASCII.len() + letter) as u8 + 1;
        ranks[b'a' as usize + letter] = rank;
        ranks[b'A' as usize + letter] = rank;
        letter += 1;
    }
    ranks
}

/// Root, not the machine's locale: the same object has the same hash everywhere. The data are
/// compiled in, so that loading them cannot fail (a test holds that).
static ROOT: LazyLock<Option<CollatorBorrowed<'static>>> = LazyLock::new(|| {
    Collator::try_new(icu_collator::CollatorPreferences::default(), CollatorOptions::default()).ok()
});

/// Compares by root collation: lower case before upper, punctuation counts, digits as characters.
/// Texts that differ only in what collation skips are equal: sort stably.
pub fn collate(a: &str, b: &str) -> Ordering {
    if a.is_ascii() && b.is_ascii() {
        return ascii(a.as_bytes(), b.as_bytes());
    }
    match &*ROOT {
        Some(root) => root.compare(a, b),
        None => a.cmp(b),
    }
}

fn ascii(a: &[u8], b: &[u8]) -> Ordering {
    fn ranks(text: &[u8]) -> impl Iterator<Item = u8> + '_ {
        ranked(text).map(|(rank, _)| rank)
    }
    fn capitals(text: &[u8]) -> impl Iterator<Item = bool> + '_ {
        ranked(text).map(|(_, capital)| capital)
    }
    ranks(a).cmp(ranks(b)).then_with(|| capitals(a).cmp(capitals(b)))
}

/// What is not skipped: its rank, and whether it is a capital.
fn ranked(text: &[u8]) -> impl Iterator<Item = (u8, bool)> + '_ {
    let rank = |byte: &u8| (RANKS[usize::from(*byte)], byte.is_ascii_uppercase());
    text.iter().map(rank).filter(|(rank, _)| *rank != 0)
}

/// Sorts stably by the collation of what `key` gives.
pub(crate) fn sort_by_collation<T>(items: &mut [T], key: impl Fn(&T) -> &str) {
    items.sort_by(|a, b| collate(key(a), key(b)));
}

/// The number that a key is, if an ECMAScript array could have it as an index.
pub(super) fn array_index(key: &str) -> Option<u32> {
    let digits = key.as_bytes();
    let canonical = match digits {
        [b'0'] => true,
        [b'1'..=b'9', rest @ ..] => rest.len() < 10 && rest.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    if !canonical {
        return None;
    }
    key.parse().ok().filter(|index| *index <= MAX_INDEX)
}

/// The order in which an ECMAScript object tells members that were set in this order: array
/// indices first, ascending.
pub(crate) fn as_members<T>(items: &mut [T], key: impl Fn(&T) -> &str) {
    if items.iter().any(|item| array_index(key(item)).is_some()) {
        items.sort_by_key(|item| array_index(key(item)).map_or((1, 0), |index| (0, index)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ascii_is_ordered_as_the_collator_orders_it() {
        let root = ROOT.as_ref().unwrap();
        // Every pair of texts of up to two characters of a mixed bag.
        let bag =
            ["", "\0", "\x0e", "\t", " ", "_", "-", "a", "A", "b", "Z", "0", "9", "$", "\x7f"];
        let mut texts = Vec::new();
        for a in bag {
            for b in bag {
                texts.extend(bag.iter().map(|c| [a, b, c].concat()));
            }
        }
        for a in &texts {
            for b in &texts {
                assert_eq!(ascii(a.as_bytes(), b.as_bytes()), root.compare(a, b), "{a:?} {b:?}");
            }
        }
    }

    #[test]
    fn only_canonical_indices_are_indices() {
        assert_eq!(array_index("0"), Some(0));
        assert_eq!(array_index("4294967294"), Some(MAX_INDEX));
        for text in ["4294967295", "01", "-1", "1.5", "1e3", "", " 1", "99999999999", "١"] {
            assert_eq!(array_index(text), None, "{text:?}");
        }
    }
}
