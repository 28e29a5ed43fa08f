//! What is long in an envelope, kept once by its hash however many turns have it.

use crate::driver::{Blob, FoundBlob, Hash, Want};
use crate::error::{Error, Kind, Result};
use crate::json::{Json, ObjectEditor};
use crate::repo::space::Space;

/// A shorter value stands in the record.
const INLINE: usize = 1024;
/// Objects of which the members are looked at one by one, for some of them change in every turn.
const OPENED: [&[&str]; 2] = [&["runtime"], &["runtime", "link"]];

/// An envelope without what is long in it.
#[derive(Debug)]
pub(super) struct Parts {
    /// The envelope with `null` in the place of each part.
    pub(super) rest: Json,
    /// `[[path..., hash], ...]`.
    pub(super) places: Json,
    pub(super) blobs: Vec<Blob>,
}

impl Parts {
    pub(super) fn of(envelope: &Json) -> Self {
        let (mut places, mut blobs) = (Vec::new(), Vec::new());
        let rest = cut(envelope, &mut Vec::new(), &mut places, &mut blobs);
        Self { rest, places: Json::array(&places), blobs }
    }

    pub(super) fn refs(&self) -> Vec<Hash> {
        let mut refs: Vec<Hash> = self.blobs.iter().map(Blob::hash).collect();
        refs.sort_unstable();
        refs.dedup();
        refs
    }
}

fn cut(
    value: &Json,
    path: &mut Vec<String>,
    places: &mut Vec<Json>,
    blobs: &mut Vec<Blob>,
) -> Json {
    let opened = |path: &[String]| OPENED.iter().any(|opened| path.iter().eq(opened.iter()));
    if value.len() <= INLINE {
        return value.clone();
    }
    if value.is_object() && (path.is_empty() || opened(path)) {
        let mut rest = ObjectEditor::default();
        for (name, member) in value.members() {
            path.push(name);
            let member = cut(&member, path, places, blobs);
            let name = path.pop().unwrap_or_default();
            rest.set(&name, &member);
        }
        return rest.finish();
    }
    let blob = Blob::new(value.as_str().as_bytes());
    let steps = path.iter().map(|step| Json::string(step));
    let place: Vec<Json> = steps.chain([Json::string(&blob.hash().to_hex())]).collect();
    places.push(Json::array(&place));
    blobs.push(blob);
    Json::null()
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
