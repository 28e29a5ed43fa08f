//! Runs the command in a home of its own.
#![allow(dead_code, reason = "each test uses a part")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test states what must hold")]

pub(crate) mod agentx;
pub(crate) mod capable;
pub(crate) mod terminal;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use serde_json::value::RawValue;
use tempfile::TempDir;

pub(crate) struct Home {
    folder: TempDir,
}

pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Home {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The default store of this home.
    pub(crate) fn store(&self) -> PathBuf {
        self.file("data/keep.db")
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_agentkeep"));
        command.args(args).env("AGENTKEEP_DIR", self.path()).env_remove("AGENTKEEP_STORE");
        command.env_remove("CLICOLOR_FORCE").stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        Ran::of(self.command(args).output().unwrap())
    }

    /// What a run printed that must succeed.
    pub(crate) fn ok(&self, args: &[&str]) -> String {
        let ran = self.run(args);
        assert_eq!(ran.code, 0, "{args:?}: {}", ran.stderr);
        ran.stdout
    }

    /// The document that a run printed.
    pub(crate) fn json(&self, args: &[&str]) -> Value {
        let stdout = self.ok(&[args, &["--json"]].concat());
        serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{args:?}: {error}\n{stdout}"))
    }

    /// The one line that a run said which must fail.
    pub(crate) fn fails(&self, args: &[&str]) -> String {
        let ran = self.run(args);
        assert_eq!(ran.code, 1, "{args:?}: {}{}", ran.stdout, ran.stderr);
        assert_eq!(ran.stdout, "", "{args:?}");
        assert_eq!(ran.stderr.lines().count(), 1, "{args:?}: {}", ran.stderr);
        assert!(ran.stderr.starts_with("agentkeep: "), "{args:?}: {}", ran.stderr);
        ran.stderr
    }

    pub(crate) fn import(&self, source: &Path) -> Value {
        self.json(&["import", "agentx", source.to_str().unwrap()])
    }
}

impl Ran {
    pub(crate) fn of(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// A file of the bundled AgentX data.
pub(crate) fn fixture(name: &str) -> PathBuf {
    formats().join("agentx").join(name)
}

/// The bundled data of other programs.
pub(crate) fn formats() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/formats")
}

/// A JSON file.
pub(crate) fn json_of(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// Every file below a folder, with its bytes.
pub(crate) fn bytes_below(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all = Vec::new();
    for name in names(folder) {
        let path = folder.join(name);
        if path.is_dir() {
            all.extend(bytes_below(&path));
        } else {
            all.push((path.clone(), std::fs::read(&path).unwrap()));
        }
    }
    all
}

pub(crate) fn copy_all(from: &Path, to: &Path) {
    if from.is_dir() {
        std::fs::create_dir_all(to).unwrap();
        for name in names(from) {
            copy_all(&from.join(&name), &to.join(&name));
        }
    } else {
        std::fs::write(to, std::fs::read(from).unwrap()).unwrap();
    }
}

pub(crate) fn expected() -> Value {
    serde_json::from_str(&std::fs::read_to_string(fixture("expected.json")).unwrap()).unwrap()
}

/// The elements of a JSON array, each as its own text.
pub(crate) fn texts(array: &str) -> Vec<String> {
    let elements: Vec<Box<RawValue>> = serde_json::from_str(array).unwrap();
    elements.into_iter().map(|element| element.get().to_owned()).collect()
}

/// The messages in what `sessions show --json` printed, each as its own text.
pub(crate) fn messages_of(shown: &str) -> Vec<String> {
    let (_, messages) = shown.split_once("\"messages\":").unwrap();
    texts(messages.trim_end().strip_suffix('}').unwrap())
}

/// An AgentX SQLite file of these keys and values.
pub(crate) fn kv(path: &Path, rows: &[(&str, &str)]) {
    let file = rusqlite::Connection::open(path).unwrap();
    file.execute_batch(
        "CREATE TABLE kv_storage(key TEXT PRIMARY KEY, value TEXT NOT NULL,
           created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL);
         CREATE INDEX idx_kv_key ON kv_storage(key);",
    )
    .unwrap();
    for (key, value) in rows {
        file.execute("INSERT INTO kv_storage VALUES (?1, ?2, 0, 0)", [key, value]).unwrap();
    }
}

/// Adds to the home's store from this process, which is another than the command's.
pub(crate) fn beside<T>(home: &Home, work: impl AsyncFnOnce(&agentkeep::Store) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let url = format!("sqlite:{}", home.store().display());
        let store = agentkeep::Store::open(&url).await.unwrap();
        let answer = work(&store).await;
        store.close().await.unwrap();
        answer
    })
}

/// Container `c`, image `i`, session `s` with so many messages, in each of these namespaces.
pub(crate) fn filled(home: &Home, namespaces: &[(&str, u64)]) {
    beside(home, async |store| {
        for (name, count) in namespaces {
            let store = store.namespace(name).unwrap();
            let mut unit = store.unit();
            unit.containers().save(agentkeep::Container::new("c").unwrap());
            unit.images().save(agentkeep::Image::new("i", "c", "Helper").unwrap());
            unit.sessions().save(agentkeep::Session::new("s", "i", "c").unwrap());
            unit.commit().await.unwrap();
            let numbers: Vec<u64> = (0..*count).collect();
            for some in numbers.chunks(5_000) {
                let messages = some.iter().map(|n| said(&format!("m{n}"), &format!("text {n}")));
                store.messages("s").add_many(messages.collect()).await.unwrap();
            }
        }
    });
}

/// A user's message.
pub(crate) fn said(id: &str, text: &str) -> agentkeep::Message {
    let message = serde_json::json!({ "id": id, "subtype": "user", "content": text });
    agentkeep::Message::from_json(agentkeep::Json::of(&message).unwrap()).unwrap()
}

/// The names in a folder.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
