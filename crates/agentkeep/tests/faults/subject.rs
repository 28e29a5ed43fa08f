//! What is put under the faults. A driver of somebody else needs one `impl` and one line in `ALL`.

use std::path::Path;

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
}

/// A driver that has a URL.
struct ByUrl {
    name: &'static str,
    url: fn(folder: &str, durability: &str) -> String,
}

#[async_trait]
impl Subject for ByUrl {
    fn name(&self) -> &'static str {
        self.name
    }

    async fn open(&self, folder: &Path, durability: &str) -> agentkeep::Result<Store> {
        Store::open(&(self.url)(&folder.display().to_string(), durability)).await
    }
}

/// All drivers under the faults. Their stores lie two folders deep, which opening has to make.
pub(crate) static ALL: [&'static dyn Subject; 2] = [
    &ByUrl {
        name: "sqlite",
        url: |folder, durability| {
            format!("sqlite:{folder}/made/by-open/keep.db?durability={durability}&timeout=10")
        },
    },
    &ByUrl {
        name: "file",
        url: |folder, durability| {
            format!("file:{folder}/made/by-open/keep?durability={durability}&timeout=10")
        },
    },
];

pub(crate) fn named(name: &str) -> &'static dyn Subject {
    *ALL.iter().find(|subject| subject.name() == name).unwrap()
}
