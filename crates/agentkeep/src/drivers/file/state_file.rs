//! `state.json` of a namespace: what is known of it besides its records.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{pretty, seal};
use crate::error::{Error, Kind, Result};
use crate::json::Json;
use crate::schema::Namespace;

/// What the file says.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StateFile {
    /// The largest versions that deleted records had.
    pub(super) floors: [u64; 4],
    /// For each table: how many records, and the sum of their checksums in hexadecimal.
    pub(super) tables: BTreeMap<String, (u64, String)>,
    /// The bytes of `operations.jsonl` that count.
    pub(super) operations: u64,
}

/// Which namespace the state is of, for one that has no record.
fn of(namespace: &Namespace) -> String {
    format!("\"namespace\":{}", Json::string(namespace.as_str()))
}

/// The namespace that a sound state is of.
pub(super) fn namespace_of(bytes: &[u8]) -> Option<Namespace> {
    let json = Json::parse(std::str::from_utf8(bytes).ok()?).ok()?;
    let name = json.member("_agentkeep")?.member("namespace")?.to_text()?;
    let namespace = Namespace::new(&name).ok()?;
    StateFile::read(&namespace, bytes).ok().map(|_| namespace)
}

impl StateFile {
    pub(super) fn write(&self, namespace: &Namespace) -> Result<String> {
        let body = Json::of(self)?;
        Ok(pretty::pretty(&seal::seal(
            &[b"state", namespace.as_str().as_bytes()],
            &body,
            &of(namespace),
        )))
    }

    pub(super) fn read(namespace: &Namespace, bytes: &[u8]) -> Result<Self> {
        let damaged = || Error::new(Kind::Corrupt, "it is damaged");
        let text = std::str::from_utf8(bytes).map_err(|_| damaged())?;
        let canonical = Json::parse(text).map_err(|error| damaged().caused_by(error))?;
        let context: [&[u8]; 2] = [b"state", namespace.as_str().as_bytes()];
        let (body, _) = seal::open(&context, canonical.as_str())?;
        serde_json::from_str(body.as_str()).map_err(|error| damaged().caused_by(error))
    }
}
