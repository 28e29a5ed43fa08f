//! What can be written on the command line.

pub(crate) mod capabilities;
pub(crate) mod events;
pub(crate) mod import;
pub(crate) mod runs;
pub(crate) mod transcripts;

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand};

use crate::opened::Opened;

/// The namespace that is meant when none is named.
pub(crate) const DEFAULT_NAMESPACE: &str = "default";

/// Keeps what an AI agent must not lose: look at it, check it, import it.
#[derive(Debug, Parser)]
#[command(
    name = "agentkeep",
    version,
    arg_required_else_help = true,
    max_term_width = 100,
    after_help = "Example:\n  agentkeep demo\n  agentkeep import agentx ./data/agentx.db\n  agentkeep sessions list"
)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Debug, Clone, ClapArgs)]
#[command(next_help_heading = "Options of every command")]
pub(crate) struct Global {
    /// Where the store is.
    #[arg(
        long,
        help = "The store, for example sqlite:./keep.db [default: sqlite:, which is \
                $AGENTKEEP_DIR/data/keep.db or ~/.agentkeep/data/keep.db]",
        value_name = "URL",
        global = true,
        env = "AGENTKEEP_STORE",
        hide_env_values = true,
        default_value = "sqlite:",
        hide_default_value = true
    )]
    pub(crate) store: String,
    /// The tenant, user or project whose things are meant.
    #[arg(long, value_name = "NAME", global = true, default_value = DEFAULT_NAMESPACE)]
    pub(crate) namespace: String,
    /// Answer with one JSON document; a failure is one on stderr.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Tell the causes of a failure, a line each.
    #[arg(short, long, global = true)]
    pub(crate) verbose: bool,
    /// The stores that the command has opened.
    #[arg(skip)]
    pub(crate) opened: Opened,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Take in what other programs have kept, or take an import back.
    #[command(after_help = "Example:\n  agentkeep import agentx ./data/agentx.db --dry-run\n  \
                      agentkeep import --undo IMPORT")]
    Import(import::Import),
    /// Make the store, if it is not there yet.
    #[command(after_help = "Example:\n  agentkeep init --store sqlite:./keep.db")]
    Init,
    /// Write what is kept in AgentX's backup form, which `import agentx` reads.
    #[command(
        after_help = "All of it is from one moment, also while others write.\n\nExample:\n  \
                      agentkeep export backup.json\n  agentkeep export | gzip > backup.json.gz"
    )]
    Export(Export),
    /// Copy into another store, on whatever database that is.
    #[command(
        after_help = "Ids, contents, numbers and attachments stay the same. Events have the time of the \
                      copy; consumers stay where they were, but a cursor that a program has kept is good \
                      for the store that it came from only. Each namespace is of one moment, and comes \
                      all or not at all; after an interruption the same command with --keep goes \
                      on.\n\nExample:\n  agentkeep copy file:./copy\n  agentkeep copy \
                      sqlite:./acme.db acme"
    )]
    Copy(Copy),
    /// How much is kept, where, and how safely.
    #[command(after_help = "Example:\n  agentkeep stats --json")]
    Stats,
    /// Look for damage and unfinished work; exit 1 on damage.
    #[command(after_help = "Example:\n  agentkeep check && echo sound")]
    Check,
    /// Tell the store that it has been put back from a backup.
    #[command(
        after_help = "Cursors of events that the restore took back are refused from then on, and not taken \
                      for those of the new events with their numbers. To be said once, after the restore and \
                      before anything is published.\n\nExample:\n  agentkeep restored"
    )]
    Restored,
    /// Containers: the isolation boundaries that images are in.
    #[command(subcommand, after_help = "Example:\n  agentkeep containers list")]
    Containers(Containers),
    /// Images: the agents' definitions.
    #[command(subcommand, after_help = "Example:\n  agentkeep images list --name Helper")]
    Images(Images),
    /// Sessions: the conversations.
    #[command(subcommand, after_help = "Example:\n  agentkeep sessions show SESSION --last 20")]
    Sessions(Sessions),
    /// Events: topics that are published to, followed and acknowledged.
    #[command(
        subcommand,
        after_help = "Example:\n  agentkeep events tail chat/17 --consumer laptop --ack"
    )]
    Events(events::Events),
    /// Capabilities: what agents were and could do, turn by turn.
    #[command(subcommand, after_help = "Example:\n  agentkeep capabilities lineage SESSION")]
    Capabilities(capabilities::Capabilities),
    /// Why a message was written: what its turn saw, could do, did and published.
    #[command(after_help = "Example:\n  agentkeep why SESSION MESSAGE")]
    Why {
        /// The session.
        session: String,
        /// The message's id.
        message: String,
    },
    /// Runs: what agents are in the middle of, or have done.
    #[command(subcommand, after_help = "Example:\n  agentkeep runs list --abandoned")]
    Runs(runs::Runs),
    /// Transcripts: what happened in a thread, in order.
    #[command(subcommand, after_help = "Example:\n  agentkeep transcripts show THREAD --follow")]
    Transcripts(transcripts::Transcripts),
    /// Namespaces: the tenants, users or projects that share the store.
    #[command(subcommand, after_help = "Example:\n  agentkeep namespaces list")]
    Namespaces(Namespaces),
    /// The store's tables, indexes and format.
    #[command(subcommand, after_help = "Example:\n  agentkeep schema print")]
    Schema(Schema),
    /// Completions for a shell, to be put where it looks for them.
    #[command(after_help = "Example:\n  agentkeep completions bash > \
                      ~/.local/share/bash-completion/completions/agentkeep\n  agentkeep completions \
                      zsh > ~/.zfunc/_agentkeep\n  agentkeep completions fish > \
                      ~/.config/fish/completions/agentkeep.fish")]
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// The manual page, as `man` reads it.
    #[command(after_help = "Example:\n  agentkeep man > agentkeep.1")]
    Man,
    /// Show the promises on real data: import, kill -9, reopen, fork.
    #[command(after_help = "Example:\n  agentkeep demo --dir ./demo")]
    Demo(Demo),
    /// The process that the demo kills.
    #[command(hide = true)]
    DemoWriter(DemoWriter),
    /// The agent that the demo kills and begins again.
    #[command(hide = true)]
    DemoRunner(DemoRunner),
}

/// `copy`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Copy {
    /// The store to copy into, made if it is not there: postgres://..., redis://..., sqlite:..., file:...
    #[arg(value_name = "URL")]
    pub(crate) to: String,
    /// Only these namespaces.
    #[arg(value_name = "NAMESPACE")]
    pub(crate) namespaces: Vec<String>,
    /// Leave namespaces that are there already as they are, instead of refusing to begin.
    #[arg(long)]
    pub(crate) keep: bool,
}

/// `containers ...`.
#[derive(Debug, Subcommand)]
pub(crate) enum Containers {
    /// List containers, newest first.
    #[command(after_help = "Example:\n  agentkeep containers list --long")]
    List(ListContainers),
}

/// `images ...`.
#[derive(Debug, Subcommand)]
pub(crate) enum Images {
    /// List images, newest first.
    #[command(after_help = "Example:\n  agentkeep images list --container default")]
    List(ListImages),
}

/// `sessions ...`.
#[derive(Debug, Subcommand)]
pub(crate) enum Sessions {
    /// List sessions, newest first.
    #[command(after_help = "Example:\n  agentkeep sessions list --image IMAGE --limit 10")]
    List(ListSessions),
    /// Show a conversation.
    #[command(after_help = "Example:\n  agentkeep sessions show SESSION --last 20")]
    Show(ShowSession),
}

/// What all lists have.
#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct ListArgs {
    /// At most so many [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) limit: Option<u64>,
    /// Exact times, and texts in full.
    #[arg(long)]
    pub(crate) long: bool,
}

/// `containers list`.
#[derive(Debug, ClapArgs)]
pub(crate) struct ListContainers {
    #[command(flatten)]
    pub(crate) list: ListArgs,
}

/// `images list`.
#[derive(Debug, ClapArgs)]
pub(crate) struct ListImages {
    /// Only those in exactly this container.
    #[arg(long, value_name = "ID")]
    pub(crate) container: Option<String>,
    /// Only those with exactly this name.
    #[arg(long, value_name = "N")]
    pub(crate) name: Option<String>,
    /// Only those with this tag.
    #[arg(long, value_name = "T")]
    pub(crate) tag: Option<String>,
    #[command(flatten)]
    pub(crate) list: ListArgs,
}

/// `sessions list`.
#[derive(Debug, ClapArgs)]
pub(crate) struct ListSessions {
    /// Only those in exactly this container.
    #[arg(long, value_name = "ID")]
    pub(crate) container: Option<String>,
    /// Only those of exactly this image.
    #[arg(long, value_name = "ID")]
    pub(crate) image: Option<String>,
    /// Only those with this tag.
    #[arg(long, value_name = "T")]
    pub(crate) tag: Option<String>,
    #[command(flatten)]
    pub(crate) list: ListArgs,
}

/// `sessions show`.
#[derive(Debug, ClapArgs)]
pub(crate) struct ShowSession {
    /// The session.
    pub(crate) id: String,
    /// Only the last so many messages.
    #[arg(long, value_name = "N")]
    pub(crate) last: Option<u64>,
    /// Go on with new messages as they come, also from other processes; with --json one a line.
    #[arg(long, short)]
    pub(crate) follow: bool,
    /// Only messages in which this text stands, in upper or lower case.
    #[arg(long, short, value_name = "TEXT", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(crate) grep: Option<String>,
    /// With --grep, also so many messages before and after.
    #[arg(long, short = 'C', value_name = "N", requires = "grep", default_value_t = 0)]
    pub(crate) context: u64,
    /// Exact times, and texts in full.
    #[arg(long)]
    pub(crate) long: bool,
}

/// `export`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Export {
    /// The file to write [default: stdout]
    pub(crate) file: Option<PathBuf>,
    /// Replace a file that is there.
    #[arg(long)]
    pub(crate) yes: bool,
}

/// `namespaces ...`.
#[derive(Debug, Subcommand)]
pub(crate) enum Namespaces {
    /// List namespaces, by name.
    #[command(after_help = "Example:\n  agentkeep namespaces list --json")]
    List(ListNamespaces),
    /// What is told of a namespace, and how much it holds.
    #[command(after_help = "Example:\n  agentkeep namespaces show default")]
    Show {
        /// The namespace.
        name: String,
    },
    /// Make a namespace. The first write makes one, too.
    #[command(after_help = "Example:\n  agentkeep namespaces create acme --title \"Acme Inc.\"")]
    Create {
        /// The namespace.
        name: String,
        #[command(flatten)]
        told: Told,
        /// A tag.
        #[arg(long, value_name = "TAG")]
        tag: Vec<String>,
    },
    /// Give a namespace another name. Interrupted, it goes on when asked again.
    #[command(after_help = "Until it is done, the old one can only be read.\n\nExample:\n  \
                            agentkeep namespaces rename acme acme-inc")]
    Rename(TwoNames),
    /// Copy a namespace with all that is in it. Interrupted, it goes on when asked again.
    #[command(after_help = "Example:\n  agentkeep namespaces fork acme acme-test")]
    Fork(TwoNames),
    /// Change what is told of a namespace: tags, title, metadata.
    #[command(after_help = "Example:\n  agentkeep namespaces tag acme paying --remove trial \
                            --set plan=\"pro\"")]
    Tag {
        /// The namespace.
        name: String,
        #[command(flatten)]
        told: Told,
        /// Tags to add.
        tags: Vec<String>,
        /// A tag to take away.
        #[arg(long, value_name = "TAG")]
        remove: Vec<String>,
    },
    /// Delete a namespace with all that is in it. Interrupted, it goes on when asked again.
    #[command(after_help = "Says what it would delete, unless --yes is given.\n\nExample:\n  \
                            agentkeep namespaces delete acme-test --yes")]
    Delete(Doomed),
    /// Delete a namespace so that its content is gone from the store's files, too.
    #[command(after_help = "Says what it would erase, unless --yes is given.\n\nExample:\n  \
                            agentkeep namespaces erase acme-test --yes")]
    Erase(Doomed),
}

/// `namespaces list`.
#[derive(Debug, ClapArgs)]
pub(crate) struct ListNamespaces {
    #[command(flatten)]
    pub(crate) list: ListArgs,
}

/// What can be told of a namespace.
#[derive(Debug, ClapArgs)]
pub(crate) struct Told {
    /// Its title.
    #[arg(long, value_name = "TEXT")]
    pub(crate) title: Option<String>,
    /// A member of its metadata; the value is JSON, or else a text.
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
}

/// `namespaces rename`, `namespaces fork`.
#[derive(Debug, ClapArgs)]
pub(crate) struct TwoNames {
    /// The namespace.
    pub(crate) from: String,
    /// The new name.
    pub(crate) to: String,
}

/// `namespaces delete`, `namespaces erase`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Doomed {
    /// The namespace.
    pub(crate) name: String,
    /// Do it.
    #[arg(long)]
    pub(crate) yes: bool,
}

/// `schema ...`.
#[derive(Debug, Subcommand)]
pub(crate) enum Schema {
    /// The tables, fields, indexes and logs of this version; for a server, the SQL that makes them.
    #[command(
        after_help = "Needs no store, and connects to none: a role that may not create lets \
                            its owner run the SQL.\n\nExample:\n  agentkeep schema print --json\n  \
                            agentkeep schema print --sql 'postgres://me@host/db?schema=keep' > keep.sql"
    )]
    Print(SchemaPrint),
    /// Bring a store of an older format up to date, in one commit.
    #[command(after_help = "Every command does so when it opens a store, unless its URL says \
                            upgrade=no.\n\nExample:\n  agentkeep schema upgrade")]
    Upgrade,
}

/// `schema print`.
#[derive(Debug, ClapArgs)]
pub(crate) struct SchemaPrint {
    /// The SQL for the store of this URL, or for a driver: `postgres`.
    #[arg(long, value_name = "URL", alias = "driver")]
    pub(crate) sql: Option<String>,
    /// Only what brings a store of this format up to date.
    #[arg(long, value_name = "FORMAT", default_value_t = 0, requires = "sql")]
    pub(crate) from: u32,
}

/// `demo`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Demo {
    /// The folder for the demo's store [default: a new temporary folder]
    #[arg(long, value_name = "FOLDER")]
    pub(crate) dir: Option<PathBuf>,
}

/// `demo-runner`.
#[derive(Debug, ClapArgs)]
pub(crate) struct DemoRunner {
    /// The run.
    pub(crate) run: String,
    /// The step in whose middle it waits to be killed.
    #[arg(long)]
    pub(crate) stay_at: Option<u64>,
}

/// `demo-writer`.
#[derive(Debug, ClapArgs)]
pub(crate) struct DemoWriter {
    /// The session to add to.
    pub(crate) session: String,
    /// How many add at once.
    pub(crate) writers: u32,
}

impl Command {
    /// Whether it reads one moment, which some stores keep aside until they are told that it is over.
    pub(crate) fn holds_a_moment(&self) -> bool {
        let namespaces =
            matches!(self, Self::Namespaces(Namespaces::Rename(_) | Namespaces::Fork(_)));
        namespaces || matches!(self, Self::Export(_) | Self::Copy(_) | Self::Check)
    }

    /// What there is to say when it is interrupted; `None` where ending it is the usual thing.
    pub(crate) fn after_interruption(&self) -> Option<&'static str> {
        let again = "ask again to go on; agentkeep check tells what is due";
        Some(match self {
            Self::Sessions(Sessions::Show(ShowSession { follow: true, .. }))
            | Self::Events(events::Events::Tail(events::Tail { follow: true, .. }))
            | Self::Transcripts(transcripts::Transcripts::Show(transcripts::Show {
                follow: true,
                ..
            })) => return None,
            Self::Events(events::Events::Publish(_)) => {
                "what a cursor was answered for is published"
            }
            Self::Namespaces(
                Namespaces::Rename(_)
                | Namespaces::Fork(_)
                | Namespaces::Delete(_)
                | Namespaces::Erase(_),
            ) => again,
            Self::Import(_) => "all has been taken in, or nothing; import again to be sure",
            Self::Copy(_) => {
                "what is not whole does not show; the same command with --keep goes on"
            }
            Self::Export(_) | Self::Transcripts(transcripts::Transcripts::Export { .. }) => {
                "no file was written; export again"
            }
            Self::Demo(_) | Self::DemoWriter(_) | Self::DemoRunner(_) => {
                "the demo's folder stays; begin again in another"
            }
            _ => "nothing is half done; begin again",
        })
    }
}
