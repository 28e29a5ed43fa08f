//! A JSON string in a stream, decoded while it is read.

use std::io::{Error, ErrorKind, Read};

use memchr::memchr2;

/// Gives the text of a JSON string as UTF-8. A lone surrogate becomes U+FFFD.
#[derive(Debug)]
pub(super) struct Unescaped<R> {
    /// The string with its quotes.
    input: R,
    buffer: Vec<u8>,
    at: usize,
    end: usize,
    begun: bool,
    done: bool,
    /// Decoded and not given out yet.
    out: Vec<u8>,
    given: usize,
}

impl<R: Read> Unescaped<R> {
    pub(super) fn new(input: R) -> Self {
        Self {
            input,
            buffer: vec![0; 64 * 1024],
            at: 0,
            end: 0,
            begun: false,
            done: false,
            out: Vec::new(),
            given: 0,
        }
    }

    fn byte(&mut self) -> std::io::Result<u8> {
        while self.at == self.end {
            self.at = 0;
            self.end = self.input.read(&mut self.buffer)?;
            if self.end == 0 {
                return Err(Error::new(ErrorKind::UnexpectedEof, "a string does not end"));
            }
        }
        self.at += 1;
        Ok(self.buffer[self.at - 1])
    }

    /// Decodes some more.
    fn refill(&mut self) -> std::io::Result<()> {
        self.out.clear();
        self.given = 0;
        if !self.begun {
            self.byte()?;
            self.begun = true;
        }
        while !self.done && self.out.len() < 32 * 1024 {
            self.run();
            match self.byte()? {
                b'"' => self.done = true,
                b'\\' => self.escape()?,
                byte => self.out.push(byte),
            }
        }
        Ok(())
    }

    /// What stands as it is, as far as it has been read.
    fn run(&mut self) {
        let plain = &self.buffer[self.at..self.end];
        let len = memchr2(b'"', b'\\', plain).unwrap_or(plain.len());
        self.out.extend_from_slice(&plain[..len]);
        self.at += len;
    }

    fn escape(&mut self) -> std::io::Result<()> {
        let byte = match self.byte()? {
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => return self.unicode(),
            byte @ (b'"' | b'\\' | b'/') => byte,
            _ => return Err(Error::new(ErrorKind::InvalidData, "an unknown escape")),
        };
        self.out.push(byte);
        Ok(())
    }

    fn unicode(&mut self) -> std::io::Result<()> {
        let mut unit = self.hex()?;
        loop {
            if !(0xd800..0xdc00).contains(&unit) {
                self.push(char::from_u32(unit));
                return Ok(());
            }
            // Half a pair: the other half must follow at once.
            if self.byte()? != b'\\' {
                self.at -= 1;
                self.push(None);
                return Ok(());
            }
            if self.byte()? != b'u' {
                self.at -= 1;
                self.push(None);
                return self.escape();
            }
            let second = self.hex()?;
            if (0xdc00..0xe000).contains(&second) {
                self.push(char::from_u32(0x10000 + ((unit - 0xd800) << 10) + (second - 0xdc00)));
                return Ok(());
            }
            self.push(None);
            unit = second;
        }
    }

    fn push(&mut self, c: Option<char>) {
        let mut bytes = [0; 4];
        let c = c.unwrap_or(char::REPLACEMENT_CHARACTER);
        self.out.extend_from_slice(c.encode_utf8(&mut bytes).as_bytes());
    }

    fn hex(&mut self) -> std::io::Result<u32> {
        let mut unit = 0;
        for _ in 0..4 {
            let digit = char::from(self.byte()?).to_digit(16);
            let digit = digit.ok_or_else(|| Error::new(ErrorKind::InvalidData, "no hex digit"))?;
            unit = unit * 16 + digit;
        }
        Ok(unit)
    }
}

impl<R: Read> Read for Unescaped<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.given == self.out.len() && !self.done {
            self.refill()?;
        }
        let n = buffer.len().min(self.out.len() - self.given);
        buffer[..n].copy_from_slice(&self.out[self.given..self.given + n]);
        self.given += n;
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test states what must hold")]

    use super::*;

    struct Single<'a>(&'a [u8]);

    impl Read for Single<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let n = self.0.len().min(1);
            buffer[..n].copy_from_slice(&self.0[..n]);
            self.0 = &self.0[n..];
            Ok(n)
        }
    }

    #[test]
    fn strings_are_decoded_as_json_says() {
        let long = format!("\"{}\\\"x\"", "é".repeat(50_000));
        for text in [
            r#""""#,
            r#""a\"b\\c\/d\b\f\n\r\t""#,
            r#""\u00e9\ud83d\ude00é😀\\ud800""#,
            long.as_str(),
        ] {
            let wanted: String = serde_json::from_str(text).unwrap();
            for whole in [true, false] {
                let mut found = String::new();
                if whole {
                    Unescaped::new(text.as_bytes()).read_to_string(&mut found).unwrap();
                } else {
                    Unescaped::new(Single(text.as_bytes())).read_to_string(&mut found).unwrap();
                }
                assert_eq!(found, wanted);
            }
        }
    }

    #[test]
    fn lone_surrogates_are_replaced() {
        for (text, wanted) in [
            (r#""a\ud800""#, "a\u{fffd}"),
            (r#""\ud800b""#, "\u{fffd}b"),
            (r#""\udc00\ud800\n""#, "\u{fffd}\u{fffd}\n"),
            (r#""\ud800\ud83d\ude00""#, "\u{fffd}😀"),
            (r#""\ud800\u0041""#, "\u{fffd}A"),
        ] {
            let mut found = String::new();
            Unescaped::new(Single(text.as_bytes())).read_to_string(&mut found).unwrap();
            assert_eq!(found, wanted, "{text}");
        }
    }

    #[test]
    fn damage_is_told() {
        for text in [r#""a"#, r#""\x""#, r#""\u12g4""#] {
            let mut found = String::new();
            assert!(Unescaped::new(text.as_bytes()).read_to_string(&mut found).is_err(), "{text}");
        }
    }
}
