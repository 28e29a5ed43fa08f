//! Settings that lose what was acknowledged are refused: the setting, what it is, what is needed.

use agentkeep::{Kind, Store};

use crate::needs;
use crate::servers::own::Server;

fn at(server: &Server) -> redis::Connection {
    redis::Client::open(server.url.as_str()).unwrap().get_connection().unwrap()
}

fn set(server: &Server, name: &str, value: &str) {
    redis::cmd("CONFIG").arg("SET").arg(name).arg(value).exec(&mut at(server)).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_of_the_server_are_held_against_what_was_asked() {
    needs!(Single, "settings::settings_of_the_server_are_held_against_what_was_asked");
    let server = Server::start("redis", "settings");
    for (setting, value, needed, less) in [
        ("appendonly", "no", "yes", true),
        ("appendfsync", "everysec", "always", true),
        ("no-appendfsync-on-rewrite", "yes", "no", true),
        ("maxmemory-policy", "volatile-lru", "noeviction", false),
        ("maxmemory-policy", "allkeys-lru", "noeviction", false),
    ] {
        set(&server, setting, value);
        let error = Store::open(&server.url).await.unwrap_err();
        assert_eq!(error.kind(), Kind::DurabilityNotMet, "{error}");
        let text = error.to_string();
        assert!(text.contains(&format!("{setting} is {value}; needed: {needed}")), "{text}");
        let accepted = Store::open(&format!("{}?durability=process", server.url)).await;
        assert_eq!(accepted.is_ok(), less, "{setting}: {accepted:?}");
        if let Ok(accepted) = accepted {
            assert_eq!(accepted.describe().durability.name(), "process");
            accepted.close().await.unwrap();
        }
        set(&server, setting, needed);
    }
    Store::open(&server.url).await.unwrap().close().await.unwrap();
}

/// Until the file has been written for the first time, nothing would be there after a crash.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_only_begun_keeps_nothing() {
    needs!(Single, "settings::a_file_that_is_only_begun_keeps_nothing");
    let server = Server::start("redis", "begun");
    set(&server, "appendonly", "no");
    redis::cmd("SET").arg("other").arg("x").exec(&mut at(&server)).unwrap();
    // The child takes 100 seconds for this key.
    set(&server, "rdb-key-save-delay", "100000000");
    set(&server, "appendonly", "yes");
    let error = Store::open(&server.url).await.unwrap_err();
    assert_eq!(error.kind(), Kind::DurabilityNotMet, "{error}");
    assert!(error.to_string().contains("aof_rewrite_in_progress is 1; needed: 0"), "{error}");
    assert!(error.is_retryable());
    let less = format!("{}?durability=process", server.url);
    Store::open(&less).await.unwrap().close().await.unwrap();
    // This ends the child.
    set(&server, "appendonly", "no");
    set(&server, "rdb-key-save-delay", "0");
    set(&server, "appendonly", "yes");
    // There is nothing that could be waited for but that it may be opened.
    while let Err(error) = Store::open(&server.url).await {
        assert_eq!(error.kind(), Kind::DurabilityNotMet, "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_hides_its_settings_needs_the_users_word() {
    needs!(Single, "settings::a_server_that_hides_its_settings_needs_the_users_word");
    let server = Server::start("redis", "hidden");
    let mut user = redis::cmd("ACL");
    user.arg("SETUSER").arg("app").arg("on").arg(">sEcReT").arg("~*").arg("&*").arg("+@all");
    user.arg("-config");
    user.exec(&mut at(&server)).unwrap();
    let url = server.url.replace("//:tests@", "//app:sEcReT@");
    let error = Store::open(&url).await.unwrap_err();
    assert_eq!(error.kind(), Kind::DurabilityNotMet, "{error}");
    assert!(error.to_string().contains("hidden") && !format!("{error:?}").contains("sEcReT"));
    assert!(error.advice_text().unwrap().contains("no-appendfsync-on-rewrite no"), "{error:?}");
    for options in ["durability=process", "settings=stated"] {
        Store::open(&format!("{url}?{options}")).await.unwrap().close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_is_refused_also_when_it_becomes_one() {
    needs!(Single, "settings::a_replica_is_refused_also_when_it_becomes_one");
    let (master, replica) = (Server::start("redis", "master"), Server::start("redis", "replica"));
    let url = format!("{}?timeout=5", replica.url);
    let store = crate::servers::prepared(&url).await;
    store.messages("s").add(crate::servers::named("a")).await.unwrap();
    let port = master.url.rsplit_once(':').unwrap().1;
    redis::cmd("REPLICAOF").arg("127.0.0.1").arg(port).exec(&mut at(&replica)).unwrap();
    for error in [
        store.messages("s").add(crate::servers::named("b")).await.unwrap_err(),
        Store::open(&url).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), Kind::DurabilityNotMet, "{error}");
        assert!(error.to_string().contains("role is slave; needed: master"), "{error}");
    }
    // Of several hosts the one that is a master counts.
    let hosts = format!("127.0.0.1:{port}");
    let both = replica.url.replace("@127", &format!("@{hosts},127"));
    let store = Store::open(&both).await.unwrap();
    store.messages("none").count().await.unwrap_err();
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_server_refuses_and_changes_nothing() {
    needs!(Single, "settings::a_full_server_refuses_and_changes_nothing");
    let server = Server::start("redis", "full");
    let store = crate::servers::prepared(&server.url).await;
    store.messages("s").add(crate::servers::named("a")).await.unwrap();
    set(&server, "maxmemory", "1mb");
    let error = store.messages("s").add(crate::servers::named("b")).await.unwrap_err();
    assert_eq!(error.kind(), Kind::NoSpace, "{error}");
    assert_eq!(crate::servers::said(&store, "s").await, ["a"]);
    set(&server, "maxmemory", "0");
    store.messages("s").add(crate::servers::named("b")).await.unwrap();
    assert!(store.check().await.unwrap().is_sound());
}

/// A script that is refused in its middle would leave a commit half done.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_who_may_not_do_all_is_refused_at_once() {
    needs!(Single, "settings::a_user_who_may_not_do_all_is_refused_at_once");
    let server = Server::start("redis", "rights");
    let url = server.url.replace("//:tests@", "//app:sEcReT@");
    let user = |rules: &[&str]| {
        let mut user = redis::cmd("ACL");
        user.arg("SETUSER").arg("app").arg("reset").arg("on").arg(">sEcReT").arg(rules);
        user.exec(&mut at(&server)).unwrap();
    };
    let enough = ["~agentkeep:*", "&agentkeep:*", "+@all", "-@admin", "+config|get"];
    for missing in ["-zadd", "-hdel", "-unlink", "-publish", "-zremrangebylex", "-copy", "-eval"] {
        user(&[&enough[..], &[missing]].concat());
        let error = Store::open(&url).await.unwrap_err();
        assert_eq!(error.kind(), Kind::PermissionDenied, "{missing}: {error}");
        assert!(!format!("{error:?}").contains("sEcReT"), "{error:?}");
    }
    user(&["~other:*", "&agentkeep:*", "+@all"]);
    let error = Store::open(&url).await.unwrap_err();
    assert_eq!(error.kind(), Kind::PermissionDenied, "{error}");
    user(&enough);
    let store = crate::servers::prepared(&url).await;
    store.messages("s").add(crate::servers::named("a")).await.unwrap();
    assert!(store.check().await.unwrap().is_sound());
}
