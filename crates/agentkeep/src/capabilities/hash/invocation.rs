//! The fingerprint of what an agent was invoked with.

use super::hash_plain_object;
use crate::error::Result;
use crate::json::{Json, ObjectEditor};

/// What is fingerprinted of an invocation context: the members in `allow` (all, when it is empty),
/// or `None` when there are none, or when it is no object. Members below the top are never
/// filtered.
pub fn normalize_invocation_context(context: &Json, allow: &[&str]) -> Option<Json> {
    if !context.is_object() {
        return None;
    }
    let mut kept = ObjectEditor::default();
    let mut any = false;
    for (key, value) in context.members() {
        if allow.is_empty() || allow.contains(&key.as_str()) {
            kept.set(&key, &value);
            any = true;
        }
    }
    any.then(|| kept.finish())
}

/// The invocation hash of a context: Khora's `computeInvocationContextHash`. `None` when nothing is
/// left to fingerprint. An empty `allow` filters nothing.
///
/// # Errors
/// `InvalidInput` for a number beyond the range of `f64`.
pub fn invocation_fingerprint(context: &Json, allow: &[&str]) -> Result<Option<String>> {
    normalize_invocation_context(context, allow)
        .map(|context| hash_invocation(&context))
        .transpose()
}

fn hash_invocation(context: &Json) -> Result<String> {
    let mut payload = ObjectEditor::default();
    payload.set("kind", &Json::string("invocation")).set("context", context);
    hash_plain_object(&payload.finish())
}
