//! The commands; the folders are the command tree.

mod capabilities;
mod check;
mod containers;
mod copy;
mod demo;
pub(crate) mod events;
mod export;
mod held;
mod images;
mod import;
mod init;
mod listing;
mod manual;
mod namespaces;
mod restored;
mod runs;
mod schema;
mod sessions;
mod stats;
mod transcripts;
mod why;

use std::process::ExitCode;

use agentkeep::{Kind, Result, Store};

use crate::args::{self, Args, Command, Containers, Global, Images, Sessions};

/// What a command answers: most end with success or an error, `check` also with a verdict.
pub(crate) type Outcome = Result<ExitCode>;

/// Runs the command that was written.
pub(crate) async fn run(args: Args) -> Outcome {
    let global = args.global;
    match args.command {
        Command::Import(args) => import::run(&global, args).await,
        Command::Init => init::run(&global).await,
        Command::Copy(args) => copy::run(&global, &args).await,
        Command::Export(args) => export::run(&global, &args).await,
        Command::Events(args) => events::run(&global, &args).await,
        Command::Runs(args) => runs::run(&global, &args).await,
        Command::Transcripts(args) => transcripts::run(&global, &args).await,
        Command::Capabilities(args) => capabilities::run(&global, &args).await,
        Command::Why { session, message } => why::run(&global, &session, &message).await,
        Command::Namespaces(args) => namespaces::run(&global, &args).await,
        Command::Schema(args) => schema::run(&global, &args).await,
        Command::Completions { shell } => manual::completions(shell),
        Command::Man => manual::man(),
        Command::Stats => stats::run(&global).await,
        Command::Check => check::run(&global).await,
        Command::Restored => restored::run(&global).await,
        Command::Containers(Containers::List(args)) => containers::list::run(&global, &args).await,
        Command::Images(Images::List(args)) => images::list::run(&global, &args).await,
        Command::Sessions(Sessions::List(args)) => sessions::list::run(&global, &args).await,
        Command::Sessions(Sessions::Show(args)) => sessions::show::run(&global, &args).await,
        Command::Demo(args) => demo::run(&global, args).await,
        Command::DemoRunner(args) => demo::runner::run(&global, &args).await,
        Command::DemoWriter(args) => demo::writer::run(&global, &args).await,
    }
}

/// The store and namespace that the options name; made when it is not there.
async fn open(global: &Global) -> Result<Store> {
    open_url(global, &global.store).await
}

/// The store, for commands that only read: a mistyped name must not make an empty store, which
/// would then be found sound.
async fn open_existing(global: &Global) -> Result<Store> {
    let url = &global.store;
    let kept = ["sqlite:", "file:", "postgres:", "postgresql:", "redis:", "rediss:"];
    let kept = kept.iter().any(|scheme| url.starts_with(scheme));
    let query = url.split_once('?').map_or("", |(_, query)| query);
    if !kept || query.split('&').any(|option| option == "create" || option.starts_with("create=")) {
        return open(global).await;
    }
    let separator = if url.contains('?') { '&' } else { '?' };
    let opened = open_url(global, &format!("{url}{separator}create=no")).await;
    opened.map_err(|error| match error.kind() {
        Kind::NotFound if error.message() == "there is no store" => {
            error.advice("import something first, or name another with --store")
        }
        _ => error,
    })
}

/// As [`open_existing`]: the namespace that was named must be there, too. The default one may be made
/// by whoever writes first.
async fn open_namespace(global: &Global) -> Result<Store> {
    let store = open_existing(global).await?;
    if global.namespace != args::DEFAULT_NAMESPACE {
        namespaces::existing(&store, &global.namespace).await?;
    }
    Ok(store)
}

async fn open_url(global: &Global, url: &str) -> Result<Store> {
    // Before the store is opened, and perhaps made: a wrong name should leave nothing behind.
    agentkeep::schema::Namespace::new(&global.namespace)?;
    let store = Store::open(url).await?;
    global.opened.add(&store);
    store.namespace(&global.namespace)
}
