//! SQL for a server of one's own.

use crate::servers::own::Server;

/// A connection as anybody has it.
pub(crate) async fn client(server: &Server) -> tokio_postgres::Client {
    let connected = tokio_postgres::connect(&server.url, tokio_postgres::NoTls).await;
    let (client, connection) = connected.unwrap();
    tokio::spawn(connection);
    client
}

pub(crate) async fn run(server: &Server, sql: &str) {
    client(server).await.batch_execute(sql).await.unwrap();
}

/// The one text that is answered.
pub(crate) async fn ask(server: &Server, sql: &str) -> String {
    client(server).await.query_one(sql, &[]).await.unwrap().get(0)
}
