//! What is long in an envelope, kept once by its hash however many turns have it.

use crate::driver::{Blob, FoundBlob, Hash, Want};
use crate::error::{Error, Kind, Result};
use crate::json::{Json, ObjectEditor};
use crate::repo::space::Space;

/// A shorter value stands in the record.
const INLINE: usize = 1024;
/// Objects of which the members are looked at one by one, for some of them change in every turn.
/// Keys as they stand in the text.
const OPENED: [&[&str]; 3] = [&[], &["\"runtime\""], &["\"runtime\"", "\"link\""]];

/// An envelope without what is long in it.
#[derive(Debug)]
pub(super) struct Parts {
    /// The envelope with `null` in the place of each part.
    pub(super) rest: Json,
    /// `[[path..., hash], ...]`.
    pub(super) places: Json,
    /// Each once.
    pub(super) blobs: Vec<Blob>,
}

impl Parts {
    #[cfg(test)]
    fn of(envelope: &Json) -> Self {
        let (mut cut, mut rest) = (Cut::default(), String::new());
        cut.value(&mut rest, envelope.as_str());
        cut.finish(rest)
    }

    /// The row with `null` in the place of its envelope, and the envelope.
    pub(super) fn of_row(row: &Json) -> (Json, Self) {
        let (mut cut, mut envelope) = (Cut::default(), String::with_capacity(INLINE));
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
/// answers the value's length in the text; answers the object's. So the whole of a long text is
/// gone over only once, whatever is opened in it.
fn over_members<'a>(
    text: &'a str,
    rest: &mut String,
    mut write: impl FnMut(&mut String, &'a str, &'a str) -> usize,
) -> usize {
    let mut at = 1;
    rest.push('{');
    while at < text.len() && !text[at..].starts_with('}') {
        if at > 1 {
            rest.push(',');
            at += 1;
        }
        let key = &text[at..at + Json::length_of_first(&text[at..])];
        rest.push_str(key);
        rest.push(':');
        at += key.len() + 1;
        at += write(rest, key, &text[at..]);
    }
    rest.push('}');
    at + 1
}

/// What has been cut out of an envelope so far.
#[derive(Default)]
struct Cut<'a> {
    /// Where in the envelope it is.
    path: Vec<&'a str>,
    places: Vec<Json>,
    blobs: Vec<Blob>,
}

impl<'a> Cut<'a> {
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
        let length = Json::length_of_first(text);
        let value = &text[..length];
        if length <= INLINE {
            rest.push_str(value);
            return length;
        }
        rest.push_str("null");
        // The tools of a turn stand in its link, too.
        let known = self.blobs.iter().find(|blob| blob.bytes() == value.as_bytes());
        let known = known.map(Blob::hash);
        let hash = known.unwrap_or_else(|| self.keep(value));
        let steps = self.path.iter().map(|step| Json::piece(step));
        let place: Vec<Json> = steps.chain([Json::string(&hash.to_hex())]).collect();
        self.places.push(Json::array(&place));
        length
    }

    fn keep(&mut self, value: &str) -> Hash {
        let blob = Blob::new(value.as_bytes());
        let hash = blob.hash();
        self.blobs.push(blob);
        hash
    }

    fn finish(self, rest: String) -> Parts {
        let (rest, places) = (Json::assembled(rest), Json::array(&self.places));
        Parts { rest, places, blobs: self.blobs }
    }
}

fn damaged() -> Error {
    Error::new(Kind::Corrupt, "the parts of an envelope are damaged").advice("run check")
}

/// The envelope that `rest` and `places` stand for.
pub(super) async fn whole(space: &Space, rest: &Json, places: &Json) -> Result<Json> {
    let mut parts: Vec<(Vec<String>, Hash)> = Vec::new();
    for place in places.elements() {
        let steps: Option<Vec<String>> = place.elements().map(|step| step.to_text()).collect();
        let mut path = steps.ok_or_else(damaged)?;
        let hash = path.pop().ok_or_else(damaged)?;
        parts.push((path, Hash::from_hex(&hash).map_err(|_| damaged())?));
    }
    if parts.is_empty() {
        return Ok(rest.clone());
    }
    let hashes: Vec<Hash> = parts.iter().map(|(_, hash)| *hash).collect();
    let found = space.driver().blobs(space.namespace(), &hashes, Want::Bytes).await?;
    let mut whole = rest.clone();
    for ((path, hash), blob) in parts.iter().zip(found) {
        let Some(FoundBlob::Bytes(blob)) = blob else {
            return Err(damaged().at(format!("blob {hash}")));
        };
        let text = std::str::from_utf8(blob.bytes()).map_err(|_| damaged())?;
        whole = put(&whole, path, &Json::from_stored(text)?);
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

    #[test]
    fn a_row_is_cut_where_it_always_was() {
        let long = format!("[{}1]", "1,".repeat(INLINE));
        let hash = Hash::of(long.as_bytes());
        let row = format!(
            r#"{{"id":"a","envelope":{{"v":"1","runtime":{{"link":{{"n":{{}},"refs":{long}}},"refs":{long}}},"z\"":[{long}],"e":{{"runtime":{long}}}}},"m":{{"x":[]}}}}"#
        );
        let (rest, parts) = Parts::of_row(&Json::parse(&row).unwrap());
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
            let mut batch = crate::driver::Batch::new(space.namespace().clone());
            for blob in parts.blobs {
                batch.push(crate::driver::Operation::PutBlob(blob));
            }
            if !batch.operations.is_empty() {
                space.commit(batch).await.unwrap();
            }
            assert_eq!(whole(&space, &parts.rest, &parts.places).await.unwrap(), envelope);
        }
    }
}
