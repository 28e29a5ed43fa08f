//! What both forms of AgentX data give.

use std::fmt::Debug;

use agentkeep::Result;

use crate::import::report::Note;

/// The records, message lists aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sort {
    Container,
    Image,
    Session,
}

/// One value of the source.
#[derive(Debug, Clone)]
pub(crate) struct Value {
    /// Where it stands.
    pub(crate) place: String,
    /// Its JSON text, not looked at yet; or why there is none.
    pub(crate) text: Result<String, String>,
}

/// AgentX data in one of its forms.
pub(crate) trait Source: Debug {
    /// What it was recognised as.
    fn form(&self) -> &'static str;

    /// All records of a sort.
    fn records(&self, sort: Sort) -> Result<Vec<Value>>;

    /// Where the record of this id belongs.
    fn place_of(&self, sort: Sort, id: &str) -> Option<String>;

    /// Where the messages of a session stand, whether there are any or not.
    fn place_of_messages(&self, session: &str) -> String;

    /// The places of all message lists.
    fn all_messages(&self) -> Vec<String>;

    /// The message list at a place; `None` when there is none.
    fn messages(&self, place: &str) -> Result<Option<Value>>;

    /// What else is there and is not taken.
    fn others(&self) -> Vec<Note>;
}
