//! The rule for ids, and keys made of them.

use std::fmt;
use std::sync::Arc;

use super::Table;
use crate::error::{Error, Kind, Result};

/// Longest id, in bytes of UTF-8.
pub const MAX_ID: usize = 255;

/// Checks the one rule for public ids: 1 to 255 bytes of UTF-8, no control characters.
///
/// # Errors
/// `InvalidId`, saying what the id is an id of and which part of the rule it breaks.
pub fn check_id(what: &str, id: &str) -> Result<()> {
    // Nearly all are plain.
    let odd = |any: u8, byte: u8| any | u8::from(!(b' '..=b'~').contains(&byte));
    if (1..=MAX_ID).contains(&id.len()) && id.bytes().fold(0, odd) == 0 {
        return Ok(());
    }
    let problem = if id.is_empty() {
        "is empty".to_owned()
    } else if id.len() > MAX_ID {
        format!("has {} bytes", id.len())
    } else if let Some(c) = id.chars().find(|c| c.is_control()) {
        format!("holds the control character U+{:04X}", u32::from(c))
    } else {
        return Ok(());
    };
    Err(Error::new(Kind::InvalidId, format!("the {what} id {problem}"))
        .advice("an id has 1 to 255 bytes of UTF-8 and no control characters"))
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(Arc<str>);

        impl $type {
            /// Checks the rule for ids ([`check_id`]).
            ///
            /// # Errors
            /// `InvalidId`.
            pub fn new(id: &str) -> Result<Self> {
                check_id($what, id)?;
                Ok(Self(id.into()))
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(
    /// A tenant, a user, a project: the unit of isolation, atomicity and placement.
    Namespace,
    "namespace"
);
name!(
    /// The name of one stream of a log.
    Stream,
    "stream"
);
name!(
    /// The id of one log entry, unique within its stream.
    EntryId,
    "entry"
);
name!(
    /// What one turn of an agent wrote carries the same turn.
    Turn,
    "turn"
);
name!(
    /// Names one commit, so that repeating it is harmless.
    OperationId,
    "operation"
);

impl Default for Namespace {
    fn default() -> Self {
        Self("default".into())
    }
}

impl Stream {
    /// A stream name that nobody has used: the kind of thing it holds, then a time-ordered UUID.
    pub fn unique(kind: &str) -> Self {
        Self(format!("{kind}_{}", uuid::Uuid::now_v7().simple()).into())
    }
}

impl Turn {
    /// A turn that nobody has used.
    pub fn unique() -> Self {
        Self(format!("turn_{}", uuid::Uuid::now_v7().simple()).into())
    }
}

impl OperationId {
    /// An operation id that nobody has used.
    pub fn unique() -> Self {
        Self(uuid::Uuid::now_v7().to_string().into())
    }
}

/// Sorts before every character that a part may hold, so joined parts sort as tuples do.
const SEPARATOR: char = '\u{1f}';

/// The key of a record: its table, and 1 to 4 parts.
#[derive(Clone)]
pub struct Key {
    table: &'static Table,
    encoded: Arc<str>,
}

impl Key {
    /// The key of `parts` in `table`: as many parts as the table declares, each at most 255
    /// bytes without control characters, the first not empty.
    ///
    /// # Errors
    /// `InvalidId` for a part that breaks the rule, `InvalidInput` for the wrong number of parts.
    pub fn new<const N: usize>(table: &'static Table, parts: [&str; N]) -> Result<Self> {
        Self::from_parts(table, &parts)
    }

    /// As [`new`](Self::new), for a number of parts known only at run time.
    pub fn from_parts(table: &'static Table, parts: &[&str]) -> Result<Self> {
        if parts.len() != table.key.len() {
            let message = format!(
                "a key of {} has {} part(s), not {}",
                table.name,
                table.key.len(),
                parts.len()
            );
            return Err(Error::new(Kind::InvalidInput, message));
        }
        for (i, (part, name)) in parts.iter().zip(table.key).enumerate() {
            if i == 0 || !part.is_empty() {
                check_id(name, part)?;
            }
        }
        let encoded = match parts {
            [one] => (*one).into(),
            parts => parts.join("\u{1f}").into(),
        };
        Ok(Self { table, encoded })
    }

    /// The table.
    pub fn table(&self) -> &'static Table {
        self.table
    }

    /// The parts, in the order that the table declares.
    pub fn parts(&self) -> impl Iterator<Item = &str> {
        self.encoded.split(SEPARATOR)
    }

    /// The first part.
    pub fn first(&self) -> &str {
        self.parts().next().unwrap_or_default()
    }

    /// The parts in one text whose byte order is the order of the tuples, and from which the
    /// parts can be had back ([`decode`](Self::decode)). All drivers use this one encoding.
    pub fn encoded(&self) -> &str {
        &self.encoded
    }

    /// The key that [`encoded`](Self::encoded) gave.
    ///
    /// # Errors
    /// As for [`new`](Self::new).
    pub fn decode(table: &'static Table, encoded: &str) -> Result<Self> {
        let parts: Vec<&str> = encoded.split(SEPARATOR).collect();
        Self::from_parts(table, &parts)
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.encoded == other.encoded
            && (std::ptr::eq(self.table, other.table) || self.table.name == other.table.name)
    }
}

impl Eq for Key {}

impl std::hash::Hash for Key {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.table.name.hash(state);
        self.encoded.hash(state);
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        // Mostly both are of one table, and the address says so.
        let tables = if std::ptr::eq(self.table, other.table) {
            std::cmp::Ordering::Equal
        } else {
            self.table.name.cmp(other.table.name)
        };
        tables.then_with(|| self.encoded.cmp(&other.encoded))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.table.name)?;
        self.parts().try_for_each(|part| write!(f, " {part:?}"))
    }
}
