//! Cutting JSON out of a stream: values are found by their brackets and quotes and handed out as
//! they stand, one at a time, so that a text of any size costs the memory of one value.
//!
//! Whether a value is JSON through and through is seen by whoever reads it: a damaged one costs
//! only itself.

use std::fmt;
use std::io::Read;

use memchr::memchr2;

/// Bytes read at once.
const CHUNK: usize = 64 * 1024;

/// Why cutting stopped.
#[derive(Debug)]
pub(crate) enum Broken {
    /// The source cannot be read.
    Io(std::io::Error),
    /// The text is not what it should be.
    Text(String),
}

impl From<std::io::Error> for Broken {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "{error}"),
            Self::Text(what) => f.write_str(what),
        }
    }
}

/// A value's text, up to a limit.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) bytes: Vec<u8>,
    /// How long the whole is.
    pub(crate) len: u64,
    limit: usize,
}

impl Kept {
    pub(crate) fn new(limit: usize) -> Self {
        Self { bytes: Vec::new(), len: 0, limit }
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.len += bytes.len() as u64;
        if self.is_whole() {
            self.bytes.extend_from_slice(bytes);
        } else {
            self.bytes = Vec::new();
        }
    }

    /// False when it is longer than the limit; nothing of it is kept then.
    pub(crate) fn is_whole(&self) -> bool {
        self.len <= self.limit as u64
    }

    /// The text, or why there is none.
    pub(crate) fn text(self) -> Result<String, String> {
        if !self.is_whole() {
            return Err(format!("it has {} bytes, more than {}", self.len, self.limit));
        }
        String::from_utf8(self.bytes)
            .map_err(|error| format!("it is no UTF-8 at byte {}", error.utf8_error().valid_up_to()))
    }
}

/// Cuts values out of a stream.
#[derive(Debug)]
pub(crate) struct Cutter<R> {
    input: R,
    buffer: Vec<u8>,
    at: usize,
    end: usize,
    /// Where the buffer begins.
    offset: u64,
}

impl<R: Read> Cutter<R> {
    /// A stream whose first byte has this offset.
    pub(crate) fn new(input: R, offset: u64) -> Self {
        Self { input, buffer: vec![0; CHUNK], at: 0, end: 0, offset }
    }

    /// What it reads from.
    pub(crate) fn input(&self) -> &R {
        &self.input
    }

    /// The offset of the next byte.
    pub(crate) fn position(&self) -> u64 {
        self.offset + self.at as u64
    }

    fn fill(&mut self) -> std::io::Result<bool> {
        while self.at == self.end {
            self.offset += self.end as u64;
            (self.at, self.end) = (0, 0);
            match self.input.read(&mut self.buffer) {
                Ok(0) => return Ok(false),
                Ok(read) => self.end = read,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// The next byte.
    pub(crate) fn peek(&mut self) -> std::io::Result<Option<u8>> {
        Ok(if self.fill()? { Some(self.buffer[self.at]) } else { None })
    }

    /// The next byte behind white space.
    pub(crate) fn next_byte(&mut self) -> std::io::Result<Option<u8>> {
        while let Some(byte) = self.peek()? {
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Ok(Some(byte));
            }
            self.at += 1;
        }
        Ok(None)
    }

    /// Takes this byte if it comes next behind white space.
    pub(crate) fn take(&mut self, byte: u8) -> std::io::Result<bool> {
        let found = self.next_byte()? == Some(byte);
        if found {
            self.at += 1;
        }
        Ok(found)
    }

    /// This byte must come next behind white space.
    pub(crate) fn demand(&mut self, byte: u8) -> Result<(), Broken> {
        if self.take(byte)? {
            Ok(())
        } else {
            Err(self.expected(&format!("{:?}", char::from(byte))))
        }
    }

    /// A mark at the very start that some editors put.
    pub(crate) fn skip_mark(&mut self) -> std::io::Result<()> {
        if self.fill()? && self.buffer[self.at..self.end].starts_with(b"\xef\xbb\xbf") {
            self.at += 3;
        }
        Ok(())
    }

    /// Goes to the next element of an array or member of an object that ends with `closing`;
    /// false at its end, which is taken.
    pub(crate) fn next(&mut self, first: &mut bool, closing: u8) -> Result<bool, Broken> {
        if std::mem::take(first) {
            if self.take(closing)? {
                return Ok(false);
            }
        } else if self.take(closing)? {
            return Ok(false);
        } else if !self.take(b',')? {
            return Err(self.expected(&format!("',' or {:?}", char::from(closing))));
        }
        match self.next_byte()? {
            Some(byte) if byte != closing && byte != b',' => Ok(true),
            _ => Err(self.expected("a value")),
        }
    }

    /// Nothing but white space may follow.
    pub(crate) fn finish(&mut self) -> Result<(), Broken> {
        match self.next_byte()? {
            None => Ok(()),
            Some(_) => Err(self.expected("the end of the text")),
        }
    }

    /// Reads on to the end, whatever it is.
    pub(crate) fn drain(&mut self) -> std::io::Result<()> {
        while self.fill()? {
            self.at = self.end;
        }
        Ok(())
    }

    pub(crate) fn expected(&mut self, what: &str) -> Broken {
        let position = self.position();
        let end = if matches!(self.peek(), Ok(None)) { " where the text ends" } else { "" };
        Broken::Text(format!("not JSON: expected {what} at byte {position}{end}"))
    }

    /// Passes over the value that comes next, its text into `kept`.
    pub(crate) fn value(&mut self, mut kept: Option<&mut Kept>) -> Result<(), Broken> {
        if self.next_byte()?.is_none() {
            return Err(self.expected("a value"));
        }
        let mut scan = Scan::default();
        while !scan.done {
            if !self.fill()? {
                if scan.is_scalar() {
                    break;
                }
                return Err(self.expected("the rest of the value"));
            }
            let passed = scan.pass(&self.buffer[self.at..self.end]);
            if let Some(kept) = &mut kept {
                kept.push(&self.buffer[self.at..self.at + passed]);
            }
            self.at += passed;
        }
        if scan.any { Ok(()) } else { Err(self.expected("a value")) }
    }
}

/// Where in a value a scan is.
#[derive(Debug, Default)]
struct Scan {
    depth: usize,
    within: Within,
    done: bool,
    /// True when a byte was passed.
    any: bool,
}

/// Whether a scan is in a string.
#[derive(Debug, Default, PartialEq, Eq)]
enum Within {
    #[default]
    Plain,
    String,
    /// Behind a backslash.
    Escape,
}

impl Scan {
    fn is_scalar(&self) -> bool {
        self.any && self.depth == 0 && self.within == Within::Plain
    }

    /// How many of these bytes belong to the value.
    fn pass(&mut self, bytes: &[u8]) -> usize {
        let mut i = 0;
        while i < bytes.len() && !self.done {
            if self.within != Within::Plain {
                i += self.within_string(&bytes[i..]);
                continue;
            }
            match bytes[i] {
                b'"' if self.depth == 0 && self.any => return self.stop(i),
                b'"' => self.within = Within::String,
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' if self.depth == 0 => return self.stop(i),
                b'}' | b']' => {
                    self.depth -= 1;
                    self.done = self.depth == 0;
                }
                b',' | b':' | b' ' | b'\n' | b'\r' | b'\t' if self.depth == 0 => {
                    return self.stop(i);
                }
                _ => {}
            }
            self.any = true;
            i += 1;
        }
        i
    }

    fn stop(&mut self, at: usize) -> usize {
        self.done = true;
        at
    }

    fn within_string(&mut self, bytes: &[u8]) -> usize {
        if self.within == Within::Escape {
            self.within = Within::String;
            return 1;
        }
        match memchr2(b'"', b'\\', bytes) {
            None => bytes.len(),
            Some(at) if bytes[at] == b'\\' => {
                self.within = Within::Escape;
                at + 1
            }
            Some(at) => {
                self.within = Within::Plain;
                self.done = self.depth == 0;
                at + 1
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test states what must hold")]

    use super::*;

    /// Gives its text in pieces of so many bytes.
    struct Pieces<'a>(&'a [u8], usize);

    impl Read for Pieces<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let n = self.1.min(self.0.len()).min(buffer.len());
            buffer[..n].copy_from_slice(&self.0[..n]);
            self.0 = &self.0[n..];
            Ok(n)
        }
    }

    fn elements(text: &str, piece: usize) -> Result<Vec<String>, Broken> {
        let mut cutter = Cutter::new(Pieces(text.as_bytes(), piece), 0);
        cutter.demand(b'[')?;
        let (mut first, mut found) = (true, Vec::new());
        while cutter.next(&mut first, b']')? {
            let mut kept = Kept::new(1000);
            cutter.value(Some(&mut kept))?;
            found.push(kept.text().unwrap());
        }
        cutter.finish()?;
        Ok(found)
    }

    #[test]
    fn values_come_out_as_they_stand_however_the_text_comes_in() {
        let text = " [ {\"a\\\"]\" : [1, 2]} ,\"x\\\\\",-1.50e3 ,[[]],true, \"é\\u00e9,]\" ]\n";
        let wanted =
            ["{\"a\\\"]\" : [1, 2]}", "\"x\\\\\"", "-1.50e3", "[[]]", "true", "\"é\\u00e9,]\""];
        for piece in 1..text.len() {
            assert_eq!(elements(text, piece).unwrap(), wanted, "{piece}");
        }
        assert_eq!(elements("[]", 1).unwrap(), [""; 0]);
    }

    #[test]
    fn what_is_no_list_is_told() {
        for text in [
            "",
            "{}",
            "[",
            "[1",
            "[1,",
            "[1,]",
            "[,1]",
            "[1 2]",
            "[\"a",
            "[{\"a\":[}",
            "[1]]",
            "[\"a\"\"b\"]",
        ] {
            for piece in [1, 100] {
                let error = elements(text, piece).unwrap_err();
                assert!(error.to_string().contains("at byte"), "{text}: {error}");
            }
        }
    }

    #[test]
    fn a_value_beyond_the_limit_is_passed_over_and_weighed() {
        let text = format!("[\"{}\"]", "x".repeat(200_000));
        let mut cutter = Cutter::new(text.as_bytes(), 0);
        cutter.demand(b'[').unwrap();
        let mut kept = Kept::new(100);
        cutter.value(Some(&mut kept)).unwrap();
        assert_eq!((kept.len, kept.bytes.len()), (200_002, 0));
        assert!(kept.text().unwrap_err().contains("more than 100"));
        assert!(!cutter.next(&mut false, b']').unwrap());
    }
}
