//! The JSON scanner beside serde_json: what one of the two refuses, the other refuses for a known
//! reason; the canonical text has the same value and stays as it is.

#![no_main]

use std::error::Error as _;

use agentkeep::{Json, Problem, ScanError};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|text: &str| {
    let theirs = serde_json::from_str::<Value>(text);
    match Json::parse(text) {
        Ok(ours) => accepted(text, &ours, theirs),
        Err(error) => {
            let cause = error.source().and_then(|cause| cause.downcast_ref::<ScanError>());
            let cause = cause.expect("a refusal says where and why");
            assert!(cause.position <= text.len(), "{cause:?}");
            if theirs.is_ok() {
                // serde_json takes the last of several equal keys.
                let known = matches!(cause.problem, Problem::DuplicateKey | Problem::TooDeep);
                assert!(known, "only we refuse it: {cause:?}");
            }
        }
    }
    if let Ok((replaced, count)) = Json::parse_replacing_surrogates(text) {
        stays(&replaced);
        assert_eq!(count == 0, Json::parse(text).is_ok(), "{count} surrogates replaced");
    } else {
        assert!(Json::parse(text).is_err());
    }
    let canonical = Json::parse(text).is_ok_and(|json| json.as_str() == text);
    assert_eq!(Json::from_stored(text).is_ok(), canonical);
});

fn accepted(text: &str, ours: &Json, theirs: Result<Value, serde_json::Error>) {
    assert!(ours.len() <= text.len(), "the canonical text is longer");
    stays(ours);
    match theirs {
        Ok(value) => assert_eq!(ours.to::<Value>().unwrap(), value, "another value"),
        Err(error) => {
            let error = error.to_string();
            let known = error.contains("number out of range") || error.contains("recursion limit");
            assert!(known, "only we accept it: {error}");
        }
    }
}

/// Canonical text is its own canonical form, and can be taken apart and put together again.
fn stays(json: &Json) {
    let text = json.as_str();
    assert_eq!(Json::parse(text).unwrap().as_str(), text);
    assert_eq!(serde_json::to_string(json).unwrap(), text);
    if json.is_array() {
        let elements: Vec<Json> = json.elements().collect();
        assert_eq!(Json::array(&elements).as_str(), text);
    } else if json.is_object() {
        let mut editor = agentkeep::ObjectEditor::default();
        for (key, value) in json.members() {
            assert_eq!(json.member(&key).as_ref(), Some(&value));
            editor.set(&key, &value);
        }
        assert_eq!(editor.finish().as_str(), text);
    } else if let Some(string) = json.to_text() {
        assert_eq!(Json::string(&string).as_str(), text);
    } else if json.to_i64().is_some() {
        assert!(json.to_f64().is_some());
    }
}
