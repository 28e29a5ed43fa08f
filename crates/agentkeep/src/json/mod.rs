//! [`Json`]: a checked JSON text that comes back exactly as it went in.

mod edit;
mod finite;
mod out;
mod quick;
mod scan;
mod strings;
mod text;

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

pub use edit::ObjectEditor;
pub(crate) use edit::ObjectWriter;
pub use scan::{MAX_DEPTH, Problem, ScanError};

use self::text::Text;

use crate::error::{Error, Kind, Result};

/// A JSON value kept as its canonical text: key order, number text and unknown fields as given.
///
/// Only white space outside strings and needless escapes are removed. Lone surrogates, duplicate
/// keys and nesting beyond [`MAX_DEPTH`] are refused, with the byte position. Cloning is cheap.
///
/// ```
/// use agentkeep::Json;
/// let body = Json::parse(r#"{ "n": 1.00, "big": 18446744073709551615 }"#)?;
/// assert_eq!(body.as_str(), r#"{"n":1.00,"big":18446744073709551615}"#);
/// assert!(Json::parse(r#"{"a":1,"a":2}"#).is_err());
/// # Ok::<(), agentkeep::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Json(Text);

impl Json {
    /// Checks `text` and keeps its canonical form.
    ///
    /// # Errors
    /// `InvalidInput` with the byte position for text that is no JSON, repeats a key or holds a
    /// lone surrogate; `TooLarge` for nesting beyond [`MAX_DEPTH`].
    pub fn parse(text: &str) -> Result<Self> {
        if quick::is_canonical(text) {
            return Ok(Self(text.into()));
        }
        let (canonical, _) = scan::canonical(text, scan::Surrogates::Refuse).map_err(refused)?;
        Ok(Self(canonical.into()))
    }

    /// As [`parse`](Self::parse), but puts U+FFFD for lone surrogates and says how many there
    /// were: for imports of foreign data.
    pub fn parse_replacing_surrogates(text: &str) -> Result<(Self, usize)> {
        let (canonical, replaced) =
            scan::canonical(text, scan::Surrogates::Replace).map_err(refused)?;
        Ok((Self(canonical.into()), replaced))
    }

    /// Takes text that a driver stored: it must still be exactly canonical.
    ///
    /// # Errors
    /// `Corrupt` when it is not: somebody or something changed it.
    pub fn from_stored(text: &str) -> Result<Self> {
        if quick::is_canonical(text) {
            return Ok(Self(text.into()));
        }
        match scan::canonical(text, scan::Surrogates::Refuse) {
            // Borrowed from the text, and all of it.
            Ok((Cow::Borrowed(canonical), _)) if canonical.len() == text.len() => {
                Ok(Self(text.into()))
            }
            Ok(_) => Err(Error::new(Kind::Corrupt, "a stored body is not in canonical form")),
            Err(error) => {
                Err(Error::new(Kind::Corrupt, "a stored body is damaged").caused_by(error))
            }
        }
    }

    /// The JSON form of any serialisable value.
    ///
    /// # Errors
    /// `InvalidInput` when serde cannot express the value in JSON, for NaN and infinities, or as
    /// for [`parse`](Self::parse). A `serde_json::Value` cannot have them: it has made them `null`
    /// before.
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<Self> {
        let text = serde_json::to_string(value).map_err(|error| {
            Error::new(Kind::InvalidInput, "the value has no JSON form").caused_by(error)
        })?;
        // Only then can such a number have been there.
        if memchr::memmem::find(text.as_bytes(), b"null").is_some() {
            value.serialize(finite::Finite).map_err(|error| {
                Error::new(Kind::InvalidInput, error.to_string())
                    .advice("leave the number out, or give null or a text in its place")
            })?;
        }
        Self::parse(&text)
    }

    /// A JSON string.
    pub fn string(text: &str) -> Self {
        Self(edit::quoted(text).into())
    }

    /// Adds the text of a JSON string to other text.
    pub(crate) fn push_string(out: &mut String, text: &str) {
        edit::push_quoted(out, text);
    }

    /// A JSON integer.
    pub fn integer(value: i64) -> Self {
        Self(value.to_string().into())
    }

    /// `true` or `false`.
    pub fn boolean(value: bool) -> Self {
        Self(if value { "true" } else { "false" }.into())
    }

    /// `null`.
    pub fn null() -> Self {
        Self("null".into())
    }

    /// A JSON array of values.
    pub fn array<'a>(values: impl IntoIterator<Item = &'a Json>) -> Self {
        let texts: Vec<&str> = values.into_iter().map(Json::as_str).collect();
        Self(format!("[{}]", texts.join(",")).into())
    }

    /// Text put together from canonical pieces.
    pub(crate) fn assembled(text: String) -> Self {
        Self(Text::assembled(text))
    }

    /// Text of which a checksum has shown that it is what was stored: only canonical text is.
    #[cfg(feature = "sqlite")]
    pub(crate) fn summed(text: &str) -> Self {
        Self(text.into())
    }

    /// The canonical text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The length of the text in bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Never true: the shortest JSON text has one byte.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// True for an object.
    pub fn is_object(&self) -> bool {
        self.0.starts_with('{')
    }

    /// True for an array.
    pub fn is_array(&self) -> bool {
        self.0.starts_with('[')
    }

    /// True for `null`.
    pub fn is_null(&self) -> bool {
        &*self.0 == "null"
    }

    /// The text of member `key`, if this is an object that has it.
    pub fn raw_member(&self, key: &str) -> Option<&str> {
        Self::raw_member_of(&self.0, key)
    }

    /// The member `key`, if this is an object that has it.
    pub fn member(&self, key: &str) -> Option<Json> {
        self.raw_member(key).map(|text| Self(text.into()))
    }

    /// The text of member `key` of an object that stands in canonical text.
    pub(crate) fn raw_member_of<'a>(text: &'a str, key: &str) -> Option<&'a str> {
        edit::members(text).find(|(k, _)| edit::is_key(k, key)).map(|(_, value)| value)
    }

    /// All members of an object as they stand in its text: key with quotes, and value.
    pub(crate) fn raw_pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        edit::members(&self.0)
    }

    /// The same with another value for the member `key`, if it has it.
    pub(crate) fn with(&self, key: &str, value: &Json) -> Self {
        let mut out = ObjectWriter::with_room(self.len());
        for (k, v) in edit::members(&self.0) {
            out.raw(k, if edit::is_key(k, key) { value.as_str() } else { v });
        }
        out.finish()
    }

    /// Several members at once, in one pass.
    pub fn raw_members<const N: usize>(&self, keys: [&str; N]) -> [Option<&str>; N] {
        Self::raw_members_of(&self.0, keys)
    }

    /// Several members at once of an object that stands in canonical text.
    pub(crate) fn raw_members_of<'a, const N: usize>(
        text: &'a str,
        keys: [&str; N],
    ) -> [Option<&'a str>; N] {
        let mut found = [None; N];
        for (key, value) in edit::members(text) {
            let plain = &key[1..key.len() - 1];
            if let Some(place) = keys.iter().position(|wanted| *wanted == plain) {
                found[place] = Some(value);
            }
        }
        found
    }

    /// Text decoded that stands in canonical text.
    pub(crate) fn text_of(value: &str) -> Option<String> {
        edit::unquoted(value)
    }

    /// The length of the value that canonical text begins with.
    pub(crate) fn length_of_first(text: &str) -> usize {
        edit::value_end(text)
    }

    /// A value that stands in canonical text.
    pub(crate) fn piece(text: &str) -> Self {
        Self(text.into())
    }

    /// The members of an object before `last`, by their keys with quotes, and the value of `last`,
    /// for objects that have it as their last member, if they have it: nobody looks into it.
    pub(crate) fn members_and_last<'a>(
        text: &'a str,
        last: &str,
    ) -> (Vec<(&'a str, &'a str)>, Option<&'a str>) {
        edit::members_and_last(text, last)
    }

    /// All members of an object as they stand in canonical text: decoded key, and value.
    pub(crate) fn members_of(text: &str) -> impl Iterator<Item = (String, &str)> {
        edit::members(text).map(|(key, value)| (edit::unquoted(key).unwrap_or_default(), value))
    }

    /// All elements of an array as they stand in canonical text.
    pub(crate) fn elements_of(text: &str) -> impl Iterator<Item = &str> {
        edit::elements(text)
    }

    /// All members of an object: decoded key and value.
    pub fn members(&self) -> impl Iterator<Item = (String, Json)> + '_ {
        edit::members(&self.0)
            .map(|(key, value)| (edit::unquoted(key).unwrap_or_default(), Self(value.into())))
    }

    /// All elements of an array.
    pub fn elements(&self) -> impl Iterator<Item = Json> + '_ {
        edit::elements(&self.0).map(|value| Self(value.into()))
    }

    /// The decoded text, if this is a string.
    pub fn to_text(&self) -> Option<String> {
        edit::unquoted(&self.0)
    }

    /// The value, if this is an integer within `i64`.
    pub fn to_i64(&self) -> Option<i64> {
        self.0.parse().ok()
    }

    /// The value, if this is a number; beyond the range of `f64` it is infinite.
    pub fn to_f64(&self) -> Option<f64> {
        if self.0.starts_with(|c: char| c == '-' || c.is_ascii_digit()) {
            self.0.parse().ok()
        } else {
            None
        }
    }

    /// Reads the value into a Rust type.
    ///
    /// # Errors
    /// `InvalidInput` when it does not fit the type.
    pub fn to<'a, T: Deserialize<'a>>(&'a self) -> Result<T> {
        serde_json::from_str(&self.0).map_err(|error| {
            Error::new(Kind::InvalidInput, "the JSON does not fit the type asked for")
                .caused_by(error)
        })
    }
}

fn refused(error: ScanError) -> Error {
    let (kind, advice) = match error.problem {
        Problem::Syntax(_) => (Kind::InvalidInput, "give one JSON value (RFC 8259)"),
        Problem::DuplicateKey => (Kind::InvalidInput, "give each key once"),
        Problem::LoneSurrogate => {
            (Kind::InvalidInput, "replace it, for example by U+FFFD, before storing")
        }
        Problem::TooDeep => (Kind::TooLarge, "flatten it, or store it as an attachment"),
    };
    Error::new(kind, error.to_string()).advice(advice).caused_by(error)
}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for Json {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::parse(text)
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw: &RawValue = serde_json::from_str(&self.0).map_err(serde::ser::Error::custom)?;
        raw.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        Self::parse(raw.get()).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_member_is_found_without_looking_into_it() {
        let json = Json::parse(r#"{"of":7,"x\"y":{"add":1},"add":{"trace":[1,"}]"]}}"#).unwrap();
        let (before, add) = Json::members_and_last(json.as_str(), "add");
        assert_eq!(before, [("\"of\"", "7"), (r#""x\"y""#, r#"{"add":1}"#)]);
        assert_eq!(add, Some(r#"{"trace":[1,"}]"]}"#));
        assert_eq!(Json::members_and_last(json.as_str(), "ad"), (json_members(&json), None));
        assert_eq!(Json::members_and_last("{}", "add"), (vec![], None));
    }

    #[test]
    fn an_object_is_written_piece_by_piece() {
        let mut out = ObjectWriter::with_room(9);
        out.name("a\"").value(&Json::integer(1)).name("b").open('{').close('}').name("c").open('[');
        // A value that ends like an opening one is still a value.
        out.value(&Json::string("x[")).value(&Json::string("y")).open('[').close(']').close(']');
        out.name("d").value(&Json::array([]));
        let expected = r#"{"a\"":1,"b":{},"c":["x[","y",[]],"d":[]}"#;
        assert_eq!(out.finish(), Json::parse(expected).unwrap());
        assert_eq!(ObjectWriter::with_room(0).finish().as_str(), "{}");
    }

    fn json_members(json: &Json) -> Vec<(&str, &str)> {
        edit::members(json.as_str()).collect()
    }

    #[test]
    fn members_and_elements_are_found_at_any_depth_of_quoting() {
        let json =
            Json::parse(r#"{"a":{"x":[1,"]}"],"y":"\""},"b\n":[],"c":-1.5e3,"d":"}"}"#).unwrap();
        assert_eq!(json.raw_member("a"), Some(r#"{"x":[1,"]}"],"y":"\""}"#));
        assert_eq!(json.raw_member("b\n"), Some("[]"));
        assert_eq!(json.raw_members(["d", "c", "nope"]), [Some("\"}\""), Some("-1.5e3"), None]);
        assert_eq!(json.members().count(), 4);
        let list = Json::parse(r#"[1,"a,b",[2,3],{"k":"v"},null]"#).unwrap();
        let texts: Vec<String> = list.elements().map(|e| e.to_string()).collect();
        assert_eq!(texts, ["1", "\"a,b\"", "[2,3]", "{\"k\":\"v\"}", "null"]);
        assert_eq!(Json::parse("{}").unwrap().members().count(), 0);
        assert_eq!(Json::parse("7").unwrap().raw_member("a"), None);
    }

    #[test]
    fn editing_keeps_order_and_everything_else() {
        let json = Json::parse(r#"{"a":1.0,"b":{"deep":1e999},"c":3}"#).unwrap();
        let mut editor = ObjectEditor::of(&json);
        editor.set("b", &Json::string("new\u{0}")).set("z", &Json::null()).remove("a");
        assert_eq!(editor.finish().as_str(), r#"{"b":"new\u0000","c":3,"z":null}"#);
    }

    #[test]
    fn serde_passes_text_through() {
        #[derive(Serialize, Deserialize)]
        struct Outer {
            body: Json,
        }
        let text = r#"{"body":{"$serde_json::private::Number":"1","n":1.0,"u":18446744073709551615,"h":1e400}}"#;
        let outer: Outer = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&outer).unwrap(), text);
        assert!(serde_json::from_str::<Outer>(r#"{"body":"\ud800"}"#).is_err());
    }

    #[test]
    fn stored_text_must_be_untouched() {
        assert!(Json::from_stored(r#"{"a":1}"#).is_ok());
        for text in [r#"{"a": 1}"#, r#"{"a":1"#, r#""\u0041""#] {
            assert_eq!(Json::from_stored(text).unwrap_err().kind(), Kind::Corrupt);
        }
    }
}
