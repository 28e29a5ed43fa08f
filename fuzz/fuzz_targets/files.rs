//! A damaged store of the file driver: opened or refused, and what it shows is what was there.

#![no_main]

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use agentkeep::conformance::dump;
use agentkeep::schema::{AGENTKEEP, Namespace};
use agentkeep::{Container, Image, Message, Result, Session, Store};
use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;

/// What is done to one file of the store.
#[derive(Debug, Arbitrary)]
enum Damage {
    Set { file: u8, at: u16, byte: u8 },
    Write { file: u8, at: u16, bytes: Vec<u8> },
    Cut { file: u8, at: u16 },
    Swap { file: u8, with: u8 },
    Remove { file: u8 },
}

/// A store, and what it may show.
struct Original {
    files: Vec<(PathBuf, Vec<u8>)>,
    shows: Vec<String>,
}

/// Without what the journal has, and with it: where both the journal and what is told of it are
/// damaged, the last commit is as if the power had been cut.
static ORIGINALS: OnceLock<[Original; 2]> = OnceLock::new();

fuzz_target!(|input: (bool, [Option<Damage>; 4])| {
    let (crashed, damage) = input;
    let original = &ORIGINALS.get_or_init(|| block_on(originals()))[usize::from(crashed)];
    let mut files = original.files.clone();
    for damage in damage.into_iter().flatten() {
        do_damage(damage, &mut files);
    }
    let folder = temporary();
    let path = folder.path().join("keep");
    for (name, bytes) in &files {
        let file = path.join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, bytes).unwrap();
    }
    if files.is_empty() {
        return;
    }
    if let Ok(Some(shown)) = block_on(look(&path)) {
        assert!(original.shows.contains(&shown), "it shows {shown}");
    }
});

fn do_damage(damage: Damage, files: &mut Vec<(PathBuf, Vec<u8>)>) {
    let count = files.len();
    if count == 0 {
        return;
    }
    let place = |file: u8| usize::from(file) % count;
    let offset = |at: u16, bytes: &Vec<u8>| usize::from(at) % (bytes.len() + 1);
    match damage {
        Damage::Set { file, at, byte } => {
            let bytes = &mut files[place(file)].1;
            let at = offset(at, bytes);
            if let Some(old) = bytes.get_mut(at) {
                *old = byte;
            }
        }
        Damage::Write { file, at, bytes: new } => {
            let bytes = &mut files[place(file)].1;
            let at = offset(at, bytes);
            bytes.splice(at.., new);
        }
        Damage::Cut { file, at } => {
            let bytes = &mut files[place(file)].1;
            let at = offset(at, bytes);
            bytes.truncate(at);
        }
        Damage::Swap { file, with } => {
            let (one, other) = (place(file), place(with));
            let bytes = files[one].1.clone();
            files[one].1 = std::mem::replace(&mut files[other].1, bytes);
        }
        Damage::Remove { file } => drop(files.remove(place(file))),
    }
}

/// What a store shows, if its own check finds nothing.
async fn look(path: &Path) -> Result<Option<String>> {
    let store = Store::open(&url(path)).await?;
    let shown = async {
        if !store.check().await?.is_sound() {
            return Ok(None);
        }
        dump(&**store.driver(), &AGENTKEEP, &Namespace::default()).await.map(Some)
    };
    let shown = shown.await;
    store.close().await?;
    shown
}

async fn originals() -> [Original; 2] {
    let folder = temporary();
    let path = folder.path().join("keep");
    let store = Store::open(&url(&path)).await.unwrap();
    store.containers().save(Container::new("c").unwrap()).await.unwrap();
    store.images().save(Image::new("i", "c", "Helper").unwrap()).await.unwrap();
    store.sessions().save(Session::new("s", "i", "c").unwrap()).await.unwrap();
    let attachment = store.attachments().put(b"attachment").await.unwrap();
    let message = Message::user("one").unwrap().attach(&attachment).unwrap();
    store.messages("s").add(message).await.unwrap();
    store.close().await.unwrap();
    let closed = files(&path);
    let store = Store::open(&url(&path)).await.unwrap();
    let shown = async || dump(&**store.driver(), &AGENTKEEP, &Namespace::default()).await.unwrap();
    let before = shown().await;
    store.messages("s").add(Message::user("two").unwrap()).await.unwrap();
    let after = shown().await;
    let crashed = Original { files: files(&path), shows: vec![before.clone(), after] };
    store.close().await.unwrap();
    [Original { files: closed, shows: vec![before] }, crashed]
}

fn url(path: &Path) -> String {
    format!("file:{}?durability=none", path.display())
}

fn temporary() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let (mut found, mut left) = (Vec::new(), vec![folder.to_path_buf()]);
    while let Some(path) = left.pop() {
        if path.is_dir() {
            left.extend(path.read_dir().unwrap().map(|entry| entry.unwrap().path()));
        } else {
            let bytes = std::fs::read(&path).unwrap();
            found.push((path.strip_prefix(folder).unwrap().to_path_buf(), bytes));
        }
    }
    found.sort();
    found
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}
