//! The one scanner that every body passes: checks JSON and writes its canonical text.
//!
//! Canonical: no white space outside strings, key order and number text kept, strings escaped
//! only where JSON demands it. Refused: lone surrogates, duplicate keys, nesting beyond the limit.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use super::out::Out;

/// Deepest nesting of arrays and objects that a body may have.
pub const MAX_DEPTH: usize = 128;

/// Why a text was refused, and at which byte of it (counted from 0).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScanError {
    /// Byte offset in the text as given.
    pub position: usize,
    /// What was wrong there.
    pub problem: Problem,
}

/// What the scanner refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// The text is not JSON (RFC 8259).
    Syntax(&'static str),
    /// An object has the same key twice.
    DuplicateKey,
    /// A `\uD800`-`\uDFFF` escape without its other half.
    LoneSurrogate,
    /// Nested deeper than [`MAX_DEPTH`].
    TooDeep,
}

impl fmt::Display for ScanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.problem {
            Problem::Syntax(what) => write!(f, "not JSON: {what}")?,
            Problem::DuplicateKey => f.write_str("an object has the same key twice")?,
            Problem::LoneSurrogate => f.write_str("a string holds a lone surrogate")?,
            Problem::TooDeep => write!(f, "nested deeper than {MAX_DEPTH}")?,
        }
        write!(f, " at byte {}", self.position)
    }
}

impl std::error::Error for ScanError {}

/// What to do with text that JSON allows and a store refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Surrogates {
    /// Refuse lone surrogates.
    Refuse,
    /// Put U+FFFD in their place and count them: for imports of foreign data.
    Replace,
}

/// Canonical text of `text`, borrowed when it is canonical already, and how many lone surrogates
/// were replaced.
pub(crate) fn canonical(
    text: &str,
    surrogates: Surrogates,
) -> Result<(Cow<'_, str>, usize), ScanError> {
    let mut scanner = Scanner {
        input: text.as_bytes(),
        at: 0,
        out: Out::of(text),
        keys: Vec::new(),
        surrogates,
        replaced: 0,
    };
    scanner.space();
    scanner.value(0)?;
    scanner.space();
    if scanner.at < scanner.input.len() {
        return Err(scanner.syntax("text after the end of the value"));
    }
    Ok((scanner.out.finish(), scanner.replaced))
}

pub(super) fn error(position: usize, problem: Problem) -> ScanError {
    ScanError { position, problem }
}

struct Key {
    start: usize,
    written: Range<usize>,
}

pub(super) struct Scanner<'a> {
    pub(super) input: &'a [u8],
    pub(super) at: usize,
    pub(super) out: Out<'a>,
    /// Keys of all open objects; each object looks only at its own tail.
    keys: Vec<Key>,
    pub(super) surrogates: Surrogates,
    pub(super) replaced: usize,
}

impl Scanner<'_> {
    pub(super) fn syntax(&self, what: &'static str) -> ScanError {
        error(self.at, Problem::Syntax(what))
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.input.get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    fn value(&mut self, depth: usize) -> Result<(), ScanError> {
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'"') => self.string(),
            Some(b't') => self.word("true"),
            Some(b'f') => self.word("false"),
            Some(b'n') => self.word("null"),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(_) => Err(self.syntax("expected a value")),
            None => Err(self.syntax("the text ends where a value is expected")),
        }
    }

    fn word(&mut self, word: &'static str) -> Result<(), ScanError> {
        if !self.input[self.at..].starts_with(word.as_bytes()) {
            return Err(self.syntax("expected a value"));
        }
        self.out.push_input(self.at, self.at + word.len());
        self.at += word.len();
        Ok(())
    }

    fn digits(&mut self) -> usize {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        self.at - start
    }

    fn number(&mut self) -> Result<(), ScanError> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        let leading_zero = self.peek() == Some(b'0');
        let whole = self.digits();
        if whole == 0 || (leading_zero && whole > 1) {
            return Err(error(start, Problem::Syntax("malformed number")));
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            if self.digits() == 0 {
                return Err(error(start, Problem::Syntax("malformed number")));
            }
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            if self.digits() == 0 {
                return Err(error(start, Problem::Syntax("malformed number")));
            }
        }
        self.out.push_input(start, self.at);
        Ok(())
    }

    fn array(&mut self, depth: usize) -> Result<(), ScanError> {
        self.open(depth, '[')?;
        if self.close(b']', ']') {
            return Ok(());
        }
        loop {
            self.space();
            self.value(depth + 1)?;
            if self.next_or_close(b']', ']')? {
                return Ok(());
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<(), ScanError> {
        self.open(depth, '{')?;
        if self.close(b'}', '}') {
            return Ok(());
        }
        let first_key = self.keys.len();
        loop {
            self.space();
            if self.peek() != Some(b'"') {
                return Err(self.syntax("expected a key in double quotes"));
            }
            let (start, from) = (self.at, self.out.len());
            self.string()?;
            self.keys.push(Key { start, written: from..self.out.len() });
            self.space();
            if self.peek() != Some(b':') {
                return Err(self.syntax("expected ':' after a key"));
            }
            self.out.push_read(self.at, ':');
            self.at += 1;
            self.space();
            self.value(depth + 1)?;
            if self.next_or_close(b'}', '}')? {
                break;
            }
        }
        self.refuse_duplicates(first_key)?;
        self.keys.truncate(first_key);
        Ok(())
    }

    fn open(&mut self, depth: usize, bracket: char) -> Result<(), ScanError> {
        if depth >= MAX_DEPTH {
            return Err(error(self.at, Problem::TooDeep));
        }
        self.out.push_read(self.at, bracket);
        self.at += 1;
        self.space();
        Ok(())
    }

    fn close(&mut self, byte: u8, bracket: char) -> bool {
        let closes = self.peek() == Some(byte);
        if closes {
            self.out.push_read(self.at, bracket);
            self.at += 1;
        }
        closes
    }

    /// After a member: true at the closing bracket, false after a comma.
    fn next_or_close(&mut self, byte: u8, bracket: char) -> Result<bool, ScanError> {
        self.space();
        if self.close(byte, bracket) {
            return Ok(true);
        }
        if self.peek() != Some(b',') {
            return Err(self.syntax("expected ',' or the closing bracket"));
        }
        self.out.push_read(self.at, ',');
        self.at += 1;
        Ok(false)
    }

    /// Canonical escaping is injective, so equal keys are equal written text.
    fn refuse_duplicates(&mut self, first_key: usize) -> Result<(), ScanError> {
        let keys = &mut self.keys[first_key..];
        let out = self.out.as_bytes();
        let text = |key: &Key| &out[key.written.clone()];
        let mut duplicate: Option<usize> = None;
        if keys.len() <= 8 {
            for (i, key) in keys.iter().enumerate() {
                if keys[..i].iter().any(|earlier| text(earlier) == text(key)) {
                    duplicate = Some(key.start);
                    break;
                }
            }
        } else {
            keys.sort_unstable_by(|a, b| text(a).cmp(text(b)).then(a.start.cmp(&b.start)));
            for pair in keys.windows(2) {
                if text(&pair[0]) == text(&pair[1]) {
                    duplicate = Some(duplicate.map_or(pair[1].start, |at| at.min(pair[1].start)));
                }
            }
        }
        duplicate.map_or(Ok(()), |at| Err(error(at, Problem::DuplicateKey)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ok(text: &str) -> String {
        canonical(text, Surrogates::Refuse).unwrap().0.into_owned()
    }

    fn problem(text: &str) -> (usize, Problem) {
        let error = canonical(text, Surrogates::Refuse).unwrap_err();
        (error.position, error.problem)
    }

    #[test]
    fn keeps_key_order_and_number_text_and_drops_space() {
        let text = " { \"b\" : [ 1.0 , -0 , 1E+400, 18446744073709551615 ] ,\n\"a\":null } ";
        assert_eq!(ok(text), r#"{"b":[1.0,-0,1E+400,18446744073709551615],"a":null}"#);
    }

    #[test]
    fn escapes_only_what_json_demands() {
        assert_eq!(
            ok(r#""\u0041\/\u00e9\ud83d\ude00\u0000\u001F\n\u000a""#),
            r#""A/é😀\u0000\u001f\n\n""#
        );
        assert_eq!(ok("\"\u{7f}\u{2028}\""), "\"\u{7f}\u{2028}\"");
    }

    #[test]
    fn canonical_text_stays_as_it_is() {
        let text = r#"{"$gt":"","__proto__":[{}],"x":"\u0000\"\\"}"#;
        assert_eq!(ok(text), text);
    }

    #[test]
    fn canonical_text_is_borrowed_and_other_text_is_not() {
        let borrowed =
            |text| matches!(canonical(text, Surrogates::Refuse), Ok((Cow::Borrowed(_), _)));
        assert!(borrowed(r#"{"a":[1,"x\n\u0001é"],"b":{}}"#));
        for text in [r#"{"a": 1}"#, " 1", "1 ", r#"["\u0041"]"#, r#"["\/"]"#, r#"["\u000A"]"#] {
            assert!(!borrowed(text) || ok(text) != text, "{text}");
        }
    }

    #[test]
    fn refuses_with_a_position() {
        assert_eq!(problem(r#"{"a":1,"b":2,"\u0061":3}"#), (13, Problem::DuplicateKey));
        assert_eq!(problem(r#"["x","\ud800"]"#), (6, Problem::LoneSurrogate));
        assert_eq!(problem(r#""\udc00\ud800""#), (1, Problem::LoneSurrogate));
        assert_eq!(problem(r#""\ud800\u0041""#), (1, Problem::LoneSurrogate));
        assert!(matches!(problem("[1,]"), (3, Problem::Syntax(_))));
        for text in [
            "", "01", "1.", "-", "+1", "1e", "nul", "\"\n\"", "{\"a\"}", "[1 2]", "1 1", "\"\\x\"",
            "NaN", "{a:1}", "\"abc",
        ] {
            assert!(matches!(problem(text).1, Problem::Syntax(_)), "{text}");
        }
    }

    #[test]
    fn finds_duplicates_among_many_keys() {
        let keys: Vec<String> = (0..1000).map(|i| format!("\"k{i}\":0")).collect();
        let text = format!("{{{},\"k500\":1}}", keys.join(","));
        assert_eq!(problem(&text), (text.rfind("\"k500\"").unwrap(), Problem::DuplicateKey));
        ok(&format!("{{{}}}", keys.join(",")));
    }

    #[test]
    fn limits_depth_without_reading_on() {
        let nested = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        ok(&nested(MAX_DEPTH));
        assert_eq!(problem(&nested(MAX_DEPTH + 1)), (MAX_DEPTH, Problem::TooDeep));
        assert_eq!(problem(&"[".repeat(10_000_000)).1, Problem::TooDeep);
    }

    #[test]
    fn replaces_surrogates_for_imports() {
        let (text, replaced) = canonical(r#""\ud800x\udc00""#, Surrogates::Replace).unwrap();
        assert_eq!((&*text, replaced), ("\"\u{fffd}x\u{fffd}\"", 2));
    }
}
