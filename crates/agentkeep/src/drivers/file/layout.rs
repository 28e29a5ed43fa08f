//! Where things are in the store's folder.
//!
//! ```text
//! agentkeep.json            what the store is: format, schema, id
//! lock users pins           lock files
//! generation                how far the journal has been committed
//! journal.0 journal.1       take turns
//! namespaces/<namespace>/
//!     namespace.json        the namespace's own record
//!     state.json            floors of versions, how many records each table has
//!     operations.jsonl      what commits under an operation id answered
//!     records/<table>/<key>.json
//!     logs/<log>/<stream>.jsonl     written anew: <stream>+2.jsonl, and so on
//!     blobs/<hash>
//! ```

use std::io::Result;
use std::path::PathBuf;

use super::escape;
use super::folder::Folder;
use crate::driver::Hash;
use crate::schema::{Namespace, Stream};

pub(super) const IDENTITY: &str = "agentkeep.json";
pub(super) const NAMESPACES: &str = "namespaces";
pub(super) const NAMESPACE: &str = "namespace.json";
pub(super) const STATE: &str = "state.json";
pub(super) const OPERATIONS: &str = "operations.jsonl";
pub(super) const RECORDS: &str = "records";
pub(super) const LOGS: &str = "logs";
pub(super) const BLOBS: &str = "blobs";

/// The folders from the store's own to one of a namespace's.
pub(super) fn path<'a>(namespace: &Namespace, below: &[&'a str]) -> Vec<std::borrow::Cow<'a, str>> {
    let mut path = vec![NAMESPACES.into(), escape::name(namespace.as_str()).into()];
    path.extend(below.iter().map(|name| (*name).into()));
    path
}

/// A folder of a namespace; `None` when it is not there.
pub(super) fn folder(
    base: &Folder,
    namespace: &Namespace,
    below: &[&str],
) -> Result<Option<Folder>> {
    let mut folder = base.clone();
    for name in path(namespace, below) {
        let Some(next) = folder.sub(&name)? else { return Ok(None) };
        folder = next;
    }
    Ok(Some(folder))
}

/// A folder of a namespace, made if need be. With `sync` its name and those above it are on the disk.
pub(super) fn make_folder(
    base: &Folder,
    namespace: &Namespace,
    below: &[&str],
    sync: bool,
) -> Result<Folder> {
    let mut folder = base.clone();
    for name in path(namespace, below) {
        folder = folder.make_sub(&name, sync)?;
    }
    Ok(folder)
}

/// The file of a stream's lines.
pub(super) fn lines(stream: &Stream, file: u32) -> String {
    let name = escape::name(stream.as_str());
    if file <= 1 { format!("{name}.jsonl") } else { format!("{name}+{file}.jsonl") }
}

/// The file of a blob's bytes.
pub(super) fn blob(hash: Hash) -> String {
    hash.to_hex()
}

/// For messages.
pub(super) fn place(base: &Folder, namespace: &Namespace, below: &[&str]) -> PathBuf {
    let mut place = base.path().to_path_buf();
    place.extend(path(namespace, below).iter().map(|name| &**name));
    place
}
