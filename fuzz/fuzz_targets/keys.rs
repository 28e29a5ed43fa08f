//! The encoding of keys: it can be undone, and its order is the order of the parts.

#![no_main]

use agentkeep::conformance::{FOURS, PAIRS, THINGS};
use agentkeep::driver::Continuation;
use agentkeep::schema::{Key, MAX_ID, Table};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, Vec<String>, Vec<String>, String)| {
    let (table, one, other, text) = input;
    let table = [&THINGS, &PAIRS, &FOURS][usize::from(table % 3)];
    let (one, other) = (parts(table, &one), parts(table, &other));
    let keys = (made(table, &one), made(table, &other));
    if let (Some(a), Some(b)) = keys {
        assert_eq!(a.cmp(&b), one.cmp(&other), "{one:?} and {other:?}");
        assert_eq!(a.encoded().cmp(b.encoded()), one.cmp(&other), "{one:?} and {other:?}");
        assert_eq!(a == b, one == other, "{one:?} and {other:?}");
    }
    // Any text is refused or is what the key it gives is encoded as.
    if let Ok(key) = Key::decode(table, &text) {
        assert_eq!(key.encoded(), text);
    }
    if let Ok(continuation) = Continuation::from_token(&text) {
        let token = continuation.token();
        assert_eq!(Continuation::from_token(&token).unwrap().token(), token);
    }
});

/// As many parts as the table has.
fn parts<'a>(table: &Table, given: &'a [String]) -> Vec<&'a str> {
    let given = given.iter().map(String::as_str);
    given.chain(std::iter::repeat("")).take(table.key.len()).collect()
}

fn made(table: &'static Table, parts: &[&str]) -> Option<Key> {
    let fits = |(i, part): (usize, &&str)| {
        (i > 0 || !part.is_empty()) && part.len() <= MAX_ID && !part.chars().any(char::is_control)
    };
    let key = Key::from_parts(table, parts);
    assert_eq!(key.is_ok(), parts.iter().enumerate().all(fits), "{parts:?}");
    let key = key.ok()?;
    assert!(key.parts().eq(parts.iter().copied()), "{parts:?}");
    assert_eq!(Key::decode(table, key.encoded()).unwrap(), key);
    Some(key)
}
