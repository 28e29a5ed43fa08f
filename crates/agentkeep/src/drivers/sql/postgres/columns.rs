//! Indexed values in columns that PostgreSQL orders as the schema says.
//!
//! A field has two columns. `<field>` is text, compared by bytes; `<field>_number` is numeric and
//! holds numbers, and truth values below all of them. A missing value is NULL in both. Ordered by
//! the text first and then by the number, NULL before all else, that is: missing, false, true,
//! numbers, text.

use std::borrow::Cow;

use crate::schema::{BLOBS, Number, Table, Value};

/// False stands below all numbers,
const FALSE: &str = "-Infinity";
/// and so does true: indexed numbers stop short of the largest `f64`.
const TRUE: &str = "-1.7976931348623157e308";

/// The columns of a field: its text, if it can be one, and its number.
pub(super) fn columns(table: &Table, field: &str) -> (Option<String>, String) {
    if table.name == BLOBS.name {
        return (None, field.to_owned());
    }
    (Some(field.to_owned()), format!("{field}_number"))
}

/// What stands in the two columns of a value; at most one of them is not NULL.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Cell<'a> {
    pub(super) text: Option<Cow<'a, str>>,
    pub(super) number: Option<Cow<'a, str>>,
}

impl<'a> Cell<'a> {
    pub(super) fn of(value: &'a Value) -> Self {
        let number = match value {
            Value::Text(text) => return Self { text: Some(stored(text)), number: None },
            Value::Missing => return Self::default(),
            Value::Bool(false) => Cow::Borrowed(FALSE),
            Value::Bool(true) => Cow::Borrowed(TRUE),
            Value::Number(Number::Integer(integer)) => Cow::Owned(integer.to_string()),
            Value::Number(Number::Real(real)) => Cow::Owned(format!("{real:e}")),
        };
        Self { text: None, number: Some(number) }
    }
}

/// PostgreSQL's text cannot hold U+0000. It and U+0001 are written as two characters, in which
/// the order by bytes is kept and no two texts become one.
pub(super) fn stored(text: &str) -> Cow<'_, str> {
    if !text.contains(['\0', '\u{1}']) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.replace('\u{1}', "\u{1}\u{2}").replace('\0', "\u{1}\u{1}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_with_nul_stay_apart_and_in_order() {
        let texts = [
            "",
            "\0",
            "\0\0",
            "\0\u{1}",
            "\0\u{2}",
            "\u{1}",
            "\u{1}\0",
            "\u{1}\u{1}",
            "\u{2}",
            "a",
            "a\0",
            "a\u{1}",
            "ab",
        ];
        for (i, a) in texts.iter().enumerate() {
            assert!(!stored(a).contains('\0'));
            for (j, b) in texts.iter().enumerate() {
                assert_eq!(
                    stored(a).as_bytes().cmp(stored(b).as_bytes()),
                    i.cmp(&j),
                    "{a:?} {b:?}"
                );
            }
        }
    }
}
