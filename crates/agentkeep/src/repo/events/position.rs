//! Where a subscription is, over all its topics, as one opaque text.

use std::collections::BTreeMap;

use super::epochs::Named;
use crate::error::{Error, Kind, Result};
use crate::json::Json;

/// For each topic its epoch and the number of the last event seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Position(pub(super) BTreeMap<String, (Named, u64)>);

const FORM: &str = "topics-1";

impl Position {
    pub(super) fn to_text(&self) -> String {
        let mut parts = vec![Json::string(FORM)];
        let whole = |number: u64| Json::integer(i64::try_from(number).unwrap_or(i64::MAX));
        for (topic, (epoch, number)) in &self.0 {
            let mut place = vec![Json::string(topic), Json::string(&epoch.birth), whole(*number)];
            if let Some((origin, shared)) = &epoch.later {
                place.extend([Json::string(origin), whole(*shared)]);
            }
            parts.push(Json::array(&place));
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
        let number = |json: &Json| u64::try_from(json.to_i64()?).ok();
        let place = |part: Json| {
            let parts: Vec<Json> = part.elements().collect();
            let (topic, birth, last, later) = match parts.as_slice() {
                [topic, birth, last] => (topic, birth, last, None),
                [topic, birth, last, origin, shared] => {
                    (topic, birth, last, Some((origin.to_text()?, number(shared)?)))
                }
                _ => return None,
            };
            let epoch = Named { birth: birth.to_text()?, later };
            Some((topic.to_text()?, (epoch, number(last)?)))
        };
        parts.map(place).collect::<Option<_>>().map(Self)
    }
}
