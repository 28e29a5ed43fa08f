//! Numbers that JSON does not have come into no context, envelope or hash.

use std::collections::BTreeMap;

use agentkeep::{Json, Kind};
use serde::Serialize;

/// What a program may want to have hashed or kept.
#[derive(Serialize)]
struct Context {
    tier: Option<String>,
    score: f64,
    weights: BTreeMap<String, Vec<f32>>,
}

fn context(score: f64, weight: f32) -> Context {
    Context { tier: None, score, weights: BTreeMap::from([("w".to_owned(), vec![0.5, weight])]) }
}

#[test]
fn nan_and_infinities_are_refused_before_they_are_hashed_as_null() {
    for (score, weight) in
        [(f64::NAN, 1.0), (f64::INFINITY, 1.0), (1.0, f32::NAN), (1.0, f32::NEG_INFINITY)]
    {
        let error = Json::of(&context(score, weight)).unwrap_err();
        assert_eq!(error.kind(), Kind::InvalidInput, "{error}");
        assert!(error.to_string().contains("NaN"), "{error}");
    }
    let json = Json::of(&context(1e300, 0.25)).unwrap();
    let text = r#"{"tier":null,"score":1e+300,"weights":{"w":[0.5,0.25]}}"#;
    assert_eq!(json.as_str(), text, "what is null stays null");
    #[cfg(feature = "capabilities")]
    assert_eq!(
        agentkeep::capabilities::canonical_json(&json).unwrap().as_str(),
        r#"{"score":1e+300,"tier":null,"weights":{"w":[0.5,0.25]}}"#
    );
}
