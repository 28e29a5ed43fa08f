//! What is not safe is not acknowledged, and what was given up does not go on.

use std::time::{Duration, SystemTime};

use agentkeep::driver::{Append, Batch, Known, NewEntry, Operation};
use agentkeep::schema::{MESSAGES, Namespace, OperationId, Stream};
use agentkeep::{Kind, Message, Store};
use futures_util::FutureExt as _;
use tokio::task::JoinHandle;
use tokio_postgres::Client;

use crate::fixture::Place;
use crate::servers::own::Server;
use crate::servers::{named, opened, prepared, said};
use crate::sql::{ask, client, run};
use crate::{needs_server, plain};

/// Time for what has to come.
const PATIENCE: Duration = Duration::from_secs(20);

async fn standbys(admin: &Client, name: &str) {
    let set = format!("ALTER SYSTEM SET synchronous_standby_names = '{name}'");
    admin.batch_execute(&set).await.unwrap();
    admin.batch_execute("SELECT pg_reload_conf()").await.unwrap();
    let shown = "SELECT current_setting('synchronous_standby_names')";
    while admin.query_one(shown, &[]).await.unwrap().get::<_, String>(0) != name {
        tokio::task::yield_now().await;
    }
}

/// From then on commits wait for a standby that there is not.
async fn nobody_stands_by(server: &Server, admin: &Client) -> JoinHandle<()> {
    admin.batch_execute("CREATE TABLE noticed()").await.unwrap();
    standbys(admin, "nobody").await;
    // As soon as the server has taken notice.
    let (url, probe) = (server.url.clone(), "INSERT INTO noticed DEFAULT VALUES");
    let probing = tokio::spawn(async move {
        let (client, connection) =
            tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        while client.batch_execute(probe).await.is_ok() {}
    });
    let noticed = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
    while admin.query(noticed, &[]).await.unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    probing
}

/// Which of our connections wait for a standby, and since when.
async fn waiting(admin: &Client) -> Vec<(i32, SystemTime)> {
    let ours = "SELECT pid, query_start FROM pg_stat_activity WHERE wait_event = 'SyncRep' \
                AND application_name = 'agentkeep'";
    let rows = admin.query(ours, &[]).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// Somebody at the server ends the wait, and the server calls the commit done: with a warning.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_for_standbys_that_somebody_ended_is_waited_for_again() {
    needs_server!("unsure::a_wait_for_standbys_that_somebody_ended_is_waited_for_again");
    let server = Server::start("postgres", "cut-short");
    let store = prepared(&server.url).await;
    store.messages("s").add(named("before")).await.unwrap();
    let admin = client(&server).await;
    let probing = nobody_stands_by(&server, &admin).await;
    let adding = store.clone();
    let adding = tokio::spawn(async move { adding.messages("s").add(named("held")).await });
    let mut known = Vec::new();
    // The commit itself, and twice that it is looked for.
    for _ in 0..3 {
        let next = async {
            loop {
                let found = waiting(&admin).await.into_iter().find(|one| !known.contains(one));
                if let Some(found) = found {
                    return found;
                }
                tokio::task::yield_now().await;
            }
        };
        let found = tokio::time::timeout(PATIENCE, next).await.unwrap();
        assert!(!adding.is_finished());
        admin.execute("SELECT pg_cancel_backend($1)", &[&found.0]).await.unwrap();
        known.push(found);
    }
    standbys(&admin, "").await;
    adding.await.unwrap().unwrap();
    probing.abort();
    assert_eq!(said(&store, "s").await, ["before", "held"]);
}

/// The deadline cancels a commit that waits for a standby, and then the server calls it done.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_standby_has_is_not_acknowledged() {
    needs_server!("unsure::what_no_standby_has_is_not_acknowledged");
    let server = Server::start("postgres", "standby");
    prepared(&server.url).await.close().await.unwrap();
    let store = opened(&format!("{}?timeout=3", server.url)).await;
    store.messages("s").add(named("before")).await.unwrap();
    let admin = client(&server).await;
    let probing = nobody_stands_by(&server, &admin).await;
    // Under its operation id it is found, and is as unsafe as before.
    for _ in 0..2 {
        let add = Operation::Append(Append {
            log: &MESSAGES,
            stream: Stream::new("held").unwrap(),
            entries: vec![NewEntry { id: None, body: agentkeep::Json::null(), refs: Vec::new() }],
            known: Known::Refuse,
            start: None,
        });
        let mut batch = Batch::new(Namespace::default());
        batch.operation = Some(OperationId::new("once").unwrap());
        batch.push(add);
        let error = store.driver().commit(batch).await.unwrap_err();
        assert_eq!(error.kind(), Kind::OutcomeUnknown, "{error}");
    }
    let error = store.messages("s").add(named("held")).await.unwrap_err();
    assert_eq!(error.kind(), Kind::OutcomeUnknown, "{error}");
    // What was given up does not keep its place at the server.
    let gone = async {
        while !waiting(&admin).await.is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.unwrap();
    standbys(&admin, "").await;
    probing.abort();
    // It is there, and repeating it changes nothing.
    store.messages("s").add(named("held")).await.unwrap();
    assert_eq!(said(&store, "s").await, ["before", "held"]);
    store.close().await.unwrap();
}

/// The setting can change under a connection that has been looked at.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_heed_synchronous_commit_as_it_is() {
    needs_server!("unsure::commits_heed_synchronous_commit_as_it_is");
    let server = Server::start("postgres", "synced");
    let store = prepared(&server.url).await;
    let less = opened(&format!("{}?durability=process", server.url)).await;
    // The way of most messages, of several at once, and of everything else.
    let several = || vec![Message::user("a").unwrap(), Message::user("b").unwrap()];
    store.messages("s").add(named("m0")).await.unwrap();
    store.messages("s").add_many(several()).await.unwrap();
    run(&server, "ALTER SYSTEM SET synchronous_commit = off").await;
    run(&server, "SELECT pg_reload_conf()").await;
    while ask(&server, "SHOW synchronous_commit").await != "off" {
        tokio::task::yield_now().await;
    }
    // Until the server's processes have read it.
    let mut n = 1;
    let error = loop {
        match store.messages("s").add(named(&format!("m{n}"))).await {
            Ok(_) => n += 1,
            Err(error) => break error,
        }
    };
    let container = agentkeep::Container::new("d").unwrap();
    let others = [
        store.messages("s").add_many(several()).await.map(|_| ()),
        store.containers().save(container.clone()).await,
    ];
    for error in others.into_iter().map(Result::unwrap_err).chain([error]) {
        assert_eq!(error.kind(), Kind::DurabilityNotMet, "{error}");
        let text = error.to_string();
        assert!(text.contains("synchronous_commit is off; needed: on"), "{text}");
    }
    assert_eq!(said(&store, "s").await.len(), n + 2);
    less.containers().save(container).await.unwrap();
    less.close().await.unwrap();
    run(&server, "ALTER SYSTEM RESET synchronous_commit").await;
    run(&server, "SELECT pg_reload_conf()").await;
    while store.messages("s").add(named("again")).await.is_err() {}
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_that_is_late_ends_at_the_server_too() {
    needs_server!("unsure::a_read_that_is_late_ends_at_the_server_too");
    let place = Place::new();
    prepared(&place.url()).await.close().await.unwrap();
    let store = opened(&format!("{}&timeout=3", place.url())).await;
    let holder = plain().await;
    let hold = format!("BEGIN; LOCK TABLE \"{}\".containers", place.schema);
    holder.batch_execute(&hold).await.unwrap();
    let error = store.containers().get("c").await.unwrap_err();
    assert_eq!(error.kind(), Kind::Timeout, "{error}");
    let waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE $1";
    let (watcher, schema) = (plain().await, format!("%{}%", place.schema));
    let ended = async {
        while !watcher.query(waiting, &[&schema]).await.unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, ended).await.unwrap();
    holder.batch_execute("COMMIT").await.unwrap();
    assert!(store.containers().get("c").await.unwrap().is_some());
    store.close().await.unwrap();
}

/// Whoever asks for hints first may have a runtime that ends long before the store does.
#[test]
fn hints_outlive_the_runtime_of_who_asked_first() {
    needs_server!("unsure::hints_outlive_the_runtime_of_who_asked_first");
    let runtime = || {
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
    };
    let (long, short, place) = (runtime(), runtime(), Place::new());
    let (store, other) =
        long.block_on(async { (prepared(&place.url()).await, opened(&place.url()).await) });
    let watch = async |store: &Store| {
        store.driver().watch(&Namespace::default(), &MESSAGES, None).await.unwrap()
    };
    let first = short.block_on(watch(&store));
    let mut second = long.block_on(watch(&store));
    short.shutdown_timeout(PATIENCE);
    long.block_on(async {
        while second.changed().now_or_never().is_some() {}
        other.messages("s").add(named("m")).await.unwrap();
        assert_eq!(tokio::time::timeout(PATIENCE, second.changed()).await, Ok(true));
        drop(first);
        store.close().await.unwrap();
        other.close().await.unwrap();
    });
}

/// What calls leave behind is forgotten when it is old, by all clocks, and not before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_is_old_is_forgotten() {
    needs_server!("unsure::only_what_is_old_is_forgotten");
    let (place, client) = (Place::new(), plain().await);
    let store = prepared(&place.url()).await;
    let now: i64 = client
        .query_one("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint", &[])
        .await
        .unwrap()
        .get(0);
    let hour = 60 * 60 * 1000;
    let token = |at: i64| {
        let seconds = at.cast_unsigned() / 1000;
        uuid::Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, seconds, 0))
    };
    // Made when, and written when: the clock of one who wrote may have been wrong.
    let tokens = [(3 * hour, 3 * hour), (hour, hour), (3 * hour, hour), (hour, 3 * hour)];
    let tokens = tokens.map(|(made, written)| (token(now - made), now - written));
    let insert = format!("INSERT INTO \"{}\"._commits VALUES ($1, $2, '')", place.schema);
    for (token, written) in &tokens {
        client.execute(&insert, &[token, written]).await.unwrap();
    }
    let operations = format!(
        "INSERT INTO \"{}\"._operations(namespace, operation, digest, time, result) \
         SELECT $1, n::text, '', $2, '' FROM generate_series(1, $3) n",
        place.schema
    );
    let (old, many, few) = (now - 25 * hour, 101_000_i32, 1_500_i32);
    // Of a namespace that nobody writes to, as many as are looked at at once.
    client.execute(&operations, &[&"another", &old, &few]).await.unwrap();
    client.execute(&operations, &[&"default", &old, &many]).await.unwrap();
    for n in 0..520 {
        store.messages("s").add(named(&format!("m{n}"))).await.unwrap();
    }
    let count = async |sql: String| -> i64 { client.query_one(&sql, &[]).await.unwrap().get(0) };
    let of = |namespace: &str| {
        format!(
            "SELECT count(*) FROM \"{}\"._operations WHERE namespace = '{namespace}'",
            place.schema
        )
    };
    let forgotten = async {
        while count(of("default")).await != 100_000 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, forgotten).await.unwrap();
    assert_eq!(count(of("another")).await, i64::from(few));
    let there = format!("SELECT token FROM \"{}\"._commits WHERE result = ''", place.schema);
    let there = client.query(&there, &[]).await.unwrap();
    let there: Vec<uuid::Uuid> = there.iter().map(|row| row.get(0)).collect();
    assert_eq!(there.len(), 3);
    assert!(!there.contains(&tokens[0].0));
    store.close().await.unwrap();
}
