//! A conversation as people read it.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt::Write as _;

use agentkeep::{Attachment, Content, Json, Message, StoredMessage, ToolCall};

use super::text;
use super::time::Clock;

/// Longest argument, result or unknown part that is shown, unless all is asked for.
const BRIEF: usize = 60;
const DIM: &str = "\x1b[2m";
const BOLD: &str = "\x1b[1m";
const RESET: &str = "\x1b[0m";

/// Shows messages; results stand with their calls.
#[derive(Debug)]
pub(crate) struct Chat {
    clock: Clock,
    long: bool,
    called: HashSet<String>,
    answers: HashMap<String, VecDeque<Json>>,
}

impl Chat {
    /// A view of these messages.
    pub(crate) fn of(messages: &[StoredMessage], clock: Clock, long: bool) -> Self {
        let (mut called, mut answers) = (HashSet::new(), HashMap::<_, VecDeque<_>>::new());
        for stored in messages {
            called.extend(stored.message.tool_calls().into_iter().map(|call| call.id));
            for result in stored.message.tool_results() {
                if called.contains(&result.call_id) {
                    answers.entry(result.call_id).or_default().push_back(result.output);
                }
            }
        }
        Self { clock, long, called, answers }
    }

    /// One message; nothing for a result that stands with its call.
    pub(crate) fn show(&mut self, stored: &StoredMessage) -> String {
        let body = self.body(&stored.message);
        if body.is_empty() && !stored.message.tool_results().is_empty() {
            return String::new();
        }
        let role = text::one_line(&role(&stored.message));
        let time = self.clock.show(stored.message.timestamp().or(Some(stored.time)));
        let edited = if stored.edited { ", edited" } else { "" };
        let colour = colour(&role);
        let mut out = format!("{BOLD}{colour}{role}{RESET}  {DIM}{time}{edited}{RESET}\n");
        if body.is_empty() {
            let _ = writeln!(out, "  {DIM}(empty){RESET}");
        }
        for line in body.iter().flat_map(|part| part.lines()) {
            let _ = write!(out, "  {line}");
            out.truncate(out.trim_end_matches(' ').len());
            out.push('\n');
        }
        out.push('\n');
        out
    }

    /// What the message says, safe to show; each element is one part.
    fn body(&mut self, message: &Message) -> Vec<String> {
        let mut body = Vec::new();
        let calls = message.tool_calls();
        let results = message.tool_results();
        let subtype = message.subtype().unwrap_or_default();
        match message.content() {
            Content::Absent => {}
            Content::Text(content) if content.is_empty() => {}
            Content::Text(content) => body.push(text::many_lines(&content)),
            Content::Parts(_) if matches!(subtype.as_str(), "tool_call" | "tool_result") => {}
            Content::Parts(parts) => body.extend(parts.iter().filter_map(|part| self.part(part))),
            Content::Other(content) => body.push(self.brief(&content)),
        }
        body.extend(calls.into_iter().map(|call| self.call(&call)));
        for result in results.iter().filter(|result| !self.called.contains(&result.call_id)) {
            let id = text::one_line(&result.call_id);
            body.push(format!("{DIM}result of {id}:{RESET} {}", self.brief(&result.output)));
        }
        body.extend(message.attachments().iter().map(attached));
        body
    }

    /// A part of structured content; `None` for tool calls and results, which are told apart.
    fn part(&self, part: &Json) -> Option<String> {
        if let Some(content) = part.to_text() {
            return Some(text::many_lines(&content));
        }
        let member = |name: &str| part.member(name).and_then(|value| value.to_text());
        let kind = member("type").unwrap_or_default();
        Some(match kind.as_str() {
            "tool-call" | "tool_call" | "tool_use" | "tool-result" | "tool_result" => return None,
            "text" => text::many_lines(&member("text")?),
            "thinking" | "reasoning" => {
                let thought =
                    ["reasoning", "thinking", "text"].iter().find_map(|name| member(name));
                let thought = text::one_line(&self.cut(&thought.unwrap_or_default()));
                format!("{DIM}(thinking) {thought}{RESET}")
            }
            "image" | "file" | "audio" | "video" => {
                let name = member("name").or_else(|| member("filename"));
                let media = member("mediaType").or_else(|| member("mimeType"));
                let told: Vec<String> = name.into_iter().chain(media).collect();
                let told = text::one_line(&told.join(", "));
                format!("{DIM}[{kind}]{RESET} {told}")
            }
            _ => format!("{DIM}[part]{RESET} {}", self.brief(part)),
        })
    }

    fn call(&mut self, call: &ToolCall) -> String {
        let name = text::one_line(&call.name);
        let input = if call.input.is_null() { String::new() } else { self.brief(&call.input) };
        let answer = self.answers.get_mut(&call.id).and_then(VecDeque::pop_front);
        let answer = match answer {
            Some(output) => self.brief(&output),
            None => format!("{DIM}no result{RESET}"),
        };
        format!("{DIM}[tool]{RESET} {name}({input}) -> {answer}")
    }

    /// A value in one line.
    fn brief(&self, value: &Json) -> String {
        // `{"type": "text", "value": "..."}` is how some agents write a plain text.
        let inner = value.member("value").filter(|_| value.raw_member("type") == Some("\"text\""));
        let shown = inner.as_ref().unwrap_or(value);
        let shown = shown.to_text().unwrap_or_else(|| shown.to_string());
        text::one_line(&self.cut(&shown))
    }

    fn cut(&self, content: &str) -> String {
        if self.long { content.to_owned() } else { text::shortened(content, BRIEF) }
    }
}

/// Who speaks: the subtype, which for tools says more than the role.
fn role(message: &Message) -> String {
    let role = || message.json().member("role").and_then(|role| role.to_text());
    message.subtype().or_else(role).unwrap_or_else(|| "message".to_owned())
}

fn colour(role: &str) -> &'static str {
    match role {
        "user" => "\x1b[36m",
        "assistant" => "\x1b[32m",
        "system" => "\x1b[35m",
        _ => "\x1b[33m",
    }
}

fn attached(attachment: &Attachment) -> String {
    let name = attachment.name.as_deref().unwrap_or("without a name");
    let media = attachment.media_type.as_deref().map_or(String::new(), |m| format!(", {m}"));
    let told = format!("{name}{media}, {}", text::bytes(attachment.size));
    format!("{DIM}[attachment]{RESET} {}", text::one_line(&told))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(messages: &[&str]) -> String {
        let stored: Vec<StoredMessage> = (0..)
            .zip(messages)
            .map(|(index, text)| StoredMessage {
                index,
                time: 1_769_990_400_000,
                turn: None,
                edited: false,
                message: Message::foreign(Json::parse(text).unwrap()).0,
            })
            .collect();
        let mut chat = Chat::of(&stored, Clock::at(1_769_990_460_000), false);
        let text: String = stored.iter().map(|message| chat.show(message)).collect();
        anstream::adapter::strip_str(&text).to_string()
    }

    #[test]
    fn results_stand_with_their_calls() {
        let text = shown(&[
            r#"{"subtype":"user","content":"two\nlines\u001b[31m"}"#,
            r#"{"subtype":"tool-call","toolCall":{"id":"t","name":"bash","input":{"x":1}}}"#,
            r#"{"subtype":"tool-result","toolCallId":"t","toolResult":{"output":{"type":"text","value":"a\nb"}}}"#,
            r#"{"subtype":"tool_call","content":[{"id":"u","name":"ls"}]}"#,
            r#"{"subtype":"tool_result","content":[{"id":"gone","output":[1,2]}]}"#,
        ]);
        let expected = "\
user  1 min ago
  two
  lines\\u{1b}[31m

tool-call  1 min ago
  [tool] bash({\"x\":1}) -> a\\nb

tool_call  1 min ago
  [tool] ls() -> no result

tool_result  1 min ago
  result of gone: [1,2]

";
        assert_eq!(text, expected);
    }

    #[test]
    fn parts_and_attachments_are_named() {
        let hash = Attachment::of(b"x").hash().to_hex();
        let attached = format!(
            r#"{{"role":"user","content":[{{"type":"text","text":"see"}},{{"type":"image","data":"eA==","name":"b.png","mediaType":"image/png"}},{{"type":"thinking","reasoning":"hm"}},{{"type":"odd","n":1}}],"attachments":[{{"hash":"{hash}","size":1,"name":"x.txt"}}]}}"#
        );
        let text =
            shown(&[&attached, r#"{"content":""}"#, r#"{"content":7,"timestamp":1769990457000}"#]);
        let expected = "\
user  1 min ago
  see
  [image] b.png, image/png
  (thinking) hm
  [part] {\"type\":\"odd\",\"n\":1}
  [attachment] x.txt, 1 B

message  1 min ago
  (empty)

message  just now
  7

";
        assert_eq!(text, expected);
    }
}
