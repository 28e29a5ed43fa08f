//! PostgreSQL.

use std::path::Path;

use serde_json::json;
use tokio_postgres::{Client, NoTls};

use crate::support::agentx::{gives_what_agentx_reads, kept, tally};
use crate::support::{Home, fixture};

fn server(test: &str) -> Option<String> {
    super::server("AGENTKEEP_TEST_POSTGRES", "postgres", test)
}

/// A schema with AgentX's table and what its SQLite file has, which the role `reader` may read.
struct Live {
    server: String,
    name: String,
}

impl Live {
    fn new(server: String, test: &str) -> Self {
        let live = Self { server, name: format!("agentx_{test}_{}", std::process::id()) };
        let name = &live.name;
        live.run(&format!(
            "CREATE SCHEMA {name}; CREATE TABLE {name}.unstorage(key VARCHAR(255) NOT NULL PRIMARY \
             KEY, value TEXT, blob BYTEA, created_at TIMESTAMP, updated_at TIMESTAMP); CREATE ROLE \
             {name} LOGIN PASSWORD 'reads'; GRANT USAGE ON SCHEMA {name} TO {name}; \
             GRANT SELECT ON {name}.unstorage TO {name}"
        ));
        live
    }

    fn with<T>(&self, work: impl AsyncFnOnce(&Client) -> T) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (client, connection) = tokio_postgres::connect(&self.server, NoTls).await.unwrap();
            let connection = tokio::spawn(connection);
            let answer = work(&client).await;
            connection.abort();
            answer
        })
    }

    fn run(&self, sql: &str) {
        self.with(async |client| client.batch_execute(sql).await.unwrap());
    }

    fn fill(&self, rows: &[(String, String)]) {
        let sql = format!("INSERT INTO {}.unstorage(key, value) VALUES ($1, $2)", self.name);
        self.with(async |client| {
            for (key, value) in rows {
                client.execute(&sql, &[key, value]).await.unwrap();
            }
        });
    }

    /// As the role that can only read.
    fn url(&self) -> String {
        let (_, place) = self.server.split_once('@').unwrap();
        format!("postgres://{0}:reads@{place}?schema={0}", self.name)
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        let name = &self.name;
        self.run(&format!("DROP SCHEMA {name} CASCADE; DROP OWNED BY {name}; DROP ROLE {name}"));
    }
}

#[test]
fn a_live_database_gives_what_agentx_reads() {
    let Some(address) = server("a live database") else { return };
    let live = Live::new(address, "all");
    live.fill(&kept(&fixture("agentx.db")));
    let home = Home::new();
    gives_what_agentx_reads(&home, Path::new(&live.url()));
    // Again, and where the same data stands in another form: it is the same import.
    let again = home.import(Path::new(&live.url()));
    assert_eq!(again["messages"], tally(0, 604));
    assert_eq!(home.import(&fixture("agentx.db"))["importId"], again["importId"]);
}

#[test]
fn many_pages_and_what_is_no_value_are_told() {
    let Some(address) = server("many pages") else { return };
    let live = Live::new(address, "pages");
    let container =
        |n: u32| format!("{{\"containerId\":\"c{n}\",\"createdAt\":1,\"updatedAt\":1}}");
    let rows: Vec<_> = (0..350).map(|n| (format!("containers:c{n}"), container(n))).collect();
    live.fill(&rows);
    live.fill(&[("unknown:x".to_owned(), "1".to_owned())]);
    live.run(&format!("INSERT INTO {}.unstorage(key) VALUES ('images:none')", live.name));
    let home = Home::new();
    let report = home.import(Path::new(&live.url()));
    assert_eq!(report["containers"], json!({ "new": 350, "unchanged": 0, "differing": 0 }));
    assert_eq!(report["notTaken"].as_array().unwrap().len(), 2, "{report}");
    assert!(!report["source"]["path"].as_str().unwrap().contains("reads"), "{report}");
}

#[test]
fn what_cannot_be_read_is_told_without_the_password() {
    let Some(address) = server("bad sources") else { return };
    let live = Live::new(address, "refused");
    let home = Home::new();
    let url = live.url();
    live.run(&format!("REVOKE SELECT ON {0}.unstorage FROM {0}", live.name));
    for (url, said) in [
        (url.clone(), "permission denied"),
        (url.replace(":reads@", ":wrong@"), "password"),
        (format!("{url}&pool=0"), "pool="),
        (url.replace(&format!("schema={}", live.name), "schema=nothing"), "without the table"),
        ("postgres://u:reads@127.0.0.1:1/d".to_owned(), "127.0.0.1:1"),
        ("mysql://u:reads@h/d".to_owned(), "\"mysql\""),
    ] {
        let said_so = home.fails(&["import", "agentx", &url]);
        assert!(said_so.contains(said), "{said_so}");
        assert!(!said_so.contains("reads") && !said_so.contains("wrong"), "{said_so}");
        assert!(!home.store().exists(), "{said_so}");
    }
}
