//! What a load meets in the store, counted.

use serde::Serialize;

/// What a load does, or would do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Loaded {
    /// Containers.
    pub containers: Tally,
    /// Images.
    pub images: Tally,
    /// Sessions.
    pub sessions: Tally,
    /// Messages.
    pub messages: Tally,
    /// Definitions that are no images.
    pub definitions: Tally,
    /// Runs.
    pub runs: Tally,
    /// Threads of transcripts.
    pub threads: Tally,
    /// Entries of transcripts.
    pub entries: Tally,
}

/// How many of one kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Taken in.
    pub new: u64,
    /// There already, with the same content.
    pub unchanged: u64,
    /// There already, with other content: left alone.
    pub differing: u64,
}

/// What the store has of something that is to come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Met {
    /// Nothing.
    New,
    /// The same.
    Same,
    /// Something else.
    Other,
}

/// What an earlier, interrupted run of the same import has written is new and there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    Missing,
    Mine,
    Same,
    Other,
}

impl From<Found> for Met {
    fn from(found: Found) -> Self {
        match found {
            Found::Missing | Found::Mine => Self::New,
            Found::Same => Self::Same,
            Found::Other => Self::Other,
        }
    }
}

impl Tally {
    pub(super) fn count(&mut self, found: Found) {
        match Met::from(found) {
            Met::New => self.new += 1,
            Met::Same => self.unchanged += 1,
            Met::Other => self.differing += 1,
        }
    }
}
