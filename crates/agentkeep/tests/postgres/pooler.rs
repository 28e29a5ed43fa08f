//! Behind a pooler in transaction mode: the same contract, nothing kept in a session.

use std::sync::Arc;

use agentkeep::Store;
use agentkeep::conformance::{Fixture, Verdict, cases, run_case};
use agentkeep::drivers::sql::postgres::{Options, Postgres};

use crate::fixture::{self, OfPostgres, Place};
use crate::servers::{named, prepared};

/// The pooler's URL; says loudly when there is none.
pub(crate) fn url(test: &str) -> Option<String> {
    let pooler = fixture::pooler();
    if pooler.is_none() {
        eprintln!("SKIPPED {test}: no pgbouncer beside the server of scripts/services");
    }
    pooler
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_contract_holds_behind_a_pooler() {
    let Some(url) = url("pooler::the_contract_holds_behind_a_pooler") else { return };
    let fixture: Arc<dyn Fixture> = Arc::new(OfPostgres::by(&url));
    let families = ["concurrency::", "commits::", "lifecycle::", "logs::", "operations::"];
    let mut ran = 0;
    for case in cases().into_iter().filter(|c| families.iter().any(|f| c.name.starts_with(f))) {
        let verdict = run_case(&fixture, case).await;
        assert_eq!(verdict, Verdict::Passed, "{}", case.name);
        ran += 1;
    }
    assert!(ran > 30, "{ran}");
}

/// Names of statements are common to all clients of a pooler's connection: none may be used, and
/// that has to be known beforehand.
#[tokio::test]
async fn a_pooler_is_known_before_anything_is_prepared() {
    let Some(url) = url("pooler::a_pooler_is_known_before_anything_is_prepared") else { return };
    let place = Place::new();
    let tls = "&sslmode=require";
    for (url, prepares) in [
        (place.url(), true),
        (place.url() + tls, true),
        (format!("{url}?schema={}", place.schema), false),
    ] {
        let options = Options::from_url(&url).unwrap();
        let store = Postgres::open(&agentkeep::schema::AGENTKEEP, options).await.unwrap();
        assert_eq!(store.prepares(), prepares, "{store:?}");
    }
}

/// From a process that does not know of us, through the server itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn hints_come_by_asking_where_none_are_told() {
    let Some(url) = url("pooler::hints_come_by_asking_where_none_are_told") else { return };
    let place = Place::new();
    let other = prepared(&place.url()).await;
    let store = Store::open(&format!("{url}?schema={}", place.schema)).await.unwrap();
    let namespace = agentkeep::schema::Namespace::default();
    let log = &agentkeep::schema::MESSAGES;
    for round in 0..5 {
        let mut watch = store.driver().watch(&namespace, log, None).await.unwrap();
        other.messages("s").add(named(&format!("m{round}"))).await.unwrap();
        let wait = std::time::Duration::from_secs(20);
        assert_eq!(tokio::time::timeout(wait, watch.changed()).await, Ok(true), "round {round}");
    }
}
