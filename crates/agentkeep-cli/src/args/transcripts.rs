//! `transcripts ...`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::ListArgs;

/// `transcripts ...`.
#[derive(Debug, Subcommand)]
pub(crate) enum Transcripts {
    /// List threads, the one written last first.
    #[command(after_help = "Example:\n  agentkeep transcripts list")]
    List {
        #[command(flatten)]
        list: ListArgs,
    },
    /// Show a thread.
    #[command(after_help = "Example:\n  agentkeep transcripts show THREAD --last 20\n  agentkeep \
                            transcripts show THREAD --follow")]
    Show(Show),
    /// Write a thread as lines of JSON, which Agentry Lab reads.
    #[command(after_help = "Example:\n  agentkeep transcripts export THREAD thread.jsonl\n  \
                            agentkeep transcripts export THREAD | wc -l")]
    Export {
        /// The thread.
        thread: String,
        /// The file to write [default: stdout]
        file: Option<PathBuf>,
        /// Replace a file that is there.
        #[arg(long)]
        yes: bool,
    },
}

/// `transcripts show`.
#[derive(Debug, Args)]
pub(crate) struct Show {
    /// The thread.
    pub(crate) thread: String,
    /// Only the last so many entries.
    #[arg(long, value_name = "N")]
    pub(crate) last: Option<u64>,
    /// Go on with new entries as they come, also from other processes; with --json one a line.
    #[arg(long, short)]
    pub(crate) follow: bool,
    /// Exact times, and texts in full.
    #[arg(long)]
    pub(crate) long: bool,
}
