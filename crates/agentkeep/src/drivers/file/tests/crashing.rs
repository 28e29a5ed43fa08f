//! What a crash leaves: the folder is copied while the store is open, and opened as if its user
//! had been killed at that moment.

use std::fs;

use super::*;

/// The folder as it is now, elsewhere.
fn copy(home: &Home) -> Home {
    copied(home, &home.files())
}

fn copied(home: &Home, files: &BTreeMap<PathBuf, Vec<u8>>) -> Home {
    let copy = Home::new();
    for (path, bytes) in files {
        let target = copy.path().join(path.strip_prefix(home.path()).unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::write(target, bytes).unwrap();
    }
    copy
}

async fn working() -> (Home, Files) {
    let home = Home::new();
    filled(&home).await;
    let store = home.open().await;
    commit(&store, vec![put("c", "{}"), append("x", &["m4"])]).await.unwrap();
    commit(&store, vec![put("a", r#"{"new":1}"#), append("y", &["n1"])]).await.unwrap();
    (home, store)
}

#[tokio::test]
async fn what_is_only_in_the_journal_is_brought_into_its_place() {
    let (home, _store) = working().await;
    let crashed = copy(&home);
    // As after a power cut: nothing but the journal came to the disk.
    let logs = crashed.path().join("namespaces/default/logs/messages");
    fs::remove_file(logs.join("y.jsonl")).unwrap();
    let lines = fs::read(logs.join("x.jsonl")).unwrap();
    let three = lines.split_inclusive(|b| *b == b'\n').take(3).map(<[u8]>::len).sum::<usize>();
    fs::write(logs.join("x.jsonl"), [&lines[..three], &[0; 40]].concat()).unwrap();
    fs::remove_file(crashed.path().join("generation")).unwrap();
    let store = crashed.open().await;
    assert_eq!(ids(&store, "x").await.unwrap(), ["m1", "m2", "m3", "m4"]);
    assert_eq!(ids(&store, "y").await.unwrap(), ["n1"]);
    assert_eq!(containers(&store).await.unwrap(), ["a", "b", "c"]);
    sound(&store).await;
}

#[tokio::test]
async fn the_journal_cut_anywhere_gives_all_commits_before() {
    let (home, store) = working().await;
    let number = store.store.state().position.number;
    let end = usize::try_from(store.store.state().position.end).unwrap();
    let journal = format!("journal.{}", number % 2);
    let whole = fs::read(home.path().join(&journal)).unwrap();
    // Once: a store that is left alone brings its journal into its place.
    let files = home.files();
    let (mut none, mut one, mut both) = (0, 0, 0);
    for cut in (40..=end).step_by(7).chain([end]) {
        let crashed = copied(&home, &files);
        let mut torn = whole.clone();
        torn[cut..].fill(0);
        fs::write(crashed.path().join(&journal), torn).unwrap();
        // It was never said that more was committed.
        fs::remove_file(crashed.path().join("generation")).unwrap();
        let store = crashed.open().await;
        let found = containers(&store).await.unwrap().len();
        let (x, y) = (ids(&store, "x").await.unwrap().len(), ids(&store, "y").await.unwrap().len());
        match (found, x, y) {
            (2, 3, 0) => none += 1,
            (3, 4, 0) => one += 1,
            (3, 4, 1) => both += 1,
            half => panic!("cut at {cut}: {half:?}"),
        }
        let report = store.check().await.unwrap();
        assert!(report.is_sound(), "cut at {cut}: {report:?}");
    }
    assert!(none > 0 && one > 0 && both > 0, "{none} {one} {both}");
}

#[tokio::test]
async fn a_committed_group_that_is_damaged_is_told() {
    let (home, store) = working().await;
    let position = store.store.state().position;
    let crashed = copy(&home);
    let journal = crashed.path().join(format!("journal.{}", position.number % 2));
    let mut bytes = fs::read(&journal).unwrap();
    bytes[60] ^= 1;
    fs::write(&journal, &bytes).unwrap();
    let before = crashed.files();
    let error = crashed.refused().await;
    assert_eq!(error.kind(), Kind::Corrupt, "{error}");
    // Nothing is thrown away.
    for (path, bytes) in before.iter().filter(|(path, _)| !path.ends_with("users")) {
        assert_eq!(&fs::read(path).unwrap(), bytes, "{}", path.display());
    }
}

#[tokio::test]
async fn recovering_twice_is_recovering_once() {
    let (home, _store) = working().await;
    let crashed = copy(&home);
    let store = crashed.open().await;
    let again = copy(&crashed);
    sound(&store).await;
    let store = again.open().await;
    assert_eq!(containers(&store).await.unwrap(), ["a", "b", "c"]);
    sound(&store).await;
}

/// A process was killed when it had begun the next turn of the journal and told nobody; others went
/// on with the turn before.
#[tokio::test]
async fn a_turn_that_was_begun_and_left_costs_nobody_a_commit() {
    let (home, store) = working().await;
    let at = store.store.state().position;
    store.store.journal.begin(at.number + 1, at.end, false).unwrap();
    commit(&store, vec![put("later", "{}"), append("x", &["m5"])]).await.unwrap();
    let with_generation = copy(&home);
    // As after a power cut: the generation is not to be relied upon.
    let without = copy(&home);
    fs::remove_file(without.path().join("generation")).unwrap();
    for crashed in [with_generation, without] {
        let store = crashed.open().await;
        assert_eq!(containers(&store).await.unwrap(), ["a", "b", "c", "later"]);
        assert_eq!(ids(&store, "x").await.unwrap(), ["m1", "m2", "m3", "m4", "m5"]);
        sound(&store).await;
    }
}

/// A process was killed half-way in telling the others how far it came.
#[tokio::test]
async fn half_a_generation_disturbs_nobody() {
    use std::os::unix::fs::FileExt as _;
    let (home, store) = working().await;
    let other = home.open().await;
    let newest = store.store.generation.read().unwrap();
    let file = fs::File::options().read(true).write(true).open(home.path().join("generation"));
    let file = file.unwrap();
    let mut both = [0; 48];
    file.read_exact_at(&mut both, 0).unwrap();
    // The one that would be written next is the older one.
    for half in [0, 24] {
        file.write_all_at(&[7; 12], half).unwrap();
        if store.store.generation.read().unwrap() == newest {
            break;
        }
        file.write_all_at(&both, 0).unwrap();
    }
    assert_eq!(ids(&other, "x").await.unwrap(), ["m1", "m2", "m3", "m4"]);
    commit(&other, vec![append("x", &["m5"])]).await.unwrap();
    commit(&store, vec![append("x", &["m6"])]).await.unwrap();
    for store in [&store, &other] {
        assert_eq!(ids(store, "x").await.unwrap(), ["m1", "m2", "m3", "m4", "m5", "m6"]);
    }
}

/// The first commit of a namespace left lines, and never came to its end.
#[tokio::test]
async fn a_namespace_that_never_was_is_no_damage() {
    let home = Home::new();
    filled(&home).await;
    let logs = home.path().join("namespaces/never/logs/messages");
    fs::create_dir_all(&logs).unwrap();
    fs::write(logs.join("x.jsonl"), "half a line").unwrap();
    let store = home.open().await;
    let report = store.check().await.unwrap();
    assert!(report.is_sound() && report.due.len() == 1, "{report:?}");
    // It comes into being later.
    let batch = Batch { operations: vec![append("x", &["n1"])], ..Batch::new(named("never")) };
    store.commit(batch).await.unwrap();
    sound(&store).await;
    // One that has records has lost what it says of itself.
    fs::remove_file(home.path().join("namespaces/never/namespace.json")).unwrap();
    fs::remove_file(home.path().join("namespaces/never/state.json")).unwrap();
    assert!(!store.check().await.unwrap().is_sound());
}

fn named(name: &str) -> Namespace {
    Namespace::new(name).unwrap()
}
