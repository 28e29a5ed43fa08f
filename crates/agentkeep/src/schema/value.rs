//! Values of indexed fields, and the one order they have in every driver.

use std::cmp::Ordering;

use crate::json::Json;

/// The value of an indexed field. Order: missing < false < true < numbers < text by bytes.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// The field is absent, `null`, or no scalar.
    Missing,
    /// A truth value.
    Bool(bool),
    /// A number.
    Number(Number),
    /// A text, at most 1,024 bytes.
    Text(String),
}

/// A number in an index: exact for integers within `i64`, else the nearest finite `f64`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    /// An integer within `i64`; `1.0` and `1e0` count as `1`.
    Integer(i64),
    /// Any other number; beyond the range of `f64` its largest value stands for it.
    Real(f64),
}

/// 2^63, the first value above `i64`.
const ABOVE_I64: f64 = 9_223_372_036_854_775_808.0;
/// Numbers stop short of the largest `f64`, which leaves SQL drivers two values below all numbers.
const LARGEST: f64 = 1.797_693_134_862_315e308;

impl Number {
    /// The number nearest to `value`.
    pub fn from_f64(value: f64) -> Self {
        let value = value.clamp(-LARGEST, LARGEST);
        if value.fract() == 0.0 && (-ABOVE_I64..ABOVE_I64).contains(&value) {
            #[allow(clippy::cast_possible_truncation, reason = "checked to be within i64")]
            return Self::Integer(value as i64);
        }
        Self::Real(value)
    }

    /// As `f64`, monotone but not exact beyond 2^53.
    #[allow(clippy::cast_precision_loss, reason = "the caller orders ties by the integer")]
    fn approximate(self) -> f64 {
        match self {
            Self::Integer(i) => i as f64,
            Self::Real(r) => r,
        }
    }

    /// Orders numbers that have the same `f64`: beyond 2^53 an integer may share it with others,
    /// and 2^63 with `i64::MAX`.
    fn tie(self) -> (u8, u64) {
        match self {
            Self::Integer(i) => (1, i.cast_unsigned() ^ (1 << 63)),
            Self::Real(r) if r > 0.0 => (2, 0),
            Self::Real(_) => (0, 0),
        }
    }

    /// 17 bytes whose order is the order of the numbers.
    fn sortable(self) -> [u8; 17] {
        let bits = self.approximate().to_bits();
        let ordered = if bits >> 63 == 1 { !bits } else { bits | (1 << 63) };
        let (side, integer) = self.tie();
        let mut out = [side; 17];
        out[..8].copy_from_slice(&ordered.to_be_bytes());
        out[9..].copy_from_slice(&integer.to_be_bytes());
        out
    }
}

impl Value {
    /// The value in the index of a JSON text; arrays and objects count as missing.
    pub fn of_json(text: &str) -> Self {
        match text.as_bytes().first() {
            Some(b't') => Self::Bool(true),
            Some(b'f') => Self::Bool(false),
            Some(b'"') => Json::text_of(text).map_or(Self::Missing, Self::Text),
            Some(b'-' | b'0'..=b'9') => match text.parse::<i64>() {
                Ok(integer) => Self::Number(Number::Integer(integer)),
                Err(_) => text.parse().map_or(Self::Missing, |r| Self::Number(Number::from_f64(r))),
            },
            _ => Self::Missing,
        }
    }

    /// An integer.
    pub fn integer(value: i64) -> Self {
        Self::Number(Number::Integer(value))
    }

    /// A text.
    pub fn text(value: &str) -> Self {
        Self::Text(value.to_owned())
    }

    /// Appends bytes whose order is the order of the values, reversed if `descending`. No
    /// encoding is a prefix of another, so fields can follow each other.
    pub fn encode(&self, descending: bool, out: &mut Vec<u8>) {
        let start = out.len();
        match self {
            Self::Missing => out.push(0),
            Self::Bool(b) => out.push(1 + u8::from(*b)),
            Self::Number(n) => {
                out.push(3);
                out.extend(n.sortable());
            }
            Self::Text(text) => {
                out.push(4);
                for &byte in text.as_bytes() {
                    out.push(byte);
                    if byte == 0 {
                        out.push(0xff);
                    }
                }
                out.extend([0, 0]);
            }
        }
        if descending {
            out[start..].iter_mut().for_each(|byte| *byte = !*byte);
        }
    }

    /// The value as JSON, from which [`of_json`](Self::of_json) gives it back.
    pub fn to_json(&self) -> Json {
        match self {
            Self::Missing => Json::null(),
            Self::Bool(b) => Json::assembled(b.to_string()),
            Self::Number(Number::Integer(i)) => Json::integer(*i),
            Self::Number(Number::Real(r)) => Json::assembled(format!("{r:e}")),
            Self::Text(text) => Json::string(text),
        }
    }
}

impl Eq for Value {}

impl PartialOrd for Value {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Value {
    fn cmp(&self, other: &Self) -> Ordering {
        let rank = |value: &Self| match value {
            Self::Missing => 0,
            Self::Bool(false) => 1,
            Self::Bool(true) => 2,
            Self::Number(_) => 3,
            Self::Text(_) => 4,
        };
        match (self, other) {
            (Self::Number(a), Self::Number(b)) => a.sortable().cmp(&b.sortable()),
            (Self::Text(a), Self::Text(b)) => a.as_bytes().cmp(b.as_bytes()),
            (a, b) => rank(a).cmp(&rank(b)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In ascending order; neighbours in one group are equal.
    fn ordered() -> Vec<Vec<Value>> {
        let groups: &[&[&str]] = &[
            &["null", "[1]", "{}"],
            &["false"],
            &["true"],
            &["-1e400", "-1e309"],
            &["-9223372036854775809000"],
            &["-9223372036854775808", "-9223372036854775808.0"],
            &["-1.5"],
            &["-1", "-1.0", "-1e0"],
            &["0", "-0", "0.0", "-0.0"],
            &["1e-320"],
            &["0.1"],
            &["9007199254740992"],
            &["9007199254740993"],
            &["9223372036854775806"],
            &["9223372036854775807"],
            &["9223372036854775808", "9223372036854775809"],
            &["1e400", "1e999"],
            &["\"\""],
            &["\"\\u0000\""],
            &["\"A\""],
            &["\"a\""],
            &["\"a\\u0000\""],
            &["\"a \""],
            &["\"ab\""],
            &["\"é\""],
            &["\"😀\""],
        ];
        groups.iter().map(|group| group.iter().map(|t| Value::of_json(t)).collect()).collect()
    }

    #[test]
    fn one_order_by_comparing_and_by_encoding() {
        let groups = ordered();
        for (i, group_a) in groups.iter().enumerate() {
            for (j, group_b) in groups.iter().enumerate() {
                for (a, b) in group_a.iter().flat_map(|a| group_b.iter().map(move |b| (a, b))) {
                    assert_eq!(a.cmp(b), i.cmp(&j), "{a:?} {b:?}");
                    for descending in [false, true] {
                        let (mut ea, mut eb) = (vec![], vec![]);
                        a.encode(descending, &mut ea);
                        b.encode(descending, &mut eb);
                        let expected = if descending { j.cmp(&i) } else { i.cmp(&j) };
                        assert_eq!(ea.cmp(&eb), expected, "{a:?} {b:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn comes_back_from_json() {
        for value in ordered().into_iter().flatten() {
            assert_eq!(Value::of_json(value.to_json().as_str()), value);
        }
    }
}
