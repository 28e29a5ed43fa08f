//! A run as a timeline: a line for each step with its place in time, below it what it did.

use std::collections::HashSet;
use std::fmt::Write as _;

use agentkeep::{Json, RunInfo, RunSnapshot, RunStatus};

use super::text;
use super::time::{Clock, took};

/// Columns of the picture of time.
const WIDTH: u64 = 24;
/// Longest text in one line, unless all is asked for.
const BRIEF: usize = 72;
const DIM: &str = "\x1b[2m";
const BOLD: &str = "\x1b[1m";
const HEADING: &str = "\x1b[1;4m";
const GREEN: &str = "\x1b[32m";
const YELLOW: &str = "\x1b[33m";
const RED: &str = "\x1b[31m";
const RESET: &str = "\x1b[0m";

/// Draws runs.
#[derive(Debug)]
pub(crate) struct Timeline {
    pub(crate) clock: Clock,
    /// The time at which a lease is over or not.
    pub(crate) now: i64,
    pub(crate) long: bool,
}

/// One result of the trace.
struct Step {
    id: String,
    said: String,
    summary: Option<String>,
    millis: u64,
    calls: Vec<Json>,
    blocked: bool,
}

impl Step {
    fn of(json: &Json) -> Self {
        let member = |of: &Json, name: &str| of.member(name).and_then(|value| value.to_text());
        let step = json.member("step").unwrap_or_else(Json::null);
        let calls = json.member("toolCalls");
        // What is no step of the usual shape is shown as it is.
        let said = if step.is_object() {
            member(&step, "description").unwrap_or_default()
        } else {
            json.to_string()
        };
        Self {
            id: member(&step, "id").unwrap_or_else(|| "-".to_owned()),
            said,
            summary: member(json, "summary").filter(|summary| !summary.is_empty()),
            millis: number(json, "durationMs").unwrap_or(0),
            calls: calls.iter().flat_map(Json::elements).collect(),
            blocked: json.raw_member("blocked") == Some("true"),
        }
    }
}

fn number(of: &Json, name: &str) -> Option<u64> {
    let value = of.member(name)?;
    let whole = value.to_i64().or_else(|| {
        #[allow(clippy::cast_possible_truncation, reason = "saturates, which is good enough")]
        value.to_f64().map(|number| number.round() as i64)
    })?;
    u64::try_from(whole).ok()
}

fn failed(call: &Json) -> bool {
    call.raw_member("ok") == Some("false")
}

/// Tokens, as most runners count them.
pub(crate) fn tokens(usage: &Json) -> Option<u64> {
    let sum = || Some(number(usage, "inputTokens")? + number(usage, "outputTokens")?);
    number(usage, "totalTokens").or_else(sum)
}

/// How long a run took, once it is over.
pub(crate) fn duration(info: &RunInfo) -> Option<u64> {
    u64::try_from(info.completed_at?.checked_sub(info.started_at?)?).ok()
}

/// The colour of a status.
fn colour(status: RunStatus) -> &'static str {
    match status {
        RunStatus::Executing | RunStatus::Cancelled => YELLOW,
        RunStatus::Complete => GREEN,
        RunStatus::Failed => RED,
    }
}

impl Timeline {
    /// The whole run.
    pub(crate) fn draw(&self, info: &RunInfo, run: &RunSnapshot) -> String {
        let json = run.json();
        let steps: Vec<Step> = run.trace().iter().map(Step::of).collect();
        let mut out = String::new();
        let input = json.member("input").and_then(|input| input.to_text()).unwrap_or_default();
        let _ = writeln!(out, "{HEADING}{}{RESET}", self.brief(&input));
        self.facts(&mut out, info, json, &steps);
        let plan = json.member("plan");
        if let Some(thought) = plan.as_ref().and_then(|plan| plan.member("thought")?.to_text()) {
            let _ = writeln!(out, "{DIM}plan: {}{RESET}", self.brief(&thought));
        }
        out.push('\n');
        let total = steps.iter().map(|step| step.millis).sum();
        let mut before = 0;
        for step in &steps {
            self.step(&mut out, step, before, total);
            before += step.millis;
        }
        let planned = self.planned(&mut out, plan.as_ref(), &steps);
        if !steps.is_empty() || planned {
            out.push('\n');
        }
        self.end(&mut out, info, json);
        out
    }

    fn facts(&self, out: &mut String, info: &RunInfo, json: &Json, steps: &[Step]) {
        let status = info.status;
        let mut facts = vec![format!("{}{BOLD}{}{RESET}", colour(status), status.name())];
        facts.extend(duration(info).map(took));
        facts.push(format!("started {}", self.clock.show(info.started_at)));
        facts.push(text::counted(steps.len() as u64, "step"));
        let calls = steps.iter().flat_map(|step| &step.calls);
        let (all, bad) = (calls.clone().count(), calls.filter(|call| failed(call)).count());
        if all > 0 {
            let bad = if bad > 0 { format!(" ({RED}{bad} failed{RESET})") } else { String::new() };
            facts.push(format!("{}{bad}", text::counted(all as u64, "tool call")));
        }
        if let Some(usage) = &info.usage
            && let Some(sum) = tokens(usage)
        {
            let parts = number(usage, "inputTokens").zip(number(usage, "outputTokens"));
            let parts = parts.map(|(a, b)| format!(" ({a} in, {b} out)")).unwrap_or_default();
            facts.push(format!("{}{parts}", text::counted(sum, "token")));
        }
        if let Some(revisions) = number(json, "revisions").filter(|count| *count > 0) {
            facts.push(text::counted(revisions, "revision"));
        }
        let _ = writeln!(out, "{}  {}", text::one_line(&info.run_id), facts.join(", "));
        if let Some(held) = self.held(info) {
            let _ = writeln!(out, "{DIM}{held}{RESET}");
        }
    }

    /// Who goes on with it.
    fn held(&self, info: &RunInfo) -> Option<String> {
        let lives = info.until.is_some_and(|until| until > self.now);
        match (&info.owner, info.status) {
            (Some(owner), _) if lives => {
                let until = Clock::new(true).show(info.until);
                let owner = text::one_line(owner);
                Some(format!("held by {owner} until {until}, number {}", info.fence))
            }
            (_, RunStatus::Executing) => Some("nobody holds it".to_owned()),
            _ => None,
        }
    }

    fn step(&self, out: &mut String, step: &Step, before: u64, total: u64) {
        let (mark, colour) = match step {
            step if step.blocked => ("!", YELLOW),
            step if step.calls.iter().any(failed) => ("x", RED),
            _ => ("+", GREEN),
        };
        let picture = picture(before, step.millis, total);
        let took = took(step.millis);
        let (id, said) = (text::one_line(&step.id), self.brief(&step.said));
        let _ = writeln!(
            out,
            "{took:>10}  {DIM}|{RESET}{colour}{picture}{RESET}{DIM}|{RESET}  {colour}{mark}{RESET} \
             {BOLD}{id}{RESET}  {said}"
        );
        let indent = " ".repeat(42);
        if step.blocked {
            let _ = writeln!(out, "{indent}{YELLOW}blocked{RESET}");
        }
        for call in &step.calls {
            let member = |name: &str| call.member(name).unwrap_or_else(Json::null);
            let name = text::one_line(&member("name").to_text().unwrap_or_default());
            let (input, output) = (self.value(&member("input")), self.value(&member("output")));
            let bad = if failed(call) { format!("{RED}failed:{RESET} ") } else { String::new() };
            let _ = writeln!(out, "{indent}{DIM}[tool]{RESET} {name}({input}) -> {bad}{output}");
        }
        if let Some(summary) = &step.summary {
            let _ = writeln!(out, "{indent}{DIM}{}{RESET}", self.brief(summary));
        }
    }

    /// Steps of the plan that have no result; true when there are any.
    fn planned(&self, out: &mut String, plan: Option<&Json>, steps: &[Step]) -> bool {
        let done: HashSet<&str> = steps.iter().map(|step| step.id.as_str()).collect();
        let mut any = false;
        for step in plan.and_then(|plan| plan.member("steps")).iter().flat_map(Json::elements) {
            let member = |name: &str| step.member(name).and_then(|value| value.to_text());
            let id = member("id").unwrap_or_else(|| "-".to_owned());
            if done.contains(id.as_str()) {
                continue;
            }
            let (id, said) =
                (text::one_line(&id), self.brief(&member("description").unwrap_or_default()));
            let room = " ".repeat(usize::try_from(WIDTH).unwrap_or(0));
            let _ = writeln!(out, "{DIM}{:>10}  |{room}|  - {id}  {said}{RESET}", "planned");
            any = true;
        }
        any
    }

    fn end(&self, out: &mut String, info: &RunInfo, json: &Json) {
        if let Some(error) = &info.error {
            let _ = writeln!(out, "{RED}{}:{RESET} {}", info.status.name(), self.brief(error));
        }
        if let Some(answer) = json.member("text").and_then(|answer| answer.to_text()) {
            let answer = if self.long { text::many_lines(&answer) } else { self.brief(&answer) };
            let _ = writeln!(out, "{BOLD}answer:{RESET} {answer}");
        }
    }

    fn value(&self, value: &Json) -> String {
        if value.is_null() {
            return String::new();
        }
        self.brief(&value.to_text().unwrap_or_else(|| value.to_string()))
    }

    fn brief(&self, content: &str) -> String {
        let content = if self.long { content.to_owned() } else { text::shortened(content, BRIEF) };
        text::one_line(&content)
    }
}

/// A step's place in time; what takes hardly any still shows.
fn picture(before: u64, millis: u64, total: u64) -> String {
    let at = |time: u64| {
        let column = u128::from(time) * u128::from(WIDTH) / u128::from(total.max(1));
        u64::try_from(column).unwrap_or(WIDTH).min(WIDTH)
    };
    let start = at(before).min(WIDTH - 1);
    let end = at(before.saturating_add(millis)).max(start + 1);
    let bar = |count: u64, what: &str| what.repeat(usize::try_from(count).unwrap_or(0));
    format!("{}{}{}", bar(start, " "), bar(end - start, "█"), bar(WIDTH - end, " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(run: &str, info: impl FnOnce(&mut RunInfo), long: bool) -> String {
        let run = RunSnapshot::from_json(Json::parse(run).unwrap()).unwrap();
        let number = |name: &str| run.json().member(name).and_then(|n| n.to_i64());
        let mut told = RunInfo {
            run_id: run.id().to_owned(),
            status: run.status(),
            started_at: number("startedAt"),
            completed_at: number("completedAt"),
            steps: run.trace().len() as u64,
            usage: run.json().member("usage"),
            error: run.json().member("error").and_then(|error| error.to_text()),
            fence: 0,
            owner: None,
            until: None,
        };
        info(&mut told);
        let now = 1_769_990_460_000;
        let timeline = Timeline { clock: Clock::at(now), now, long };
        anstream::adapter::strip_str(&timeline.draw(&told, &run)).to_string()
    }

    #[test]
    fn a_run_is_drawn_step_by_step() {
        let run = r#"{"runId":"r-1","status":"failed","startedAt":1769990400000,
            "completedAt":1769990404200,"input":"Find it\nand tell","plan":{"thought":"two\u001b[2J steps","steps":[
            {"id":"s1","description":"look"},{"id":"s2","description":"ask"},{"id":"s3","description":"tell"}]},
            "trace":[{"step":{"id":"s1","description":"look"},"summary":"seen","durationMs":3000,"blocked":false,
            "toolCalls":[{"name":"ls","input":{"path":"/"},"output":"a b","ok":true}]},
            {"step":{"id":"s2","description":"ask"},"summary":"","durationMs":1000,"blocked":true,
            "toolCalls":[{"name":"rm","input":null,"output":{"no":1},"ok":false}]}, 7],
            "usage":{"inputTokens":80,"outputTokens":40,"totalTokens":120},"stepIndex":1,"iterations":3,
            "revisions":1,"error":"no network"}"#;
        let expected = "\
Find it\\nand tell
r-1  failed, 4.2 s, started 1 min ago, 3 steps, 2 tool calls (1 failed), 120 tokens (80 in, 40 out), 1 revision
plan: two\\u{1b}[2J steps

     3.0 s  |██████████████████      |  + s1  look
                                          [tool] ls({\"path\":\"/\"}) -> a b
                                          seen
     1.0 s  |                  ██████|  ! s2  ask
                                          blocked
                                          [tool] rm() -> failed: {\"no\":1}
      0 ms  |                       █|  + -  7
   planned  |                        |  - s3  tell

failed: no network
";
        assert_eq!(drawn(run, |_| {}, false), expected);
    }

    #[test]
    fn who_holds_it_is_told() {
        let run = r#"{"runId":"r-2","status":"executing","startedAt":1769990400000,"input":"x","trace":[]}"#;
        let free = drawn(run, |_| {}, false);
        assert_eq!(free, "x\nr-2  executing, started 1 min ago, 0 steps\nnobody holds it\n\n");
        let held = drawn(
            run,
            |info| {
                (info.owner, info.fence) = (Some("w\n7".to_owned()), 3);
                info.until = Some(1_769_990_500_000);
            },
            true,
        );
        assert!(held.contains("held by w\\n7 until 2026-02-02T00:01:40.000Z, number 3"), "{held}");
    }

    #[test]
    fn the_picture_always_has_its_width() {
        for (before, millis, total) in
            [(0, 0, 0), (0, 1, 1), (5, 0, 5), (999_999, 1, 1_000_000), (1, u64::MAX / 2, u64::MAX)]
        {
            let picture = picture(before, millis, total);
            assert_eq!(picture.chars().count() as u64, WIDTH, "{before} {millis} {total}");
            assert!(picture.contains('█'));
        }
    }
}
