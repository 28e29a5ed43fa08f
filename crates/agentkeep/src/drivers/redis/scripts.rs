//! The scripts that run on the server. They are always the same: what comes from outside is only
//! ever an argument.

use std::borrow::Cow;

/// A script and what the server knows it by.
#[derive(Debug)]
pub(super) struct Script {
    pub(super) text: Cow<'static, str>,
    pub(super) sha: String,
}

impl Script {
    fn new(text: impl Into<Cow<'static, str>>) -> Self {
        let text = text.into();
        let sha = redis::Script::new(&text).get_hash().to_owned();
        Self { text, sha }
    }

    /// The same script for a server whose memory is full, which refuses it otherwise.
    fn when_full(text: &str) -> Self {
        Self::new(text.replacen("#!lua\n", "#!lua flags=allow-oom\n", 1))
    }
}

/// A script that only reads, of what is there, and of a copy: that is called with one key more, which goes
/// with the copy. What has gone is not empty.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) script: Script,
    pub(super) of_copy: Script,
}

/// The first line of scripts that only read,
const NO_WRITES: &str = "#!lua flags=no-writes\n";
/// and the second of those that read a copy.
const OF_COPY: &str = "if redis.call('EXISTS', table.remove(KEYS)) == 0 then \
                       return redis.error_reply('GONE the snapshot has gone') end\n";

impl Reading {
    fn new(text: &'static str) -> Self {
        let rest = text.strip_prefix(NO_WRITES).unwrap_or(text);
        let of_copy = [NO_WRITES, OF_COPY, rest].concat();
        Self { script: Script::new(text), of_copy: Script::new(of_copy) }
    }
}

/// All of them; those that only read say so to the server.
#[derive(Debug)]
pub(super) struct Scripts {
    pub(super) append: Script,
    pub(super) command: Reading,
    pub(super) commit: Script,
    /// For what gives more back than it takes, when memory is full.
    pub(super) commit_when_full: Script,
    pub(super) copy: Script,
    /// Prolongs or removes a copy.
    pub(super) copied: Script,
    pub(super) find: Reading,
    pub(super) get: Reading,
    pub(super) ids: Reading,
    pub(super) names: Script,
    pub(super) open: Script,
    pub(super) probe: Script,
    pub(super) read: Reading,
    pub(super) resolve: Script,
    pub(super) turn: Reading,
}

impl Scripts {
    pub(super) fn new() -> Self {
        let (commit, copy) = (include_str!("lua/commit.lua"), include_str!("lua/copy.lua"));
        let tight = commit.replacen("full, grown, NOTES = false", "full, grown, NOTES = true", 1);
        Self {
            append: Script::new(include_str!("lua/append.lua")),
            command: Reading::new(include_str!("lua/command.lua")),
            commit: Script::new(commit),
            commit_when_full: Script::when_full(&tight),
            copy: Script::new(copy),
            copied: Script::when_full(copy),
            find: Reading::new(include_str!("lua/find.lua")),
            get: Reading::new(include_str!("lua/get.lua")),
            ids: Reading::new(include_str!("lua/ids.lua")),
            names: Script::new(include_str!("lua/names.lua")),
            open: Script::new(include_str!("lua/open.lua")),
            probe: Script::new(include_str!("lua/probe.lua")),
            read: Reading::new(include_str!("lua/read.lua")),
            resolve: Script::new(include_str!("lua/resolve.lua")),
            turn: Reading::new(include_str!("lua/turn.lua")),
        }
    }
}
