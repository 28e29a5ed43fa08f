//! Opening a store after a fault and looking at all of it.

use std::path::Path;

use agentkeep::{Container, Store};

use crate::dump::dump;
use crate::ledger::{Ledger, Oracle};
use crate::subject::Subject;

/// How much is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// The store opens, holds what it must, and its own check finds nothing.
    Look,
    /// Also what was left due is done, the store takes writes, and closing and opening it again
    /// changes nothing.
    Live,
}

/// Opens the store in `folder` without faults; says what is wrong with it.
pub(crate) async fn verify(
    subject: &dyn Subject,
    folder: &Path,
    ledger: &Ledger,
    oracle: &Oracle,
    depth: Depth,
) -> Result<(), String> {
    // Nobody cuts the power while it is looked at.
    let store = subject.open(folder, "process").await.map_err(|e| format!("open: {e:?}"))?;
    let looked = look(&store, ledger, oracle, depth).await;
    let closed = store.close().await.map_err(|e| format!("close: {e:?}"));
    looked.and(closed)?;
    if depth == Depth::Look {
        return Ok(());
    }
    let store = subject.open(folder, "process").await.map_err(|e| format!("open again: {e:?}"))?;
    let looked = look(&store, ledger, oracle, Depth::Look).await;
    let closed = store.close().await.map_err(|e| format!("close again: {e:?}"));
    looked.and(closed)
}

async fn look(store: &Store, ledger: &Ledger, oracle: &Oracle, depth: Depth) -> Result<(), String> {
    let id = &store.describe().store_id;
    if let Some(known) = &ledger.store
        && known != id
    {
        return Err(format!("the store that was opened is gone: it was {known}, now it is {id}"));
    }
    let found = dump(store).await.map_err(|e| format!("reading: {e:?}"))?;
    ledger.compare(oracle, &found)?;
    sound(store).await?;
    if depth == Depth::Look {
        return Ok(());
    }
    store.collect().await.map_err(|e| format!("collecting: {e:?}"))?;
    let other = store.namespace("later").map_err(|e| format!("{e:?}"))?;
    let container = Container::new("later").map_err(|e| format!("{e:?}"))?;
    other.containers().save(container).await.map_err(|e| format!("writing: {e:?}"))?;
    let again = dump(store).await.map_err(|e| format!("reading again: {e:?}"))?;
    if found != again {
        return Err(format!("collecting changed {}", crate::dump::difference(&found, &again)));
    }
    sound(store).await
}

async fn sound(store: &Store) -> Result<(), String> {
    let report = store.check().await.map_err(|e| format!("check: {e:?}"))?;
    if report.is_sound() { Ok(()) } else { Err(format!("check: {:?}", report.damage)) }
}
