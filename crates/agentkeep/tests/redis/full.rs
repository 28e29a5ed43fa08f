//! A server whose memory is full: what is there is read, exported, checked and removed, and nothing is
//! added. Copies for snapshots stay within what the server may take.

use agentkeep::driver::{
    Batch, Blob, Driver as _, Expect, Find, Operation, Put, Save, Snapshot as _,
};
use agentkeep::schema::{CONTAINERS, Key, MESSAGES, Namespace};
use agentkeep::{Error, Json, Kind, NamespaceInfo, Session, Store};

use crate::fixture::keys;
use crate::grouped::{add, append, batch, open, stream, told};
use crate::needs;
use crate::servers::own::Server;
use crate::servers::{named, opened, prepared, said};

fn nodes(server: &Server) -> Vec<redis::Connection> {
    let (login, hosts) = server.url.rsplit_once('@').unwrap();
    let node = |host| redis::Client::open(format!("{login}@{host}")).unwrap();
    hosts.split(',').map(|host| node(host).get_connection().unwrap()).collect()
}

/// Lets each server take so many bytes.
fn limit(server: &Server, bytes: u64) {
    for mut node in nodes(server) {
        redis::cmd("CONFIG").arg("SET").arg("maxmemory").arg(bytes).exec(&mut node).unwrap();
    }
}

fn used(server: &Server) -> u64 {
    let info: String = redis::cmd("INFO").arg("memory").query(&mut nodes(server)[0]).unwrap();
    let line = info.lines().find_map(|line| line.strip_prefix("used_memory:"));
    line.unwrap().trim().parse().unwrap()
}

fn all_keys(server: &Server) -> Vec<String> {
    let all = nodes(server).into_iter().flat_map(|mut node| keys(&mut node, "agentkeep"));
    let mut all: Vec<String> = all.map(|key| String::from_utf8(key).unwrap()).collect();
    all.sort();
    all
}

async fn until(done: impl Fn() -> bool) {
    let done = async {
        while !done() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_mins(1), done).await.unwrap();
}

fn is_full(error: &Error) {
    assert_eq!(error.kind(), Kind::NoSpace, "{error}");
    assert!(error.to_string().contains("maxmemory"), "{error}");
    assert!(error.advice_text().unwrap().contains("delete"), "{error:?}");
}

async fn a_full_server_is_read_and_emptied(server: &Server) {
    let store = prepared(&server.url).await;
    store.sessions().save(Session::new("t", "i", "c").unwrap()).await.unwrap();
    for id in ["a", "b", "c"] {
        store.messages("s").add(named(id)).await.unwrap();
        store.messages("t").add(named(id)).await.unwrap();
    }
    let other = store.namespace("other").unwrap();
    store.namespaces().create(NamespaceInfo::new("other").unwrap()).await.unwrap();
    other.containers().save(agentkeep::Container::new("x").unwrap()).await.unwrap();
    store.close().await.unwrap();
    // A store of which the server knows no script.
    for mut node in nodes(server) {
        redis::cmd("SCRIPT").arg("FLUSH").exec(&mut node).unwrap();
    }
    limit(server, 500_000);
    let before = all_keys(server);
    let store = opened(&server.url).await;
    assert_eq!(all_keys(server), before, "opening wrote something");
    assert_eq!(said(&store, "s").await, ["a", "b", "c"]);
    assert_eq!(store.namespaces().names().await.unwrap(), ["default", "other"]);
    // Nothing is added, also not beside something that goes.
    is_full(&store.messages("s").add(named("d")).await.unwrap_err());
    let session = Session::new("u", "i", "c").unwrap();
    is_full(&store.sessions().save(session.clone()).await.unwrap_err());
    let mut unit = store.unit();
    unit.sessions().delete("s");
    unit.messages("t").add(named("d"));
    is_full(&unit.commit().await.unwrap_err());
    let mut mixed = Batch::new(Namespace::default());
    let key = |id: &str| Key::new(&CONTAINERS, [id]).unwrap();
    let long = Json::string(&"x".repeat(2_000));
    mixed.push(Operation::Delete(key("none")));
    mixed.push(Operation::Put(Put::new(key("long"), long, Save::Any).unwrap()));
    is_full(&store.driver().commit(mixed).await.unwrap_err());
    let blob = batch(Operation::PutBlob(Blob::new(&b"x"[..])));
    is_full(&store.driver().commit(blob).await.unwrap_err());
    assert_eq!(all_keys(server).iter().filter(|key| key.contains("none")).count(), 0);
    // One moment, of which nothing is copied.
    let moment = store.snapshot().await.unwrap();
    assert_eq!(said(&moment, "t").await, ["a", "b", "c"]);
    assert_eq!(moment.sessions().all().await.unwrap().len(), 2);
    assert!(store.check().await.unwrap().is_sound());
    assert!(!all_keys(server).iter().any(|key| key.contains(":snapshot:")));
    // What is removed is removed, and who reads a moment is told.
    let trim = Operation::Trim { log: &MESSAGES, stream: stream("none"), before: 1 };
    assert_eq!(store.driver().commit(batch(trim)).await.unwrap_err().kind(), Kind::NotFound);
    assert!(store.sessions().delete("s").await.unwrap());
    let error = moment.messages("t").all().await.unwrap_err();
    assert_eq!(error.kind(), Kind::NoSpace, "{error}");
    assert!(error.to_string().contains("was changed"), "{error}");
    store.messages("t").clear().await.unwrap();
    assert!(store.namespaces().delete("other").await.unwrap());
    assert_eq!(store.sessions().all().await.unwrap().len(), 1);
    assert_eq!(store.namespaces().names().await.unwrap(), ["default"]);
    assert!(store.check().await.unwrap().is_sound());
    let error = Store::open(&format!("{}?base=new", server.url)).await.unwrap_err();
    is_full(&error);
    limit(server, 0);
    store.sessions().save(session).await.unwrap();
    store.messages("u").add(named("d")).await.unwrap();
    assert_eq!(said(&store, "u").await, ["d"]);
    assert!(store.check().await.unwrap().is_sound());
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_there_is_read_and_removed() {
    needs!(Single, "full::what_is_there_is_read_and_removed");
    a_full_server_is_read_and_emptied(&Server::start("redis", "filled")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_there_is_read_and_removed_in_a_cluster() {
    needs!(Cluster, "full::what_is_there_is_read_and_removed_in_a_cluster");
    a_full_server_is_read_and_emptied(&Server::start("redis-cluster", "filled")).await;
}

/// A commit that was not answered is settled, and a copy ends, also when memory is full meanwhile.
#[tokio::test]
async fn a_copy_ends_when_memory_is_full() {
    needs!(Single, "full::a_copy_ends_when_memory_is_full");
    let server = Server::start("redis", "ends");
    let driver = open(&server.url).await;
    driver.commit(add("a", "id", "text")).await.unwrap();
    let reader = driver.snapshot(&Namespace::default()).await.unwrap();
    let copied = || all_keys(&server).iter().any(|key| key.contains(":snapshot:"));
    assert!(copied());
    limit(&server, 500_000);
    drop(reader);
    until(|| !copied()).await;
    driver.close().await.unwrap();
}

/// Else nobody could write any more for as long as the copy lives.
#[tokio::test]
async fn a_copy_leaves_no_server_without_memory() {
    needs!(Single, "full::a_copy_leaves_no_server_without_memory");
    let server = Server::start("redis", "near");
    let driver = open(&server.url).await;
    let (small, large) = ("x".repeat(70), "x".repeat(100_000));
    // Of the second the server believes that all entries are as small as the first that it looks at.
    for (name, leading) in [("alike", &large), ("unlike", &small)] {
        let namespace = Namespace::new(name).unwrap();
        let texts = (0..150).map(|n| if n < 140 && n > 6 { leading } else { &small });
        let texts: Vec<(&str, &str)> = texts.map(|text| ("", text.as_str())).collect();
        let mut entries = append(&MESSAGES, "a", &texts);
        entries.namespace = namespace.clone();
        driver.commit(entries).await.unwrap();
        let mut more = append(&MESSAGES, "a", &[("", large.as_str()); 30]);
        more.namespace = namespace.clone();
        driver.commit(more).await.unwrap();
        limit(&server, used(&server) + 1_000_000);
        let reader = driver.snapshot(&namespace).await.unwrap();
        assert!(!all_keys(&server).iter().any(|key| key.contains(":snapshot:")), "{name}");
        let find = Find::by(&CONTAINERS, "key").unwrap();
        assert_eq!(reader.find(&namespace, &find).await.unwrap().records, []);
        let key = Key::new(&CONTAINERS, ["c"]).unwrap();
        let mut put = Batch::new(namespace.clone());
        put.push(Operation::Put(Put::new(key.clone(), Json::null(), Save::Any).unwrap()));
        driver.commit(put).await.unwrap();
        let error = reader.find(&namespace, &find).await.unwrap_err();
        assert_eq!(error.kind(), Kind::NoSpace, "{error}");
        // One that there is memory for is a copy.
        limit(&server, used(&server) + 100_000_000);
        let reader = driver.snapshot(&namespace).await.unwrap();
        assert!(all_keys(&server).iter().any(|key| key.contains(":snapshot:")), "{name}");
        let mut delete = Batch::new(namespace.clone());
        delete.push(Operation::Delete(key.clone()));
        delete.expect(Expect::Exists(key));
        driver.commit(delete).await.unwrap();
        assert_eq!(reader.find(&namespace, &find).await.unwrap().records.len(), 1);
        drop(reader);
        until(|| !all_keys(&server).iter().any(|key| key.contains(":snapshot:"))).await;
    }
    assert_eq!(told(&driver, &MESSAGES, "a").await, []);
    assert!(driver.check().await.unwrap().is_sound());
}
