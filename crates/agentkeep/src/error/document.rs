//! An error as a document, for programs that match on it from outside.

use std::error::Error as _;

use serde::ser::{Serialize, SerializeStruct, Serializer};

use super::Error;

/// `kind` (see [`Kind::name`](super::Kind::name)), `message` and `retryable` always; `operation`,
/// `place`, `driver`, `advice` and `first` where there are any; `causes`, the nearest first.
///
/// ```
/// # use agentkeep::{Error, Kind};
/// let error = Error::new(Kind::NotFound, "no such session").at("session \"s\"");
/// let document = serde_json::to_value(&error).unwrap();
/// assert_eq!((&document["kind"], &document["retryable"]), (&"NotFound".into(), &false.into()));
/// ```
impl Serialize for Error {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (mut causes, mut cause) = (Vec::new(), self.source());
        while let Some(error) = cause {
            causes.push(error.to_string());
            cause = error.source();
        }
        let texts = [
            ("operation", self.operation()),
            ("place", self.place()),
            ("driver", self.driver()),
            ("advice", self.advice_text()),
        ];
        let some = texts.iter().filter(|(_, text)| text.is_some()).count();
        let len = 4 + some + usize::from(self.first().is_some());
        let mut document = serializer.serialize_struct("Error", len)?;
        document.serialize_field("kind", self.kind().name())?;
        document.serialize_field("message", self.message())?;
        for (name, text) in texts {
            match text {
                Some(text) => document.serialize_field(name, text)?,
                None => document.skip_field(name)?,
            }
        }
        if let Some(first) = self.first() {
            document.serialize_field("first", &first)?;
        }
        document.serialize_field("retryable", &self.is_retryable())?;
        document.serialize_field("causes", &causes)?;
        document.end()
    }
}
