//! The escaping of file names: different ids never share a name, also where case is folded, and
//! every name is one that any file system takes.

#![no_main]

use agentkeep::drivers::file::file_name;
use libfuzzer_sys::fuzz_target;

/// What the driver appends to a name at most: `+`, a number of 32 bits, `.jsonl`.
const APPENDED: usize = 17;

fuzz_target!(|input: (Vec<String>, Vec<String>)| {
    let (one, other) = (parts(&input.0), parts(&input.1));
    let names = (file_name(&one), file_name(&other));
    assert_eq!(one == other, names.0 == names.1, "{one:?} and {other:?}");
    for (parts, name) in [(&one, &names.0), (&other, &names.1)] {
        assert_eq!(*name, name.to_lowercase(), "{parts:?}");
        assert!(name.len() + APPENDED <= 255, "{parts:?}");
        assert!(!name.starts_with('.') && !name.ends_with('.'), "{parts:?}");
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.%+~".contains(&byte);
        assert!(name.bytes().all(fits), "{parts:?}");
        let stem = name.split('.').next().unwrap_or_default();
        let reserved = ["con", "prn", "aux", "nul", "com1", "com9", "lpt1", "lpt9"];
        assert!(parts.len() > 1 || !reserved.contains(&stem), "{parts:?}");
    }
});

/// One to four ids: they hold no control characters, and only the first is never empty.
fn parts(given: &[String]) -> Vec<&str> {
    let allowed = |part: &&str| part.len() <= 255 && !part.chars().any(char::is_control);
    let mut parts: Vec<&str> = given.iter().map(String::as_str).filter(allowed).take(4).collect();
    if parts.first().is_none_or(|part| part.is_empty()) {
        parts.insert(0, "x");
        parts.truncate(4);
    }
    parts
}
