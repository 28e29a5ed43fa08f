//! Every Rust example of README.md and docs/ runs, as it is written.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test states what must hold by unwrapping it"
)]

mod examples;

use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn documents(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            documents(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            found.push(path);
        }
    }
}

/// Without what only the place asks for.
fn plain(text: &str) -> Vec<&str> {
    text.lines().map(str::trim).collect()
}

/// The lines of the examples that a document has here.
fn here(document: &str) -> Vec<Vec<&'static str>> {
    let source = include_str!("examples.rs");
    let mut found = Vec::new();
    let mut lines = source.lines().map(str::trim);
    while lines.any(|line| line.strip_prefix("// ") == Some(document)) {
        found.push(lines.by_ref().take_while(|line| *line != "// end").collect());
    }
    found
}

#[test]
fn every_example_stands_here_as_it_is_written() {
    let mut all = vec![root().join("README.md")];
    documents(&root().join("docs"), &mut all);
    let mut count = 0;
    for path in all {
        let text = std::fs::read_to_string(&path).unwrap();
        let name = path.strip_prefix(root()).unwrap().to_str().unwrap();
        let blocks = text.split("```rust\n").skip(1).map(|rest| rest.split("```").next().unwrap());
        let blocks: Vec<_> = blocks.map(plain).collect();
        assert_eq!(blocks, here(name), "{name}");
        count += blocks.len();
    }
    assert!(count >= 2);
}

/// In a folder of their own, one after the other: they name files there.
#[cfg(feature = "sqlite")]
#[test]
fn the_examples_run() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for example in 0..5 {
        let folder = tempfile::tempdir().unwrap();
        std::env::set_current_dir(folder.path()).unwrap();
        runtime.block_on(async {
            match example {
                0 => examples::readme().await.unwrap(),
                1 => examples::queue_of_agentx().await.unwrap(),
                2 => examples::coming_from_agentrylab().await.unwrap(),
                3 => examples::coming_from_run_snapshots().await.unwrap(),
                _ => examples::coming_from_agentx().await.unwrap(),
            }
        });
        assert!(folder.path().join("keep.db").exists());
    }
}
