//! What is put under the faults. A driver of somebody else needs one `impl` and one line in `ALL`.

use std::path::{Path, PathBuf};

use agentkeep::Store;
use async_trait::async_trait;

/// A driver that keeps a store in a folder.
#[async_trait]
pub(crate) trait Subject: Sync + Send {
    /// As it is named in the lines that replay a failure.
    fn name(&self) -> &'static str;

    /// Opens the store in `folder`, made if it is not there. `durability` is `power`, `process` or
    /// `none`; a driver that has only one takes it for all.
    async fn open(&self, folder: &Path, durability: &str) -> agentkeep::Result<Store>;

    /// Of what could be tried at one moment, every how manieth is, so that a usual run has the points
    /// that it must have and not many more.
    fn every(&self) -> u64 {
        1
    }

    /// A store of an earlier format, and where it stands in the folder, if there is one.
    fn earlier(&self) -> Option<(PathBuf, PathBuf)> {
        None
    }
}

/// A driver that has a URL.
struct ByUrl {
    name: &'static str,
    /// What its store is called.
    store: &'static str,
    every: u64,
    url: fn(path: &str, durability: &str) -> String,
}

#[async_trait]
impl Subject for ByUrl {
    fn name(&self) -> &'static str {
        self.name
    }

    async fn open(&self, folder: &Path, durability: &str) -> agentkeep::Result<Store> {
        let path = folder.join(BELOW).join(self.store).display().to_string();
        Store::open(&(self.url)(&path, durability)).await
    }

    fn every(&self) -> u64 {
        self.every
    }

    fn earlier(&self) -> Option<(PathBuf, PathBuf)> {
        let stores = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/stores/1");
        Some((stores.join(self.store), Path::new(BELOW).join(self.store)))
    }
}

/// The stores lie two folders deep, which opening has to make.
const BELOW: &str = "made/by-open";

/// All drivers under the faults.
pub(crate) static ALL: [&'static dyn Subject; 2] = [
    &ByUrl {
        name: "sqlite",
        store: "keep.db",
        every: 3,
        url: |path, durability| format!("sqlite:{path}?durability={durability}&timeout=10"),
    },
    &ByUrl {
        name: "file",
        store: "keep",
        every: 2,
        url: |path, durability| format!("file:{path}?durability={durability}&timeout=10"),
    },
];

pub(crate) fn named(name: &str) -> &'static dyn Subject {
    *ALL.iter().find(|subject| subject.name() == name).unwrap()
}
