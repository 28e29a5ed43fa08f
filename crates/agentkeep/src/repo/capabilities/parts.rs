//! What is long in an envelope, kept once by its hash however many turns have it: a list of tool
//! references among the lists that links refer to, anything else as a blob.

use std::collections::BTreeSet;

use super::toolsets::{self, Listed};
use crate::driver::{Blob, FoundBlob, Hash, Want};
use crate::error::{Error, Kind, Result};
use crate::json::{Json, ObjectEditor};
use crate::model::{INLINE, Long, OPENED, each_member};
use crate::repo::space::Space;

/// An envelope without what is long in it.
#[derive(Debug)]
pub(super) struct Parts {
    /// The envelope with `null` in the place of each part.
    pub(super) rest: Json,
    /// `[[path..., hash], ...]`.
    pub(super) places: Json,
    /// Each once.
    pub(super) blobs: Vec<Blob>,
    /// Each once, but for the link's.
    pub(super) toolsets: Vec<(Hash, Json)>,
}

/// Where tool references stand. They are those of the turn's link, which keeps them anyway: a blob
/// more would be found and counted in each turn.
const TOOL_REFS: [&[&str]; 2] =
    [&["\"runtime\"", "\"toolRefs\""], &["\"runtime\"", "\"link\"", "\"toolRefs\""]];

impl Parts {
    #[cfg(test)]
    fn of(envelope: &Json) -> Self {
        let (none, mut rest) = (Long::default(), String::new());
        let mut cut = Cut::new(envelope, &none, None);
        cut.value(&mut rest, envelope.as_str());
        cut.finish(rest)
    }

    /// The row with `null` in the place of its envelope, and the envelope. Where long values of the
    /// envelope stand may be known, and what the link's tools are called.
    pub(super) fn of_row(row: &Json, long: &Long, link: Option<&Listed>) -> (Json, Self) {
        let (mut cut, mut envelope) = (Cut::new(row, long, link), String::with_capacity(INLINE));
        let mut rest = String::with_capacity(INLINE);
        over_members(row.as_str(), &mut rest, |rest, key, value| {
            if key == "\"envelope\"" {
                rest.push_str("null");
                return cut.value(&mut envelope, value);
            }
            let length = Json::length_of_first(value);
            rest.push_str(&value[..length]);
            length
        });
        (Json::assembled(rest), cut.finish(envelope))
    }

    pub(super) fn refs(&self) -> Vec<Hash> {
        let mut refs: Vec<Hash> = self.blobs.iter().map(Blob::hash).collect();
        refs.sort_unstable();
        refs
    }
}

/// Writes the members of the object that `text` begins with to `rest`, each value by `write`, which
/// answers the value's length in the text; answers the object's.
fn over_members<'a>(
    text: &'a str,
    rest: &mut String,
    mut write: impl FnMut(&mut String, &'a str, &'a str) -> usize,
) -> usize {
    let mut opening = '{';
    let length = each_member(text, |key, value| {
        rest.push(std::mem::replace(&mut opening, ','));
        rest.push_str(key);
        rest.push(':');
        write(rest, key, value)
    });
    if opening == '{' {
        rest.push(opening);
    }
    rest.push('}');
    length
}

/// What has been cut out of an envelope so far.
struct Cut<'a> {
    /// The length of the text that it is cut from, and what is known of long values in it.
    whole: usize,
    long: &'a Long,
    /// The tools of the link, which are kept anyway.
    link: Option<&'a Listed>,
    /// Where in the envelope it is.
    path: Vec<&'a str>,
    places: Vec<Json>,
    blobs: Vec<Blob>,
    toolsets: Vec<(Hash, Json)>,
}

impl<'a> Cut<'a> {
    fn new(whole: &Json, long: &'a Long, link: Option<&'a Listed>) -> Self {
        let whole = whole.len();
        let (path, places, blobs, toolsets) = Default::default();
        Self { whole, long, link, path, places, blobs, toolsets }
    }

    /// Writes the value that the text begins with to `rest`, without what is long in it; answers
    /// its length in the text.
    fn value(&mut self, rest: &mut String, text: &'a str) -> usize {
        if text.starts_with('{') && OPENED.contains(&self.path.as_slice()) {
            return over_members(text, rest, |rest, key, value| {
                self.path.push(key);
                let length = self.value(rest, value);
                self.path.pop();
                length
            });
        }
        let known = self.long.length(self.whole - text.len());
        let length = known.unwrap_or_else(|| Json::length_of_first(text));
        let value = &text[..length];
        if length <= INLINE {
            rest.push_str(value);
            return length;
        }
        rest.push_str("null");
        let hash = self.keep(value);
        let steps = self.path.iter().map(|step| Json::piece(step));
        let place: Vec<Json> = steps.chain([Json::string(&hash.to_hex())]).collect();
        self.places.push(Json::array(&place));
        length
    }

    /// What stands in two places is kept once.
    fn keep(&mut self, value: &str) -> Hash {
        if TOOL_REFS.contains(&self.path.as_slice()) {
            if let Some(name) = self.link.and_then(|link| link.name_of(value)) {
                return name;
            }
            if let Some((hash, _)) = self.toolsets.iter().find(|(_, refs)| refs.as_str() == value) {
                return *hash;
            }
            let refs = Json::piece(value);
            if toolsets::fits(&refs) {
                let hash = toolsets::name(&refs);
                self.toolsets.push((hash, refs));
                return hash;
            }
        }
        if let Some(blob) = self.blobs.iter().find(|blob| blob.bytes() == value.as_bytes()) {
            return blob.hash();
        }
        let blob = Blob::new(value.as_bytes());
        let hash = blob.hash();
        self.blobs.push(blob);
        hash
    }

    fn finish(self, rest: String) -> Parts {
        let (rest, places) = (Json::assembled(rest), Json::array(&self.places));
        Parts { rest, places, blobs: self.blobs, toolsets: self.toolsets }
    }
}

fn damaged() -> Error {
    Error::new(Kind::Corrupt, "the parts of an envelope are damaged").advice("run check")
}

/// Each part's path and hash.
fn placed(places: &Json) -> Result<Vec<(Vec<String>, Hash)>> {
    let part = |place: Json| {
        let steps: Option<Vec<String>> = place.elements().map(|step| step.to_text()).collect();
        let mut path = steps.ok_or_else(damaged)?;
        let hash = path.pop().ok_or_else(damaged)?;
        Ok((path, Hash::from_hex(&hash).map_err(|_| damaged())?))
    };
    places.elements().map(part).collect()
}

/// The hashes of blobs, which the record refers to, and those of lists of tool references.
fn blobs_and_lists(parts: &[(Vec<String>, Hash)], refs: &[Hash]) -> (Vec<Hash>, Vec<Hash>) {
    let hashes: BTreeSet<Hash> = parts.iter().map(|(_, hash)| *hash).collect();
    hashes.into_iter().partition(|hash| refs.contains(hash))
}

/// The lists of tool references among the parts.
pub(super) fn lists(places: &Json, refs: &[Hash]) -> Result<Vec<Hash>> {
    Ok(blobs_and_lists(&placed(places)?, refs).1)
}

/// The envelope that `rest` and `places` stand for. The parts that the record refers to are blobs.
pub(super) async fn whole(
    space: &Space,
    rest: &Json,
    places: &Json,
    refs: &[Hash],
) -> Result<Json> {
    let parts = placed(places)?;
    if parts.is_empty() {
        return Ok(rest.clone());
    }
    let (blobs, lists) = blobs_and_lists(&parts, refs);
    let bytes = async {
        match blobs.as_slice() {
            [] => Ok(Vec::new()),
            blobs => space.driver().blobs(space.namespace(), blobs, Want::Bytes).await,
        }
    };
    let (mut values, found) =
        futures_util::future::try_join(toolsets::lists(space, &lists), bytes).await?;
    for (hash, blob) in blobs.into_iter().zip(found) {
        if let Some(FoundBlob::Bytes(blob)) = blob {
            let text = std::str::from_utf8(blob.bytes()).map_err(|_| damaged())?;
            values.insert(hash, Json::from_stored(text)?);
        }
    }
    let mut whole = rest.clone();
    for (path, hash) in &parts {
        let value = values.get(hash).ok_or_else(|| damaged().at(format!("part {hash}")))?;
        whole = put(&whole, path, value);
    }
    Ok(whole)
}

fn put(into: &Json, path: &[String], value: &Json) -> Json {
    let [step, rest @ ..] = path else { return value.clone() };
    let mut editor = ObjectEditor::of(into);
    let member = into.member(step).unwrap_or_else(Json::null);
    editor.set(step, &put(&member, rest, value));
    editor.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::EnvelopeRow;

    #[test]
    fn a_row_is_cut_where_it_always_was() {
        let long = format!("[{}1]", "1,".repeat(INLINE));
        let hash = Hash::of(long.as_bytes());
        let row = format!(
            r#"{{"id":"a","envelope":{{"v":"1","runtime":{{"link":{{"n":{{}},"refs":{long}}},"refs":{long}}},"z\"":[{long}],"e":{{"runtime":{long}}}}},"m":{{"x":[]}}}}"#
        );
        let (rest, parts) = Parts::of_row(&Json::parse(&row).unwrap(), &Long::default(), None);
        assert_eq!(rest.as_str(), r#"{"id":"a","envelope":null,"m":{"x":[]}}"#);
        let cut =
            r#"{"v":"1","runtime":{"link":{"n":{},"refs":null},"refs":null},"z\"":null,"e":null}"#;
        assert_eq!(parts.rest.as_str(), cut);
        let others = [format!("[{long}]"), format!(r#"{{"runtime":{long}}}"#)];
        let [z, e] = others.each_ref().map(|text| Hash::of(text.as_bytes()));
        let places = format!(
            r#"[["runtime","link","refs","{hash}"],["runtime","refs","{hash}"],["z\"","{z}"],["e","{e}"]]"#
        );
        assert_eq!(parts.places.as_str(), places);
        // What stands in two places is kept once.
        let kept: Vec<Hash> = parts.blobs.iter().map(Blob::hash).collect();
        assert_eq!(kept, [hash, z, e]);
    }

    #[test]
    fn what_is_known_of_long_values_changes_nothing() {
        let long = format!("[{}1]", "1,".repeat(INLINE));
        let [before, after] = ["[1]", long.as_str()].map(|metadata| {
            let own = format!(r#""m":{metadata},"metadata":{{"runtime":{metadata}}}"#);
            let row = r#""sessionId":"s","_ts_created":1,"schemaVersion":"1""#;
            let envelope = format!(
                r#""envelope":{{"a":{long},"runtime":{{"link":{{"r":{long},"s":1}},"e\"":{long}}},"z":"{{"}}"#
            );
            [format!("{{{own},{envelope},{row}}}"), format!("{{{row},{envelope},{own}}}")]
        });
        for text in [before, after].concat() {
            let row = EnvelopeRow::from_json(Json::parse(&text).unwrap()).unwrap();
            let named = row.with_id("x").unwrap();
            for row in [&row, &named, &EnvelopeRow::stored(row.json().clone())] {
                let (rest, parts) = Parts::of_row(row.json(), row.long(), None);
                let (same_rest, same) = Parts::of_row(row.json(), &Long::default(), None);
                assert_eq!((&rest, &parts.rest), (&same_rest, &same.rest), "{text}");
                assert_eq!((&parts.places, &parts.blobs), (&same.places, &same.blobs), "{text}");
                assert_eq!(parts.places.elements().count(), 3);
            }
            let starts = text.match_indices(&long).map(|(start, _)| start);
            let known = starts.filter(|start| row.long().length(*start) == Some(long.len()));
            assert_eq!(known.count(), 3, "it is gone over again");
        }
    }

    #[tokio::test]
    async fn an_envelope_comes_back_as_it_went_in() {
        let long = "x".repeat(INLINE + 1);
        let texts = [
            "null".to_owned(),
            format!("{long:?}"),
            format!(
                r#"{{"a":{long:?},"runtime":{{"link":{{"b":{long:?},"n":1.0}},"c":[{long:?}]}}}}"#
            ),
            format!(r#"{{"runtime":{long:?},"z":null,"parts":1}}"#),
            format!("[{long:?}]"),
        ];
        let driver = crate::urls::open("memory:").await.unwrap();
        let space = Space::new(driver, crate::schema::Namespace::default());
        for text in texts {
            let envelope = Json::parse(&text).unwrap();
            let parts = Parts::of(&envelope);
            assert!(parts.rest.len() <= INLINE, "{}", parts.rest);
            let refs = parts.refs();
            let mut batch = crate::driver::Batch::new(space.namespace().clone());
            for blob in parts.blobs {
                batch.push(crate::driver::Operation::PutBlob(blob));
            }
            if !batch.operations.is_empty() {
                space.commit(batch).await.unwrap();
            }
            assert_eq!(whole(&space, &parts.rest, &parts.places, &refs).await.unwrap(), envelope);
        }
    }
}
