//! The scripts that run on the server. They are always the same: what comes from outside is only
//! ever an argument.

/// A script and what the server knows it by.
#[derive(Debug)]
pub(super) struct Script {
    pub(super) text: &'static str,
    pub(super) sha: String,
}

impl Script {
    fn new(text: &'static str) -> Self {
        Self { text, sha: redis::Script::new(text).get_hash().to_owned() }
    }
}

/// All of them; those that only read say so to the server.
#[derive(Debug)]
pub(super) struct Scripts {
    pub(super) append: Script,
    pub(super) commit: Script,
    pub(super) copy: Script,
    pub(super) find: Script,
    pub(super) get: Script,
    pub(super) ids: Script,
    pub(super) names: Script,
    pub(super) open: Script,
    pub(super) probe: Script,
    pub(super) read: Script,
    pub(super) resolve: Script,
    pub(super) turn: Script,
}

impl Scripts {
    pub(super) fn new() -> Self {
        Self {
            append: Script::new(include_str!("lua/append.lua")),
            commit: Script::new(include_str!("lua/commit.lua")),
            copy: Script::new(include_str!("lua/copy.lua")),
            find: Script::new(include_str!("lua/find.lua")),
            get: Script::new(include_str!("lua/get.lua")),
            ids: Script::new(include_str!("lua/ids.lua")),
            names: Script::new(include_str!("lua/names.lua")),
            open: Script::new(include_str!("lua/open.lua")),
            probe: Script::new(include_str!("lua/probe.lua")),
            read: Script::new(include_str!("lua/read.lua")),
            resolve: Script::new(include_str!("lua/resolve.lua")),
            turn: Script::new(include_str!("lua/turn.lua")),
        }
    }
}
