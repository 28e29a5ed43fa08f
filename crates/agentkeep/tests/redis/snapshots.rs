//! Copies of a namespace: what has gone is not empty, and one that is made twice is of the second moment.

use agentkeep::Kind;
use agentkeep::driver::{Driver as _, Find, Operation, Read, Stretch, Want, Which};
use agentkeep::schema::{EntryId, IMAGES, Key, MESSAGES, NAMESPACES, Namespace, Turn};

use crate::fixture::{Form, Place, keys, nodes};
use crate::grouped::{add, batch, open, stream};
use crate::{needs, plain};

async fn what_has_gone_is_told(form: Form) {
    let place = Place::new(form);
    let driver = open(&place.url()).await;
    let namespace = Namespace::default();
    driver.commit(add("a", "id", "text")).await.unwrap();
    let reader = driver.snapshots().unwrap().snapshot(&namespace).await.unwrap();
    let stretch = Stretch { stream: stream("a"), from: 1, to: u64::MAX };
    let which = [
        Which::Stretches(vec![stretch]),
        Which::Ids(vec![(stream("a"), EntryId::new("id").unwrap())]),
        Which::Turn(Turn::new("turn").unwrap()),
    ];
    let reads = which.map(|which| Read { log: &MESSAGES, which, reverse: false, limit: 10 });
    assert_eq!(reader.read(&namespace, &reads[0]).await.unwrap().entries.len(), 1);
    for mut node in nodes(form) {
        for key in keys(&mut node, &place.base) {
            if String::from_utf8_lossy(&key).contains(":snapshot:") {
                redis::cmd("UNLINK").arg(key).exec(&mut node).unwrap();
            }
        }
    }
    let mut errors = Vec::new();
    for read in &reads {
        errors.push(reader.read(&namespace, read).await.unwrap_err());
    }
    let image = Key::new(&IMAGES, ["image"]).unwrap();
    errors.push(reader.get(&namespace, &[image]).await.unwrap_err());
    let find = Find::by(&IMAGES, "by_name").unwrap();
    errors.push(reader.find(&namespace, &find).await.unwrap_err());
    let hash = agentkeep::driver::Blob::new(&b"x"[..]).hash();
    for want in [Want::Presence, Want::Bytes] {
        errors.push(reader.blobs(&namespace, &[hash], want).await.unwrap_err());
    }
    for error in errors {
        assert_eq!(error.kind(), Kind::Timeout, "{error}");
        assert!(error.to_string().contains("snapshot") && !error.is_retryable(), "{error}");
    }
    // What it knows by itself.
    let name = Key::new(&NAMESPACES, ["default"]).unwrap();
    assert!(reader.get(&namespace, &[name]).await.unwrap()[0].is_some());
}

#[tokio::test]
async fn a_snapshot_that_has_gone_is_not_empty() {
    needs!(Single, "snapshots::a_snapshot_that_has_gone_is_not_empty");
    what_has_gone_is_told(Form::Single).await;
}

#[tokio::test]
async fn a_snapshot_that_has_gone_is_not_empty_in_a_cluster() {
    needs!(Cluster, "snapshots::a_snapshot_that_has_gone_is_not_empty_in_a_cluster");
    what_has_gone_is_told(Form::Cluster).await;
}

/// Who reads ends with the store, or just before: the copy goes all the same.
#[tokio::test]
async fn a_copy_goes_also_when_the_store_is_closed_at_once() {
    needs!(Single, "snapshots::a_copy_goes_also_when_the_store_is_closed_at_once");
    let place = Place::new(Form::Single);
    let copies = || {
        let all = keys(&mut plain(), &place.base).into_iter();
        all.filter(|key| String::from_utf8_lossy(key).contains(":snapshot:")).count()
    };
    for closes in [true, false] {
        let driver = open(&place.url()).await;
        driver.commit(add("a", "", "text")).await.unwrap();
        let reader = driver.snapshots().unwrap().snapshot(&Namespace::default()).await.unwrap();
        assert!(copies() > 0);
        drop(reader);
        if closes {
            driver.close().await.unwrap();
            assert_eq!(copies(), 0);
        } else {
            drop(driver);
            let gone = async {
                while copies() > 0 {
                    tokio::task::yield_now().await;
                }
            };
            tokio::time::timeout(std::time::Duration::from_mins(1), gone).await.unwrap();
        }
    }
}

/// The call is sent again when its answer was lost.
#[tokio::test]
async fn a_copy_made_twice_has_nothing_that_has_gone_meanwhile() {
    needs!(Single, "snapshots::a_copy_made_twice_has_nothing_that_has_gone_meanwhile");
    let place = Place::new(Form::Single);
    let driver = open(&place.url()).await;
    for stream in ["a", "b"] {
        driver.commit(add(stream, "id", "text")).await.unwrap();
    }
    let prefix = format!("{}:{{default}}:", place.base);
    let target = format!("{prefix}snapshot:x:");
    let copy = || {
        let mut copy = redis::cmd("EVAL");
        copy.arg(include_str!("../../src/drivers/redis/lua/copy.lua")).arg(0).arg("copy");
        copy.arg(&prefix).arg(&target).arg(60_000).arg("");
        copy.arg("meta").arg("records:_streams").arg("index:_streams:key").arg("records:images");
        copy.exec(&mut plain()).unwrap();
        let there = keys(&mut plain(), &target[..target.len() - 1]).into_iter();
        let there = there.map(|key| String::from_utf8(key).unwrap()[target.len()..].to_owned());
        there.collect::<std::collections::BTreeSet<String>>()
    };
    let image = format!("{prefix}records:images");
    redis::cmd("HSET").arg(&image).arg("a").arg("b").exec(&mut plain()).unwrap();
    let first = copy();
    assert!(first.contains("records:images") && first.contains("ids:messages:b"), "{first:?}");
    redis::cmd("DEL").arg(&image).exec(&mut plain()).unwrap();
    driver.commit(batch(Operation::Drop { log: &MESSAGES, stream: stream("b") })).await.unwrap();
    let gone = ["entries:messages:b", "ids:messages:b", "records:images"].map(str::to_owned);
    let expected = &first - &gone.into();
    assert_eq!(copy(), expected);
}
