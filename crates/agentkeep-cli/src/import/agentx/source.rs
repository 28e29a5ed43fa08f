//! What all forms of AgentX data give: a list of values, and the bytes of each.

use std::fmt::Debug;
use std::io::Read;

use agentkeep::Result;

use crate::import::report::List;
use crate::import::scratch::Scratch;

/// The kinds of values that are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sort {
    Container,
    Image,
    Session,
    Prototype,
    Provider,
    Messages,
}

impl Sort {
    /// The first part of their keys.
    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::Container => "containers",
            Self::Image => "images",
            Self::Session => "sessions",
            Self::Prototype => "prototypes",
            Self::Provider => "llm-providers",
            Self::Messages => "messages",
        }
    }
}

pub(crate) const SORTS: [Sort; 6] =
    [Sort::Container, Sort::Image, Sort::Session, Sort::Prototype, Sort::Provider, Sort::Messages];

/// The bytes of one value, or why there are none.
pub(crate) type Bytes<'a> = Result<Box<dyn Read + 'a>, String>;

/// AgentX data in one of its forms.
pub(crate) trait Source: Debug {
    /// What it was recognised as.
    fn form(&self) -> &'static str;

    /// Lists all values, and notes what else is there.
    fn list(&self, into: &Catalogue<'_>) -> Result<()>;

    /// The bytes of a value that was listed, with what was told of it then.
    fn open(&self, place: &str, at: i64, bytes: i64) -> Result<Bytes<'_>>;

    /// Where the value of this sort and id belongs, if values have keys of their own.
    fn home(&self, sort: Sort, id: &str) -> Option<String>;

    /// Where the messages of a session stand, whether there are any or not.
    fn place_of_messages(&self, session: &str) -> String;
}

/// Takes the list of a source's values.
#[derive(Debug)]
pub(crate) struct Catalogue<'a> {
    pub(crate) scratch: &'a Scratch,
}

impl Catalogue<'_> {
    /// A value at a place; `at` is for the form to find it again, and its size.
    pub(crate) fn value(&self, sort: Sort, place: &str, at: i64, bytes: i64) -> Result<()> {
        let sql = "INSERT INTO value(sort, place, at, bytes) VALUES (?1, ?2, ?3, ?4)";
        self.scratch.run(sql, (sort as i64, place, at, bytes)).map(|_| ())
    }

    /// A value whose kind is told by its key.
    pub(crate) fn keyed(&self, key: &str, at: i64, bytes: i64) -> Result<()> {
        match SORTS.into_iter().find(|sort| is_of(key, sort.key())) {
            Some(sort) => self.value(sort, key, at, bytes),
            // Indexes are redundant and can be stale: they are made anew from the records.
            None if is_of(key, "idx") => Ok(()),
            None => self.other(key, "not one of the kinds that are taken"),
        }
    }

    /// Of message lists with one key, none can be told to be the right one: they are nobody's.
    pub(crate) fn only_once(&self) -> Result<()> {
        let mut twice = Vec::new();
        let sql = "SELECT place FROM value WHERE sort = ?1 GROUP BY place HAVING count(*) > 1";
        let sort = Sort::Messages as i64;
        self.scratch.each(
            sql,
            [sort],
            |row| row.get::<_, String>(0),
            |place| {
                twice.push(place);
                Ok(())
            },
        )?;
        for place in twice {
            let sql = "DELETE FROM value WHERE sort = ?1 AND place = ?2";
            self.scratch.run(sql, (sort, &place))?;
            self.other(&place, "the same key stands there twice")?;
        }
        Ok(())
    }

    /// Something that is not taken.
    pub(crate) fn other(&self, place: &str, reason: &str) -> Result<()> {
        self.scratch.note(List::NotTaken, place, reason)
    }
}

/// Whether a key is one of AgentX's.
pub(crate) fn is_known(key: &str) -> bool {
    is_of(key, "idx") || SORTS.into_iter().any(|sort| is_of(key, sort.key()))
}

/// Whether a key has this first part; alone it stands for ids of which nothing is left.
fn is_of(key: &str, name: &str) -> bool {
    key.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
}

/// The key of a value, as AgentX makes it: cut at the first `?`, `/` and `\` to `:`, runs of `:`
/// to one, one dropped at either end.
pub(crate) fn key_of(sort: Sort, id: &str) -> String {
    normalised(&format!("{}:{id}", sort.key()))
}

pub(crate) fn normalised(key: &str) -> String {
    let key = key.split('?').next().unwrap_or_default();
    let mut out = String::with_capacity(key.len());
    for c in key.chars() {
        let c = if matches!(c, '/' | '\\') { ':' } else { c };
        if c != ':' || !out.ends_with(':') {
            out.push(c);
        }
    }
    let out = out.strip_prefix(':').unwrap_or(&out);
    out.strip_suffix(':').unwrap_or(out).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_normalised_as_agentx_does() {
        for (id, expected) in [
            ("q?one", "messages:q"),
            ("a/b\\c", "messages:a:b:c"),
            ("a//b::c", "messages:a:b:c"),
            (":x", "messages:x"),
            ("x:", "messages:x"),
            ("x::", "messages:x"),
            ("?", "messages"),
            ("a b%2F", "messages:a b%2F"),
        ] {
            assert_eq!(key_of(Sort::Messages, id), expected, "{id}");
        }
    }
}
