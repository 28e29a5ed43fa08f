//! Loads: whole data sets, all or none, repeatable, and taken back.

use agentkeep::schema::Turn;
use agentkeep::{
    Container, Copied, Error, Image, Kind, Load, Loaded, Message, Met, NamespaceInfo, Session,
    Store, Tally,
};

use crate::support::{all, json, message, messages, named, on_every_driver, with_session};

on_every_driver!(
    a_small_load_is_one_commit_and_repeatable,
    what_is_staged_is_hidden_and_locked_until_it_is_switched_on,
    an_interrupted_load_is_taken_up_wherever_it_stopped,
    an_interrupted_load_is_undone,
    a_large_load_into_a_full_namespace_is_taken_up,
    other_content_is_a_conflict_told_before_anything_is_changed,
    undoing_leaves_what_was_there_and_what_has_changed_since,
    messages_without_ids_are_compared_by_their_text,
    the_newer_of_two_runs_has_the_right_to_write,
    a_namespace_with_an_unfinished_import_is_neither_copied_nor_renamed,
    nothing_is_loaded_into_what_is_being_copied_or_renamed,
    an_import_that_was_taken_away_meanwhile_writes_nothing_more,
);

fn turn(id: &str) -> Turn {
    Turn::new(id).unwrap()
}

/// A container, an image and sessions `x0`, `x1`, ... with so many messages each.
struct Data {
    sessions: u64,
    messages: u64,
}

const SMALL: Data = Data { sessions: 3, messages: 5 };
/// More than one commit holds.
const LARGE: Data = Data { sessions: 9, messages: 1_100 };

impl Data {
    fn session(number: u64) -> Session {
        let text = format!(r#"{{"sessionId":"x{number}","imageId":"xi","containerId":"xc"}}"#);
        Session::from_json(json(&text)).unwrap()
    }

    /// Gives all of it, or stops after so many calls.
    async fn give(&self, load: &mut Load, mut calls: u64) -> bool {
        let mut next = || {
            calls = calls.saturating_sub(1);
            calls > 0
        };
        let container = Container::from_json(json(r#"{"containerId":"xc"}"#)).unwrap();
        load.container(container).await.unwrap();
        let image = Image::from_json(json(r#"{"imageId":"xi","containerId":"xc"}"#)).unwrap();
        load.image(image).await.unwrap();
        load.definition("prototype", "p", &json(r#"{"a":1}"#)).await.unwrap();
        for number in 0..self.sessions {
            if !next() {
                return false;
            }
            load.session(Self::session(number)).await.unwrap();
            let all = messages(0..self.messages);
            for some in all.chunks(700) {
                if !next() {
                    return false;
                }
                load.messages(some.to_vec()).await.unwrap();
            }
        }
        true
    }

    async fn load(&self, store: &Store, import: &Turn) -> Loaded {
        let mut load = store.load(import).await.unwrap();
        self.give(&mut load, u64::MAX).await;
        if load.begin(false).await.unwrap() {
            self.give(&mut load, u64::MAX).await;
        }
        load.finish().await.unwrap()
    }

    /// As `load`, for one that must be refused while it writes, or before.
    async fn refused(&self, store: &Store) -> Error {
        let run = async {
            let mut load = store.load(&turn("import-1")).await?;
            self.give(&mut load, u64::MAX).await;
            if load.begin(false).await? {
                self.give(&mut load, 4).await;
            }
            load.finish().await
        };
        run.await.unwrap_err()
    }

    /// As `load`, but is given up after so many calls of the writing pass.
    async fn interrupted(&self, store: &Store, import: &Turn, calls: u64) {
        let mut load = store.load(import).await.unwrap();
        self.give(&mut load, u64::MAX).await;
        load.begin(false).await.unwrap();
        self.give(&mut load, calls).await;
    }

    async fn is_there(&self, store: &Store) {
        for number in 0..self.sessions {
            let id = format!("x{number}");
            assert_eq!(all(store, &id).await, named(0..self.messages), "{id}");
        }
        assert!(store.containers().exists("xc").await.unwrap());
        assert!(store.images().exists("xi").await.unwrap());
        let definitions = store.definitions("prototype").await.unwrap();
        assert_eq!(definitions, [("p".to_owned(), json(r#"{"a":1}"#))]);
    }
}

async fn is_empty(store: &Store) {
    assert!(store.containers().all().await.unwrap().is_empty());
    assert!(store.images().all().await.unwrap().is_empty());
    assert!(store.sessions().all().await.unwrap().is_empty());
    assert!(!store.sessions().exists("x0").await.unwrap());
    assert!(!store.containers().exists("xc").await.unwrap());
    assert!(store.definitions("prototype").await.unwrap().is_empty());
    let error = store.messages("x0").all().await.unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
}

fn new(tally: Tally) -> (u64, u64, u64) {
    (tally.new, tally.unchanged, tally.differing)
}

async fn a_small_load_is_one_commit_and_repeatable(store: Store) {
    let import = turn("import-1");
    let mut load = store.load(&import).await.unwrap();
    SMALL.give(&mut load, u64::MAX).await;
    assert_eq!(new(load.loaded().messages), (15, 0, 0));
    assert_eq!(store.check().await.unwrap().records, 0, "a look writes nothing");
    SMALL.interrupted(&store, &import, u64::MAX).await;
    is_empty(&store).await;
    assert_eq!(store.check().await.unwrap().due, []);
    let loaded = SMALL.load(&store, &import).await;
    assert_eq!(new(loaded.messages), (15, 0, 0));
    assert_eq!(new(loaded.definitions), (1, 0, 0));
    let before = store.check().await.unwrap();
    let mut again = store.load(&import).await.unwrap();
    SMALL.give(&mut again, u64::MAX).await;
    assert!(!again.begin(false).await.unwrap());
    let loaded = again.finish().await.unwrap();
    assert_eq!((new(loaded.sessions), new(loaded.messages)), ((0, 3, 0), (0, 15, 0)));
    assert_eq!(store.check().await.unwrap(), before);
    SMALL.is_there(&store).await;
}

async fn what_is_staged_is_hidden_and_locked_until_it_is_switched_on(store: Store) {
    LARGE.interrupted(&store, &turn("import-1"), 20).await;
    is_empty(&store).await;
    let unfinished = store.unfinished_loads().await.unwrap();
    assert_eq!((unfinished.len(), unfinished[0].staged), (1, true));
    assert_eq!(store.check().await.unwrap().due.len(), 1);
    let error = store.containers().save(Container::new("mine").unwrap()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Conflict);
    assert!(!error.is_retryable() && error.to_string().contains("import-1"), "{error}");
    let error = store.messages("x0").add(message("mine")).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Conflict);
    let error = store.load(&turn("import-2")).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Conflict);
    let elsewhere = store.namespace("other").unwrap();
    elsewhere.containers().save(Container::new("mine").unwrap()).await.unwrap();
    LARGE.load(&store, &turn("import-1")).await;
    LARGE.is_there(&store).await;
    store.messages("x0").add(message("mine")).await.unwrap();
    assert_eq!(store.unfinished_loads().await.unwrap(), []);
}

async fn an_interrupted_load_is_taken_up_wherever_it_stopped(store: Store) {
    for calls in [1, 5, 9, 14, 17, 22, u64::MAX] {
        let store = store.namespace(&format!("n{calls}")).unwrap();
        let import = turn("import-1");
        LARGE.interrupted(&store, &import, calls).await;
        is_empty(&store).await;
        LARGE.interrupted(&store, &import, calls.saturating_add(4)).await;
        is_empty(&store).await;
        let loaded = LARGE.load(&store, &import).await;
        assert_eq!(new(loaded.messages), (9_900, 0, 0), "what is staged is new all the same");
        LARGE.is_there(&store).await;
    }
    assert_eq!(store.check().await.unwrap().due, []);
}

async fn an_interrupted_load_is_undone(store: Store) {
    LARGE.interrupted(&store, &turn("import-1"), 20).await;
    let undone = store.undo_load(&turn("import-1")).await.unwrap();
    assert!(undone.sessions > 0 && undone.messages > 0 && undone.kept.is_empty(), "{undone:?}");
    let report = store.check().await.unwrap();
    assert_eq!((report.due.len(), report.entries), (0, 0));
    let error = store.undo_load(&turn("import-1")).await.unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    LARGE.load(&store, &turn("import-2")).await;
    LARGE.is_there(&store).await;
}

async fn a_large_load_into_a_full_namespace_is_taken_up(store: Store) {
    with_session(&store).await;
    store.messages("s").add(message("old")).await.unwrap();
    let import = turn("import-1");
    LARGE.interrupted(&store, &import, 20).await;
    assert_eq!(all(&store, "s").await, ["old"]);
    store.messages("s").add(message("meanwhile")).await.unwrap();
    assert_eq!(store.check().await.unwrap().due.len(), 1);
    let loaded = LARGE.load(&store, &import).await;
    assert_eq!(new(loaded.messages), (9_900, 0, 0));
    LARGE.is_there(&store).await;
    assert_eq!(store.check().await.unwrap().due, []);
    let undone = store.undo_load(&import).await.unwrap();
    assert_eq!((undone.containers, undone.images, undone.sessions), (1, 1, 9));
    assert_eq!((undone.messages, undone.definitions), (9_900, 1));
    assert_eq!(all(&store, "s").await, ["old", "meanwhile"]);
    assert_eq!(store.sessions().all().await.unwrap().len(), 1);
    assert_eq!(store.check().await.unwrap().entries, 2);
}

async fn other_content_is_a_conflict_told_before_anything_is_changed(store: Store) {
    let import = turn("import-1");
    SMALL.load(&store, &import).await;
    let other = Container::from_json(json(r#"{"containerId":"xc","x":1}"#)).unwrap();
    store.containers().save(other.clone()).await.unwrap();
    let changed = message("m2").with("content", "changed").unwrap();
    store.messages("x1").edit("m2", changed).await.unwrap();
    let before = store.check().await.unwrap();
    let more = Data { sessions: 4, messages: 5 };
    for keep in [false, true] {
        let mut load = store.load(&turn("import-2")).await.unwrap();
        more.give(&mut load, u64::MAX).await;
        assert_eq!(new(load.loaded().containers), (0, 0, 1));
        assert_eq!(new(load.loaded().messages), (5, 14, 1));
        if keep {
            assert!(load.begin(true).await.unwrap());
            more.give(&mut load, u64::MAX).await;
            load.finish().await.unwrap();
        } else {
            let error = load.begin(false).await.unwrap_err();
            assert_eq!(error.kind(), Kind::Conflict);
            assert_eq!(store.check().await.unwrap(), before);
        }
    }
    assert_eq!(store.containers().get("xc").await.unwrap(), Some(other));
    assert_eq!(all(&store, "x3").await, named(0..5));
    let kept = &store.messages("x1").all().await.unwrap()[2];
    assert_eq!(kept.message.json().member("content").unwrap().to_text().unwrap(), "changed");
}

async fn undoing_leaves_what_was_there_and_what_has_changed_since(store: Store) {
    with_session(&store).await;
    let import = turn("import-1");
    // A session of the import is there already, with other messages.
    store
        .containers()
        .save(Container::from_json(json(r#"{"containerId":"xc"}"#)).unwrap())
        .await
        .unwrap();
    let image = Image::from_json(json(r#"{"imageId":"xi","containerId":"xc"}"#)).unwrap();
    store.images().save(image).await.unwrap();
    store.sessions().save(Data::session(0)).await.unwrap();
    for id in ["before", "m1"] {
        store.messages("x0").add(message(id)).await.unwrap();
    }
    let loaded = SMALL.load(&store, &import).await;
    assert_eq!(new(loaded.messages), (14, 1, 0));
    assert_eq!(all(&store, "x0").await, ["before", "m1", "m0", "m2", "m3", "m4"]);
    store.messages("x0").add(message("after")).await.unwrap();
    store.messages("x1").add(message("after")).await.unwrap();
    let undone = store.undo_load(&import).await.unwrap();
    assert_eq!(undone.kept, [r#"sessions "x1": it has changed since, or a fork needs it"#]);
    assert_eq!((undone.sessions, undone.messages), (1, 9));
    assert_eq!((undone.images, undone.containers), (0, 0));
    assert_eq!(all(&store, "x0").await, ["before", "m1", "after"]);
    assert_eq!(all(&store, "x1").await, ["m0", "m1", "m2", "m3", "m4", "after"]);
    assert!(!store.sessions().exists("x2").await.unwrap());
    assert!(store.images().exists("xi").await.unwrap());
    assert_eq!(store.check().await.unwrap().due, []);
}

async fn messages_without_ids_are_compared_by_their_text(store: Store) {
    let nameless = |n: u32| Message::from_json(json(&format!(r#"{{"n":{n}}}"#))).unwrap();
    let import = turn("import-1");
    for expected in [Met::New, Met::Same] {
        let mut load = store.load(&import).await.unwrap();
        for writes in [false, true] {
            if writes && !load.begin(false).await.unwrap() {
                break;
            }
            load.session(Data::session(0)).await.unwrap();
            for n in [1, 2, 1] {
                let met = load.messages(vec![nameless(n)]).await.unwrap();
                assert_eq!(met, [expected]);
            }
        }
        load.finish().await.unwrap();
    }
    let mut load = store.load(&turn("import-2")).await.unwrap();
    load.session(Data::session(0)).await.unwrap();
    let met = load.messages([1, 1, 1, 3].map(nameless).to_vec()).await.unwrap();
    assert_eq!(met, [Met::Same, Met::Same, Met::New, Met::New]);
    assert_eq!(store.messages("x0").count().await.unwrap(), 3);
}

/// Two processes at the same import: what both wrote would be there twice.
async fn the_newer_of_two_runs_has_the_right_to_write(store: Store) {
    let import = turn("import-1");
    let mut older = store.load(&import).await.unwrap();
    LARGE.give(&mut older, u64::MAX).await;
    assert!(older.begin(false).await.unwrap());
    LARGE.give(&mut older, 20).await;
    let mut newer = store.load(&import).await.unwrap();
    assert!(newer.is_resumed());
    LARGE.give(&mut newer, u64::MAX).await;
    assert!(newer.begin(false).await.unwrap());
    let error = older.finish().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Conflict);
    assert!(error.to_string().contains("another run"), "{error}");
    is_empty(&store).await;
    LARGE.give(&mut newer, u64::MAX).await;
    newer.finish().await.unwrap();
    LARGE.is_there(&store).await;
}

async fn a_namespace_with_an_unfinished_import_is_neither_copied_nor_renamed(store: Store) {
    let full = store.namespace("full").unwrap();
    with_session(&full).await;
    for (name, store) in [("empty", store.namespace("empty").unwrap()), ("full", full)] {
        let import = turn("import-1");
        LARGE.interrupted(&store, &import, 20).await;
        let namespaces = store.namespaces();
        let copied = namespaces.fork(name, "copy").await.unwrap_err();
        let renamed = namespaces.rename(name, "other").await.unwrap_err();
        for error in [copied, renamed] {
            assert_eq!((error.kind(), error.is_retryable()), (Kind::Conflict, false), "{name}");
            assert!(error.to_string().contains("import-1"), "{name}: {error}");
        }
        // Nothing was made, not even hidden.
        for made in ["copy", "other"] {
            namespaces.create(NamespaceInfo::new(made).unwrap()).await.unwrap();
            assert!(namespaces.delete(made).await.unwrap());
        }
        LARGE.load(&store, &import).await;
        namespaces.fork(name, "copy").await.unwrap();
        LARGE.is_there(&store.namespace("copy").unwrap()).await;
        assert!(namespaces.delete("copy").await.unwrap());
    }
}

async fn nothing_is_loaded_into_what_is_being_copied_or_renamed(store: Store) {
    let [from, to] = ["from", "to"].map(|name| store.namespace(name).unwrap());
    with_session(&from).await;
    from.messages("s").add(message("m")).await.unwrap();
    for renames in [false, true] {
        let namespaces = store.namespaces();
        let copying = store.clone();
        // Given up when it first tells how far it is.
        let run = tokio::spawn(async move {
            let stop = |_: &Copied| std::panic::resume_unwind(Box::new("interrupted"));
            if renames {
                copying.namespaces().rename_with("from", "to", stop).await
            } else {
                copying.namespaces().fork_with("from", "to", stop).await
            }
        });
        assert!(run.await.unwrap_err().is_panic());
        for held in [Some(&to), renames.then_some(&from)].into_iter().flatten() {
            for data in [&SMALL, &LARGE] {
                let error = data.refused(held).await;
                assert_eq!((error.kind(), error.is_retryable()), (Kind::Conflict, false));
                let words = ["being copied", "being renamed"];
                assert!(words.iter().any(|words| error.to_string().contains(words)), "{error}");
            }
        }
        assert!(namespaces.delete("to").await.unwrap());
        assert_eq!(all(&from, "s").await, ["m"]);
    }
}

/// Deleted with its namespace, or undone, by somebody else while it ran.
async fn an_import_that_was_taken_away_meanwhile_writes_nothing_more(store: Store) {
    let import = turn("import-1");
    for deletes in [true, false] {
        let name = if deletes { "deleted" } else { "undone" };
        let inside = store.namespace(name).unwrap();
        let mut load = inside.load(&import).await.unwrap();
        LARGE.give(&mut load, u64::MAX).await;
        assert!(load.begin(false).await.unwrap());
        LARGE.give(&mut load, 12).await;
        if deletes {
            assert!(store.namespaces().delete(name).await.unwrap());
        } else {
            inside.undo_load(&import).await.unwrap();
        }
        let error = load.finish().await.unwrap_err();
        assert_eq!((error.kind(), error.is_retryable()), (Kind::Conflict, false), "{error}");
        is_empty(&inside).await;
        let report = inside.check().await.unwrap();
        assert_eq!((report.entries, report.due.len()), (0, 0), "{name}");
        LARGE.load(&inside, &import).await;
        LARGE.is_there(&inside).await;
        assert!(store.namespaces().delete(name).await.unwrap());
    }
}
