//! What containers, images and sessions have in common: a body kept as text, and a head read
//! from it.

use std::borrow::Cow;

use crate::error::{Error, Kind, Result};
use crate::json::Json;
use crate::schema::check_id;

/// Now, in milliseconds since 1970, by the wall clock.
pub(crate) fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |elapsed| i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX))
}

/// Checks that `json` is an object.
pub(super) fn object(what: &str, json: &Json) -> Result<()> {
    if json.is_object() {
        return Ok(());
    }
    Err(Error::new(Kind::InvalidInput, format!("the {what} is no JSON object")))
}

/// The id in member `field`, whose text is `found`; it must be there.
pub(super) fn required_id(what: &str, field: &str, found: Option<&str>) -> Result<String> {
    match found.map(text_of) {
        Some(Some(id)) => {
            check_id(field, &id)?;
            Ok(id.into_owned())
        }
        Some(None) => Err(wrong_type(what, field, "a string")),
        None => Err(Error::new(Kind::InvalidInput, format!("the {what} has no {field}"))
            .advice(format!("give it a {field}"))),
    }
}

/// What a JSON string says; `None` for another value.
pub(super) fn text_of(raw: &str) -> Option<Cow<'_, str>> {
    let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        return Json::assembled(raw.to_owned()).to_text().map(Cow::Owned);
    }
    Some(Cow::Borrowed(inner))
}

/// Member `field` must be a string, `null` or absent.
pub(super) fn optional_text(what: &str, field: &str, found: Option<&str>) -> Result<()> {
    match found {
        None | Some("null") => Ok(()),
        Some(text) if text.starts_with('"') => Ok(()),
        Some(_) => Err(wrong_type(what, field, "a string")),
    }
}

/// Member `field` must be a number, `null` or absent.
pub(super) fn optional_number(what: &str, field: &str, found: Option<&str>) -> Result<()> {
    match found {
        None | Some("null") => Ok(()),
        Some(text) if text.starts_with(|c: char| c == '-' || c.is_ascii_digit()) => Ok(()),
        Some(_) => Err(wrong_type(what, field, "a number (milliseconds since 1970)")),
    }
}

/// Member `tags` must be a list of strings, `null` or absent.
pub(super) fn optional_tags(what: &str, found: Option<&str>) -> Result<()> {
    match found {
        None | Some("null") => Ok(()),
        Some(tags) => {
            let tags = Json::assembled(tags.to_owned());
            let texts = tags.is_array() && tags.elements().all(|tag| tag.to_text().is_some());
            if texts { Ok(()) } else { Err(wrong_type(what, "tags", "a list of strings")) }
        }
    }
}

fn wrong_type(what: &str, field: &str, expected: &str) -> Error {
    Error::new(Kind::InvalidInput, format!("{field} of the {what} has the wrong type"))
        .advice(format!("make it {expected}"))
}

/// A number member as whole milliseconds.
pub(super) fn millis(json: &Json, field: &str) -> Option<i64> {
    let value = json.member(field)?;
    #[allow(clippy::cast_possible_truncation, reason = "saturates, as a time should")]
    value.to_i64().or_else(|| value.to_f64().map(|float| float as i64))
}

/// A type whose values are JSON objects with an id.
macro_rules! document {
    ($(#[$doc:meta])* $type:ident, $what:literal, $id:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq)]
        pub struct $type {
            json: $crate::Json,
            id: String,
        }

        impl $type {
            /// Reads it from JSON, which is kept as it is: key order, number text and unknown
            /// fields included.
            ///
            /// # Errors
            /// `InvalidInput` when it is no object, lacks an id or has a field of the wrong type;
            /// `InvalidId` for an id that breaks the rule for ids.
            pub fn from_json(json: $crate::Json) -> $crate::Result<Self> {
                $crate::model::document::object($what, &json)?;
                let id = $crate::model::document::required_id($what, $id, json.raw_member($id))?;
                Self::check(&json).map_err(|error| error.at(format!("{} {id:?}", $what)))?;
                Ok(Self { json, id })
            }

            /// As it is stored under this id: it was checked when it was written, and what is
            /// stored carries a checksum.
            pub(crate) fn stored(json: $crate::Json, id: &str) -> $crate::Result<Self> {
                let found = json.raw_member($id).and_then($crate::model::document::text_of);
                if found.is_some_and(|found| found == id) {
                    let id = id.to_owned();
                    return Ok(Self { json, id });
                }
                Self::from_json(json)
            }

            /// The whole as JSON.
            pub fn json(&self) -> &$crate::Json {
                &self.json
            }

            /// Its id.
            pub fn id(&self) -> &str {
                &self.id
            }

            /// When it was created, in milliseconds since 1970, if it says so.
            pub fn created_at(&self) -> Option<i64> {
                $crate::model::document::millis(&self.json, "createdAt")
            }

            /// When it was last changed, in milliseconds since 1970, if it says so.
            pub fn updated_at(&self) -> Option<i64> {
                $crate::model::document::millis(&self.json, "updatedAt")
            }

            /// The same with member `field` set to `value`.
            ///
            /// # Errors
            /// As for [`from_json`](Self::from_json).
            pub fn with<V: serde::Serialize + ?Sized>(
                self,
                field: &str,
                value: &V,
            ) -> $crate::Result<Self> {
                let mut editor = $crate::ObjectEditor::of(&self.json);
                editor.set(field, &$crate::Json::of(value)?);
                Self::from_json(editor.finish())
            }
        }

        impl std::fmt::Debug for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{}({})", stringify!($type), self.json)
            }
        }

        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, s: S) -> std::result::Result<S::Ok, S::Error> {
                self.json.serialize(s)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(
                d: D,
            ) -> std::result::Result<Self, D::Error> {
                let json = $crate::Json::deserialize(d)?;
                Self::from_json(json).map_err(serde::de::Error::custom)
            }
        }
    };
}

/// Title, tags and metadata, which images and sessions share.
macro_rules! described {
    ($type:ident) => {
        impl $type {
            /// Its title, if it has one.
            pub fn title(&self) -> Option<String> {
                self.json.member("title").and_then(|title| title.to_text())
            }

            /// Its tags.
            pub fn tags(&self) -> Vec<String> {
                let tags = self.json.member("tags");
                tags.iter()
                    .flat_map(|tags| tags.elements())
                    .filter_map(|tag| tag.to_text())
                    .collect()
            }

            /// Its metadata, if it has any.
            pub fn metadata(&self) -> Option<$crate::Json> {
                self.json.member("metadata")
            }
        }
    };
}

pub(super) use {described, document};
