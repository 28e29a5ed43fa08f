//! Bad input: a typed error that says what to do, and nothing has changed.

use agentkeep::{Container, Image, Json, Kind, List, MAX_DEPTH, Message, Session, Store};

use crate::support::{json, message, on_every_driver, with_session};

on_every_driver!(
    hostile_ids_are_kept_or_refused_alike,
    bodies_of_every_form_come_back,
    too_large_and_too_deep,
    wrong_types_are_refused,
    missing_parents_are_named,
    after_close_everything_is_refused,
);

async fn hostile_ids_are_kept_or_refused_alike(store: Store) {
    with_session(&store).await;
    let long = "x".repeat(255);
    let good = [
        ".",
        "..",
        "../../etc/passwd",
        "a/b",
        "a:b",
        "a\\b",
        "C:\\x",
        "CON",
        "x.",
        "x ",
        " x",
        "A",
        "a",
        "é",
        "e\u{301}",
        "\u{202e}rtl",
        "\u{feff}bom",
        "' OR 1=1 --",
        "\"; DROP TABLE images",
        "%",
        "_",
        "*",
        "[a-z]",
        "{x}",
        "$gt",
        "__proto__",
        "null",
        "1e5",
        "🚀",
        "\u{1f469}\u{200d}\u{1f4bb}",
        "~",
        "a~0123456789abcdef",
        "?",
        "#",
        "&",
        "\u{2028}",
        "tr\u{a0}",
        long.as_str(),
    ];
    for id in good {
        store.containers().save(Container::new(id).unwrap()).await.unwrap();
        store.images().save(Image::new(id, id, id).unwrap()).await.unwrap();
        store.sessions().save(Session::new(id, id, id).unwrap()).await.unwrap();
        let text = format!(r#"{{"id":{}}}"#, Json::string(id));
        store.messages(id).add(Message::from_json(json(&text)).unwrap()).await.unwrap();
    }
    for id in good {
        assert_eq!(store.images().get(id).await.unwrap().unwrap().id(), id);
        let stored = store.messages(id).all().await.unwrap();
        assert_eq!(stored.len(), 1);
        assert_eq!(stored[0].message.id(), Some(id));
    }
    assert_eq!(store.containers().all().await.unwrap().len(), good.len() + 1);
    let before = store.check().await.unwrap();
    let too_long = "x".repeat(256);
    for id in ["", "a\0b", "a\nb", "\u{7f}", "\u{85}", "\u{1b}[31m", too_long.as_str()] {
        let error = Container::new(id).unwrap_err();
        assert_eq!(error.kind(), Kind::InvalidId, "{id:?}");
        assert!(error.advice_text().is_some());
        for kind in [
            store.containers().get(id).await.unwrap_err().kind(),
            store.images().delete(id).await.unwrap_err().kind(),
            store.messages(id).count().await.unwrap_err().kind(),
            store.messages("s").get(id).await.unwrap_err().kind(),
            store.namespace(id).unwrap_err().kind(),
        ] {
            assert_eq!(kind, Kind::InvalidId, "{id:?}");
        }
    }
    assert_eq!(store.check().await.unwrap(), before);
}

async fn bodies_of_every_form_come_back(store: Store) {
    with_session(&store).await;
    let deep = format!("{}1{}", "[".repeat(MAX_DEPTH - 1), "]".repeat(MAX_DEPTH - 1));
    let long = format!("\"{}\"", "é".repeat(4_000_000));
    let values = [
        "0",
        "-0",
        "-0.0",
        "1.0",
        "1.00",
        "1e5",
        "1E+5",
        "1e-400",
        "1e400",
        "9007199254740993",
        "18446744073709551615",
        "18446744073709551616",
        "-9223372036854775809",
        "3.141592653589793238462643383279502884197",
        "\"\\u0000\"",
        "\"\u{2028}\"",
        "\"👩‍👩‍👧‍👦\"",
        r#"{"$serde_json::private::Number":"1"}"#,
        r#"{"$serde_json::private::RawValue":"1"}"#,
        r#"{"__proto__":{"x":1},"constructor":{"prototype":1}}"#,
        r#"{"$gt":"","$where":"1"}"#,
        r#"{"$sealed":"x"}"#,
        r#"{"":0,"b":1,"a":2}"#,
        "[[],{},[{}]]",
        "true",
        "null",
        &deep,
        &long,
    ];
    for (i, value) in values.iter().enumerate() {
        let text = format!(r#"{{"id":"b{i}","content":{value}}}"#);
        store.messages("s").add(Message::from_json(json(&text)).unwrap()).await.unwrap();
        let stored = store.messages("s").last(1).await.unwrap();
        assert_eq!(stored[0].message.json().as_str(), text);
    }
}

async fn too_large_and_too_deep(store: Store) {
    with_session(&store).await;
    let before = store.check().await.unwrap();
    let big = message("big").with("content", &"x".repeat(8 << 20)).unwrap();
    let error = store.messages("s").add(big).await.unwrap_err();
    assert_eq!(error.kind(), Kind::TooLarge);
    assert!(error.to_string().contains("attachment"), "{error}");
    let deep = "[".repeat(MAX_DEPTH + 1) + &"]".repeat(MAX_DEPTH + 1);
    assert_eq!(Json::parse(&deep).unwrap_err().kind(), Kind::TooLarge);
    let name = Image::new("n", "c", &"n".repeat(1025)).unwrap();
    assert_eq!(store.images().save(name).await.unwrap_err().kind(), Kind::TooLarge);
    assert_eq!(store.check().await.unwrap(), before);
    store.images().save(Image::new("n", "c", &"n".repeat(1024)).unwrap()).await.unwrap();
}

async fn wrong_types_are_refused(store: Store) {
    for text in [
        "[]",
        "7",
        r#"{"createdAt":1}"#,
        r#"{"containerId":7}"#,
        r#"{"containerId":"c","createdAt":"now"}"#,
    ] {
        assert_eq!(
            Container::from_json(json(text)).unwrap_err().kind(),
            Kind::InvalidInput,
            "{text}"
        );
    }
    for text in [
        r#"{"imageId":"i"}"#,
        r#"{"imageId":"i","containerId":"c","name":7}"#,
        r#"{"imageId":"i","containerId":"c","tags":"x"}"#,
        r#"{"imageId":"i","containerId":"c","tags":[1]}"#,
    ] {
        assert_eq!(Image::from_json(json(text)).unwrap_err().kind(), Kind::InvalidInput, "{text}");
    }
    for text in ["\"x\"", r#"{"id":7}"#, r#"{"subtype":[]}"#, r#"{"timestamp":"1"}"#] {
        assert_eq!(
            Message::from_json(json(text)).unwrap_err().kind(),
            Kind::InvalidInput,
            "{text}"
        );
    }
    assert_eq!(Json::parse(r#"{"a":1,"a":2}"#).unwrap_err().kind(), Kind::InvalidInput);
    let surrogate = Json::parse(r#"{"a":"\ud800"}"#).unwrap_err();
    assert!(surrogate.to_string().contains("byte 6"), "{surrogate}");
    for limit in [0, 10_001] {
        assert_eq!(List::of(limit).unwrap_err().kind(), Kind::InvalidInput);
    }
    assert!(store.containers().all().await.unwrap().is_empty());
}

async fn missing_parents_are_named(store: Store) {
    let error = store.images().save(Image::new("i", "nowhere", "x").unwrap()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::MissingParent);
    let text = error.to_string();
    assert!(
        text.contains("nowhere") && text.contains("\"i\"") && text.contains("save the container")
    );
    with_session(&store).await;
    let session = Session::new("t", "none", "c").unwrap();
    assert_eq!(store.sessions().save(session).await.unwrap_err().kind(), Kind::MissingParent);
    let session = Session::new("t", "i", "none").unwrap();
    assert_eq!(store.sessions().save(session).await.unwrap_err().kind(), Kind::MissingParent);
    // Not checked: what an image says of its session and origin may come later.
    let image = Image::new("j", "c", "x").unwrap().with("sessionId", "later").unwrap();
    store.images().save(image.with("parentImageId", "later").unwrap()).await.unwrap();
    assert_eq!(store.messages("none").add(message("m")).await.unwrap_err().kind(), Kind::NotFound);
}

async fn after_close_everything_is_refused(store: Store) {
    with_session(&store).await;
    let other = store.namespace("other").unwrap();
    let kept = store.check().await.unwrap();
    assert!(kept.is_sound());
    // SQLite stores are reopened by the caller, which then checks them.
    if store.describe().driver == "memory" {
        store.close().await.unwrap();
        store.close().await.unwrap();
        assert_eq!(other.containers().all().await.unwrap_err().kind(), Kind::Closed);
        assert_eq!(store.messages("s").add(message("m")).await.unwrap_err().kind(), Kind::Closed);
    }
}
