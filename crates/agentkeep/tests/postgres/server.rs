//! A server of one test's own.

use std::path::Path;
use std::process::Command;

/// Started by the project's script; ends with this.
pub(crate) struct Server {
    name: String,
    pub(crate) url: String,
}

fn script(name: &str, arguments: &[&str]) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/services");
    let output =
        Command::new(script).args(arguments).env("AGENTKEEP_SERVERS", name).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

impl Server {
    pub(crate) fn start(name: &str) -> Self {
        let name = format!("{name}-{}", std::process::id());
        let exports = script(&name, &["start", "postgres"]);
        let value = |variable: &str| {
            let line = exports.lines().find_map(|line| {
                line.strip_prefix("export ")?.strip_prefix(variable)?.strip_prefix('=')
            });
            line.unwrap().to_owned()
        };
        let url = value("AGENTKEEP_TEST_POSTGRES");
        Self { name, url }
    }

    /// At once, as a crash would: nothing is written any more.
    pub(crate) fn kill(&self) {
        script(&self.name, &["kill", "postgres"]);
    }

    pub(crate) fn restart(&self) {
        script(&self.name, &["restart", "postgres"]);
    }

    /// A connection as anybody has it.
    pub(crate) async fn client(&self) -> tokio_postgres::Client {
        let connected = tokio_postgres::connect(&self.url, tokio_postgres::NoTls).await;
        let (client, connection) = connected.unwrap();
        tokio::spawn(connection);
        client
    }

    pub(crate) async fn run(&self, sql: &str) {
        self.client().await.batch_execute(sql).await.unwrap();
    }

    /// The one text that is answered.
    pub(crate) async fn ask(&self, sql: &str) -> String {
        self.client().await.query_one(sql, &[]).await.unwrap().get(0)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        script(&self.name, &["stop"]);
    }
}
