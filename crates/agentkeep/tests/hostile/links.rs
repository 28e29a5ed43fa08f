//! Symbolic links planted in a store: refused or replaced, never followed.
//!
//! The path that a user names is the user's own: links in it are followed as far as to a store
//! that is there, and never to make one.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use agentkeep::{Kind, Result, Store};
use libtest_mimic::{Failed, Trial};

use crate::conversations::{container, image, message, session};
use crate::tree::{tree, untouched};
use crate::{DRIVERS, Target, block_on};

/// A place in a store: what stands there, and its path inside the folder that the driver's URL was
/// made for, `*` for the only thing in a folder. What stands there already is moved outside and linked
/// to; else it is one to come.
type Place = (&'static str, &'static str);

/// Where links are planted in the stores of a driver. A temporary file that has a random name
/// cannot be foreseen, and so not planted.
const PLACES: &[(&str, &[Place])] = &[
    ("sqlite", &[("log", "keep.db-wal"), ("lock", "keep.db-shm"), ("journal", "keep.db-journal")]),
    (
        "file",
        &[
            ("base", "keep"),
            ("identity", "keep/agentkeep.json"),
            ("lock", "keep/lock"),
            ("users", "keep/users"),
            ("pins", "keep/pins"),
            ("generation", "keep/generation"),
            ("journal", "keep/journal.0"),
            ("other_journal", "keep/journal.1"),
            ("temporary", "keep/.new"),
            ("namespaces", "keep/namespaces"),
            ("namespace", "keep/namespaces/default"),
            ("namespace_record", "keep/namespaces/default/namespace.json"),
            ("namespace_temporary", "keep/namespaces/default/.new"),
            ("state", "keep/namespaces/default/state.json"),
            ("operations", "keep/namespaces/default/operations.jsonl"),
            ("records", "keep/namespaces/default/records"),
            ("table", "keep/namespaces/default/records/sessions"),
            ("record", "keep/namespaces/default/records/sessions/c.json"),
            ("record_temporary", "keep/namespaces/default/records/sessions/.new"),
            ("logs", "keep/namespaces/default/logs"),
            ("log", "keep/namespaces/default/logs/messages"),
            ("stream", "keep/namespaces/default/logs/messages/*"),
            ("blobs", "keep/namespaces/default/blobs"),
        ],
    ),
];

/// What the store was doing before the link was planted.
#[derive(Debug, Clone, Copy)]
enum Left {
    Closed,
    /// As a killed process leaves it.
    Open,
}

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for (name, places) in PLACES {
        let driver = *DRIVERS.iter().find(|driver| driver.0 == *name).unwrap();
        for place in *places {
            for left in [Left::Closed, Left::Open] {
                let name = format!("{name}::a_link_planted_as_{}_{left:?}", place.0).to_lowercase();
                trials.push(Trial::test(name, move || planted(driver, *place, left)));
            }
        }
    }
    trials.push(Trial::test("sqlite::the_users_own_links_lead_to_a_store", users_own));
    trials.push(Trial::test("sqlite::no_store_is_made_through_a_link", never_made));
    trials
}

/// Something to keep, read back whole.
async fn fill(store: &Store) {
    store.containers().save(container("c", 0).unwrap()).await.unwrap();
    store.images().save(image("c", 0).unwrap()).await.unwrap();
    store.sessions().save(session("c", 0).unwrap()).await.unwrap();
    for n in 0..20 {
        store.messages("c").add(message(&format!("m{n}"), n).unwrap()).await.unwrap();
    }
}

/// Everything that a caller does: opens, reads, writes, checks.
async fn work(url: &str) -> Result<usize> {
    let store = Store::open(url).await?;
    let done = async {
        let read = store.messages("c").all().await?.len();
        store.messages("c").add(message("another", 0)?).await?;
        store.sessions().save(session("c", 1)?).await?;
        let report = store.check().await?;
        assert!(report.is_sound(), "{report:?}");
        Ok(read)
    };
    let done = done.await;
    store.close().await?;
    done
}

fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            copy(&entry.path(), &to.join(entry.file_name()));
        }
    } else {
        fs::copy(from, to).unwrap();
    }
}

/// Plants a link at one place of a store, to each kind of thing outside.
fn planted(driver: Target, place: Place, left: Left) -> std::result::Result<(), Failed> {
    for victim in ["moved", "file", "folder", "nothing"] {
        let outer = tempfile::tempdir().unwrap();
        let (made, inner) = (outer.path().join("made"), outer.path().join("store"));
        fs::create_dir(&made).unwrap();
        block_on(async {
            let store = Store::open(&driver.1(&made)).await.unwrap();
            fill(&store).await;
            if matches!(left, Left::Open) {
                copy(&made, &inner);
            }
            store.close().await.unwrap();
        });
        if matches!(left, Left::Closed) {
            copy(&made, &inner);
        }
        let outside = outer.path().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("file"), "must stay as it is").unwrap();
        fs::create_dir(outside.join("folder")).unwrap();
        fs::write(outside.join("folder/file"), "must stay as it is").unwrap();
        let at = found(&inner.join(place.1));
        let existed = at.exists();
        match (victim, existed) {
            ("moved", false) => continue,
            ("moved", true) => fs::rename(&at, outside.join("moved")).unwrap(),
            (_, true) if at.is_dir() => fs::remove_dir_all(&at).unwrap(),
            (_, true) => fs::remove_file(&at).unwrap(),
            (_, false) => {}
        }
        // Also where the store has not come to making the folder.
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        symlink(outside.join(victim), &at).unwrap();
        let before = tree(outer.path(), Some(&inner));
        let outcome = block_on(work(&driver.1(&inner)));
        let what = format!("{} as a link to {victim}, {left:?}: {outcome:?}", place.0);
        untouched(&before, &tree(outer.path(), Some(&inner)), &what);
        match outcome {
            Err(error) => assert!(TYPED.contains(&error.kind()), "{what}"),
            Ok(read) => {
                let still = fs::symlink_metadata(&at).is_ok_and(|metadata| metadata.is_symlink());
                assert!(!(still && existed), "{what}: the link was followed");
                assert_eq!(read, 20, "{what}");
            }
        }
    }
    Ok(())
}

/// The first thing in a folder, where its name is not known before.
fn found(path: &Path) -> PathBuf {
    match path.file_name() {
        Some(name) if name == "*" => {
            let mut all = fs::read_dir(path.parent().unwrap()).unwrap();
            all.next().expect("there is something").unwrap().path()
        }
        _ => path.to_path_buf(),
    }
}

/// Kinds that say: this cannot be used as it stands.
const TYPED: [Kind; 4] =
    [Kind::Corrupt, Kind::InvalidInput, Kind::Unavailable, Kind::PermissionDenied];

fn url(path: &Path) -> String {
    format!("sqlite:{}?durability=process", path.display())
}

fn names(folder: &Path) -> Vec<PathBuf> {
    tree(folder, None)
        .into_keys()
        .filter_map(|p| Some(p.strip_prefix(folder).ok()?.into()))
        .collect()
}

/// A link to a folder and a link to a store lead there; side files stand beside the real file.
fn users_own() -> std::result::Result<(), Failed> {
    let outer = tempfile::tempdir().unwrap();
    let (real, links) = (outer.path().join("real"), outer.path().join("links"));
    fs::create_dir(&real).unwrap();
    fs::create_dir(&links).unwrap();
    symlink(&real, links.join("folder")).unwrap();
    symlink(real.join("keep.db"), links.join("file.db")).unwrap();
    block_on(async {
        let store = Store::open(&url(&links.join("folder/keep.db"))).await.unwrap();
        fill(&store).await;
        let other = Store::open(&url(&links.join("file.db"))).await.unwrap();
        assert_eq!(other.messages("c").count().await.unwrap(), 20);
        other.messages("c").add(message("another", 0).unwrap()).await.unwrap();
        assert_eq!(store.messages("c").count().await.unwrap(), 21);
        let beside: Vec<PathBuf> = ["", "file.db", "folder"].map(PathBuf::from).into();
        assert_eq!(names(&links), beside, "something was made beside the links");
        assert!(real.join("keep.db-wal").exists());
        store.close().await.unwrap();
        other.close().await.unwrap();
    });
    Ok(())
}

/// A link to what is no store is refused, and what it leads to stays as it is.
fn never_made() -> std::result::Result<(), Failed> {
    let outer = tempfile::tempdir().unwrap();
    let (outside, inner) = (outer.path().join("outside"), outer.path().join("inner"));
    fs::create_dir(&outside).unwrap();
    fs::create_dir(&inner).unwrap();
    fs::write(outside.join("empty"), "").unwrap();
    fs::write(outside.join("text"), "must stay as it is").unwrap();
    fs::create_dir(outside.join("folder")).unwrap();
    for victim in ["empty", "text", "folder", "nothing", "no/such/folder"] {
        symlink(outside.join(victim), inner.join("keep.db")).unwrap();
        symlink(outside.join(victim), inner.join("below")).unwrap();
        let before = tree(outer.path(), None);
        for path in ["keep.db", "below/keep.db"] {
            if (victim, path) == ("folder", "below/keep.db") {
                continue; // The user's own folder.
            }
            let error = block_on(Store::open(&url(&inner.join(path)))).unwrap_err();
            assert!(TYPED.contains(&error.kind()), "{victim} {path}: {error:?}");
            untouched(&before, &tree(outer.path(), None), &format!("{path} to {victim}"));
        }
        fs::remove_file(inner.join("keep.db")).unwrap();
        fs::remove_file(inner.join("below")).unwrap();
    }
    Ok(())
}
