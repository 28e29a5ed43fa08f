//! A folder as it is: for seeing that nothing in it was touched.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// What stands at one path: its kind and permissions, and its bytes or where it leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Thing {
    Folder(u32),
    Link(PathBuf),
    File(u32, Vec<u8>),
}

pub(crate) type Tree = BTreeMap<PathBuf, Thing>;

/// Everything below `folder` but what is at or below `except`; links are not followed.
pub(crate) fn tree(folder: &Path, except: Option<&Path>) -> Tree {
    let mut found = Tree::new();
    let mut left = vec![folder.to_path_buf()];
    while let Some(path) = left.pop() {
        if except == Some(&path) {
            continue;
        }
        let metadata = fs::symlink_metadata(&path).unwrap();
        let thing = if metadata.is_symlink() {
            Thing::Link(fs::read_link(&path).unwrap())
        } else if metadata.is_dir() {
            left.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            Thing::Folder(metadata.mode())
        } else {
            Thing::File(metadata.mode(), fs::read(&path).unwrap())
        };
        found.insert(path, thing);
    }
    found
}

/// Fails naming the paths that differ.
pub(crate) fn untouched(before: &Tree, after: &Tree, what: &str) {
    let paths = before.keys().chain(after.keys());
    let differing: Vec<&PathBuf> =
        paths.filter(|path| before.get(*path) != after.get(*path)).collect();
    assert!(differing.is_empty(), "{what}: touched outside the store: {differing:?}");
}

/// No two names of one folder are one on a file system that ignores case or normalises, and none
/// is too long for it.
pub(crate) fn names_stay_apart(folder: &Path) {
    let mut seen = BTreeMap::new();
    for path in tree(folder, None).into_keys() {
        let name = path.file_name().unwrap().to_str().expect("a file name is UTF-8").to_owned();
        assert!(name.len() <= 255, "a name has {} bytes: {name}", name.len());
        let key = (path.parent().map(Path::to_path_buf), folded(&name));
        if let Some(other) = seen.insert(key, path.clone()) {
            panic!("{:?} are one on some file systems", [other, path]);
        }
    }
}

/// The characters of the corpus that normalisation or case brings together.
fn folded(name: &str) -> String {
    let composed = [('é', "e\u{301}"), ('å', "a\u{30a}"), ('ſ', "s"), ('ı', "i"), ('ﬁ', "fi")];
    let lower = name.to_lowercase().replace('ß', "ss");
    composed.iter().fold(lower, |text, (one, parts)| text.replace(*one, parts))
}
