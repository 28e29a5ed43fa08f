//! Foreign text made safe to show.

use std::fmt::Write as _;

/// Text for one line: everything that could move the cursor, colour or reorder is escaped.
pub(crate) fn one_line(text: &str) -> String {
    escaped(text, false)
}

/// Text of several lines; line breaks and tabs stay.
pub(crate) fn many_lines(text: &str) -> String {
    escaped(&text.replace("\r\n", "\n"), true)
}

fn escaped(text: &str, lines: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' if lines => out.push(c),
            '\t' if lines => out.push_str("    "),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() || reorders(c) => {
                let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out
}

/// Characters without a shape that change the order, or break the lines, of what stands by them.
fn reorders(c: char) -> bool {
    matches!(
        c,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0001}' | '\u{e0020}'..='\u{e007f}'
    )
}

/// The first `most` characters, and `…` for the rest.
pub(crate) fn shortened(text: &str, most: usize) -> String {
    if text.char_indices().nth(most).is_none() {
        return text.to_owned();
    }
    let end = text.char_indices().nth(most.saturating_sub(1)).map_or(0, |(end, _)| end);
    format!("{}…", text[..end].trim_end())
}

/// A number of bytes for people.
pub(crate) fn bytes(count: u64) -> String {
    if count < 1024 {
        return format!("{count} B");
    }
    let (mut tenths, mut unit) = (u128::from(count) * 10 / 1024, 0);
    while tenths >= 10_240 && unit < 5 {
        tenths /= 1024;
        unit += 1;
    }
    let name = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"][unit];
    format!("{}.{} {name}", tenths / 10, tenths % 10)
}

/// `1 message`, `2 messages`.
pub(crate) fn counted(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_moves_the_cursor_gets_through() {
        assert_eq!(one_line("a\u{1b}[31mb\r\nc\u{202e}d"), "a\\u{1b}[31mb\\r\\nc\\u{202e}d");
        assert_eq!(many_lines("a\r\nb\tc\rd"), "a\nb    c\\rd");
        assert_eq!(one_line("👩‍👩‍👧‍👦 研究 naïve"), "👩‍👩‍👧‍👦 研究 naïve");
        assert_eq!(one_line("\u{9b}31m\u{7f}"), "\\u{9b}31m\\u{7f}");
    }

    #[test]
    fn sizes_and_counts_read_well() {
        assert_eq!(shortened("abcdef", 6), "abcdef");
        assert_eq!(shortened("abcdefg", 6), "abcde…");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(10 * 1024 * 1024), "10.0 MiB");
        assert_eq!(bytes(u64::MAX), "15.9 EiB");
        assert_eq!(counted(1, "image"), "1 image");
        assert_eq!(counted(0, "image"), "0 images");
    }
}
