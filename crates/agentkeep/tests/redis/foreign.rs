//! Reading what other programs keep on a server.

use std::collections::BTreeMap;

use agentkeep::Kind;
use agentkeep::foreign::Redis;
use redis::Connection;

use crate::fixture::{Form, Place, nodes};
use crate::{needs, plain};

fn run(server: &mut Connection, command: &[&[u8]]) {
    let mut cmd = redis::cmd(std::str::from_utf8(command[0]).unwrap());
    cmd.arg(&command[1..]).exec(server).unwrap();
}

fn set(server: &mut Connection, key: &str, value: &[u8]) {
    run(server, &[b"SET", key.as_bytes(), value]);
}

/// All that is below a prefix: values, and types of what is no string.
async fn read(url: &str, prefix: &str) -> BTreeMap<Vec<u8>, Result<Vec<u8>, String>> {
    let mut all = BTreeMap::new();
    let foreign = Redis::open(url).await.unwrap();
    let take = |key: &[u8], value: Result<&[u8], &str>| {
        all.insert(key.to_vec(), value.map(<[u8]>::to_vec).map_err(str::to_owned));
        Ok(())
    };
    foreign.strings(prefix, take).await.unwrap();
    all
}

#[tokio::test]
async fn strings_come_in_pages_and_other_types_are_told() {
    needs!(Single, "foreign::strings_come_in_pages_and_other_types_are_told");
    let (place, mut server) = (Place::new(Form::Single), plain());
    // What would mean more than itself in a pattern.
    let prefix = format!("{}:a[x]*?\\^-:", place.base);
    let mut all = redis::pipe();
    for n in 0..3500 {
        all.set(format!("{prefix}{n}"), n);
    }
    all.exec(&mut server).unwrap();
    set(&mut server, &format!("{}:ax*?\\^-:other", place.base), b"other");
    let odd = [prefix.as_bytes(), b"\xff"].concat();
    run(&mut server, &[b"SET", &odd, b"\0\xfe"]);
    run(&mut server, &[b"RPUSH", format!("{prefix}list").as_bytes(), b"x"]);
    run(&mut server, &[b"XADD", format!("{prefix}stream").as_bytes(), b"*", b"a", b"b"]);
    let found = read(&Form::Single.server().unwrap(), &prefix).await;
    assert_eq!(found.len(), 3503);
    for n in 0..3500 {
        let key = format!("{prefix}{n}").into_bytes();
        assert_eq!(found[&key], Ok(n.to_string().into_bytes()));
    }
    assert_eq!(found[&odd], Ok(b"\0\xfe".to_vec()));
    let of = |name: &str| found[format!("{prefix}{name}").as_bytes()].clone();
    assert_eq!(of("list"), Err("list".to_owned()));
    assert_eq!(of("stream"), Err("stream".to_owned()));
}

/// Each of the values is read alone for its size, so that the others can go meanwhile.
#[tokio::test]
async fn what_goes_or_changes_meanwhile_breaks_nothing() {
    needs!(Single, "foreign::what_goes_or_changes_meanwhile_breaks_nothing");
    let (place, mut server) = (Place::new(Form::Single), plain());
    let names = ["a", "b", "c"].map(|name| format!("{}:{name}", place.base));
    let large = vec![b'x'; 9 << 20];
    for name in &names {
        set(&mut server, name, &large);
    }
    let foreign = Redis::open(&Form::Single.server().unwrap()).await.unwrap();
    let mut found = Vec::new();
    let take = |key: &[u8], value: Result<&[u8], &str>| {
        let key = String::from_utf8(key.to_vec()).unwrap();
        found.push((key.clone(), value.map(<[u8]>::len).map_err(str::to_owned)));
        if found.len() == 1 {
            let mut others = names.iter().filter(|name| **name != key);
            run(&mut server, &[b"DEL", others.next().unwrap().as_bytes()]);
            let list = others.next().unwrap().as_bytes();
            run(&mut server, &[b"DEL", list]);
            run(&mut server, &[b"RPUSH", list, b"x"]);
        }
        Ok(())
    };
    foreign.strings(&format!("{}:", place.base), take).await.unwrap();
    assert_eq!(found.len(), 2, "{found:?}");
    assert_eq!(found[0].1, Ok(large.len()));
    assert!(found[1].1.is_err(), "{found:?}");
}

/// A user that may do nothing but read what is there.
#[tokio::test]
async fn a_user_who_may_only_read_is_enough() {
    needs!(Single, "foreign::a_user_who_may_only_read_is_enough");
    let (place, mut server) = (Place::new(Form::Single), plain());
    let (prefix, user) = (format!("{}:", place.base), &place.base);
    set(&mut server, &format!("{prefix}a"), b"1");
    let keys = format!("~{prefix}*");
    let rights = |server: &mut Connection, more: &str| {
        let rule: [&[u8]; 8] = [
            b"ACL",
            b"SETUSER",
            user.as_bytes(),
            b"reset",
            b"on",
            b">reads",
            keys.as_bytes(),
            more.as_bytes(),
        ];
        run(server, &rule);
    };
    let url = Form::Single.server().unwrap();
    let url = url.replace("//:tests@", &format!("//{user}:reads@"));
    rights(&mut server, "+@read");
    assert_eq!(read(&url, &prefix).await.len(), 1);
    rights(&mut server, "+scan");
    let foreign = Redis::open(&url).await.unwrap();
    let error = foreign.strings(&prefix, |_, _| Ok(())).await.unwrap_err();
    run(&mut server, &[b"ACL", b"DELUSER", user.as_bytes()]);
    assert_eq!(error.kind(), Kind::PermissionDenied, "{error}");
    assert!(error.advice_text().is_some_and(|text| text.contains("+@read")), "{error:?}");
    assert!(!format!("{error} {error:?} {foreign:?}").contains("reads@"), "{error:?}");
    let error = Redis::open(&url).await.unwrap_err();
    assert_eq!(error.kind(), Kind::PermissionDenied, "{error}");
    assert!(!format!("{error} {error:?}").contains(":reads"), "{error:?}");
}

#[tokio::test]
async fn all_masters_of_a_cluster_are_read() {
    needs!(Cluster, "foreign::all_masters_of_a_cluster_are_read");
    let place = Place::new(Form::Cluster);
    let mut servers = nodes(Form::Cluster);
    let mut wanted = BTreeMap::new();
    for n in 0..90 {
        let (key, value) = (format!("{}:{n}", place.base), n.to_string());
        // The one that has its slot takes it.
        let took = servers
            .iter_mut()
            .filter_map(|server| redis::cmd("SET").arg(&key).arg(&value).exec(server).ok());
        assert_eq!(took.count(), 1, "{key}");
        wanted.insert(key.into_bytes(), Ok(value.into_bytes()));
    }
    let url = Form::Cluster.server().unwrap();
    let (login, hosts) = url.rsplit_once('@').unwrap();
    let one = format!("{login}@{}", hosts.split(',').next().unwrap());
    for url in [url.as_str(), &one] {
        assert_eq!(read(url, &format!("{}:", place.base)).await, wanted);
    }
    let error = Redis::open(&format!("{one}/3")).await.unwrap_err();
    assert_eq!(error.kind(), Kind::InvalidInput, "{error}");
}
