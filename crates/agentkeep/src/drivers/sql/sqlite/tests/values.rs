//! Values that databases are known to bend, and the view for analysts.

use std::ops::Bound;

use super::*;
use crate::driver::Continuation;
use crate::schema::{AGENTKEEP, LINEAGES, MESSAGES};

#[tokio::test]
async fn nul_in_indexed_text_is_compared_to_the_end() {
    let home = Home::new();
    let store = home.open().await;
    for (name, kind) in
        [("0", "a"), ("1", "a\\u0000"), ("2", "a\\u0000b"), ("3", "a\\u0000c"), ("4", "ab")]
    {
        commit(&store, [put(name, &format!(r#"{{"kind":"{kind}","tags":["{kind}"]}}"#))]).await;
    }
    for index in ["by_kind", "by_tag"] {
        for (text, name) in [("a", "0"), ("a\0", "1"), ("a\0b", "2"), ("a\0c", "3"), ("ab", "4")] {
            let find = Find::by(&THINGS, index).unwrap().equal(Value::text(text));
            assert_eq!(names(&store, &find).await, [name], "{index} {text:?}");
        }
    }
    let mut find = Find::by(&THINGS, "by_kind").unwrap().limit(1);
    assert_eq!(names(&store, &find).await, ["0", "1", "2", "3", "4"]);
    find.range = (Bound::Excluded(Value::text("a\0")), Bound::Included(Value::text("a\0c")));
    assert_eq!(names(&store, &find).await, ["2", "3"]);
    let length: i64 = home
        .plain()
        .query_row("SELECT octet_length(kind) FROM things WHERE name = '2'", [], |row| row.get(0))
        .unwrap();
    assert_eq!(length, 3);
    assert!(store.check().await.unwrap().is_sound());
}

#[tokio::test]
async fn a_forged_continuation_is_refused() {
    let home = Home::new();
    let store = home.open().await;
    commit(&store, [put("a", r#"{"kind":"k"}"#), put("b", r#"{"kind":"k"}"#)]).await;
    let mut find = Find::by(&THINGS, "by_kind").unwrap().limit(1);
    let token = store.find(&space(), &find).await.unwrap().next.unwrap().token();
    let encoding = data_encoding::BASE64URL_NOPAD;
    let text = String::from_utf8(encoding.decode(token.as_bytes()).unwrap()).unwrap();
    assert!(text.ends_with(r#",["k",null],"a"]"#), "{text}");
    for forged in [
        text.replace(r#"["k",null]"#, "[]"),
        text.replace(r#"["k",null]"#, r#"["k"]"#),
        text.replace(r#"["k",null]"#, r#"["k",null,1]"#),
        text.replace(r#""a"]"#, r#""a\u001fb"]"#),
        text.replace(r#""a"]"#, r#"""]"#),
    ] {
        let token = encoding.encode(forged.as_bytes());
        find.after = Some(Continuation::from_token(&token).unwrap());
        let error = refused(store.find(&space(), &find)).await;
        assert_eq!(error.kind(), Kind::InvalidInput, "{forged}: {error}");
    }
}

#[tokio::test]
async fn the_view_unrolls_a_lineage() {
    let home = Home::new();
    let store = Sqlite::open(&AGENTKEEP, &home.path(), Options::default()).await.unwrap();
    let mut both = Vec::new();
    for (name, count) in [("s1", 3), ("s2", 2)] {
        let entry = |i| NewEntry {
            id: Some(EntryId::new(&format!("{name}-{i}")).unwrap()),
            body: Json::parse(&format!(r#"{{"n":{i}}}"#)).unwrap(),
            refs: Vec::new(),
        };
        let (stream, entries) = (stream(name), (1..=count).map(entry).collect());
        let (log, known, start) = (&MESSAGES, Known::Refuse, None);
        both.push(Operation::Append(Append { log, stream, entries, known, start }));
    }
    let key = Key::new(&LINEAGES, ["x"]).unwrap();
    let body = r#"{"segments":[["s1",2,3],["s2",1,null]],"streams":["s1","s2"]}"#;
    both.push(Operation::Put(Put::new(key, Json::parse(body).unwrap(), Save::Any).unwrap()));
    commit(&store, both).await;
    let plain = home.plain();
    let sql = "SELECT position, id, seq, json_extract(body, '$.n') FROM session_messages \
               WHERE namespace = 'default' AND session_id = 'x' ORDER BY position";
    let mut statement = plain.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| {
        Ok((
            row.get::<_, i64>(0)?,
            row.get::<_, String>(1)?,
            row.get::<_, i64>(2)?,
            row.get::<_, i64>(3)?,
        ))
    });
    let rows: Vec<_> = rows.unwrap().map(std::result::Result::unwrap).collect();
    let expected = [(0, "s1-2", 2, 2), (1, "s1-3", 3, 3), (2, "s2-1", 1, 1), (3, "s2-2", 2, 2)];
    assert_eq!(rows, expected.map(|(p, id, seq, n)| (p, id.to_owned(), seq, n)));
}

#[tokio::test]
async fn space_is_given_back() {
    let home = Home::new();
    let store = home.open().await;
    let large = format!("\"{}\"", "x".repeat(1_000_000));
    for i in 0..8 {
        commit(&store, [put(&format!("t{i}"), &large)]).await;
    }
    for i in 0..8 {
        commit(&store, [Operation::Delete(thing(&format!("t{i}")))]).await;
    }
    let freed = store.maintenance().unwrap().compact().await.unwrap();
    assert!(freed > 7_000_000, "{freed}");
    store.close().await.unwrap();
    let size = home.path().metadata().unwrap().len();
    assert!(size < 500_000, "{size}");
}
