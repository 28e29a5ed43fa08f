//! JSON as Khora writes it before hashing: members in its order, numbers as ECMAScript prints
//! them, everything else as it stands.

use std::borrow::Cow;

use super::order::{array_index, collate};
use crate::error::{Error, Kind, Result};
use crate::json::Json;

/// A value within canonical text, which needs no checking.
enum Node<'a> {
    /// What is written as it stands.
    Plain(&'a str),
    Number(&'a str),
    Array(Vec<Node<'a>>),
    Object(Vec<Member<'a>>),
}

struct Member<'a> {
    /// With its quotes, as it is written.
    quoted: &'a str,
    key: Cow<'a, str>,
    value: Node<'a>,
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

/// The text that is hashed.
pub(super) fn write(json: &Json) -> Result<String> {
    let text = json.as_str();
    let node = Reader { text, at: 0 }.value();
    let mut out = String::with_capacity(text.len());
    push(&mut out, &node)?;
    Ok(out)
}

impl<'a> Reader<'a> {
    fn peek(&self) -> u8 {
        self.text.as_bytes().get(self.at).copied().unwrap_or(0)
    }

    fn value(&mut self) -> Node<'a> {
        match self.peek() {
            b'{' => self.object(),
            b'[' => self.array(),
            b'"' => Node::Plain(self.string()),
            b'-' | b'0'..=b'9' => Node::Number(self.scalar()),
            _ => Node::Plain(self.scalar()),
        }
    }

    fn scalar(&mut self) -> &'a str {
        let rest = &self.text[self.at..];
        let end = rest.bytes().position(|byte| matches!(byte, b',' | b']' | b'}'));
        let scalar = &rest[..end.unwrap_or(rest.len())];
        self.at += scalar.len();
        scalar
    }

    /// A string with its quotes.
    fn string(&mut self) -> &'a str {
        let bytes = self.text.as_bytes();
        let start = self.at;
        let mut at = start + 1;
        while at < bytes.len() && bytes[at] != b'"' {
            at += if bytes[at] == b'\\' { 2 } else { 1 };
        }
        self.at = (at + 1).min(bytes.len());
        &self.text[start..self.at]
    }

    fn array(&mut self) -> Node<'a> {
        let mut elements = Vec::new();
        self.at += 1;
        while !matches!(self.peek(), b']' | 0) {
            elements.push(self.value());
            self.separator();
        }
        self.at += 1;
        Node::Array(elements)
    }

    fn object(&mut self) -> Node<'a> {
        let mut members = Vec::new();
        self.at += 1;
        while !matches!(self.peek(), b'}' | 0) {
            let quoted = self.string();
            self.at += 1;
            members.push(Member { quoted, key: decoded(quoted), value: self.value() });
            self.separator();
        }
        self.at += 1;
        sort(&mut members);
        Node::Object(members)
    }

    fn separator(&mut self) {
        if self.peek() == b',' {
            self.at += 1;
        }
    }
}

fn decoded(quoted: &str) -> Cow<'_, str> {
    let inner = &quoted[1..quoted.len() - 1];
    if inner.contains('\\') {
        serde_json::from_str(quoted).map_or(Cow::Borrowed(inner), Cow::Owned)
    } else {
        Cow::Borrowed(inner)
    }
}

fn sort(members: &mut [Member<'_>]) {
    members.sort_by(|a, b| match (array_index(&a.key), array_index(&b.key)) {
        (Some(a), Some(b)) => a.cmp(&b),
        (Some(_), None) => std::cmp::Ordering::Less,
        (None, Some(_)) => std::cmp::Ordering::Greater,
        (None, None) => collate(&a.key, &b.key),
    });
}

fn push(out: &mut String, node: &Node<'_>) -> Result<()> {
    match node {
        Node::Plain(text) => out.push_str(text),
        Node::Number(text) => number(out, text)?,
        Node::Array(elements) => {
            out.push('[');
            for (place, element) in elements.iter().enumerate() {
                if place > 0 {
                    out.push(',');
                }
                push(out, element)?;
            }
            out.push(']');
        }
        Node::Object(members) => {
            out.push('{');
            for (place, member) in members.iter().enumerate() {
                if place > 0 {
                    out.push(',');
                }
                out.push_str(member.quoted);
                out.push(':');
                push(out, &member.value)?;
            }
            out.push('}');
        }
    }
    Ok(())
}

/// As ECMAScript prints the nearest `f64`.
fn number(out: &mut String, text: &str) -> Result<()> {
    let bytes = text.as_bytes();
    // Whole numbers of up to 15 digits stand as they are printed.
    if bytes.len() <= 15 && bytes.iter().all(u8::is_ascii_digit) {
        out.push_str(text);
        return Ok(());
    }
    let value: f64 = text.parse().unwrap_or(f64::NAN);
    if !value.is_finite() {
        let message = format!("the number {text} is beyond what a hash can tell from others");
        return Err(Error::new(Kind::InvalidInput, message)
            .advice("give numbers within the range of f64, or text"));
    }
    out.push_str(ryu_js::Buffer::new().format_finite(value));
    Ok(())
}
