//! Processes that get in each other's way.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use agentkeep::driver::{Read, Stretch, Which};
use agentkeep::schema::{MESSAGES, Namespace, Stream};
use agentkeep::{Container, Image, Session, Store};

use crate::child::{Running, start};
use crate::{Outcome, block_on};

/// The URL of a store in a folder.
pub(crate) fn url(scheme: &str, folder: &Path, options: &str) -> String {
    #[cfg(feature = "postgres")]
    if scheme == "postgres" {
        return crate::postgres::url_for(folder, options);
    }
    #[cfg(feature = "redis")]
    if scheme == "redis" {
        return crate::of_redis::url_for(folder, options);
    }
    format!("{scheme}:{}/keep{options}", folder.display())
}

/// A fresh store with container `c`, image `i`, session `s`.
pub(crate) async fn prepared(url: &str) -> Store {
    let store = Store::open(url).await.unwrap();
    let mut unit = store.unit();
    unit.containers().save(Container::new("c").unwrap());
    unit.images().save(Image::new("i", "c", "x").unwrap());
    unit.sessions().save(Session::new("s", "i", "c").unwrap());
    unit.commit().await.unwrap();
    store
}

fn ended_well(mut child: Running) {
    drop(child.input);
    assert!(child.process.wait().unwrap().success());
}

pub(crate) fn sharing(scheme: &str) -> Outcome {
    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let url = url(scheme, folder.path(), "");
        let store = prepared(&url).await;
        let (_, version) = store.containers().get_versioned("c").await.unwrap().unwrap();
        let mut children: Vec<Running> =
            (0..4).map(|i| start("share", &url, &format!("p{i}"))).collect();
        let mut acknowledged = BTreeMap::new();
        for child in &mut children {
            for line in &mut child.lines {
                let line = line.unwrap();
                let (index, id) = line.split_once(' ').unwrap();
                let index: u64 = index.parse().unwrap();
                assert_eq!(acknowledged.insert(index, id.to_owned()), None, "index {index} twice");
            }
        }
        children.into_iter().for_each(ended_well);
        // Nothing lost, nothing twice, each where its writer was told.
        let stored = store.messages("s").all().await.unwrap();
        let seen: BTreeMap<u64, String> =
            stored.iter().map(|m| (m.index, m.message.id().unwrap().to_owned())).collect();
        assert_eq!(seen.len(), 400);
        assert_eq!(seen, acknowledged);
        for writer in (0..4).flat_map(|p| (0..4).map(move |t| format!("p{p}-{t}-"))) {
            let own: Vec<&String> = seen.values().filter(|id| id.starts_with(&writer)).collect();
            let expected: Vec<String> = (0..25).map(|i| format!("{writer}{i}")).collect();
            assert_eq!(own, expected.iter().collect::<Vec<_>>());
        }
        // The stream's numbers are dense, whatever the repository makes of them.
        let numbers = numbers(&store).await;
        assert_eq!(numbers, (1..=400).collect::<Vec<u64>>());
        // Every increment counted, every write one version.
        let (container, after) = store.containers().get_versioned("c").await.unwrap().unwrap();
        assert_eq!(container.json().member("n").and_then(|n| n.to_i64()), Some(400));
        assert_eq!(after, version + 400);
        let report = store.check().await.unwrap();
        assert!(report.is_sound(), "{report:?}");
    });
    Ok(())
}

async fn numbers(store: &Store) -> Vec<u64> {
    use agentkeep::schema::{Key, LINEAGES};
    let namespace = Namespace::default();
    let key = Key::new(&LINEAGES, ["s"]).unwrap();
    let lineage = store.driver().get(&namespace, &[key]).await.unwrap().remove(0).unwrap();
    let name = lineage.body.member("streams").unwrap().elements().next().unwrap();
    let stream = Stream::new(&name.to_text().unwrap()).unwrap();
    let which = Which::Stretches(vec![Stretch { stream, from: 1, to: u64::MAX }]);
    let read = Read { log: &MESSAGES, which, reverse: false, limit: 10_000 };
    let entries = store.driver().read(&namespace, &read).await.unwrap();
    entries.entries.iter().map(|entry| entry.number).collect()
}

pub(crate) fn parent_and_child(scheme: &str) -> Outcome {
    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let url = url(scheme, folder.path(), "?durability=process");
        let store = prepared(&url).await;
        let mut saver = start("save_child", &url, "");
        let mut deleter = start("delete_parent", &url, "");
        let (mut saved, mut deleted) = (0, 0);
        for round in 0..150 {
            let id = format!("c{round}");
            store.containers().save(Container::new(&id).unwrap()).await.unwrap();
            // Whoever is told first changes from round to round.
            let mut both = [&mut saver, &mut deleter];
            both.rotate_left(round % 2);
            for child in &mut both {
                child.input.write_all(format!("{id}\n").as_bytes()).unwrap();
            }
            let save = saver.lines.next().unwrap().unwrap();
            let delete = deleter.lines.next().unwrap().unwrap();
            let (image, container) = (
                store.images().exists(&id).await.unwrap(),
                store.containers().exists(&id).await.unwrap(),
            );
            match (save.as_str(), delete.as_str()) {
                ("ok", "Conflict") => saved += 1,
                ("MissingParent", "ok") => deleted += 1,
                both => panic!("round {round}: {both:?}"),
            }
            assert_eq!((image, container), (save == "ok", save == "ok"), "round {round}");
        }
        assert_eq!(saved + deleted, 150);
        println!("the child won {saved} times, the delete of its parent {deleted} times");
        ended_well(saver);
        ended_well(deleter);
    });
    Ok(())
}

pub(crate) fn opening(scheme: &str) -> Outcome {
    let folder = tempfile::tempdir().unwrap();
    for round in 0..3 {
        let url = url(scheme, &folder.path().join(format!("new/folder/{round}")), "");
        let mut children: Vec<Running> =
            (0..16).map(|i| start("open", &url, &format!("c{i}"))).collect();
        for child in &mut children {
            assert_eq!(child.lines.next().unwrap().unwrap(), "ok");
        }
        children.into_iter().for_each(ended_well);
        block_on(async {
            let store = Store::open(&url).await.unwrap();
            assert_eq!(store.containers().all().await.unwrap().len(), 16);
            assert!(store.check().await.unwrap().is_sound());
        });
    }
    Ok(())
}

pub(crate) fn hints(scheme: &str) -> Outcome {
    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let url = url(scheme, folder.path(), "?durability=process");
        let store = prepared(&url).await;
        let mut child = start("append", &url, "");
        for _ in 0..5 {
            let namespace = Namespace::default();
            let mut watch = store.driver().watch(&namespace, &MESSAGES, None).await.unwrap();
            let before = store.messages("s").count().await.unwrap();
            child.input.write_all(b"go\n").unwrap();
            assert_eq!(child.lines.next().unwrap().unwrap(), "done");
            // A deadline only so that a lost hint fails instead of hanging.
            let hint = tokio::time::timeout(Duration::from_secs(30), watch.changed()).await;
            assert_eq!(hint, Ok(true), "no hint came");
            assert_eq!(store.messages("s").count().await.unwrap(), before + 1);
        }
        ended_well(child);
    });
    Ok(())
}
