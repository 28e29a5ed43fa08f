//! Where a subscription is, over all its topics, as one opaque text.

use std::collections::BTreeMap;

use crate::error::{Error, Kind, Result};
use crate::json::Json;

/// For each topic its birth and the number of the last event seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Position(pub(super) BTreeMap<String, (String, u64)>);

const FORM: &str = "topics-1";

impl Position {
    pub(super) fn to_text(&self) -> String {
        let mut parts = vec![Json::string(FORM)];
        for (topic, (birth, number)) in &self.0 {
            let number = Json::integer(i64::try_from(*number).unwrap_or(i64::MAX));
            parts.push(Json::array(&[Json::string(topic), Json::string(birth), number]));
        }
        data_encoding::BASE64URL_NOPAD.encode(Json::array(&parts).as_str().as_bytes())
    }

    pub(super) fn of_text(text: &str) -> Result<Self> {
        Self::parse(text).ok_or_else(|| {
            Error::new(Kind::UnknownCursor, "the position is damaged or no position")
                .advice("give back a position that a subscription gave, or begin anew")
        })
    }

    fn parse(text: &str) -> Option<Self> {
        let bytes = data_encoding::BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
        let json = Json::parse(std::str::from_utf8(&bytes).ok()?).ok()?;
        let mut parts = json.elements();
        if parts.next()?.to_text()? != FORM {
            return None;
        }
        let place = |part: Json| {
            let parts: Vec<Json> = part.elements().collect();
            let [topic, birth, number] = parts.as_slice() else { return None };
            let number = u64::try_from(number.to_i64()?).ok()?;
            Some((topic.to_text()?, (birth.to_text()?, number)))
        };
        parts.map(place).collect::<Option<_>>().map(Self)
    }
}
