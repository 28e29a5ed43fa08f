//! Which messages of a conversation are wanted, and how they are shown.

use std::collections::{HashSet, VecDeque};
use std::fmt::Write as _;

use agentkeep::StoredMessage;

use crate::args::ShowSession;
use crate::output::chat::Chat;
use crate::output::found::Needle;
use crate::output::text;
use crate::output::time::Clock;

/// How far back a call may wait for its result on the next page.
const PATIENCE: usize = 50;

/// A message, and how it is shown.
type Shown = (StoredMessage, String);

/// Takes a conversation page by page.
#[derive(Debug)]
pub(super) struct Conversation {
    needle: Option<Needle>,
    context: u64,
    long: bool,
    follow: bool,
    /// The index after the last message that was shown.
    shown: Option<u64>,
    /// So many more are shown, for they follow one that was found.
    after: u64,
    /// Messages passed by that may turn out to stand before one that is found.
    before: VecDeque<Shown>,
    /// Messages whose calls wait for the results on the next page.
    waiting: Vec<StoredMessage>,
    passed: Option<u64>,
    found: bool,
}

impl Conversation {
    pub(super) fn of(args: &ShowSession) -> Self {
        Self {
            needle: args.grep.as_deref().map(Needle::new),
            context: args.context,
            long: args.long,
            follow: args.follow,
            shown: None,
            after: 0,
            before: VecDeque::new(),
            waiting: Vec::new(),
            passed: None,
            found: false,
        }
    }

    /// True when a text was searched for and stands nowhere.
    pub(super) fn found_nothing(&self) -> bool {
        self.needle.is_some() && !self.found
    }

    /// The wanted ones of these messages.
    pub(super) fn choose(&mut self, messages: Vec<StoredMessage>) -> Vec<StoredMessage> {
        if self.needle.is_none() {
            return messages;
        }
        let mut chat = Chat::of(&messages, Clock::new(true), true);
        let mut chosen = Vec::new();
        for stored in messages {
            let shown = chat.show(&stored);
            chosen.extend(self.chosen((stored, shown)).into_iter().map(|(stored, _)| stored));
        }
        chosen
    }

    /// The message, if it is found or stands near one that is, with those before it that are
    /// wanted now.
    fn chosen(&mut self, stored: Shown) -> Vec<Shown> {
        let found = self.needle.as_ref().is_none_or(|needle| needle.is_in(body(&stored.1).1));
        if found {
            self.found = true;
            self.after = self.context;
            let mut chosen: Vec<_> = self.before.drain(..).collect();
            chosen.push(stored);
            return chosen;
        }
        if self.after > 0 {
            self.after -= 1;
            return vec![stored];
        }
        self.before.push_back(stored);
        while self.before.len() as u64 > self.context {
            self.before.pop_front();
        }
        Vec::new()
    }

    /// These messages as people read them. Calls whose results are still to come wait for them,
    /// unless the conversation is followed.
    pub(super) fn show(&mut self, messages: Vec<StoredMessage>) -> String {
        let mut page = std::mem::take(&mut self.waiting);
        page.extend(messages);
        if !self.follow {
            self.waiting = page.split_off(first_waiting(&page));
        }
        self.shown_page(page)
    }

    /// What has waited till the end.
    pub(super) fn rest(&mut self) -> String {
        let page = std::mem::take(&mut self.waiting);
        let mut out = self.shown_page(page);
        if let (Some(_), Some(shown), Some(passed)) = (&self.needle, self.shown, self.passed) {
            out.push_str(&gap(passed.saturating_sub(shown)));
        }
        out
    }

    fn shown_page(&mut self, page: Vec<StoredMessage>) -> String {
        let mut chat = Chat::of(&page, Clock::new(self.long), self.long || self.needle.is_some());
        let mut out = String::new();
        for stored in page {
            let shown = chat.show(&stored);
            if self.needle.is_none() {
                push(&mut out, &shown);
                continue;
            }
            self.passed = Some(stored.index + 1);
            self.shown.get_or_insert(stored.index);
            for (stored, shown) in self.chosen((stored, shown)) {
                out.push_str(&gap(stored.index.saturating_sub(self.shown.unwrap_or(0))));
                self.shown = Some(stored.index + 1);
                push(&mut out, &self.marked(&shown));
            }
        }
        out
    }

    fn marked(&self, shown: &str) -> String {
        let (heading, body) = body(shown);
        let marked = self.needle.as_ref().map(|needle| needle.marked(body));
        format!("{heading}{}", marked.as_deref().unwrap_or(body))
    }
}

/// A message as it is shown, parted after the line that tells who speaks and when.
fn body(shown: &str) -> (&str, &str) {
    shown.split_at(shown.find('\n').map_or(shown.len(), |end| end + 1))
}

/// An empty line before each message that has something to show.
fn push(out: &mut String, shown: &str) {
    if !shown.is_empty() {
        let _ = writeln!(out, "\n{}", shown.trim_end());
    }
}

/// Tells of messages that are left out.
fn gap(messages: u64) -> String {
    if messages == 0 {
        return String::new();
    }
    format!("\n\x1b[2m... {} ...\x1b[0m\n", text::counted(messages, "message"))
}

/// The place of the first of the last messages that calls a tool without a result; the end, when
/// all have theirs.
fn first_waiting(page: &[StoredMessage]) -> usize {
    let start = page.len().saturating_sub(PATIENCE);
    let results = page[start..].iter().flat_map(|stored| stored.message.tool_results());
    let answered: HashSet<String> = results.map(|result| result.call_id).collect();
    let waits = |stored: &StoredMessage| {
        stored.message.tool_calls().iter().any(|call| !answered.contains(&call.id))
    };
    page[start..].iter().position(waits).map_or(page.len(), |place| start + place)
}
