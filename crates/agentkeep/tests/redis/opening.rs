//! Opening what cannot be opened: typed, named, without secrets, within the deadline.

use std::time::{Duration, Instant};

use agentkeep::driver::{Batch, Driver as _, Operation, Put, Save};
use agentkeep::drivers::redis::{Options, Redis};
use agentkeep::schema::{Key, Log, Namespace, Schema, Table};
use agentkeep::{Error, Kind, Store};

use crate::fixture::{Form, Place};
use crate::servers::prepared;
use crate::{needs, plain};

async fn refused(url: &str) -> Error {
    let error = Store::open(url).await.unwrap_err();
    for text in [format!("{error}"), format!("{error:?}")] {
        assert!(!text.contains("sEcReT") && !text.contains(":tests"), "{text}");
    }
    assert!(error.advice_text().is_some(), "{error}");
    error
}

#[tokio::test]
async fn what_is_wrong_is_named() {
    needs!(Single, "opening::what_is_wrong_is_named");
    let url = Form::Single.server().unwrap();
    for login in ["//:sEcReT@", "//nobody_here:sEcReT@", "//"] {
        let error = refused(&url.replace("//:tests@", login)).await;
        assert_eq!(error.kind(), Kind::PermissionDenied, "{login}: {error}");
        assert!(!error.is_retryable());
    }
    let error = refused(&format!("{url}/9999")).await;
    assert_eq!(error.kind(), Kind::InvalidInput, "{error}");
    let error = refused("redis://u:sEcReT@127.0.0.1:1/0?timeout=2").await;
    assert_eq!(error.kind(), Kind::Unavailable, "{error}");
    assert!(error.is_retryable());
    let place = Place::new(Form::Single);
    let error = refused(&format!("{}&create=no", place.url())).await;
    assert_eq!(error.kind(), Kind::NotFound, "{error}");
}

#[tokio::test]
async fn a_password_may_come_from_a_file() {
    needs!(Single, "opening::a_password_may_come_from_a_file");
    let (place, folder) = (Place::new(Form::Single), tempfile::tempdir().unwrap());
    let file = folder.path().join("password");
    std::fs::write(&file, "tests\n").unwrap();
    let url = format!("{}&passfile={}", place.url().replace(":tests@", ""), file.display());
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let set = |mode| {
            let mode = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(&file, mode).unwrap();
        };
        set(0o644);
        assert_eq!(refused(&url).await.kind(), Kind::PermissionDenied);
        set(0o600);
    }
    Store::open(&url).await.unwrap().close().await.unwrap();
}

#[tokio::test]
async fn certificates_are_verified() {
    needs!(Single, "opening::certificates_are_verified");
    let place = Place::new(Form::Single);
    let variable = |name: &str| std::env::var(name).unwrap();
    let url = variable("AGENTKEEP_TEST_REDIS_TLS");
    let certificate = variable("AGENTKEEP_TEST_REDIS_CERTIFICATE");
    let at = |host: &str, options: &str| {
        format!("{}?base={}{options}", url.replace("localhost", host), place.base)
    };
    let trusted = format!("&tls_ca={certificate}");
    // Known by name, by no other, and not without being trusted.
    let store = prepared(&at("localhost", &trusted)).await;
    store.messages("s").add(crate::servers::named("a")).await.unwrap();
    store.close().await.unwrap();
    for (url, told) in
        [(at("127.0.0.1", &trusted), "the host's name"), (at("localhost", ""), "tls_ca=FILE")]
    {
        let error = refused(&url).await;
        assert!(error.advice_text().unwrap().contains(told), "{error}");
        assert_eq!(error.kind(), Kind::Unavailable, "{error}");
        assert!(error.to_string().contains("certificate"), "{error}");
        assert!(!error.is_retryable(), "{error}");
    }
    // Without TLS where it is wanted, and with it where there is none.
    let plain = at("localhost", "&timeout=2").replace("rediss:", "redis:");
    let error = refused(&plain).await;
    assert!(matches!(error.kind(), Kind::Unavailable | Kind::Timeout), "{error}");
    let error = refused(&place.url().replace("redis:", "rediss:")).await;
    assert!(matches!(error.kind(), Kind::Unavailable | Kind::Timeout), "{error}");
}

/// What a server of another kind, or none, answers to the first message.
#[tokio::test]
async fn other_servers_are_told_apart_within_the_deadline() {
    for answer in [&b""[..], b"HTTP/1.1 400 Bad Request\r\n\r\n", b"N", b"-ERR unknown command\r\n"]
    {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = tokio::spawn(async move {
            let mut held = Vec::new();
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, answer).await;
                held.push(stream);
            }
        });
        let began = Instant::now();
        for scheme in ["redis", "rediss"] {
            let error = refused(&format!("{scheme}://u:sEcReT@127.0.0.1:{port}/0?timeout=1")).await;
            let kinds = [Kind::Unavailable, Kind::Timeout, Kind::PermissionDenied];
            assert!(kinds.contains(&error.kind()), "{answer:?}: {error}");
        }
        // A deadline of a second each, and no more than a moment beyond it.
        assert!(began.elapsed() < Duration::from_secs(20));
        server.abort();
    }
}

#[tokio::test]
async fn a_postgres_server_is_no_redis() {
    let Ok(url) = std::env::var("AGENTKEEP_TEST_POSTGRES") else { return };
    let address = url.rsplit_once('@').unwrap().1.split_once('/').unwrap().0;
    let error = refused(&format!("redis://u:sEcReT@{address}/0?timeout=2")).await;
    assert!(matches!(error.kind(), Kind::Unavailable | Kind::Timeout), "{error}");
}

#[tokio::test]
async fn what_is_not_ours_is_left_alone() {
    needs!(Single, "opening::what_is_not_ours_is_left_alone");
    for (command, fields) in [("SET", &["x"][..]), ("HSET", &["name", "x"])] {
        let place = Place::new(Form::Single);
        let key = format!("{}:store", place.base);
        redis::cmd(command).arg(&key).arg(fields).exec(&mut plain()).unwrap();
        let error = refused(&place.url()).await;
        assert_eq!(error.kind(), Kind::InvalidInput, "{error}");
        let there = crate::fixture::keys(&mut plain(), &place.base);
        assert_eq!(there, [key.into_bytes()], "something was made beside the key of others");
    }
}

#[tokio::test]
async fn newer_and_damaged_stores_are_refused() {
    needs!(Single, "opening::newer_and_damaged_stores_are_refused");
    let place = Place::new(Form::Single);
    prepared(&place.url()).await.close().await.unwrap();
    for (field, value, kind) in [
        ("format", "99", Kind::NewerFormat),
        ("format", "x", Kind::Corrupt),
        ("schema", "other", Kind::InvalidInput),
    ] {
        let key = format!("{}:store", place.base);
        redis::cmd("HSET").arg(key).arg(field).arg(value).exec(&mut plain()).unwrap();
        assert_eq!(refused(&place.url()).await.kind(), kind, "{field} {value}");
    }
}

/// A new store in its place would be found sound, with all that it holds.
#[tokio::test]
async fn a_store_that_has_lost_its_name_is_not_made_anew() {
    needs!(Single, "opening::a_store_that_has_lost_its_name_is_not_made_anew");
    let place = Place::new(Form::Single);
    prepared(&place.url()).await.close().await.unwrap();
    let key = format!("{}:store", place.base);
    redis::cmd("DEL").arg(&key).exec(&mut plain()).unwrap();
    let there = crate::fixture::keys(&mut plain(), &place.base);
    for create in ["yes", "no"] {
        let error = refused(&format!("{}&create={create}", place.url())).await;
        assert_eq!(error.kind(), Kind::Corrupt, "{error}");
        assert!(error.to_string().contains(&key), "{error}");
    }
    assert_eq!(crate::fixture::keys(&mut plain(), &place.base), there);
}

static FIRST: Table = Table { name: "first", since: 1, key: &["id"], fields: &[], indexes: &[] };
static LATER: Table = Table { name: "later", since: 2, key: &["id"], fields: &[], indexes: &[] };
static NOTES: Log = Log { name: "notes", since: 1 };
static OLD: Schema =
    Schema { name: "test", version: 1, tables: &[&FIRST], logs: &[&NOTES], views: &[] };
static NEW: Schema =
    Schema { name: "test", version: 2, tables: &[&FIRST, &LATER], logs: &[&NOTES], views: &[] };

fn put(table: &'static Table, id: &str) -> Batch {
    let mut batch = Batch::new(Namespace::default());
    let key = Key::new(table, [id]).unwrap();
    let body = agentkeep::Json::parse("{}").unwrap();
    batch.push(Operation::Put(Put::new(key, body, Save::Create).unwrap()));
    batch
}

async fn open(schema: &'static Schema, url: &str) -> agentkeep::Result<Redis> {
    Redis::open(schema, Options::from_url(url)?).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sixteen_at_once_make_and_upgrade_a_store() {
    needs!(Single, "opening::sixteen_at_once_make_and_upgrade_a_store");
    let place = Place::new(Form::Single);
    let mut ids = std::collections::BTreeSet::new();
    for (schema, table) in [(&OLD, &FIRST), (&NEW, &LATER)] {
        if schema.version == 2 {
            let error = open(schema, &format!("{}&upgrade=no", place.url())).await.unwrap_err();
            assert_eq!(error.kind(), Kind::Unsupported, "{error}");
        }
        let tasks: Vec<_> = (0..16)
            .map(|i| {
                let url = format!("{}&pool=2", place.url());
                tokio::spawn(async move {
                    let store = open(schema, &url).await.unwrap();
                    store.commit(put(table, &format!("r{i}"))).await.unwrap();
                    let id = store.describe().store_id.clone();
                    store.close().await.unwrap();
                    id
                })
            })
            .collect();
        for task in tasks {
            ids.insert(task.await.unwrap());
        }
    }
    assert_eq!(ids.len(), 1, "one store");
    let error = open(&OLD, &place.url()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::NewerFormat, "{error}");
    let store = open(&NEW, &place.url()).await.unwrap();
    assert_eq!(store.check().await.unwrap().records, 32);
}
