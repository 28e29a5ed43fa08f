//! File names for ids: readable, injective, and safe on file systems that fold case, normalise
//! Unicode, reserve names or limit them to 255 bytes.
//!
//! Small letters, digits, `_`, `-` and inner dots stand for themselves; every other byte is `%` and
//! two hexadecimal digits. A long name is cut and ends in `~` and a hash of the whole; the file
//! itself says which id it is of. `+` never comes from an id, so it parts what is joined.

use std::fmt::Write as _;

/// Longest name before anything is appended to it.
const LONGEST: usize = 180;
/// Hexadecimal digits of the hash in a name that was cut.
const DIGITS: usize = 32;
/// Names that Windows keeps for itself, whatever follows the first dot.
const RESERVED: [&str; 4] = ["con", "prn", "aux", "nul"];

/// The file name of an id.
pub(super) fn name(id: &str) -> String {
    joined([id])
}

/// The file name of several ids.
pub(super) fn joined<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    let (mut out, mut whole) = (String::new(), blake3::Hasher::new());
    for (i, part) in parts.into_iter().enumerate() {
        if i > 0 {
            out.push('+');
        }
        escape(part, &mut out);
        // No id holds this byte.
        whole.update(part.as_bytes()).update(&[0x1f]);
    }
    if out.len() > LONGEST {
        out.truncate(LONGEST - DIGITS - 1);
        out.push('~');
        out.push_str(&whole.finalize().to_hex()[..DIGITS]);
    }
    out
}

fn escape(part: &str, out: &mut String) {
    let last = part.len().saturating_sub(1);
    let reserved = is_reserved(part);
    for (i, byte) in part.bytes().enumerate() {
        let plain = match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' => !(reserved && i == 0),
            b'.' => i > 0 && i < last,
            _ => false,
        };
        if plain {
            out.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(out, "%{byte:02x}");
        }
    }
}

fn is_reserved(part: &str) -> bool {
    let stem = part.split('.').next().unwrap_or(part);
    let numbered = |device: &str| {
        stem.strip_prefix(device).is_some_and(|n| n.len() == 1 && n.as_bytes()[0].is_ascii_digit())
    };
    RESERVED.contains(&stem) || numbered("com") || numbered("lpt")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_stay_readable() {
        for (id, expected) in [
            ("img_0198-a.b", "img_0198-a.b"),
            ("Anna", "%41nna"),
            (".", "%2e"),
            ("..", "%2e%2e"),
            ("../etc/passwd", "%2e.%2fetc%2fpasswd"),
            ("a.", "a%2e"),
            ("con", "%63on"),
            ("com1.txt", "%63om1.txt"),
            ("é", "%c3%a9"),
            ("a+b~c%", "a%2bb%7ec%25"),
        ] {
            assert_eq!(name(id), expected);
        }
        assert_eq!(joined(["a", "", "b"]), "a++b");
    }

    #[test]
    fn long_names_are_cut_and_stay_apart() {
        let (a, b) = ("x".repeat(254) + "a", "x".repeat(254) + "b");
        assert_eq!(name(&a).len(), LONGEST);
        assert_ne!(name(&a), name(&b));
        assert_ne!(joined([a.as_str(), "b"]), joined([a.as_str(), "c"]));
    }

    proptest! {
        #[test]
        fn distinct_ids_have_distinct_names(a in "[^\\p{Cc}]{1,80}", b in "[^\\p{Cc}]{1,80}") {
            let (x, y) = (name(&a), name(&b));
            prop_assert_eq!(a == b, x == y);
            // Folding case and normalising change nothing.
            prop_assert_eq!(x.to_lowercase(), x.clone());
            prop_assert!(x.is_ascii() && x.len() <= LONGEST);
            prop_assert!(!x.starts_with('.') && !x.ends_with('.') && !x.contains(['/', '\\', '+']));
        }
    }
}
