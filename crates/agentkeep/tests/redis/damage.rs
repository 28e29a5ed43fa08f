//! What somebody changed by hand is found, and never read as something else.

use agentkeep::Kind;
use agentkeep::driver::Driver as _;

use crate::fixture::{Form, Place, keys};
use crate::servers::{named, prepared};
use crate::{needs, plain};

/// Where to change something, and how.
type Change = (&'static str, fn(&str) -> String);

/// Changes the first value of a hash, or the first member of a sorted set.
fn change(key: &str, with: impl Fn(&str) -> String) {
    let mut client = plain();
    let changed = |value: &[u8]| with(&String::from_utf8_lossy(value));
    let kind: String = redis::cmd("TYPE").arg(key).query(&mut client).unwrap();
    if kind == "hash" {
        let fields: Vec<String> = redis::cmd("HKEYS").arg(key).query(&mut client).unwrap();
        let field = fields.iter().min().unwrap();
        let value = redis::cmd("HGET").arg(key).arg(field).query::<Vec<u8>>(&mut client).unwrap();
        let set = redis::cmd("HSET").arg(key).arg(field).arg(changed(&value)).exec(&mut client);
        return set.unwrap();
    }
    let members = redis::cmd("ZRANGE").arg(key).arg(0).arg(0).query::<Vec<Vec<u8>>>(&mut client);
    let member = members.unwrap().remove(0);
    redis::cmd("ZREM").arg(key).arg(&member).exec(&mut client).unwrap();
    redis::cmd("ZADD").arg(key).arg(0).arg(changed(&member)).exec(&mut client).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_somebody_wrote_by_hand_is_found() {
    needs!(Single, "damage::what_somebody_wrote_by_hand_is_found");
    let changes: [Change; 6] = [
        ("records:images", |row| row.replace("\"c\"", "\"d\"")),
        ("records:images", |row| row.replacen('1', "x", 1)),
        ("records:_streams", |row| row.replacen("\u{1f}1\u{1f}", "\u{1f}7\u{1f}", 1)),
        ("entries:messages", |row| row.replace("\"a\"", "\"b\"")),
        ("entries:messages", |row| row.replacen("0001", "0002", 1)),
        ("places:images", |_| String::new()),
    ];
    for (suffix, with) in changes {
        let place = Place::new(Form::Single);
        let store = prepared(&place.url()).await;
        store.messages("s").add(named("a")).await.unwrap();
        assert!(store.check().await.unwrap().is_sound());
        let prefix = format!("{}:{{default}}:{suffix}", place.base);
        let keys = crate::fixture::keys(&mut plain(), &place.base);
        let keys = keys.into_iter().map(|key| String::from_utf8(key).unwrap());
        let key = keys.filter(|key| key.starts_with(&prefix)).min().unwrap();
        change(&key, with);
        assert!(!store.check().await.unwrap().is_sound(), "{suffix}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missing_places_and_counts_are_found() {
    needs!(Single, "damage::missing_places_and_counts_are_found");
    for suffix in [
        "index:images:key",
        "index:images:by_name",
        "index:lineages:by_stream",
        "index:_streams:key",
        "places:images",
        "records:_streams",
    ] {
        let place = Place::new(Form::Single);
        let store = prepared(&place.url()).await;
        store.messages("s").add(named("a")).await.unwrap();
        redis::cmd("DEL")
            .arg(format!("{}:{{default}}:{suffix}", place.base))
            .exec(&mut plain())
            .unwrap();
        let report = store.check().await.unwrap();
        assert!(!report.is_sound(), "{suffix}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_entry_is_no_message() {
    needs!(Single, "damage::a_damaged_entry_is_no_message");
    let place = Place::new(Form::Single);
    let store = prepared(&place.url()).await;
    store.messages("s").add(named("a")).await.unwrap();
    let keys = crate::fixture::keys(&mut plain(), &place.base);
    let keys = keys.into_iter().map(|key| String::from_utf8(key).unwrap());
    let entries = keys.filter(|key| key.contains(":entries:")).min().unwrap();
    change(&entries, |row| row.replace("\"a\"", "\"b\""));
    let error = store.messages("s").all().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Corrupt, "{error}");
}

/// What is damaged keeps nothing else from being looked at.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_damage_is_told() {
    needs!(Single, "damage::all_damage_is_told");
    let place = Place::new(Form::Single);
    let store = prepared(&place.url()).await;
    for stream in ["s", "t"] {
        if stream == "t" {
            store.sessions().save(agentkeep::Session::new("t", "i", "c").unwrap()).await.unwrap();
        }
        for id in ["a", "b"] {
            store.messages(stream).add(named(id)).await.unwrap();
        }
    }
    for name in ["wrong", "sound"] {
        let other = store.namespace(name).unwrap();
        other.containers().save(agentkeep::Container::new("c").unwrap()).await.unwrap();
        let blob = agentkeep::driver::Blob::new(&b"x"[..]);
        let mut put =
            agentkeep::driver::Batch::new(agentkeep::schema::Namespace::new(name).unwrap());
        put.push(agentkeep::driver::Operation::PutBlob(blob));
        store.driver().commit(put).await.unwrap();
    }
    let all = keys(&mut plain(), &place.base).into_iter();
    let all: Vec<String> = all.map(|key| String::from_utf8(key).unwrap()).collect();
    let other_kind = |key: &str| {
        redis::cmd("DEL").arg(key).exec(&mut plain()).unwrap();
        redis::cmd("RPUSH").arg(key).arg("x").exec(&mut plain()).unwrap();
    };
    let one = |part: &str, of: &str| {
        let mut found = all.iter().filter(|key| key.contains(of) && key.contains(part));
        found.next().unwrap().clone()
    };
    for (part, row) in [(":records:sessions", "\"i\""), (":records:lineages", "{"), (":meta", "{")]
    {
        change(&one(part, "{default}"), |text| text.replacen(row, "x", 1));
    }
    // Each message of one stream, and all of the other.
    let mut entries = all.iter().filter(|key| key.contains("{default}:entries:messages"));
    let entry = entries.next().unwrap();
    change(entry, |row| row.replace("\"content\"", "\"c\""));
    other_kind(entries.next().unwrap());
    for part in [":places:images", ":index:containers:key", ":ids:messages"] {
        other_kind(&one(part, "{default}"));
    }
    for part in [":records:containers", ":blob:", ":records:_streams"] {
        let key = format!("{}:{{wrong}}{part}", place.base);
        other_kind(all.iter().find(|known| known.starts_with(&key)).unwrap_or(&key));
    }
    for report in [store.driver().check().await.unwrap(), store.check().await.unwrap()] {
        let told: Vec<String> =
            report.damage.iter().map(|found| format!("{}: {}", found.place, found.what)).collect();
        for part in [
            "\"default\" sessions \"s\": a stored",
            "\"default\" lineages \"s\": a stored",
            "\"default\" _namespaces \"default\": a stored",
            " entry 1: a stored value is damaged",
            "\"default\" entries:messages",
            "\"default\" places:images",
            "\"default\" index:containers:key",
            "\"default\" ids:messages",
            "\"wrong\" records:containers",
            "\"wrong\" blob:",
            "\"wrong\" records:_streams",
        ] {
            assert!(told.iter().any(|told| told.contains(part)), "{part} of {told:#?}");
        }
        assert!(!told.iter().any(|told| told.contains("\"sound\"")), "{told:#?}");
        assert_eq!(report.blobs, 2, "{told:#?}");
    }
}

/// A commit that cannot be written whole is not written in part.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_of_another_kind_leaves_no_half_of_a_commit() {
    needs!(Single, "damage::a_key_of_another_kind_leaves_no_half_of_a_commit");
    for suffix in [
        "operations:times",
        "index:_streams:key",
        "index:_blobs:key",
        "index:_blobs:by_unreferenced",
        "index:images:key",
        "index:images:turn",
        "entries:messages:{stream}:{x}",
        "ids:messages:{stream}:{x}",
        "turns:messages",
    ] {
        let place = Place::new(Form::Single);
        let driver = crate::grouped::open(&place.url()).await;
        let own = format!("{}:{{default}}", place.base);
        let key = format!("{own}:{suffix}");
        redis::cmd("RPUSH").arg(&key).arg("x").exec(&mut plain()).unwrap();
        let error = driver.commit(crate::cluster::batch("default")).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Corrupt, "{suffix}: {error}");
        assert_eq!(keys(&mut plain(), &own), [key.clone().into_bytes()], "{suffix}");
        redis::cmd("DEL").arg(&key).exec(&mut plain()).unwrap();
        driver.commit(crate::cluster::batch("default")).await.unwrap();
        assert!(driver.check().await.unwrap().is_sound(), "{suffix}");
    }
}
