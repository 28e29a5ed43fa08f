//! Running a file of vectors against the list of differences.

use std::path::{Path, PathBuf};

use agentkeep::Json;

/// All files of vectors.
pub(crate) const FILES: [&str; 11] = [
    "collation",
    "diff-cli",
    "evaluation-and-policies",
    "hash-invocation-context",
    "hash-plain-object",
    "hash-tools-agents-runtime",
    "links-and-diffs",
    "persistence-memory",
    "rows-and-envelopes",
    "session-host",
    "telemetry",
];

/// Why a vector was not answered as Khora answers it.
#[derive(Debug)]
pub(crate) enum Not {
    /// The answer is another one.
    Same(String),
    /// It is asked by another test.
    Here,
    /// It cannot be asked: what it gives is no JSON.
    Askable(&'static str),
}

pub(crate) type Answer = Result<(), Not>;

/// A row of the list of differences.
#[derive(Debug)]
pub(crate) struct Difference {
    pub(crate) file: String,
    pub(crate) name: String,
    pub(crate) reason: String,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

pub(crate) fn folder() -> PathBuf {
    root().join("fixtures/vectors")
}

/// The rows `| file | vector | reason |` of the document.
pub(crate) fn differences() -> Vec<Difference> {
    let text = std::fs::read_to_string(root().join("docs/coming-from/khora.md")).unwrap();
    let section = text.split("## Vectors answered otherwise").nth(1).unwrap();
    let rows = section.split("\n## ").next().unwrap().lines();
    let cells = rows.filter_map(|row| {
        let mut cells = row.strip_prefix("| `")?.split(" | ");
        let mut cell = || cells.next().unwrap().trim_matches(['`', '|', ' ']).to_owned();
        Some(Difference { file: cell(), name: cell(), reason: cell() })
    });
    cells.collect()
}

/// Asks every vector of a file. Those that are not answered as Khora does are exactly those of the
/// list, and those that no caller in Rust can ask are exactly those that hold what is no JSON.
pub(crate) async fn run(file: &str, answer: impl AsyncFn(&Json, &Json, &Json) -> Answer) {
    let text = std::fs::read_to_string(folder().join(format!("{file}.json"))).unwrap();
    let vectors = Json::parse(&text).unwrap();
    let differences = differences();
    let listed = |name: &str| differences.iter().any(|one| one.file == file && one.name == name);
    let (mut same, mut unaskable, mut wrong) = (0, 0, Vec::new());
    let mut names = std::collections::HashSet::new();
    for vector in vectors.elements() {
        let name = vector.member("name").unwrap().to_text().unwrap();
        let member = |name: &str| vector.member(name).unwrap();
        match answer(&member("op"), &member("input"), &member("expected")).await {
            Ok(()) if listed(&name) => wrong.push(format!("{name} is listed and the same")),
            Ok(()) => same += 1,
            Err(Not::Askable(_)) if listed(&name) => {
                wrong.push(format!("{name} is listed and cannot be asked"));
            }
            Err(Not::Askable(what)) => {
                assert!(vector.as_str().contains(&format!("\"${what}\"")), "{name} has no {what}");
                unaskable += 1;
            }
            Err(Not::Here) => {}
            Err(Not::Same(_)) if listed(&name) => {}
            Err(Not::Same(how)) => wrong.push(format!("{name}: {how}")),
        }
        names.insert(name);
    }
    for one in differences.iter().filter(|one| one.file == file) {
        assert!(names.contains(&one.name), "{one:?} is no vector");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(same > unaskable, "{file}: {same} the same, {unaskable} cannot be asked");
}

pub(crate) fn text(json: &Json, member: &str) -> Option<String> {
    json.member(member)?.to_text()
}

pub(crate) fn texts(json: &Json, member: &str) -> Option<Vec<String>> {
    json.member(member).map(|list| list.elements().map(|one| one.to_text().unwrap()).collect())
}

/// Fails with both when they differ.
pub(crate) fn equal<T: PartialEq + std::fmt::Debug>(what: &str, mine: &T, khora: &T) -> Answer {
    if mine == khora {
        return Ok(());
    }
    Err(Not::Same(format!("{what} is {mine:?}, not {khora:?}")))
}
