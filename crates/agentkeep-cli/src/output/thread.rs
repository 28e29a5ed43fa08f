//! A transcript as people read it.

use std::fmt::Write as _;

use agentkeep::{Json, StoredTranscriptEntry};

use super::text;
use super::time::{Clock, took};

/// Longest value that is no text, unless all is asked for.
const BRIEF: usize = 100;
const DIM: &str = "\x1b[2m";
const BOLD: &str = "\x1b[1m";
const RED: &str = "\x1b[31m";
const RESET: &str = "\x1b[0m";

/// One entry, safe to show.
pub(crate) fn shown(stored: &StoredTranscriptEntry, clock: Clock, long: bool) -> String {
    let entry = &stored.entry;
    let json = entry.json();
    let agent = text::one_line(&entry.agent_id().unwrap_or_else(|| "-".to_owned()));
    let role = entry.role().filter(|role| *role != agent);
    let mut facts: Vec<String> = role.map(|role| text::one_line(&role)).into_iter().collect();
    facts.extend(entry.iteration().map(|iter| format!("iteration {iter}")));
    facts.push(clock.show(time(json).or(Some(stored.time))));
    let latency = json.member("latency_ms").and_then(|latency| latency.to_f64());
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "saturates, which is good enough for people"
    )]
    facts.extend(latency.map(|latency| format!("took {}", took(latency.round() as u64))));
    let colour = colour(entry.role().as_deref());
    let mut out = format!("{DIM}{}{RESET} {BOLD}{colour}{agent}{RESET}  {DIM}", stored.number);
    let _ = writeln!(out, "{}{RESET}", facts.join(", "));
    let brief = |value: &Json| {
        let value = value.to_string();
        text::one_line(&if long { value } else { text::shortened(&value, BRIEF) })
    };
    let mut body = Vec::new();
    match json.member("content") {
        None => {}
        Some(content) => match content.to_text() {
            Some(content) => body.push(text::many_lines(&content)),
            None if content.is_null() => {}
            None => body.push(brief(&content)),
        },
    }
    if let Some(error) = entry.error() {
        let error = error.to_text().unwrap_or_else(|| error.to_string());
        body.push(format!("{RED}error:{RESET} {}", text::many_lines(&error)));
    }
    for name in ["actions", "metadata"] {
        let value = json.member(name).filter(|value| !value.is_null());
        body.extend(value.map(|value| format!("{DIM}[{name}]{RESET} {}", brief(&value))));
    }
    for line in body.iter().flat_map(|part| part.lines()) {
        let _ = writeln!(out, "  {}", line.trim_end());
    }
    out.push('\n');
    out
}

/// When it happened, in milliseconds since 1970.
fn time(json: &Json) -> Option<i64> {
    let seconds = json.member("t")?.to_f64()?;
    #[allow(clippy::cast_possible_truncation, reason = "saturates, which is good enough")]
    Some((seconds * 1000.0) as i64)
}

fn colour(role: Option<&str>) -> &'static str {
    match role {
        Some("user") => "\x1b[36m",
        Some("agent") => "\x1b[32m",
        Some("moderator") => "\x1b[35m",
        _ => "\x1b[33m",
    }
}

#[cfg(test)]
mod tests {
    use agentkeep::TranscriptEntry;

    use super::*;

    #[test]
    fn entries_are_shown() {
        let texts = [
            r#"{"t":1769990400.5,"iter":0,"agent_id":"user","role":"user","content":"a\nb\u001b[2J","metadata":null,"actions":null}"#,
            r#"{"t":1769990455,"iter":2,"agent_id":"moderator","role":"moderator","content":{"action":"STOP"},"actions":{"type":"STOP"},"latency_ms":1234.5}"#,
            r#"{"t":"NaN","agent_id":"pro","role":"agent","error":"boom"}"#,
            "{}",
        ];
        let clock = Clock::at(1_769_990_460_000);
        let mut out = String::new();
        for (number, text) in (1..).zip(texts) {
            let entry = TranscriptEntry::foreign(Json::parse(text).unwrap()).unwrap();
            let stored = StoredTranscriptEntry { number, entry, time: 1_769_990_459_000 };
            out.push_str(&shown(&stored, clock, false));
        }
        let expected = "\
1 user  iteration 0, 59 s ago
  a
  b\\u{1b}[2J

2 moderator  iteration 2, 5 s ago, took 1.2 s
  {\"action\":\"STOP\"}
  [actions] {\"type\":\"STOP\"}

3 pro  agent, just now
  error: boom

4 -  just now

";
        assert_eq!(anstream::adapter::strip_str(&out).to_string(), expected);
    }
}
