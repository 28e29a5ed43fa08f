//! Khora's hashes, byte for byte: canonical JSON, SHA-256, and what is hashed of tools, agents,
//! runtimes and invocations.

mod canonical;
mod invocation;
mod order;
mod payload;

use sha2::{Digest as _, Sha256};

pub use self::invocation::{invocation_fingerprint, normalize_invocation_context};
pub use self::order::collate;
pub(crate) use self::order::{as_members, sort_by_collation};
pub(crate) use self::payload::ecma_trim;
pub use self::payload::{
    StaticHashes, agent_payload, collect_tool_static_hashes, hash_agent_static,
    hash_runtime_tool_binding, hash_static, hash_tool_spec, hash_tool_wire,
    resolve_runtime_tool_refs, runtime_hash, runtime_payload, runtime_tool_binding_payload,
    static_payload, tool_spec_payload, tool_wire_payload,
};

use crate::error::Result;
use crate::json::Json;

/// The canonical form that is hashed: members by root collation with array indices first, numbers
/// as ECMAScript prints the nearest `f64`.
///
/// ```
/// # use agentkeep::{Json, capabilities::canonical_json};
/// let json = Json::parse(r#"{"B":1e2,"a":0.10,"10":null}"#)?;
/// assert_eq!(canonical_json(&json)?.as_str(), r#"{"10":null,"a":0.1,"B":100}"#);
/// # Ok::<(), agentkeep::Error>(())
/// ```
///
/// # Errors
/// `InvalidInput` for a number beyond the range of `f64`.
pub fn canonical_json(value: &Json) -> Result<Json> {
    canonical::write(value).map(Json::assembled)
}

/// The SHA-256 of [`canonical_json`], in 64 lower-case hexadecimal digits: Khora's
/// `hashPlainObject`.
///
/// # Errors
/// As for [`canonical_json`].
pub fn hash_plain_object(value: &Json) -> Result<String> {
    Ok(sha256(&canonical::write(value)?))
}

/// The SHA-256 of a text, in lower-case hexadecimal digits.
pub(crate) fn sha256(text: &str) -> String {
    data_encoding::HEXLOWER.encode(&Sha256::digest(text.as_bytes()))
}
