//! Stores whose owner made the large tables partitioned, as `docs/scaling.md` says.

use std::sync::Arc;

use agentkeep::conformance::{Fixture, Verdict, cases, run_case};
use agentkeep::drivers::sql::postgres::Postgres;
use agentkeep::schema::{AGENTKEEP, Schema};

use crate::fixture::{OfPostgres, Place, run};
use crate::needs_server;
use crate::servers::{named, prepared};

const PARTITIONS: usize = 3;

/// What `schema print` shows, with the clauses added: logs by stream, records by namespace.
fn partitioned(schema: &Schema, place: &Place) -> Vec<String> {
    let of = |name: &str| format!("\"{}\".\"{name}\"", place.schema);
    let logs = schema.logs.iter().map(|log| (of(log.name), "stream_no"));
    let tables = schema.tables.iter().map(|table| (of(table.name), "namespace"));
    let by: Vec<(String, &str)> = logs.chain(tables).collect();
    let mut statements = Vec::new();
    for statement in Postgres::statements(schema, &place.schema, 0) {
        let made =
            by.iter().find(|(name, _)| statement.starts_with(&format!("CREATE TABLE {name}(")));
        let Some((name, column)) = made else {
            statements.push(statement);
            continue;
        };
        statements.push(format!("{statement} PARTITION BY HASH ({column})"));
        let parts = (0..PARTITIONS).map(|n| {
            let part = format!("{}_p{n}\"", name.trim_end_matches('"'));
            format!(
                "CREATE TABLE {part} PARTITION OF {name} \
                 FOR VALUES WITH (MODULUS {PARTITIONS}, REMAINDER {n})"
            )
        });
        statements.extend(parts);
    }
    statements
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_contract_holds_on_partitions() {
    needs_server!("partitions::the_contract_holds_on_partitions");
    let fixture: Arc<dyn Fixture> = Arc::new(OfPostgres::made_by(partitioned));
    let mut ran = 0;
    for case in cases() {
        let verdict = run_case(&fixture, case).await;
        assert_eq!(verdict, Verdict::Passed, "{}", case.name);
        ran += 1;
    }
    assert!(ran > 80, "{ran}");
}

/// How often each partition of the messages was looked at or written to.
async fn touched(client: &tokio_postgres::Client, place: &Place) -> Vec<i64> {
    let sql = format!(
        "SELECT n_tup_ins + seq_scan + coalesce(idx_scan, 0) FROM pg_catalog.pg_stat_user_tables \
         WHERE schemaname = '{}' AND relname LIKE 'messages\\_p_' ORDER BY relname",
        place.schema
    );
    client.query(&sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

/// Else every partition would be looked at for each message.
#[tokio::test]
async fn a_stream_is_one_partition() {
    needs_server!("partitions::a_stream_is_one_partition");
    let (place, client) = (Place::new(), crate::plain().await);
    run(&partitioned(&AGENTKEEP, &place)).await;
    // What a session has done is told when it has ended: its indexes were made by going over the tables.
    let sessions = "SELECT 1 FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND query LIKE $1";
    let name = format!("%{}%", place.schema);
    while !client.query(sessions, &[&name]).await.unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    let before = touched(&client, &place).await;
    assert!(before.len() == PARTITIONS && before.iter().all(|count| *count > 0), "{before:?}");
    let store = prepared(&place.url()).await;
    for n in 0..20 {
        store.messages("s").add(named(&format!("m{n}"))).await.unwrap();
    }
    assert_eq!(store.messages("s").last(5).await.unwrap().len(), 5);
    store.close().await.unwrap();
    let more = loop {
        let after = touched(&client, &place).await;
        let more: Vec<i64> =
            after.iter().zip(&before).map(|(after, before)| after - before).collect();
        if more.iter().any(|count| *count > 20) {
            break more;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(more.iter().filter(|count| **count > 0).count(), 1, "{more:?}");
}
