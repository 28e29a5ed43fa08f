//! Hostile ids in every place where an id can stand, and symbolic links planted in the store, on
//! every driver.
//!
//! Each test works on a fresh store inside a folder with other things around it; what happens to
//! the ids is compared with the memory driver, and what is around must stay as it was.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::unnecessary_wraps,
    reason = "a test states what must hold by unwrapping it"
)]

mod conversations;
mod corpus;
mod deleting;
mod links;
mod names;
mod namespaces;
#[cfg(feature = "redis")]
#[path = "../fixtures/redis.rs"]
mod of_redis;
#[cfg(feature = "postgres")]
#[path = "../fixtures/postgres.rs"]
mod postgres;
mod seam;
mod seen;
mod tree;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use agentkeep::Store;
use libtest_mimic::{Arguments, Failed, Trial};

use crate::seen::Seen;
use crate::tree::{names_stay_apart, tree, untouched};

/// A driver: its name, and the URL of a store in a given folder. What survives a power cut is
/// tested elsewhere.
type Target = (&'static str, fn(&Path) -> String);

const DRIVERS: &[Target] = &[
    ("memory", |_| "memory:".to_owned()),
    ("sqlite", |folder| format!("sqlite:{}/keep.db?durability=process", folder.display())),
    ("file", |folder| format!("file:{}/keep?durability=process", folder.display())),
];

/// A test: what it does to a store is told, step by step, and must be the same on all drivers.
type Exercise = fn(Store, Vec<String>) -> seen::Told;

const EXERCISES: [(&str, Exercise); 6] = [
    ("ids_of_conversations", |store, ids| Box::pin(conversations::run(store, ids))),
    ("names_and_tags", |store, ids| Box::pin(names::run(store, ids))),
    ("new_ids_of_forks", |store, ids| Box::pin(names::forks(store, ids))),
    ("deletes_hit_the_right_one", |store, ids| Box::pin(deleting::run(store, ids))),
    ("namespaces", |store, ids| Box::pin(namespaces::run(store, ids))),
    ("streams_entries_turns_operations", |store, ids| Box::pin(seam::run(store, ids))),
];

/// A folder outside every store, where relative paths lead as well.
static DECOY: OnceLock<PathBuf> = OnceLock::new();

fn decoy() -> &'static Path {
    DECOY.get().unwrap()
}

fn main() {
    let folder = tempfile::tempdir().unwrap();
    DECOY.set(folder.path().canonicalize().unwrap()).unwrap();
    surround(folder.path());
    std::env::set_current_dir(folder.path()).unwrap();
    let mut trials = Vec::new();
    for driver in drivers() {
        for (name, exercise) in EXERCISES {
            let test = move || run(driver, exercise);
            trials.push(Trial::test(format!("{}::{name}", driver.0), test));
        }
    }
    trials.extend(links::trials());
    let conclusion = libtest_mimic::run(&Arguments::from_args(), trials);
    drop(folder);
    #[cfg(feature = "postgres")]
    postgres::drop_all();
    #[cfg(feature = "redis")]
    of_redis::drop_all();
    conclusion.exit();
}

/// Those of this machine, and the server if there is one.
fn drivers() -> Vec<Target> {
    #[cfg_attr(not(any(feature = "postgres", feature = "redis")), allow(unused_mut))]
    let mut drivers = DRIVERS.to_vec();
    #[cfg(feature = "postgres")]
    if postgres::is_there("hostile ids on postgres") {
        let url = |folder: &Path| postgres::url_for(folder, "?durability=process");
        drivers.push(("postgres", url));
    }
    #[cfg(feature = "redis")]
    if of_redis::Form::Single.is_there("hostile ids on redis") {
        let url = |folder: &Path| of_redis::url_for(folder, "?durability=process");
        drivers.push(("redis", url));
    }
    drivers
}

/// Files and folders where a traversal would land.
fn surround(folder: &Path) {
    for name in ["victim.txt", "x", "y", "c.json", "keep.db", "...", "aux.txt", "CON", "-rf"] {
        fs::write(folder.join(name), format!("{name} must stay as it is")).unwrap();
    }
    for name in ["etc", "c", "sub", "default"] {
        fs::create_dir(folder.join(name)).unwrap();
        fs::write(folder.join(name).join("passwd"), "must stay as it is").unwrap();
    }
}

/// Runs one exercise on a driver and on the memory driver: both tell the same.
fn run(driver: Target, exercise: Exercise) -> Result<(), Failed> {
    let outer = tempfile::tempdir().unwrap();
    surround(outer.path());
    let inner = outer.path().join("store");
    fs::create_dir(&inner).unwrap();
    let ids = corpus::ids(decoy().to_str().unwrap());
    let before = [tree(outer.path(), Some(&inner)), tree(decoy(), None)];
    let mut seen = block_on(told(&driver.1(&inner), exercise, &ids));
    let after = [tree(outer.path(), Some(&inner)), tree(decoy(), None)];
    untouched(&before[0], &after[0], "around the store");
    untouched(&before[1], &after[1], "the working folder");
    names_stay_apart(&inner);
    let mut expected = block_on(told("memory:", exercise, &ids));
    seen.mask();
    expected.mask();
    seen.same_as(&expected)?;
    println!("{}: {} ids, {} answers as in memory", driver.0, ids.len(), seen.len());
    Ok(())
}

/// What an exercise tells of a fresh store, with all that is in it at the end.
async fn told(url: &str, exercise: Exercise, ids: &[String]) -> Seen {
    let store = Store::open(url).await.unwrap();
    let again = store.describe().many_processes;
    let mut seen = exercise(store.clone(), ids.to_vec()).await;
    let report = store.driver().check().await.unwrap();
    assert!(report.is_sound(), "{report:?}");
    let whole = seen::dumped(&store).await;
    store.close().await.unwrap();
    if again {
        let store = Store::open(url).await.unwrap();
        assert!(seen::dumped(&store).await == whole, "the store is another one after reopening");
        store.close().await.unwrap();
    }
    seen.note(whole);
    seen
}

/// Runs an asynchronous test.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).enable_all().build().unwrap().block_on(future)
}
