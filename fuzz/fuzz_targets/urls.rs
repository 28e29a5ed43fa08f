//! Store URLs: any text is taken apart or refused, and what was encoded comes back.

#![no_main]

use agentkeep::Kind;
use agentkeep::driver::Durability;
use agentkeep::urls::taken_apart;
use libfuzzer_sys::fuzz_target;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

fuzz_target!(|input: (&str, &str, &str)| {
    let (url, path, value) = input;
    match taken_apart(url) {
        Ok((scheme, path, options)) => {
            assert!(url.starts_with(&format!("{scheme}:")));
            let names: std::collections::BTreeSet<_> = options.iter().map(|(n, _)| n).collect();
            assert_eq!(names.len(), options.len(), "an option stands twice");
            same(&scheme, &path, options);
        }
        Err(error) => {
            assert_eq!(error.kind(), Kind::InvalidInput);
            assert!(error.advice_text().is_some() || std::error::Error::source(&error).is_some());
        }
    }
    same("sqlite", path, vec![("name".to_owned(), value.to_owned())]);
    if let Ok(durability) = value.parse::<Durability>() {
        assert_eq!(durability.name(), value);
    }
});

/// Parts that are put together as the documents say come back as they were.
fn same(scheme: &str, path: &str, options: Vec<(String, String)>) {
    let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let pairs: Vec<String> = options
        .iter()
        .map(|(name, value)| format!("{}={}", encoded(name), encoded(value)))
        .collect();
    let url = format!("{scheme}:{}?{}", encoded(path), pairs.join("&"));
    let again = taken_apart(&url).unwrap();
    assert_eq!(again, (scheme.to_owned(), path.to_owned(), options), "{url}");
}
