//! Folders: where stores under test lie, and what lies in them before the faults begin.

use std::path::{Path, PathBuf};

use agentkeep::driver::Hash;

use crate::block_on;
use crate::dump::{Dump, dump};
use crate::shim::Setting;
use crate::workload::{UPGRADE, Workload};

/// A temporary folder, in memory if there is room: tests of what a disk keeps need no disk.
pub(crate) fn temporary() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    tempfile::tempdir_in(memory).or_else(|_| tempfile::tempdir()).unwrap()
}

/// What lies in a folder: paths below it in the order in which they can be made, files with bytes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Contents(pub(crate) Vec<(PathBuf, Option<Vec<u8>>)>);

impl Contents {
    pub(crate) fn read(folder: &Path) -> Self {
        let mut found = Self::default();
        found.add(folder, Path::new(""));
        found
    }

    fn add(&mut self, folder: &Path, below: &Path) {
        let mut entries: Vec<_> = folder.read_dir().unwrap().map(|entry| entry.unwrap()).collect();
        entries.sort_by_key(std::fs::DirEntry::file_name);
        for entry in entries {
            let (path, name) = (entry.path(), below.join(entry.file_name()));
            if entry.file_type().unwrap().is_dir() {
                self.0.push((name.clone(), None));
                self.add(&path, &name);
            } else if !name.to_string_lossy().ends_with("-shm") {
                self.0.push((name, Some(std::fs::read(path).unwrap())));
            }
        }
    }

    /// What tells it from others.
    pub(crate) fn digest(&self) -> Vec<(PathBuf, Option<Hash>)> {
        let digest = |bytes: &Option<Vec<u8>>| bytes.as_deref().map(Hash::of);
        self.0.iter().map(|(path, bytes)| (path.clone(), digest(bytes))).collect()
    }

    /// Makes `folder` hold this and nothing else.
    pub(crate) fn write(&self, folder: &Path) {
        let _ = std::fs::remove_dir_all(folder);
        std::fs::create_dir_all(folder).unwrap();
        for (name, bytes) in &self.0 {
            match bytes {
                None => std::fs::create_dir(folder.join(name)).unwrap(),
                Some(bytes) => std::fs::write(folder.join(name), bytes).unwrap(),
            }
        }
    }
}

/// What a workload finds: the steps that come before the faults, and the id of the store.
pub(crate) struct Base {
    pub(crate) contents: Contents,
    pub(crate) store: Option<String>,
    /// What was there before, belongs to no task, and must stay.
    pub(crate) held: Dump,
}

impl Base {
    pub(crate) fn of(setting: &Setting, workload: &Workload) -> Self {
        if workload.name == UPGRADE {
            return Self::earlier(setting);
        }
        if workload.prepared == 0 {
            return Self { contents: Contents::default(), store: None, held: Dump::new() };
        }
        let folder = temporary();
        let id = block_on(async {
            let store = setting.subject.open(folder.path(), "process").await.unwrap();
            for (task, steps) in workload.tasks.iter().enumerate() {
                for step in &steps[..workload.prepared] {
                    step.apply(&store, task).await.unwrap();
                }
            }
            let id = store.describe().store_id.clone();
            store.close().await.unwrap();
            id
        });
        Self { contents: Contents::read(folder.path()), store: Some(id), held: Dump::new() }
    }

    /// A store of an earlier format, and what it holds.
    fn earlier(setting: &Setting) -> Self {
        let (from, at) = setting.subject.earlier().unwrap();
        let folder = temporary();
        let store = folder.path().join("store");
        std::fs::create_dir_all(store.join(&at).parent().unwrap()).unwrap();
        if from.is_dir() {
            Contents::read(&from).write(&store.join(&at));
        } else {
            std::fs::copy(from, store.join(&at)).unwrap();
        }
        let contents = Contents::read(&store);
        let (id, held) = block_on(async {
            let store = setting.subject.open(&store, "process").await.unwrap();
            let found = (store.describe().store_id.clone(), dump(&store).await.unwrap());
            store.close().await.unwrap();
            found
        });
        assert!(!held.is_empty(), "the earlier store holds nothing");
        Self { contents, store: Some(id), held }
    }
}
