//! Settings that lose what was acknowledged are refused: the setting, what it is, what is needed.

use agentkeep::{Kind, Store};

use crate::fixture::{Place, server};
use crate::servers::own::Server;
use crate::sql::run;
use crate::{needs_server, plain};

#[tokio::test]
async fn settings_of_a_role_are_held_against_what_was_asked() {
    needs_server!("settings::settings_of_a_role_are_held_against_what_was_asked");
    let (place, client) = (Place::new(), plain().await);
    let role = format!("role_{}", place.schema);
    let sql = format!("CREATE ROLE \"{role}\" LOGIN SUPERUSER PASSWORD 'tests'");
    client.batch_execute(&sql).await.unwrap();
    let url = server().unwrap().replace("//agentkeep:", &format!("//{role}:"));
    let url = format!("{url}?schema={}", place.schema);
    for (setting, value, kind, less) in [
        ("synchronous_commit", "off", Kind::DurabilityNotMet, true),
        ("default_transaction_read_only", "on", Kind::Unsupported, false),
        ("default_transaction_isolation", "serializable", Kind::Unsupported, false),
    ] {
        let set = format!("ALTER ROLE \"{role}\" SET {setting} = '{value}'");
        client.batch_execute(&set).await.unwrap();
        let error = Store::open(&url).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        let text = error.to_string();
        assert!(
            text.contains(setting) && text.contains(&format!("is {value}; needed: ")),
            "{text}"
        );
        let accepted = Store::open(&format!("{url}&durability=process")).await;
        assert_eq!(accepted.is_ok(), less, "{setting}: {accepted:?}");
        let reset = format!("ALTER ROLE \"{role}\" RESET {setting}");
        client.batch_execute(&reset).await.unwrap();
    }
    Store::open(&url).await.unwrap().close().await.unwrap();
    drop(place);
    client.batch_execute(&format!("DROP OWNED BY \"{role}\"; DROP ROLE \"{role}\"")).await.unwrap();
}

#[tokio::test]
async fn settings_of_the_server_are_held_against_what_was_asked() {
    needs_server!("settings::settings_of_the_server_are_held_against_what_was_asked");
    let server = Server::start("postgres", "settings");
    for setting in ["fsync", "full_page_writes"] {
        run(&server, &format!("ALTER SYSTEM SET {setting} = off")).await;
        server.kill();
        server.restart();
        let error = Store::open(&server.url).await.unwrap_err();
        assert_eq!(error.kind(), Kind::DurabilityNotMet, "{error}");
        let text = error.to_string();
        assert!(text.contains(&format!("{setting} is off; needed: on")), "{text}");
        let less = Store::open(&format!("{}?durability=process", server.url)).await.unwrap();
        assert_eq!(less.describe().durability.name(), "process");
        less.close().await.unwrap();
        run(&server, &format!("ALTER SYSTEM RESET {setting}")).await;
        server.kill();
        server.restart();
    }
    Store::open(&server.url).await.unwrap().close().await.unwrap();
}
