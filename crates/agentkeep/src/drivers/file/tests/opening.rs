//! What is opened, and what is refused.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::*;

#[tokio::test]
async fn what_is_no_store_is_refused_and_stays_untouched() {
    let home = Home::new();
    fs::create_dir(home.path()).unwrap();
    fs::write(home.path().join("notes.txt"), "mine").unwrap();
    let before = home.files();
    let error = home.refused().await;
    assert_eq!(error.kind(), Kind::InvalidInput, "{error}");
    assert!(error.to_string().contains("notes.txt"), "{error}");
    assert_eq!(home.files(), before);
    let plain = home.folder.path().join("plain");
    fs::write(&plain, "mine").unwrap();
    assert_eq!(open(&plain).await.unwrap_err().kind(), Kind::InvalidInput);
    assert_eq!(fs::read(&plain).unwrap(), b"mine");
    let options = Options { create: false, ..Options::default() };
    let missing = home.folder.path().join("missing");
    let error = Files::open(&AGENTKEEP, &missing, options).await.unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    assert!(!missing.exists());
}

#[tokio::test]
async fn a_newer_format_is_refused_and_stays_untouched() {
    let home = Home::new();
    filled(&home).await;
    let path = home.path().join("agentkeep.json");
    let text = fs::read_to_string(&path).unwrap();
    let format = |number: u32| format!("\"format\": {number}");
    let newer = text.replace(&format(AGENTKEEP.version), &format(AGENTKEEP.version + 1));
    assert_ne!(newer, text);
    fs::write(&path, newer).unwrap();
    let before = home.files();
    let error = home.refused().await;
    assert_eq!(error.kind(), Kind::NewerFormat, "{error}");
    assert_eq!(home.files(), before);
}

#[tokio::test]
async fn nobody_else_may_read_what_is_made() {
    let home = Home::new();
    filled(&home).await;
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&home.path()), 0o700);
    assert_eq!(mode(&home.path().join("namespaces/default/logs")), 0o700);
    walk(&home.path(), &mut |path| assert_eq!(mode(path), 0o600, "{}", path.display()));
}

#[tokio::test]
async fn no_link_is_followed() {
    for (place, is_folder) in [
        ("lock", false),
        ("users", false),
        ("pins", false),
        ("generation", false),
        ("journal.0", false),
        ("journal.1", false),
        ("agentkeep.json", false),
        ("namespaces", true),
        ("namespaces/default", true),
        ("namespaces/default/state.json", false),
        ("namespaces/default/namespace.json", false),
        ("namespaces/default/operations.jsonl", false),
        ("namespaces/default/records", true),
        ("namespaces/default/records/containers", true),
        ("namespaces/default/records/containers/a.json", false),
        ("namespaces/default/logs/messages", true),
        ("namespaces/default/logs/messages/x.jsonl", false),
        ("namespaces/default/blobs", true),
        ("namespaces/default/.new", false),
        ("namespaces/default/records/containers/.new", false),
    ] {
        let home = Home::new();
        filled(&home).await;
        let outside = home.folder.path().join("outside");
        let link = home.path().join(place);
        // The link leads to what the store itself had there, so that following would work.
        if fs::symlink_metadata(&link).is_ok() {
            fs::rename(&link, &outside).unwrap();
        } else {
            fs::write(&outside, "precious").unwrap();
        }
        symlink(&outside, &link).unwrap();
        let before = snapshot(&outside);
        let work = async {
            let store = open(&home.path()).await?;
            let outcome = work(&store).await;
            let closed = store.close().await;
            outcome.and(closed)
        };
        let outcome = work.await;
        assert_eq!(snapshot(&outside), before, "{place} was followed");
        // A temporary file is replaced; anything else is refused, and told.
        let replaced = place.ends_with("/.new") || place.ends_with("/operations.jsonl");
        assert!(outcome.is_err() || replaced, "{place}, a folder: {is_folder}");
    }
}

/// Touches everything.
async fn work(store: &Files) -> Result<()> {
    commit(store, vec![put("a", "{}"), append("x", &["m4"])]).await?;
    commit(store, vec![Operation::PutBlob(Blob::new(&b"more"[..]))]).await?;
    ids(store, "x").await?;
    containers(store).await?;
    let report = store.check().await?;
    if report.is_sound() { Ok(()) } else { Err(Error::new(Kind::Corrupt, "found by check")) }
}

fn snapshot(path: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut note = |path: &Path| drop(found.insert(path.to_path_buf(), fs::read(path).unwrap()));
    if path.is_dir() {
        walk(path, &mut note);
    } else {
        note(path);
    }
    found
}

#[tokio::test]
async fn the_folder_itself_may_be_no_link() {
    let home = Home::new();
    filled(&home).await;
    let link = home.folder.path().join("link");
    symlink(home.path(), &link).unwrap();
    let error = open(&link).await.unwrap_err();
    assert_eq!(error.kind(), Kind::InvalidInput, "{error}");
}
