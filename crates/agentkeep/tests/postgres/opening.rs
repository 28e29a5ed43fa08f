//! Opening what cannot be opened: typed, named, without secrets, within the deadline.

use std::time::{Duration, Instant};

use agentkeep::{Error, Kind, Store};

use crate::fixture::{Place, server};
use crate::servers::prepared;
use crate::{needs_server, plain};

async fn refused(url: &str) -> Error {
    let error = Store::open(url).await.unwrap_err();
    for text in [format!("{error}"), format!("{error:?}")] {
        assert!(!text.contains("sEcReT") && !text.contains("agentkeep:tests"), "{text}");
    }
    assert!(error.advice_text().is_some(), "{error}");
    error
}

/// The server's URL with another role, password, place or database.
fn changed(from: &str, to: &str) -> String {
    let url = server().unwrap();
    assert!(url.contains(from), "{url}");
    url.replace(from, to)
}

#[tokio::test]
async fn what_is_wrong_is_named() {
    needs_server!("opening::what_is_wrong_is_named");
    let error = refused(&changed(":tests@", ":sEcReT@")).await;
    assert_eq!(error.kind(), Kind::PermissionDenied, "{error}");
    let error = refused(&changed("//agentkeep:", "//nobody_here:")).await;
    assert_eq!(error.kind(), Kind::PermissionDenied, "{error}");
    let error = refused(&changed("/postgres", "/no_such_database")).await;
    assert_eq!(error.kind(), Kind::NotFound, "{error}");
    let error = refused("postgres://u:sEcReT@127.0.0.1:1/d?timeout=2").await;
    assert_eq!(error.kind(), Kind::Unavailable, "{error}");
    assert!(error.is_retryable());
    let place = Place::new();
    let error = refused(&format!("{}&create=no", place.url())).await;
    assert_eq!(error.kind(), Kind::NotFound, "{error}");
}

/// A pooler has one code for all of it.
#[tokio::test]
async fn what_is_wrong_is_named_by_a_pooler() {
    let Some(url) = crate::pooler::url("opening::what_is_wrong_is_named_by_a_pooler") else {
        return;
    };
    let at = |from: &str, to: &str| {
        assert!(url.contains(from), "{url}");
        url.replace(from, to)
    };
    for (url, kind, told) in [
        (at(":tests@", ":sEcReT@"), Kind::PermissionDenied, "password"),
        (at("//agentkeep:", "//nobody_here:"), Kind::PermissionDenied, "role"),
        (at("/postgres", "/no_such_database"), Kind::NotFound, "database"),
    ] {
        let error = refused(&url).await;
        assert_eq!((error.kind(), error.is_retryable()), (kind, false), "{error}");
        assert!(error.advice_text().unwrap().contains(told), "{error}");
    }
}

/// What a role's settings forbid is said with what to change.
#[tokio::test]
async fn limits_of_a_role_are_named() {
    needs_server!("opening::limits_of_a_role_are_named");
    let (place, client) = (Place::new(), plain().await);
    let role = format!("limited_{}", place.schema);
    let run = async |sql: String| client.batch_execute(&sql).await.unwrap();
    run(format!("CREATE ROLE \"{role}\" LOGIN PASSWORD 'tests' CONNECTION LIMIT 0")).await;
    let url = changed("//agentkeep:", &format!("//{role}:"));
    let url = format!("{url}?schema={}&timeout=5", place.schema);
    let error = refused(&url).await;
    assert_eq!(error.kind(), Kind::Unavailable, "{error}");
    assert!(error.advice_text().unwrap().contains("max_connections"), "{error}");
    run(format!("ALTER ROLE \"{role}\" CONNECTION LIMIT -1")).await;
    run(format!("ALTER ROLE \"{role}\" SET statement_timeout = '3s'")).await;
    run(format!("GRANT CREATE ON DATABASE postgres TO \"{role}\"")).await;
    let store = Store::open(&url.replace("timeout=5", "timeout=30")).await.unwrap();
    run(format!("BEGIN; LOCK TABLE \"{}\".containers IN ACCESS EXCLUSIVE MODE", place.schema))
        .await;
    let error = store.containers().all().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Timeout, "{error}");
    assert!(error.advice_text().unwrap().contains("statement_timeout"), "{error}");
    run("ROLLBACK".to_owned()).await;
    store.close().await.unwrap();
    run(format!("DROP OWNED BY \"{role}\" CASCADE; DROP ROLE \"{role}\"")).await;
}

#[tokio::test]
async fn certificates_are_verified() {
    needs_server!("opening::certificates_are_verified");
    let place = Place::new();
    let certificate = std::env::var("AGENTKEEP_TEST_POSTGRES_CERTIFICATE").unwrap();
    let at = |host: &str, options: &str| {
        changed("127.0.0.1", host) + &format!("?schema={}{options}", place.schema)
    };
    let trusted = format!("&sslmode=verify-full&sslrootcert={certificate}");
    // Known by name, by no other, and not without being trusted.
    Store::open(&at("localhost", &trusted)).await.unwrap().close().await.unwrap();
    for (url, told) in [
        (at("127.0.0.1", &trusted), "the host's name"),
        (at("localhost", "&sslmode=verify-full"), "sslrootcert=FILE"),
    ] {
        let error = refused(&url).await;
        assert!(error.advice_text().unwrap().contains(told), "{error}");
        assert_eq!(error.kind(), Kind::Unavailable, "{error}");
        assert!(error.to_string().contains("certificate"), "{error}");
        assert!(!error.is_retryable(), "{error}");
    }
    Store::open(&at("127.0.0.1", "&sslmode=require")).await.unwrap().close().await.unwrap();
}

/// What a server of another kind, or none, answers to the first message.
#[tokio::test]
async fn other_servers_are_told_apart_within_the_deadline() {
    for answer in [&b""[..], b"-ERR unknown command\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"N"]
    {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = tokio::spawn(async move {
            let mut held = Vec::new();
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                tokio::io::AsyncWriteExt::write_all(&mut stream, answer).await.unwrap();
                held.push(stream);
            }
        });
        let began = Instant::now();
        for mode in ["disable", "require"] {
            let url = format!("postgres://u:sEcReT@127.0.0.1:{port}/d?timeout=1&sslmode={mode}");
            let error = refused(&url).await;
            assert!(matches!(error.kind(), Kind::Unavailable | Kind::Timeout), "{error}");
        }
        // A deadline of a second each, and no more than a moment beyond it.
        assert!(began.elapsed() < Duration::from_secs(20));
        server.abort();
    }
}

#[tokio::test]
async fn what_is_not_ours_is_left_alone() {
    needs_server!("opening::what_is_not_ours_is_left_alone");
    let (place, client) = (Place::new(), plain().await);
    let schema = format!("\"{}\"", place.schema);
    let sql = format!("CREATE SCHEMA {schema}; CREATE TABLE {schema}.messages(a int)");
    client.batch_execute(&sql).await.unwrap();
    let error = refused(&place.url()).await;
    assert_eq!(error.kind(), Kind::InvalidInput, "{error}");
    let sql = "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
               WHERE n.nspname = $1";
    let row = client.query_one(sql, &[&place.schema]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), 1, "something was made beside the table of others");
}

#[tokio::test]
async fn newer_and_damaged_stores_are_refused() {
    needs_server!("opening::newer_and_damaged_stores_are_refused");
    let (place, client) = (Place::new(), plain().await);
    prepared(&place.url()).await.close().await.unwrap();
    for (sql, kind) in [
        ("UPDATE {}._store SET value = '99' WHERE name = 'format'", Kind::NewerFormat),
        ("UPDATE {}._store SET value = 'x' WHERE name = 'format'", Kind::Corrupt),
        ("UPDATE {}._store SET value = 'other' WHERE name = 'schema'", Kind::InvalidInput),
    ] {
        let sql = sql.replace("{}", &format!("\"{}\"", place.schema));
        client.batch_execute(&sql).await.unwrap();
        assert_eq!(refused(&place.url()).await.kind(), kind, "{sql}");
    }
}

#[tokio::test]
async fn what_somebody_wrote_by_hand_is_found() {
    needs_server!("opening::what_somebody_wrote_by_hand_is_found");
    let (place, client) = (Place::new(), plain().await);
    let store = prepared(&place.url()).await;
    store.messages("s").add(crate::servers::named("a")).await.unwrap();
    assert!(store.check().await.unwrap().is_sound());
    for sql in [
        "UPDATE {}.images SET container_id = 'other'",
        "UPDATE {}._streams SET count = 7",
        "UPDATE {}.messages SET body = '{ \"id\": 1 }'",
        "DELETE FROM {}.lineages__by_stream",
        "INSERT INTO {}.messages VALUES (999, 1, NULL, '1', 0, NULL, NULL, NULL)",
    ] {
        let sql = sql.replace("{}", &format!("\"{}\"", place.schema));
        let before = store.check().await.unwrap().damage.len();
        client.batch_execute(&sql).await.unwrap();
        assert!(store.check().await.unwrap().damage.len() > before, "{sql}");
    }
    let error = store.messages("s").all().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Corrupt, "{error}");
}

/// Analysts ask in SQL, also for texts that only the type `json` takes.
#[tokio::test]
async fn the_tables_can_be_queried() {
    needs_server!("opening::the_tables_can_be_queried");
    let (place, client) = (Place::new(), plain().await);
    let store = prepared(&place.url()).await;
    let odd =
        r#"{"id":"a","subtype":"user","content":"\u0000","n":123456789012345678901234567890.10}"#;
    let message = agentkeep::Message::from_json(agentkeep::Json::parse(odd).unwrap()).unwrap();
    store.messages("s").add(message).await.unwrap();
    let sql = format!(
        "SELECT m.body::text, i.name FROM \"{0}\".session_messages m \
         JOIN \"{0}\".sessions s ON s.session_id = m.session_id \
         JOIN \"{0}\".images i ON i.image_id = s.image_id WHERE i.container_id = 'c'",
        place.schema
    );
    let row = client.query_one(&sql, &[]).await.unwrap();
    assert_eq!((row.get::<_, &str>(0), row.get::<_, &str>(1)), (odd, "x"));
}
