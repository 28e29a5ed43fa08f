//! Scanning strings, where most bytes of a body are.

use super::scan::{Problem, ScanError, Scanner, Surrogates, error};

impl Scanner<'_> {
    pub(super) fn string(&mut self) -> Result<(), ScanError> {
        let opening = self.at;
        self.out.push_read(opening, '"');
        self.at += 1;
        let mut run = self.at;
        loop {
            self.at += plain(&self.input[self.at..]);
            match self.peek() {
                None => return Err(error(opening, Problem::Syntax("unterminated string"))),
                Some(b'"') => {
                    self.out.push_input(run, self.at);
                    self.out.push_read(self.at, '"');
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => {
                    self.out.push_input(run, self.at);
                    self.escape()?;
                    run = self.at;
                }
                Some(_) => return Err(self.syntax("raw control character in a string")),
            }
        }
    }

    fn escape(&mut self) -> Result<(), ScanError> {
        let start = self.at;
        let decoded = match self.input.get(start + 1) {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode_escape(start),
            _ => return Err(error(start, Problem::Syntax("unknown escape"))),
        };
        self.at = start + 2;
        self.out.push_escaped(decoded);
        Ok(())
    }

    fn unicode_escape(&mut self, start: usize) -> Result<(), ScanError> {
        let first = self.hex4(start)?;
        self.at = start + 6;
        let decoded = match first {
            0xd800..=0xdbff if self.input[self.at..].starts_with(b"\\u") => {
                let second = self.hex4(self.at)?;
                if (0xdc00..=0xdfff).contains(&second) {
                    self.at += 6;
                    char::from_u32(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00))
                } else {
                    None
                }
            }
            _ => char::from_u32(first),
        };
        match (decoded, self.surrogates) {
            (Some(c), _) => self.out.push_escaped(c),
            (None, Surrogates::Replace) => {
                self.out.push('\u{fffd}');
                self.replaced += 1;
            }
            (None, Surrogates::Refuse) => {
                return Err(error(start, Problem::LoneSurrogate));
            }
        }
        Ok(())
    }

    fn hex4(&self, backslash: usize) -> Result<u32, ScanError> {
        let malformed = || error(backslash, Problem::Syntax("malformed \\u escape"));
        let digits = self.input.get(backslash + 2..backslash + 6).ok_or_else(malformed)?;
        digits.iter().try_fold(0, |value, &byte| {
            let digit = char::from(byte).to_digit(16).ok_or_else(malformed)?;
            Ok(value * 16 + digit)
        })
    }
}

/// How many bytes from the start on are neither a quote, a backslash nor a control character.
pub(super) fn plain(bytes: &[u8]) -> usize {
    // Most strings are short: looking at a few bytes takes less than calling for help.
    let mut at = 0;
    while at < SHORT
        && let Some(eight) = bytes[at..].first_chunk()
    {
        let word = u64::from_le_bytes(*eight);
        let found = zeros(word ^ every(b'"')) | zeros(word ^ every(b'\\')) | controls(word);
        if found != 0 {
            return at + found.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    at + plain_of_many(&bytes[at..])
}

/// So many bytes are looked at first.
const SHORT: usize = 16;

fn plain_of_many(bytes: &[u8]) -> usize {
    if bytes.len() < 8 {
        let special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..=0x1f);
        return bytes.iter().position(special).unwrap_or(bytes.len());
    }
    let end = memchr::memchr2(b'"', b'\\', bytes).unwrap_or(bytes.len());
    let bytes = &bytes[..end];
    let is_control = |byte: &u8| *byte < 0x20;
    // All of them at once, which the compiler does many at a time, for there is hardly ever one.
    if bytes.iter().fold(0, |any, byte| any | u8::from(is_control(byte))) == 0 {
        return end;
    }
    bytes.iter().position(is_control).unwrap_or(end)
}

/// How many bytes from the start on are neither a quote nor a backslash.
pub(super) fn bare(bytes: &[u8]) -> usize {
    // Eight at once: who goes over the members of a long text mostly meets short strings.
    let mut at = 0;
    while at < SHORT
        && let Some(eight) = bytes[at..].first_chunk()
    {
        let word = u64::from_le_bytes(*eight);
        let found = zeros(word ^ every(b'"')) | zeros(word ^ every(b'\\'));
        if found != 0 {
            return at + found.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    at + memchr::memchr2(b'"', b'\\', &bytes[at..]).unwrap_or(bytes.len() - at)
}

/// The byte in each of the eight places of a word.
const fn every(byte: u8) -> u64 {
    u64::from_le_bytes([byte; 8])
}

/// Marks the first byte of a word that is zero, by its highest bit; those behind it perhaps, too.
fn zeros(word: u64) -> u64 {
    word.wrapping_sub(every(1)) & !word & every(0x80)
}

/// Marks the first byte of a word that is a control character, likewise.
fn controls(word: u64) -> u64 {
    word.wrapping_sub(every(0x20)) & !word & every(0x80)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bare_bytes_are_counted_like_one_by_one() {
        for length in (0..40).chain([63, 64, 70]) {
            for place in 0..length {
                for byte in 0..=255 {
                    // A quote and a backslash with one bit changed, and bytes near them.
                    for filler in [0xc3_u8, b'"' ^ 1, b'\\' ^ 1, 0, 0x80, 0xff] {
                        let mut bytes = vec![filler; length];
                        bytes[place] = byte;
                        if place + 1 < length {
                            bytes[place + 1] = byte ^ 1;
                        }
                        let slow = bytes.iter().position(|byte| matches!(byte, b'"' | b'\\'));
                        assert_eq!(bare(&bytes), slow.unwrap_or(length), "{bytes:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn plain_bytes_are_counted_like_one_by_one() {
        let special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..=0x1f);
        for length in (0..40).chain([63, 64, 70, 100]) {
            for place in 0..length {
                for byte in 0..=255 {
                    let mut bytes = vec![0xc3_u8; length];
                    bytes[place] = byte;
                    // What stands behind the first one must not matter, nor what is near it.
                    if place + 1 < length {
                        bytes[place + 1] = byte ^ 1;
                    }
                    let slow = bytes.iter().position(special).unwrap_or(length);
                    assert_eq!(plain(&bytes), slow, "{bytes:?}");
                }
            }
        }
    }
}
