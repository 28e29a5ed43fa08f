//! What keys are called. All keys of a namespace have its name as their hash tag, so that a cluster
//! keeps them on one server, and a commit may change them together.

use std::fmt::Write as _;

use crate::driver::Hash;
use crate::schema::{BLOBS, Index, Log, Namespace, STREAMS, Stream, Table};

/// The key of what the store says of itself.
pub(super) fn store(base: &str) -> String {
    format!("{base}:store")
}

/// The key of the names of all namespaces that were ever made.
pub(super) fn namespaces(base: &str) -> String {
    format!("{base}:namespaces")
}

/// Keys of no meaning, on the server of the store's own key, to try out what the user may do.
pub(super) fn probes(base: &str) -> [String; 2] {
    let id = uuid::Uuid::new_v4().simple();
    ["1", "2"].map(|n| format!("{base}:{{{}}}:probe:{id}:{n}", store(base)))
}

/// The keys of a namespace, or of a copy of it.
#[derive(Debug, Clone)]
pub(super) struct Space {
    prefix: String,
}

impl Space {
    pub(super) fn new(base: &str, namespace: &Namespace) -> Self {
        let mut prefix = format!("{base}:{{");
        // The tag ends with the first closing brace, and an empty one would be none.
        for c in namespace.as_str().chars() {
            match c {
                '{' | '}' | '%' => {
                    let _ = write!(prefix, "%{:02X}", u32::from(c));
                }
                c => prefix.push(c),
            }
        }
        prefix.push_str("}:");
        Self { prefix }
    }

    /// A copy of the namespace at one moment.
    pub(super) fn copy(&self, id: &str) -> Self {
        Self { prefix: format!("{}snapshot:{id}:", self.prefix) }
    }

    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    pub(super) fn of(&self, suffix: &str) -> String {
        format!("{}{suffix}", self.prefix)
    }

    /// A key that is never there, for scripts in a cluster that write, or that find keys while they
    /// run. While the namespace moves to another server each has a part of it, and gives away any key
    /// that it does not have: a script would stop in its middle. That is found out before it begins,
    /// for the keys that it is called with; so this makes it wait for the end of the move.
    pub(super) fn never(&self) -> String {
        self.of("never")
    }

    pub(super) fn meta(&self) -> String {
        self.of("meta")
    }

    pub(super) fn records(&self, table: &Table) -> String {
        format!("{}records:{}", self.prefix, table.name)
    }

    pub(super) fn index(&self, table: &Table, index: &Index) -> String {
        format!("{}index:{}:{}", self.prefix, table.name, index.name)
    }

    pub(super) fn entries(&self, log: &Log, stream: &Stream) -> String {
        format!("{}entries:{}:{stream}", self.prefix, log.name)
    }

    pub(super) fn ids(&self, log: &Log, stream: &Stream) -> String {
        format!("{}ids:{}:{stream}", self.prefix, log.name)
    }

    pub(super) fn turns(&self, log: &Log) -> String {
        format!("{}turns:{}", self.prefix, log.name)
    }

    pub(super) fn blob(&self, hash: Hash) -> String {
        format!("{}blob:{hash}", self.prefix)
    }
}

/// The keys of one table, after the namespace's prefix: the records, their places in indexes, the
/// index by key, the index by turn, the others.
pub(super) fn of_table(table: &Table) -> Vec<String> {
    let name = table.name;
    let mut keys = vec![
        format!("records:{name}"),
        format!("places:{name}"),
        format!("index:{name}:key"),
        format!("index:{name}:turn"),
    ];
    keys.extend(table.indexes.iter().map(|index| format!("index:{name}:{}", index.name)));
    keys
}

/// The key of what a client's calls were answered, after the namespace's prefix.
pub(super) fn calls(client: &str) -> String {
    format!("calls:{client}")
}

/// The keys that every commit may need.
pub(super) fn of_all(client: &str) -> [String; 9] {
    let [streams, blobs] = [STREAMS.name, BLOBS.name];
    [
        "meta".to_owned(),
        calls(client),
        "operations".to_owned(),
        "operations:times".to_owned(),
        format!("records:{streams}"),
        format!("index:{streams}:key"),
        format!("records:{blobs}"),
        format!("index:{blobs}:key"),
        format!("index:{blobs}:by_unreferenced"),
    ]
}
