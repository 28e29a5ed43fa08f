//! The newest messages that fit a budget, tool calls and results kept together.

use std::collections::HashSet;

use super::view::View;
use crate::error::Result;
use crate::model::{Message, StoredMessage};

/// Messages looked at in one step.
pub(super) const STEP: u64 = 200;

/// A rough count of the tokens of a message: a quarter of its bytes, at least 1.
///
/// Give [`Messages::window`](crate::Messages::window) your model's own counter where the figure
/// matters.
pub fn estimate_tokens(message: &Message) -> usize {
    (message.json().len() / 4).max(1)
}

/// The longest end of the conversation whose messages cost at most `budget` together, and in
/// which every tool result has its call. `None` when messages were collected meanwhile.
pub(crate) async fn window(
    view: &View<'_>,
    budget: usize,
    tokens: &(dyn Fn(&Message) -> usize + Sync),
) -> Result<Option<Vec<StoredMessage>>> {
    let mut newest_first: Vec<StoredMessage> = Vec::new();
    let (mut left, mut before, mut full) = (budget, u64::MAX, false);
    while !full && before > 0 {
        let Some(messages) = view.last(before, STEP).await? else { return Ok(None) };
        let Some(first) = messages.first() else { break };
        before = first.index;
        for stored in messages.into_iter().rev() {
            let Some(rest) = left.checked_sub(tokens(&stored.message)) else {
                full = true;
                break;
            };
            left = rest;
            newest_first.push(stored);
        }
    }
    newest_first.reverse();
    Ok(Some(without_orphans(newest_first)))
}

/// Drops messages from the front until every tool result follows its call.
fn without_orphans(mut messages: Vec<StoredMessage>) -> Vec<StoredMessage> {
    let mut start = 0;
    loop {
        let mut calls = HashSet::new();
        let orphan = messages[start..].iter().position(|stored| {
            calls.extend(stored.message.tool_calls().into_iter().map(|call| call.id));
            stored.message.tool_results().iter().any(|result| !calls.contains(&result.call_id))
        });
        match orphan {
            Some(place) => start += place + 1,
            None => return messages.split_off(start),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Json;

    fn kept(messages: Vec<Message>) -> Vec<u64> {
        let stored = (0..).zip(messages).map(|(index, message)| StoredMessage {
            index,
            time: 0,
            turn: None,
            edited: false,
            message,
        });
        without_orphans(stored.collect()).into_iter().map(|stored| stored.index).collect()
    }

    fn call(id: &str) -> Message {
        Message::tool_call(id, "t", &Json::null()).unwrap()
    }

    fn result(id: &str) -> Message {
        Message::tool_result(id, &Json::null()).unwrap()
    }

    #[test]
    fn a_result_never_stands_without_its_call() {
        let user = || Message::user("x").unwrap();
        assert_eq!(kept(vec![result("a"), user()]), [1]);
        assert_eq!(kept(vec![call("b"), result("a"), result("b"), user()]), [3]);
        assert_eq!(kept(vec![call("a"), user(), result("a")]), [0, 1, 2]);
        assert_eq!(kept(vec![user(), call("a")]), [0, 1]);
        assert_eq!(kept(vec![result("a")]), Vec::<u64>::new());
        let foreign = |text| Message::from_json(Json::parse(text).unwrap()).unwrap();
        let dashed = || {
            [
                foreign(
                    r#"{"subtype":"tool-call","toolCall":{"type":"tool-call","id":"q","name":"n"}}"#,
                ),
                foreign(
                    r#"{"subtype":"tool-result","toolCallId":"q","toolResult":{"id":"q","output":1}}"#,
                ),
            ]
        };
        assert_eq!(kept(dashed().into()), [0, 1]);
        assert_eq!(kept(dashed().into_iter().skip(1).collect()), Vec::<u64>::new());
    }
}
