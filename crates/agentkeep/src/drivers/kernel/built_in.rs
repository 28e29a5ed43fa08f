//! What the built-in tables say of streams and blobs.

use crate::driver::{Hash, Head};
use crate::error::Result;
use crate::json::{Json, ObjectEditor};
use crate::schema::{BLOBS, Key, NAMESPACES, Namespace, STREAMS, Stream};

/// The key of a stream's record.
pub(in crate::drivers) fn stream_record((log, stream): &(&str, Stream)) -> Result<Key> {
    Key::new(&STREAMS, [log, stream.as_str()])
}

/// The key of a namespace's own record.
pub(in crate::drivers) fn name_key(namespace: &Namespace) -> Result<Key> {
    Key::new(&NAMESPACES, [namespace.as_str()])
}

/// The key of a blob's record.
pub(in crate::drivers) fn blob_record(hash: Hash) -> Result<Key> {
    Key::new(&BLOBS, [hash.to_hex().as_str()])
}

/// The body of the record with this key.
pub(in crate::drivers) fn stream_body(key: &Key, head: &Head) -> Json {
    let mut parts = key.parts().map(Json::string);
    let (log, stream) = (parts.next().unwrap_or_else(Json::null), parts.next());
    let stream = stream.unwrap_or_else(Json::null);
    let Head { birth, first, last, count, bytes, updated } = head;
    Json::assembled(format!(
        "{{\"log\":{log},\"stream\":{stream},\"birth\":\"{birth:016x}\",\"first\":{first},\
         \"last\":{last},\"count\":{count},\"bytes\":{bytes},\"updated\":{updated}}}"
    ))
}

/// The body of a blob's record.
pub(in crate::drivers) fn blob_body(
    hash: Hash,
    size: u64,
    references: u64,
    unreferenced_since: Option<i64>,
) -> Json {
    let mut body = ObjectEditor::default();
    body.set("hash", &Json::string(&hash.to_hex()));
    body.set("size", &integer(size));
    body.set("references", &integer(references));
    if let Some(since) = unreferenced_since {
        body.set("unreferencedSince", &Json::integer(since));
    }
    body.finish()
}

/// Counts and numbers never come near the end of `i64`.
fn integer(value: u64) -> Json {
    Json::integer(i64::try_from(value).unwrap_or(i64::MAX))
}
