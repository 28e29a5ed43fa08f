//! Bodies: text for text.

use super::support::{append, cases, entry, put, same, thing};
use super::{ALPHA, Context, Outcome};
use crate::driver::{MAX_BODY, Operation};
use crate::json::MAX_DEPTH;

cases! { "bodies",
    Nothing bodies_come_back_text_for_text "what a driver answers is byte for byte what was committed: bodies";
    Nothing large_bodies_come_back "a body of 8 MiB comes back";
}

const BODIES: [&str; 40] = [
    "null",
    "true",
    "false",
    "0",
    "-0",
    "-0.0",
    "1.0",
    "1.00",
    "1e5",
    "1E+5",
    "1e-400",
    "1e400",
    "9007199254740993",
    "18446744073709551615",
    "18446744073709551616",
    "-9223372036854775809",
    "3.141592653589793238462643383279502884197",
    "\"\"",
    "\"\\u0000\"",
    "\"\\u001f\\n\\\\\\\"\"",
    "\"\u{7f}\u{80}\u{2028}\u{feff}\"",
    "\"é e\u{301}\"",
    "\"👩‍👩‍👧‍👦 𝒳\"",
    "\"' OR 1=1; --\"",
    "\"%_*?[a]\"",
    "[]",
    "{}",
    "[[],{},[{}],\"\"]",
    r#"{"":0}"#,
    r#"{"b":1,"a":2,"B":3}"#,
    r#"{"$serde_json::private::Number":"1"}"#,
    r#"{"$serde_json::private::RawValue":"[1"}"#,
    r#"{"__proto__":{"x":1},"constructor":{"prototype":{}}}"#,
    r#"{"$gt":"","$where":"1"}"#,
    r#"{"$sealed":"abc"}"#,
    r#"{"_agentkeep":{"seq":17}}"#,
    r#"{"lc":1,"type":"constructor"}"#,
    r#"{"value":1}"#,
    r#"{"a\u0000b":1,"a":2}"#,
    r#"{"kind":null,"tags":{},"deep":[]}"#,
];

async fn bodies_come_back_text_for_text(c: Context) -> Outcome {
    let deep = format!("{}1{}", "[".repeat(MAX_DEPTH), "]".repeat(MAX_DEPTH));
    let keys: Vec<String> = (0..2000).map(|i| format!("\"key {i}\":{i}")).collect();
    let wide = format!("{{{}}}", keys.join(","));
    let all: Vec<&str> = BODIES.into_iter().chain([deep.as_str(), wide.as_str()]).collect();
    for (i, body) in all.iter().enumerate() {
        let id = format!("t{i}");
        c.put(&id, body).await?;
        c.append_entries(append(&ALPHA, "s", vec![entry(Some(&id), body)?])?).await?;
    }
    let (entries, _) = c.stream(&ALPHA, "s").await?;
    same!(entries.len(), all.len(), "how many entries");
    for (i, (body, entry)) in all.iter().zip(&entries).enumerate() {
        same!(entry.body.as_str(), *body, "an entry's body");
        let record = c.get(thing(&format!("t{i}"))?).await?.map(|r| r.body.to_string());
        same!(record.as_deref(), Some(*body), "a record's body");
    }
    Ok(())
}

async fn large_bodies_come_back(c: Context) -> Outcome {
    for text in ["x", "é"] {
        let count = (MAX_BODY - 2) / text.len();
        let body = format!("\"{}\"", text.repeat(count));
        let entries = append(&ALPHA, text, vec![entry(None, &body)?])?;
        c.commit(vec![put(thing(text)?, &body)?, Operation::Append(entries)]).await?;
        let record = c.get(thing(text)?).await?.map(|record| record.body.as_str() == body);
        same!(record, Some(true), "whether the record of {count} {text} came back");
        let (entries, _) = c.stream(&ALPHA, text).await?;
        let whole = entries.first().is_some_and(|entry| entry.body.as_str() == body);
        same!(whole, true, "whether the entry of {count} {text} came back");
    }
    Ok(())
}
