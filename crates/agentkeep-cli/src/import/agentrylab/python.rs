//! JSON as Python writes it: numbers that are none stand there as `NaN`, `Infinity`, `-Infinity`.

use std::borrow::Cow;

const WORDS: [&str; 3] = ["NaN", "-Infinity", "Infinity"];

/// The text with these words as strings, and how many there were.
pub(super) fn plain(text: &str) -> (Cow<'_, str>, u64) {
    let bytes = text.as_bytes();
    if !WORDS.iter().any(|word| text.contains(word)) {
        return (Cow::Borrowed(text), 0);
    }
    let (mut out, mut count) = (String::with_capacity(text.len() + 16), 0);
    let (mut at, mut from, mut within) = (0, 0, false);
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if within => at += 1,
            b'"' => within = !within,
            b'N' | b'I' | b'-' if !within => {
                let word = WORDS.iter().find(|word| bytes[at..].starts_with(word.as_bytes()));
                if let Some(word) = word {
                    out.push_str(&text[from..at]);
                    out.push('"');
                    out.push_str(word);
                    out.push('"');
                    count += 1;
                    at += word.len();
                    from = at;
                    continue;
                }
            }
            _ => {}
        }
        at += 1;
    }
    out.push_str(&text[from..]);
    (Cow::Owned(out), count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_words_outside_of_strings_are_replaced() {
        for (text, expected, count) in [
            (r#"{"a": 1}"#, r#"{"a": 1}"#, 0),
            (
                r#"{"a": NaN, "b": [-Infinity, Infinity]}"#,
                r#"{"a": "NaN", "b": ["-Infinity", "Infinity"]}"#,
                3,
            ),
            (
                r#"{"NaN": "x\"NaN\\", "é": "Infinity", "n": -1}"#,
                r#"{"NaN": "x\"NaN\\", "é": "Infinity", "n": -1}"#,
                0,
            ),
        ] {
            let (plain, n) = plain(text);
            assert_eq!((plain.as_ref(), n), (expected, count));
        }
    }
}
