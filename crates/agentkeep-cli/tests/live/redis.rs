//! Redis, one server and a cluster.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use redis::{Connection, RedisResult};
use serde_json::json;

use crate::own::Server;
use crate::support::agentx::{gives_what_agentx_reads, kept, tally};
use crate::support::{Home, fixture};

static NEXT: AtomicU32 = AtomicU32::new(0);

/// AgentX's keys under a base that nobody else has.
struct Live {
    url: String,
    nodes: Vec<Connection>,
    base: String,
}

fn server(test: &str) -> Option<Live> {
    super::server("AGENTKEEP_TEST_REDIS", "redis", test).map(Live::new)
}

impl Live {
    fn new(url: String) -> Self {
        let (login, hosts) = url.rsplit_once('@').unwrap();
        let node = |host| {
            redis::Client::open(format!("{login}@{host}")).unwrap().get_connection().unwrap()
        };
        let nodes = hosts.split(',').map(node).collect();
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let base = format!("agentx_{}_{next}", std::process::id());
        Self { url, nodes, base }
    }

    /// On the node of a cluster that has the key's slot.
    fn run(&mut self, command: &str, key: &[u8], arguments: &[&str]) {
        let key = [self.base.as_bytes(), b":", key].concat();
        let mut cmd = redis::cmd(command);
        cmd.arg(key).arg(arguments);
        let done = self.nodes.iter_mut().filter_map(|node| cmd.exec(node).ok()).count();
        assert_eq!(done, 1, "{command}");
    }

    fn fill(&mut self) {
        for (key, value) in kept(&fixture("agentx.db")) {
            self.run("SET", key.as_bytes(), &[&value]);
        }
    }

    fn url(&self) -> String {
        format!("{}?base={}", self.url, self.base)
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        for node in &mut self.nodes {
            let mut scan = redis::cmd("SCAN");
            scan.cursor_arg(0).arg("MATCH").arg(format!("{}:*", self.base)).arg("COUNT").arg(1000);
            let Ok(keys) = scan.clone().iter::<Vec<u8>>(node) else { continue };
            let keys: Vec<Vec<u8>> = keys.filter_map(RedisResult::ok).collect();
            for key in keys {
                let _ = redis::cmd("DEL").arg(key).exec(node);
            }
        }
    }
}

#[test]
fn a_live_database_gives_what_agentx_reads() {
    let Some(mut live) = server("a live database") else { return };
    live.fill();
    let home = Home::new();
    gives_what_agentx_reads(&home, Path::new(&live.url()));
    // Again, and where the same data stands in another form: it is the same import.
    let again = home.import(Path::new(&format!("{}:", live.url())));
    assert_eq!(again["messages"], tally(0, 604));
    assert_eq!(home.import(&fixture("agentx.db"))["importId"], again["importId"]);
}

#[test]
fn a_live_cluster_gives_what_agentx_reads() {
    let url = super::server("AGENTKEEP_TEST_REDIS_CLUSTER", "redis-cluster", "a live cluster");
    let Some(mut live) = url.map(Live::new) else { return };
    live.fill();
    gives_what_agentx_reads(&Home::new(), Path::new(&live.url()));
}

/// An import writes nothing, so a replica will do; a store on it would not.
#[test]
fn a_replica_gives_what_agentx_reads() {
    if super::server("AGENTKEEP_TEST_REDIS", "redis", "a replica").is_none() {
        return;
    }
    let (master, replica) = (Server::start("redis", "origin"), Server::start("redis", "copy"));
    let mut live = Live::new(master.url.clone());
    live.fill();
    let run = |node: &mut Connection, command: &str, arguments: &[&str]| {
        redis::cmd(command).arg(arguments).exec(node).unwrap();
    };
    let node = &mut live.nodes[0];
    run(node, "CONFIG", &["SET", "repl-diskless-sync-delay", "0"]);
    let (_, port) = master.url.rsplit_once(':').unwrap();
    let mut copy = Live::new(replica.url.clone());
    run(&mut copy.nodes[0], "REPLICAOF", &["127.0.0.1", port]);
    // Until it has all.
    let has: u64 = redis::cmd("WAIT").arg(1).arg(0).query(node).unwrap();
    assert_eq!(has, 1);
    let url = format!("{}?base={}", replica.url, live.base);
    let home = Home::new();
    let said = home.fails(&["--store", &url, "stats"]);
    assert!(said.contains("role is slave; needed: master"), "{said}");
    gives_what_agentx_reads(&home, Path::new(&url));
    // Without its master, too.
    master.kill();
    gives_what_agentx_reads(&Home::new(), Path::new(&url));
}

#[test]
fn an_encrypted_connection_is_verified() {
    let Some(mut live) = server("an encrypted connection") else { return };
    live.run("SET", b"containers:c", &[r#"{"containerId":"c","createdAt":1,"updatedAt":1}"#]);
    let variable = |name: &str| std::env::var(name).unwrap();
    let url = format!("{}?base={}", variable("AGENTKEEP_TEST_REDIS_TLS"), live.base);
    let home = Home::new();
    let said = home.fails(&["import", "agentx", &url]);
    assert!(said.contains("certificate") && !said.contains(":tests"), "{said}");
    let trusted = format!("{url}&tls_ca={}", variable("AGENTKEEP_TEST_REDIS_CERTIFICATE"));
    assert_eq!(home.import(Path::new(&trusted))["containers"]["new"], 1);
}

#[test]
fn what_is_not_of_the_layout_is_listed() {
    let Some(mut live) = server("what is not of the layout") else { return };
    for n in 0..350 {
        let value = format!("{{\"containerId\":\"c{n}\",\"createdAt\":1,\"updatedAt\":1}}");
        live.run("SET", format!("containers:c{n}").as_bytes(), &[&value]);
    }
    live.run("SET", b"unknown:x", &["1"]);
    live.run("SET", b"containers:torn", &["{"]);
    live.run("SET", b"containers:\xff", &["{}"]);
    live.run("RPUSH", b"messages:list", &["[]"]);
    live.run("HSET", b"images:hash", &["a", "b"]);
    let home = Home::new();
    let url = live.url();
    let dry = home.json(&["import", "agentx", &url, "--dry-run"]);
    assert_eq!(dry["containers"]["new"], 350);
    let report = home.import(Path::new(&url));
    assert_eq!(report["containers"], json!({ "new": 350, "unchanged": 0, "differing": 0 }));
    let left = report["notTaken"].as_array().unwrap();
    assert_eq!(left.len(), 5, "{report}");
    let left = serde_json::to_string(left).unwrap();
    for said in ["it is a Redis list, not a string", "it is a Redis hash", "no UTF-8", "unknown:x"]
    {
        assert!(left.contains(said), "{left}");
    }
    assert!(!report.to_string().contains("tests@"), "{report}");
    assert!(report["source"]["path"].as_str().unwrap().ends_with(&live.base), "{report}");
}

#[test]
fn what_cannot_be_read_is_told_without_the_password() {
    let Some(mut live) = server("bad sources") else { return };
    live.run("SET", b"containers:c", &[r#"{"containerId":"c","createdAt":1,"updatedAt":1}"#]);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = listener.local_addr().unwrap().to_string();
    let url = live.url();
    let mut bad = vec![
        (url.replace(":tests@", ":wrong@"), "password"),
        (url.replace("//:tests@", "//"), "REDIS_PASSWORD"),
        (format!("{url}nothing"), "without any of AgentX's keys"),
        (url.replace("?base", "/x?base"), "is not a number"),
        (format!("{url}&pool=0"), "pool="),
        (format!("{url}&word=tests"), "\"word\""),
        ("redis://u:wrong@127.0.0.1:1".to_owned(), "127.0.0.1:1"),
        (format!("redis://u:wrong@{silent}/0?timeout=1"), &silent),
    ];
    if let Ok(postgres) = std::env::var("AGENTKEEP_TEST_POSTGRES") {
        let address = postgres.rsplit_once('@').unwrap().1.split_once('/').unwrap().0;
        bad.push((format!("redis://u:wrong@{address}/0?timeout=2"), "Redis"));
    }
    let home = Home::new();
    for (url, said) in bad {
        let said_so = home.fails(&["import", "agentx", &url]);
        assert!(said_so.contains(said), "{said_so}");
        assert!(!said_so.contains("tests") && !said_so.contains(":wrong"), "{said_so}");
        assert!(!home.store().exists(), "{said_so}");
    }
}
