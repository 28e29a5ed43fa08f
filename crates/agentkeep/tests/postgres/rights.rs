//! Roles that may not create: the owner runs what `schema print` shows.

use agentkeep::drivers::sql::postgres::Postgres;
use agentkeep::schema::AGENTKEEP;
use agentkeep::{Container, Kind, Store};

use crate::fixture::{Place, server};
use crate::{needs_server, plain};

#[tokio::test]
async fn a_role_that_may_not_create_uses_what_the_owner_made() {
    needs_server!("rights::a_role_that_may_not_create_uses_what_the_owner_made");
    let (place, client) = (Place::new(), plain().await);
    let role = format!("role_{}", place.schema);
    let sql = format!("CREATE ROLE \"{role}\" LOGIN PASSWORD 'tests'");
    client.batch_execute(&sql).await.unwrap();
    let url = server().unwrap().replace("//agentkeep:", &format!("//{role}:"));
    let url = format!("{url}?schema={}", place.schema);
    let error = Store::open(&url).await.unwrap_err();
    assert_eq!(error.kind(), Kind::PermissionDenied, "{error}");
    assert!(error.to_string().contains("schema print"), "{error}");
    for statement in Postgres::statements(&AGENTKEEP, &place.schema, 0) {
        client.batch_execute(&statement).await.unwrap();
    }
    let schema = &place.schema;
    let grants = format!(
        "GRANT USAGE ON SCHEMA \"{schema}\" TO \"{role}\"; \
         GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA \"{schema}\" TO \"{role}\""
    );
    client.batch_execute(&grants).await.unwrap();
    let store = Store::open(&url).await.unwrap();
    store.containers().save(Container::new("c").unwrap()).await.unwrap();
    assert!(store.check().await.unwrap().is_sound());
    store.close().await.unwrap();
    client
        .batch_execute(&format!("REVOKE INSERT ON \"{schema}\".containers FROM \"{role}\""))
        .await
        .unwrap();
    let store = Store::open(&url).await.unwrap();
    let error = store.containers().save(Container::new("d").unwrap()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::PermissionDenied, "{error}");
    store.close().await.unwrap();
    let sql = format!("DROP OWNED BY \"{role}\"; DROP ROLE \"{role}\"");
    client.batch_execute(&sql).await.unwrap();
}
