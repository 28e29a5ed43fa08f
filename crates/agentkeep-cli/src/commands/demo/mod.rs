//! `demo`: the promises of the store, shown on real data.

mod account;
mod crash;
mod messages;
mod resume;
pub(crate) mod runner;
pub(crate) mod writer;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use agentkeep::{At, Error, Kind, Message, Result, Store};

use self::account::{Account, Forked};
use super::held::{self, Held};
use super::{Outcome, open};
use crate::args::{self, Global};
use crate::import::agentx;
use crate::import::report::Report;
use crate::import::stop::Stop;
use crate::import::take::Wish;
use crate::output::{self, io_error};

/// A data set that AgentX wrote.
const AGENTX: &[u8] =
    include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/formats/agentx/agentx.db"));
/// How many containers, images, sessions and messages it holds.
const HOLDS: [u64; 4] = [3, 8, 12, 604];
/// The conversation that goes on.
const SESSION: &str = "session_1769990400000_s0";
const FORK: &str = "what-if";

/// Shows it.
pub(crate) async fn run(global: &Global, args: args::Demo) -> Outcome {
    let folder = folder(args.dir)?;
    let global = Global { store: url(&folder.join("keep.db"))?, ..global.clone() };
    let talk = |text: String| if global.json { Ok(()) } else { output::print(&text) };
    talk(account::opening(&global.store))?;

    let (report, before) = import(&global, &folder).await?;
    talk(account::imported(&report))?;

    let crash = crash::run(&global, SESSION)?;
    talk(account::killed(&crash))?;

    let store = open(&global).await?;
    let survived = crash::verify(&store, SESSION, &before, &crash).await?;
    let check = store.check().await?;
    if !check.is_sound() {
        let what =
            check.damage.first().map_or(String::new(), |f| format!("{}: {}", f.place, f.what));
        return Err(broken(format!("check found damage ({what})")));
    }
    talk(account::survived(&survived, &check))?;

    let (forked, held) = fork(&store).await?;
    talk(account::forked(&forked))?;
    store.close().await?;

    let resumed = resume::run(&global).await?;
    talk(account::resumed(&resumed))?;
    let account = Account::new(&folder, &global, report, survived, check, forked, resumed, held);
    if global.json {
        output::print_json(&account)?;
    } else {
        talk(account.closing())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The demo found that something is not as promised.
fn broken(what: impl Into<String>) -> Error {
    Error::new(Kind::Corrupt, format!("the promise was NOT kept: {}", what.into()))
        .during("demo")
        .advice("please report this with the folder of the demo")
}

/// The folder for the store; it stays, to be looked at.
fn folder(given: Option<PathBuf>) -> Result<PathBuf> {
    let cannot = |error| io_error("the demo's folder cannot be made", error);
    let Some(folder) = given else {
        let folder =
            tempfile::Builder::new().prefix("agentkeep-demo-").tempdir().map_err(cannot)?;
        return Ok(folder.keep());
    };
    std::fs::create_dir_all(&folder).map_err(|e| cannot(e).at(folder.display().to_string()))?;
    if folder.join("keep.db").exists() {
        return Err(Error::new(
            Kind::AlreadyExists,
            "there is a store in the demo's folder already",
        )
        .at(folder.display().to_string())
        .advice("name another folder, or none for a temporary one"));
    }
    folder.canonicalize().map_err(|error| cannot(error).at(folder.display().to_string()))
}

/// The store URL of a file.
fn url(path: &Path) -> Result<String> {
    let path = path.to_str().ok_or_else(|| {
        Error::new(Kind::InvalidInput, "the demo's folder has no name in UTF-8")
            .advice("name another folder")
    })?;
    Ok(format!("sqlite:{}", path.replace('%', "%25").replace('?', "%3F").replace('#', "%23")))
}

/// Takes the data set in; answers with the conversation that will go on.
async fn import(global: &Global, folder: &Path) -> Result<(Report, Vec<Message>)> {
    let path = folder.join("agentx.db");
    std::fs::write(&path, AGENTX)
        .map_err(|error| io_error("the demo's data cannot be written", error))?;
    let source = agentx::open(&path, Stop::default()).await?;
    let store = open(global).await?;
    let report = agentx::take(&store, source, Wish::default()).await?;
    let new = ["containers", "images", "sessions", "messages"];
    if new.map(|kind| report.tally(kind).new) != HOLDS || !report.is_plain()? {
        return Err(broken("the import did not take in all that the data set holds"));
    }
    let before = store.messages(SESSION).all().await?;
    store.close().await?;
    Ok((report, before.into_iter().map(|stored| stored.message).collect()))
}

/// Forks the conversation and weighs the store before and after.
async fn fork(store: &Store) -> Result<(Forked, Held)> {
    let before = held::held(store).await?;
    store.sessions().fork(SESSION, At::End, FORK).await?;
    let after = held::held(store).await?;
    let json = async |session| {
        let messages = store.messages(session).all().await?;
        Ok::<_, Error>(messages.into_iter().map(|s| s.message.json().clone()).collect::<Vec<_>>())
    };
    let (origin, fork) = (json(SESSION).await?, json(FORK).await?);
    if origin != fork {
        return Err(broken("the fork has other messages than its origin"));
    }
    let bytes: usize = fork.iter().map(agentkeep::Json::len).sum();
    let forked = Forked {
        session: FORK,
        messages: fork.len() as u64,
        bytes: bytes as u64,
        stored_before: before.message_bytes,
        stored_after: after.message_bytes,
    };
    if (before.messages, before.message_bytes) != (after.messages, after.message_bytes) {
        return Err(broken("the fork copied messages"));
    }
    Ok((forked, after))
}
