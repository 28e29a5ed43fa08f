//! Khora's golden vectors, all of them, and the one list of those that are answered otherwise on
//! purpose: `docs/coming-from/khora.md`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test states what must hold by unwrapping it"
)]

mod evaluation;
mod hashes;
mod links;
mod persistence;
mod rows;
mod sessions;
mod support;
mod trees;
mod values;

use support::run;

#[tokio::test]
async fn plain_objects() {
    run("hash-plain-object", hashes::plain_object).await;
}

#[tokio::test]
async fn invocation_contexts() {
    run("hash-invocation-context", hashes::invocation_context).await;
}

#[tokio::test]
async fn tools_agents_and_runtimes() {
    run("hash-tools-agents-runtime", hashes::tools_agents_runtime).await;
}

#[tokio::test]
async fn collation() {
    run("collation", hashes::collation).await;
}

#[tokio::test]
async fn evaluation_and_policies() {
    run("evaluation-and-policies", evaluation::answer).await;
}

#[tokio::test]
async fn links_and_diffs() {
    run("links-and-diffs", links::links_and_diffs).await;
}

#[tokio::test]
async fn diff_cli() {
    run("diff-cli", links::diff_cli).await;
}

#[tokio::test]
async fn telemetry() {
    run("telemetry", links::telemetry).await;
}

#[tokio::test]
async fn rows_and_envelopes() {
    run("rows-and-envelopes", rows::answer).await;
}

#[tokio::test]
async fn session_host() {
    run("session-host", sessions::answer).await;
}

#[tokio::test]
async fn persistence() {
    for scheme in ["memory", "file", "sqlite"] {
        run("persistence-memory", async |_, given, expected| {
            let folder = tempfile::tempdir().unwrap();
            let url = match scheme {
                "memory" => "memory:".to_owned(),
                scheme => format!("{scheme}:{}/keep?durability=process", folder.path().display()),
            };
            let store = agentkeep::Store::open(&url).await.unwrap();
            let answer = persistence::script(&store, given, expected).await;
            assert!(store.check().await.unwrap().is_sound());
            store.close().await.unwrap();
            answer
        })
        .await;
    }
}

#[test]
fn every_difference_is_of_a_file_of_vectors() {
    for difference in support::differences() {
        assert!(support::FILES.contains(&difference.file.as_str()), "{difference:?}");
        assert!(difference.reason.len() > 20, "{difference:?} needs a reason");
    }
}

#[test]
fn every_file_of_vectors_is_run() {
    let folder = support::folder();
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    names.sort();
    assert_eq!(names, support::FILES);
}
