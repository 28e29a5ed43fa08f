//! A quick look that tells most canonical texts, so that the scanner need not write them anew.

use super::scan::MAX_DEPTH;
use super::strings::plain;

/// Keys that an object may have here.
const KEYS: usize = 16;

/// True only for canonical text. Of texts with rare escapes or many keys it says false, too: they
/// are the scanner's.
pub(super) fn is_canonical(text: &str) -> bool {
    let mut look = Look { bytes: text.as_bytes(), at: 0 };
    look.value(0) && look.at == text.len()
}

struct Look<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Look<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn skip(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    fn value(&mut self, depth: usize) -> bool {
        match self.peek() {
            Some(b'"') => self.string(),
            Some(b'{') => depth < MAX_DEPTH && self.object(depth),
            Some(b'[') => depth < MAX_DEPTH && self.array(depth),
            Some(b't') => self.word(b"true"),
            Some(b'f') => self.word(b"false"),
            Some(b'n') => self.word(b"null"),
            _ => self.number(),
        }
    }

    fn word(&mut self, word: &[u8]) -> bool {
        let there = self.bytes[self.at..].starts_with(word);
        self.at += word.len();
        there
    }

    fn digits(&mut self) -> usize {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        self.at - start
    }

    fn number(&mut self) -> bool {
        self.skip(b'-');
        let leading_zero = self.peek() == Some(b'0');
        let whole = self.digits();
        if whole == 0 || (leading_zero && whole > 1) {
            return false;
        }
        if self.skip(b'.') && self.digits() == 0 {
            return false;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            return self.digits() > 0;
        }
        true
    }

    fn string(&mut self) -> bool {
        self.at += 1;
        loop {
            self.at += plain(&self.bytes[self.at..]);
            match self.bytes[self.at..] {
                [b'"', ..] => {
                    self.at += 1;
                    return true;
                }
                [b'\\', b'"' | b'\\' | b'b' | b'f' | b'n' | b'r' | b't', ..] => self.at += 2,
                _ => return false,
            }
        }
    }

    fn array(&mut self, depth: usize) -> bool {
        self.at += 1;
        if self.skip(b']') {
            return true;
        }
        loop {
            if !self.value(depth + 1) {
                return false;
            }
            if !self.skip(b',') {
                return self.skip(b']');
            }
        }
    }

    fn object(&mut self, depth: usize) -> bool {
        self.at += 1;
        if self.skip(b'}') {
            return true;
        }
        let bytes = self.bytes;
        let mut keys: [&[u8]; KEYS] = [&[]; KEYS];
        for known in 0..KEYS {
            let start = self.at;
            if self.peek() != Some(b'"') || !self.string() {
                return false;
            }
            let key = &bytes[start..self.at];
            if keys[..known].contains(&key) || !self.skip(b':') || !self.value(depth + 1) {
                return false;
            }
            keys[known] = key;
            if !self.skip(b',') {
                return self.skip(b'}');
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::scan::{Surrogates, canonical};

    /// What the scanner says, which writes the text anew and compares.
    fn by_scanner(text: &str) -> bool {
        canonical(text, Surrogates::Refuse).is_ok_and(|(canonical, _)| canonical == text)
    }

    const TEXTS: [&str; 12] = [
        r#"{"id":"msg_1","content":"a\n\"b\"\\ é😀","timestamp":1769990500000,"x":{"y":[1,-2.5e+3]}}"#,
        r#"{"a":1,"a":2}"#,
        r#"{"a":{"a":1},"b":[true,false,null,"",{},[]]}"#,
        r#"["\u0041","\u001f","\/","\ud800"]"#,
        "[0,-0,01,1.,1.0,1e5,1E-5,-,--1,+1,1e]",
        r#"{"a":1,"b":2,"c":3,"d":4,"e":5,"f":6,"g":7,"h":8,"i":9,"j":10,"k":11,"l":12,"m":13,"n":14,"o":15,"p":16,"q":17}"#,
        " 1",
        "1 ",
        r#"{"a" :1}"#,
        "tru",
        "",
        "\"abc",
    ];

    #[test]
    fn never_says_yes_where_the_scanner_says_no() {
        let (mut yes, mut no) = (0, 0);
        let mut look = |text: &str| {
            let said = is_canonical(text);
            assert!(!said || by_scanner(text), "{text}");
            if said { yes += 1 } else { no += 1 }
        };
        let with = "{}[]\",:\\ 0-1e.tun/\u{1}\u{7f}é";
        for text in TEXTS {
            look(text);
            let places: Vec<usize> = text.char_indices().map(|(place, _)| place).collect();
            for &place in &places {
                look(&text[..place]);
                let next = text[place..].chars().next().map_or(0, char::len_utf8);
                look(&format!("{}{}", &text[..place], &text[place + next..]));
                for c in with.chars() {
                    look(&format!("{}{c}{}", &text[..place], &text[place..]));
                    look(&format!("{}{c}{}", &text[..place], &text[place + next..]));
                }
            }
        }
        assert!(yes > 1_000 && no > 1_000, "{yes} {no}");
    }

    #[test]
    fn says_yes_to_what_is_usual() {
        for text in [TEXTS[0], TEXTS[2], "7", "\"x\"", "[]", "{}"] {
            assert!(is_canonical(text), "{text}");
        }
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(is_canonical(&nested(MAX_DEPTH)) && !is_canonical(&nested(MAX_DEPTH + 1)));
    }
}
