//! `capabilities ...`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::ListArgs;

/// `capabilities ...`.
#[derive(Debug, Subcommand)]
pub(crate) enum Capabilities {
    /// List the agents, each as it was last registered.
    #[command(after_help = "Example:\n  agentkeep capabilities agents")]
    Agents {
        #[command(flatten)]
        list: ListArgs,
    },
    /// List the links of an agent, in the order in which they were recorded.
    #[command(after_help = "Example:\n  agentkeep capabilities links AGENT --limit 20")]
    Links {
        /// The agent.
        agent: String,
        #[command(flatten)]
        list: ListArgs,
    },
    /// Show a link, an envelope, or who used a hash and since when.
    #[command(after_help = "Example:\n  agentkeep capabilities show LINK\n  agentkeep \
                            capabilities show HASH")]
    Show {
        /// The id of a link or an envelope, or a hash.
        id: String,
    },
    /// Draw the links of a session, and how one led to another.
    #[command(after_help = "Example:\n  agentkeep capabilities lineage SESSION")]
    Lineage {
        /// The session.
        session: String,
    },
    /// Compare two links or envelopes: files of JSON, or ids of the store.
    #[command(after_help = "Exits with 0 whether or not they differ.\n\nExample:\n  agentkeep \
                            capabilities diff before.json after.json --label-a free --label-b \
                            pro\n  agentkeep capabilities diff LINK LINK --json")]
    Diff(Diff),
}

/// `capabilities diff`.
#[derive(Debug, Args)]
pub(crate) struct Diff {
    /// The first: a file, or the id of a link or an envelope.
    pub(crate) first: PathBuf,
    /// The second.
    pub(crate) second: PathBuf,
    /// What the first is called in the report [default: as given]
    #[arg(long, value_name = "NAME")]
    pub(crate) label_a: Option<String>,
    /// What the second is called in the report [default: as given]
    #[arg(long, value_name = "NAME")]
    pub(crate) label_b: Option<String>,
    /// Exit with 1 when the two differ: for CI.
    #[arg(long)]
    pub(crate) fail: bool,
}
