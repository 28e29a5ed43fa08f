//! Hints about commits that were under way when listening began.

use std::time::Duration;

use agentkeep::Store;
use agentkeep::driver::Watch;
use agentkeep::schema::{MESSAGES, Namespace};
use futures_util::FutureExt as _;

use crate::needs_server;
use crate::servers::own::Server;
use crate::servers::{named, opened, prepared, said};

/// Time for what has to come: shorter than the 15 s after which the server writes by itself.
const PATIENCE: Duration = Duration::from_secs(10);

/// How commits are held where nobody sees them yet.
#[derive(Clone, Copy)]
enum Hold {
    /// In a deferred trigger, before they are in the server's log.
    Trigger,
    /// For a standby that there is not: they are in the log.
    Standby,
}

async fn plain(url: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

impl Hold {
    async fn begin(self, client: &tokio_postgres::Client) {
        let sql = match self {
            Self::Trigger => {
                "CREATE FUNCTION held() RETURNS trigger LANGUAGE plpgsql AS \
                 'BEGIN PERFORM pg_advisory_xact_lock(4711); RETURN NULL; END'; \
                 CREATE CONSTRAINT TRIGGER held AFTER INSERT ON agentkeep.messages \
                 DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION held(); \
                 SELECT pg_advisory_lock(4711)"
            }
            Self::Standby => return standbys(client, "nobody").await,
        };
        client.batch_execute(sql).await.unwrap();
    }

    async fn end(self, client: &tokio_postgres::Client) {
        match self {
            Self::Trigger => client.batch_execute("SELECT pg_advisory_unlock(4711)").await.unwrap(),
            Self::Standby => standbys(client, "").await,
        }
    }

    fn waits(self) -> &'static str {
        match self {
            Self::Trigger => "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'advisory'",
            Self::Standby => "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep'",
        }
    }
}

async fn standbys(client: &tokio_postgres::Client, names: &str) {
    let sql = format!("ALTER SYSTEM SET synchronous_standby_names = '{names}'");
    client.batch_execute(&sql).await.unwrap();
    client.batch_execute("SELECT pg_reload_conf()").await.unwrap();
}

/// Adds messages until one is held; answers its id.
async fn held(store: &Store, hold: Hold, client: &tokio_postgres::Client) -> String {
    for n in 0.. {
        let id = format!("m{n}");
        let (adding, message) = (store.clone(), named(&id));
        let added = tokio::spawn(async move { adding.messages("s").add(message).await });
        while !added.is_finished() {
            if !client.query(hold.waits(), &[]).await.unwrap().is_empty() {
                return id;
            }
        }
        added.await.unwrap().unwrap();
    }
    unreachable!("the loop has no end")
}

async fn is_told_of(name: &str, hold: Hold, how: &str) {
    let server = Server::start("postgres", name);
    let store = prepared(&server.url).await;
    let client = plain(&server.url).await;
    let other = opened(&format!("{}?hints={how}", server.url)).await;
    hold.begin(&client).await;
    let id = tokio::time::timeout(PATIENCE, held(&store, hold, &client)).await.unwrap();
    let namespace = Namespace::default();
    let mut watch = other.driver().watch(&namespace, &MESSAGES, None).await.unwrap();
    // Hints of the beginning are none of this commit.
    while watch.changed().now_or_never() == Some(true) {}
    assert!(!said(&other, "s").await.contains(&id), "it is seen already");
    hold.end(&client).await;
    is_hinted_at(&mut watch, &other, &id).await;
}

/// Reads after each hint until the message is there.
async fn is_hinted_at(watch: &mut Watch, store: &Store, id: &str) {
    let seen = async {
        loop {
            assert!(watch.changed().await, "hints ended");
            if said(store, "s").await.iter().any(|said| said == id) {
                return;
            }
        }
    };
    let seen = tokio::time::timeout(PATIENCE, seen).await;
    assert!(seen.is_ok(), "no hint for a commit that became visible");
}

/// Asks until there is a row.
async fn until(client: &tokio_postgres::Client, sql: &str) {
    let there = async { while client.query(sql, &[]).await.unwrap().is_empty() {} };
    tokio::time::timeout(PATIENCE, there).await.unwrap();
}

/// It has looked for listeners before there was one.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_commit_under_way_is_told_of() {
    needs_server!("hints::a_commit_under_way_is_told_of");
    is_told_of("under-way", Hold::Trigger, "listen").await;
}

/// It stands in the server's log before the first look.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_commit_under_way_is_found_by_asking() {
    needs_server!("hints::a_commit_under_way_is_found_by_asking");
    is_told_of("asked", Hold::Standby, "poll").await;
}

/// It is the newest of all when listening begins: no transaction that has ended is later.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_latest_commit_under_way_is_told_of() {
    needs_server!("hints::the_latest_commit_under_way_is_told_of");
    let server = Server::start("postgres", "latest");
    let store = prepared(&server.url).await;
    store.messages("s").add(named("m0")).await.unwrap();
    let (holder, writer) = (plain(&server.url).await, plain(&server.url).await);
    let (namespace, first) = (Namespace::default(), opened(&server.url).await);
    let watch = first.driver().watch(&namespace, &MESSAGES, None).await.unwrap();
    let sql = "SELECT (classid::bigint << 32) | objid::bigint FROM pg_locks \
               WHERE locktype = 'advisory' AND mode = 'ShareLock' AND objsubid = 1";
    let lock: i64 = holder.query_one(sql, &[]).await.unwrap().get(0);
    drop(watch);
    first.close().await.unwrap();
    holder.query("SELECT pg_advisory_lock($1)", &[&lock]).await.unwrap();
    let other = opened(&server.url).await;
    let (driver, of) = (other.clone(), namespace.clone());
    let watching =
        tokio::spawn(async move { driver.driver().watch(&of, &MESSAGES, None).await.unwrap() });
    until(&holder, "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted").await;
    // As of a process that has looked for listeners and found none.
    let sql = "BEGIN; UPDATE agentkeep._streams SET last = last + 1, count = count + 1, \
               version = version + 1 WHERE log = 'messages'; \
               INSERT INTO agentkeep.messages(stream_no, seq, id, body, time) \
               SELECT stream_no, seq + 1, 'raw', \
               '{\"id\":\"raw\",\"subtype\":\"user\",\"content\":\"raw\"}', time \
               FROM agentkeep.messages";
    writer.batch_execute(sql).await.unwrap();
    holder.query("SELECT pg_advisory_unlock($1)", &[&lock]).await.unwrap();
    let mut watch = watching.await.unwrap();
    let looked = "SELECT 1 FROM pg_stat_activity WHERE state = 'idle' AND pid <> pg_backend_pid() \
                  AND query LIKE '%pg_current_snapshot%' AND query NOT LIKE '%xmax%'";
    until(&holder, looked).await;
    while watch.changed().now_or_never() == Some(true) {}
    assert!(!said(&other, "s").await.contains(&"raw".to_owned()), "it is seen already");
    writer.batch_execute("COMMIT").await.unwrap();
    is_hinted_at(&mut watch, &other, "raw").await;
}
