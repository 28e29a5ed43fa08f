//! `import ...`.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand};

/// `import ...`.
#[derive(Debug, ClapArgs)]
#[command(arg_required_else_help = true, args_conflicts_with_subcommands = true)]
pub(crate) struct Import {
    /// Take back what the import with this id has brought and nobody has changed since.
    #[arg(long, value_name = "ID")]
    pub(crate) undo: Option<String>,
    #[command(subcommand)]
    pub(crate) origin: Option<Origin>,
}

/// Where an import comes from.
#[derive(Debug, Subcommand)]
pub(crate) enum Origin {
    /// Take in an AgentX store in any of its forms, recognised by content: SQLite file, directory
    /// tree, JSON backup, Redis dump as JSON; its event queue; or a live PostgreSQL or Redis database.
    #[command(
        after_help = "Nothing is written to the source. All of it comes in, or nothing. Importing \
                      again changes nothing, and goes on after an interruption.\n\nA live database is \
                      named by its URL, as postgres://reader@host/database?schema=public, and read \
                      as it is at one moment; or as redis://reader@host/0?base=agentx (rediss: for TLS), \
                      whose values are read one after the other.\n\nExample:\n  \
                      agentkeep import agentx ./data/agentx.db\n  \
                      agentkeep import agentx ./backup.json --dry-run\n  \
                      agentkeep import agentx ./data/queue.db"
    )]
    Agentx(ImportAgentx),
    /// Take in Agentry Lab's transcripts. Its checkpoints are pickled and stay where they are.
    #[command(
        after_help = "Nothing is written to the source. All of it comes in, or nothing. Importing \
                      again takes what has been added since.\n\nExample:\n  \
                      agentkeep import agentrylab ./outputs\n  \
                      agentkeep import agentrylab ./outputs --dry-run"
    )]
    Agentrylab(ImportAgentrylab),
    /// Take in the snapshots of runs that dudko-dev/agent keeps in SQLite (`runs.db`).
    #[command(
        after_help = "Nothing is written to the source. All of it comes in, or nothing. Importing \
                      again changes nothing, and goes on after an interruption.\n\nExample:\n  \
                      agentkeep import runs ./runs.db\n  \
                      agentkeep import runs ./runs.db --dry-run"
    )]
    Runs(ImportRuns),
}

/// `import agentx`.
#[derive(Debug, ClapArgs)]
pub(crate) struct ImportAgentx {
    /// The SQLite file, folder, JSON backup, Redis dump or queue.db; or postgres://..., redis://...
    pub(crate) path: PathBuf,
    #[command(flatten)]
    pub(crate) how: ImportArgs,
}

/// `import agentrylab`.
#[derive(Debug, ClapArgs)]
pub(crate) struct ImportAgentrylab {
    /// The folder that it writes, with transcripts and checkpoints.db.
    pub(crate) dir: PathBuf,
    #[command(flatten)]
    pub(crate) how: ImportArgs,
}

/// `import runs`.
#[derive(Debug, ClapArgs)]
pub(crate) struct ImportRuns {
    /// The SQLite file.
    pub(crate) path: PathBuf,
    #[command(flatten)]
    pub(crate) how: ImportArgs,
}

/// What all imports have.
#[derive(Debug, ClapArgs)]
pub(crate) struct ImportArgs {
    /// Say what would come in, and write nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Leave what the store has with other content as it is, instead of refusing the import.
    #[arg(long)]
    pub(crate) keep: bool,
}
