//! Every byte of a small store, changed: found or harmless, never silent.

use std::fs;

use super::*;
use crate::conformance::dump;

/// What a store says of everything in it; an error for anything that is not sound.
async fn told(path: &Path) -> Result<String> {
    let store = open(path).await?;
    let told = async {
        let report = store.check().await?;
        if let Some(found) = report.damage.first() {
            return Err(Error::new(Kind::Corrupt, found.what.clone()).at(found.place.clone()));
        }
        dump(&store, &AGENTKEEP, &Namespace::default()).await
    };
    let told = told.await;
    store.close().await?;
    told
}

#[tokio::test]
async fn every_even_byte_counts_or_is_missed_by_nobody() {
    every_other_byte(0).await;
}

#[tokio::test]
async fn every_odd_byte_counts_or_is_missed_by_nobody() {
    every_other_byte(1).await;
}

async fn every_other_byte(first: usize) {
    let home = Home::new();
    filled(&home).await;
    let original = told(&home.path()).await.unwrap();
    let files = home.files();
    let (mut found, mut harmless) = (0, 0);
    for (path, bytes) in &files {
        for (i, byte) in bytes.iter().enumerate().skip(first).step_by(2) {
            // Each bit in turn, over the bytes.
            let mut changed = bytes.clone();
            changed[i] = byte ^ (1 << (i / 2 % 8));
            fs::write(path, &changed).unwrap();
            match told(&home.path()).await {
                Ok(told) => {
                    assert_eq!(told, original, "{} byte {i} changed silently", path.display());
                    harmless += 1;
                }
                Err(error) => {
                    assert!(error.place().is_some(), "{} byte {i}: {error}", path.display());
                    found += 1;
                }
            }
            // Whatever was made of it.
            let now = home.files();
            now.keys()
                .filter(|path| !files.contains_key(*path))
                .for_each(|p| fs::remove_file(p).unwrap());
            for (path, bytes) in &files {
                if now.get(path) != Some(bytes) {
                    fs::write(path, bytes).unwrap();
                }
            }
        }
    }
    println!("file damage: {} bytes changed, {found} found, {harmless} harmless", found + harmless);
    assert!(found > 500, "{found}");
}

#[tokio::test]
async fn a_missing_file_is_missed() {
    let home = Home::new();
    filled(&home).await;
    let original = told(&home.path()).await.unwrap();
    for path in home.files().keys() {
        let bytes = fs::read(path).unwrap();
        fs::remove_file(path).unwrap();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        // Of these nothing is lost: they are made again.
        let free = ["lock", "users", "pins", "generation", "journal.0", "journal.1"];
        let told = told(&home.path()).await;
        if let Ok(told) = told {
            assert!(free.contains(&name.as_str()), "{name} is missing, and nobody says so");
            assert_eq!(told, original, "{name}");
        }
        fs::write(path, bytes).unwrap();
    }
}

#[tokio::test]
async fn a_record_of_yesterday_is_not_taken_for_that_of_today() {
    let home = Home::new();
    filled(&home).await;
    let path = home.path().join("namespaces/default/records/containers/a.json");
    let yesterday = fs::read(&path).unwrap();
    let store = home.open().await;
    commit(&store, vec![put("a", r#"{"containerId":"a","today":true}"#)]).await.unwrap();
    store.close().await.unwrap();
    fs::write(&path, yesterday).unwrap();
    let store = home.open().await;
    let error = containers(&store).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Corrupt, "{error}");
    // Other tables and streams are still there.
    assert_eq!(ids(&store, "x").await.unwrap(), ["m1", "m2", "m3"]);
    assert!(!store.check().await.unwrap().is_sound());
}
