//! From a source into a store, all or none: what every origin does alike.

use agentkeep::schema::Turn;
use agentkeep::{Error, Kind, Load, Loaded, Result, Store};

use super::report::{List, Outcome};
use super::scratch::Scratch;
use super::stop::Stop;

/// How to take a source in.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Wish {
    /// Only say what would come in.
    pub(crate) dry_run: bool,
    /// What the store has with other content stays as it is; else it is a conflict.
    pub(crate) keep: bool,
}

/// Gives everything that a source holds to a load, in an order that is always the same.
pub(crate) trait Gives {
    /// The first time it is only compared with what is there; the second time it is written.
    async fn give(&mut self, load: &mut Load, writes: bool) -> Result<()>;
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) outcome: Outcome,
    /// True when an interrupted run was taken up.
    pub(crate) resumed: bool,
    pub(crate) loaded: Loaded,
}

/// Takes everything in, or with `dry_run` says what would come in.
pub(crate) async fn all_or_none(
    store: &Store,
    import: &Turn,
    scratch: &Scratch,
    wish: Wish,
    source: &mut impl Gives,
) -> Result<Taken> {
    if !wish.dry_run && !store.unfinished_loads().await?.is_empty() {
        // One that was given up long ago need not be in the way.
        store.collect().await?;
    }
    let mut load = store.load(import).await?;
    let resumed = load.is_resumed();
    source.give(&mut load, false).await?;
    let mut outcome = Outcome::DryRun;
    let mut loaded = load.loaded().clone();
    if !wish.dry_run {
        refuse_differing(scratch, wish.keep)?;
        outcome = Outcome::NothingNew;
        if load.begin(wish.keep).await? {
            scratch.set_tells(false);
            if let Err(error) = source.give(&mut load, true).await {
                return Err(given_up(store, import, error).await);
            }
            outcome = Outcome::Imported;
        }
        loaded = load.finish().await?;
    }
    Ok(Taken { outcome, resumed, loaded })
}

/// What is there with other content is told before anything is changed.
pub(crate) fn refuse_differing(scratch: &Scratch, keep: bool) -> Result<()> {
    let differing = scratch.noted(List::Kept)?;
    if keep || differing == 0 {
        return Ok(());
    }
    let mut first = String::new();
    scratch.notes(List::Kept, 1, |note| {
        first = note.place;
        Ok(())
    })?;
    let what = if differing == 1 {
        format!("the store has {first} with other content")
    } else {
        format!("the store has {differing} things with other content, the first is {first}")
    };
    Err(Error::new(Kind::Conflict, what).retryable(false).advice(
        "nothing was changed; see them all with --dry-run, import into another --namespace, or \
         leave them as they are with --keep",
    ))
}

/// A source that changed under the import cannot be gone on with: what came in of it goes again.
async fn given_up(store: &Store, import: &Turn, error: Error) -> Error {
    if error.kind() == Kind::Conflict && error.message().contains("source changed") {
        let listed = store.unfinished_loads().await.unwrap_or_default();
        if listed.iter().any(|listed| listed.import_id == import.as_str()) {
            return store.undo_load(import).await.err().unwrap_or(error);
        }
    }
    error
}

/// An error once Ctrl-C was pressed, which says what has come in.
pub(crate) fn check_stop(stop: &Stop, load: &Load, import: &Turn, writes: bool) -> Result<()> {
    let begun = writes && load.comes_in_many();
    stop.check(|| {
        if begun {
            format!(
                "run the same command again to go on, or take back what has come in with \
                 `agentkeep import --undo {import}`"
            )
        } else {
            "nothing was changed".to_owned()
        }
    })
}

/// What the store has with other content, noted.
pub(crate) fn note_differing(scratch: &Scratch, place: impl AsRef<str>) -> Result<()> {
    scratch.note(List::Kept, place, "the store has it with other content and keeps that")
}
