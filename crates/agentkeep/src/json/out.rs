//! The canonical text as it is written: borrowed from the input for as long as it is the same.

use std::borrow::Cow;

/// The canonical text so far: as long as it is the beginning of the input, only its length.
pub(super) struct Out<'a> {
    input: &'a str,
    same: usize,
    own: Option<String>,
}

impl<'a> Out<'a> {
    pub(super) fn of(input: &'a str) -> Self {
        Self { input, same: 0, own: None }
    }

    pub(super) fn push_str(&mut self, text: &str) {
        if self.own.is_none() && self.input.as_bytes()[self.same..].starts_with(text.as_bytes()) {
            self.same += text.len();
        } else {
            self.own().push_str(text);
        }
    }

    /// Writes what stands in the input from one place to another: nothing to do where the text so
    /// far is the beginning of the input and ends there.
    pub(super) fn push_input(&mut self, from: usize, to: usize) {
        if self.own.is_none() && self.same == from {
            self.same = to;
        } else {
            let input = self.input;
            self.push_str(&input[from..to]);
        }
    }

    /// As [`push`](Self::push), for ASCII that has just been read at a place of the input.
    pub(super) fn push_read(&mut self, at: usize, c: char) {
        if self.own.is_none() && self.same == at {
            self.same = at + 1;
        } else {
            self.push(c);
        }
    }

    pub(super) fn push(&mut self, c: char) {
        self.push_str(c.encode_utf8(&mut [0; 4]));
    }

    pub(super) fn push_escaped(&mut self, c: char) {
        match short(c) {
            Some(short) => self.push_str(short),
            None if c <= '\u{1f}' => {
                let mut escaped = String::new();
                push_escaped(&mut escaped, c);
                self.push_str(&escaped);
            }
            None => self.push(c),
        }
    }

    /// The text in a buffer of its own, from the first difference on.
    fn own(&mut self) -> &mut String {
        let (input, same) = (self.input, self.same);
        self.own.get_or_insert_with(|| {
            let mut own = String::with_capacity(input.len());
            own.push_str(&input[..same]);
            own
        })
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.own.as_ref().map_or(&self.input.as_bytes()[..self.same], |own| own.as_bytes())
    }

    pub(super) fn len(&self) -> usize {
        self.as_bytes().len()
    }

    pub(super) fn finish(self) -> Cow<'a, str> {
        match self.own {
            Some(own) => Cow::Owned(own),
            None => Cow::Borrowed(&self.input[..self.same]),
        }
    }
}

/// The two characters that stand for one that must be escaped.
fn short(c: char) -> Option<&'static str> {
    Some(match c {
        '"' => "\\\"",
        '\\' => "\\\\",
        '\u{8}' => "\\b",
        '\u{c}' => "\\f",
        '\n' => "\\n",
        '\r' => "\\r",
        '\t' => "\\t",
        _ => return None,
    })
}

/// Appends one character of a string, escaped only where JSON demands it.
pub(super) fn push_escaped(out: &mut String, c: char) {
    if let Some(short) = short(c) {
        out.push_str(short);
        return;
    }
    match c {
        '\0'..='\u{1f}' => {
            const HEX: &[u8; 16] = b"0123456789abcdef";
            out.push_str("\\u00");
            out.push(char::from(HEX[(c as usize) >> 4]));
            out.push(char::from(HEX[(c as usize) & 15]));
        }
        c => out.push(c),
    }
}
