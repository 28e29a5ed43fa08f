//! Reading and changing members of canonical text without touching the rest of it.

use super::Json;
use super::out::push_escaped;
use super::strings::{bare, plain};

/// The members of an object, or nothing for other values: key text with quotes, value text.
pub(super) struct Members<'a> {
    rest: &'a str,
}

/// The elements of an array, or nothing for other values.
pub(super) struct Elements<'a> {
    rest: &'a str,
}

pub(super) fn members(text: &str) -> Members<'_> {
    Members { rest: inside(text, '{', '}') }
}

pub(super) fn elements(text: &str) -> Elements<'_> {
    Elements { rest: inside(text, '[', ']') }
}

/// The members of an object before `last`, and the value of `last`, which is not looked into: for
/// objects that are known to have it as their last member, if they have it.
pub(super) fn members_and_last<'a>(
    text: &'a str,
    last: &str,
) -> (Vec<(&'a str, &'a str)>, Option<&'a str>) {
    let mut before = Vec::with_capacity(16);
    let mut members = members(text);
    loop {
        let value = members.rest.strip_prefix('"').and_then(|rest| rest.strip_prefix(last));
        if let Some(value) = value.and_then(|rest| rest.strip_prefix("\":")) {
            return (before, Some(value));
        }
        match members.next() {
            Some(member) => before.push(member),
            None => return (before, None),
        }
    }
}

fn inside(text: &str, open: char, close: char) -> &str {
    text.strip_prefix(open).and_then(|t| t.strip_suffix(close)).unwrap_or("")
}

impl<'a> Iterator for Members<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let key_end = value_end(self.rest);
        let key = &self.rest[..key_end];
        let after = self.rest.get(key_end + 1..)?;
        let value = &after[..value_end(after)];
        self.rest = after.get(value.len() + 1..).unwrap_or("");
        Some((key, value))
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let value = &self.rest[..value_end(self.rest)];
        self.rest = self.rest.get(value.len() + 1..).unwrap_or("");
        Some(value)
    }
}

/// Where the value at the start of `text` ends. The text is canonical, so this only balances.
pub(super) fn value_end(text: &str) -> usize {
    let bytes = text.as_bytes();
    let (mut at, mut depth) = (0, 0_usize);
    while at < bytes.len() {
        match bytes[at] {
            b'"' => {
                at = string_end(bytes, at + 1);
                if depth == 0 {
                    return (at + 1).min(bytes.len());
                }
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth <= 1 => return if depth == 0 { at } else { at + 1 },
            b'}' | b']' => depth -= 1,
            b',' | b':' if depth == 0 => return at,
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}

/// The closing quote of a string whose content begins at `at`.
fn string_end(bytes: &[u8], mut at: usize) -> usize {
    while at < bytes.len() {
        at += bare(&bytes[at..]);
        if bytes.get(at) != Some(&b'\\') {
            break;
        }
        at += 2;
    }
    at
}

/// True when `key`, as it stands in canonical text with its quotes, is `wanted`.
pub(super) fn is_key(key: &str, wanted: &str) -> bool {
    let inner = key.as_bytes().get(1..key.len().saturating_sub(1)).unwrap_or_default();
    // Escapes are the exception, and without them the bytes are the same.
    if inner == wanted.as_bytes() {
        return !inner.contains(&b'\\');
    }
    inner.contains(&b'\\') && key == quoted(wanted)
}

/// `key` as it stands in canonical text, quotes included.
pub(super) fn quoted(key: &str) -> String {
    let mut out = String::with_capacity(key.len() + 2);
    push_quoted(&mut out, key);
    out
}

/// Adds `key` as it stands in canonical text, quotes included.
pub(super) fn push_quoted(out: &mut String, key: &str) {
    out.push('"');
    let same = plain(key.as_bytes());
    out.push_str(&key[..same]);
    key[same..].chars().for_each(|c| push_escaped(out, c));
    out.push('"');
}

/// Decodes canonical string text (with its quotes).
pub(super) fn unquoted(text: &str) -> Option<String> {
    let inner = text.strip_prefix('"')?.strip_suffix('"')?;
    if !inner.contains('\\') {
        return Some(inner.to_owned());
    }
    serde_json::from_str(text).ok()
}

/// The text of an object, written from its start to its end; whoever writes gives each key once.
#[derive(Debug)]
pub(crate) struct ObjectWriter(String);

impl ObjectWriter {
    pub(crate) fn with_room(bytes: usize) -> Self {
        let mut text = String::with_capacity(bytes);
        text.push('{');
        Self(text)
    }

    fn comma(&mut self) {
        if !self.0.ends_with(['{', '[', ':']) {
            self.0.push(',');
        }
    }

    /// The next member as it stands in canonical text, its key with quotes.
    pub(crate) fn raw(&mut self, key: &str, value: &str) -> &mut Self {
        self.comma();
        self.0.push_str(key);
        self.0.push(':');
        self.0.push_str(value);
        self
    }

    /// The key of the next member.
    pub(crate) fn name(&mut self, name: &str) -> &mut Self {
        self.comma();
        push_quoted(&mut self.0, name);
        self.0.push(':');
        self
    }

    /// The value of a member, or the next element of a list.
    pub(crate) fn value(&mut self, value: &Json) -> &mut Self {
        self.comma();
        self.0.push_str(value.as_str());
        self
    }

    /// A value that is itself written piece by piece.
    pub(crate) fn open(&mut self, bracket: char) -> &mut Self {
        self.comma();
        self.0.push(bracket);
        self
    }

    pub(crate) fn close(&mut self, bracket: char) -> &mut Self {
        self.0.push(bracket);
        self
    }

    pub(crate) fn finish(mut self) -> Json {
        self.0.push('}');
        Json::assembled(self.0)
    }
}

/// An object under construction: members replaced in place, new ones last, the rest untouched.
#[derive(Debug, Clone, Default)]
pub struct ObjectEditor {
    members: Vec<(String, String)>,
}

impl ObjectEditor {
    /// An editor over the members of `json` (none, when it is no object).
    pub fn of(json: &Json) -> Self {
        let members = members(json.as_str()).map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
        Self { members }
    }

    /// Gives `key` the value `value`.
    pub fn set(&mut self, key: &str, value: &Json) -> &mut Self {
        let key = quoted(key);
        match self.members.iter_mut().find(|(k, _)| *k == key) {
            Some((_, old)) => value.as_str().clone_into(old),
            None => self.members.push((key, value.as_str().to_owned())),
        }
        self
    }

    /// Takes `key` out, if it is there.
    pub fn remove(&mut self, key: &str) -> &mut Self {
        let key = quoted(key);
        self.members.retain(|(k, _)| *k != key);
        self
    }

    /// The object.
    pub fn finish(&self) -> Json {
        let mut out = String::from("{");
        for (i, (key, value)) in self.members.iter().enumerate() {
            if i > 0 {
                out.push(',');
            }
            out.push_str(key);
            out.push(':');
            out.push_str(value);
        }
        out.push('}');
        Json::assembled(out)
    }
}
