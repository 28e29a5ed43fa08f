//! What the children do, and how they are started.

use std::io::{BufRead, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use agentkeep::{Container, Image, Json, Kind, Message, ObjectEditor, Store};

use crate::block_on;

pub(crate) const ROLE: &str = "AGENTKEEP_TEST_CHILD";
const URL: &str = "AGENTKEEP_TEST_URL";
const NAME: &str = "AGENTKEEP_TEST_NAME";

/// A child with its pipes.
pub(crate) struct Running {
    pub(crate) process: Child,
    pub(crate) input: ChildStdin,
    pub(crate) lines: std::io::Lines<BufReader<ChildStdout>>,
}

/// Starts this program again in a role.
pub(crate) fn start(role: &str, url: &str, name: &str) -> Running {
    let mut process = Command::new(std::env::current_exe().unwrap())
        .env(ROLE, role)
        .env(URL, url)
        .env(NAME, name)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let input = process.stdin.take().unwrap();
    let lines = BufReader::new(process.stdout.take().unwrap()).lines();
    Running { process, input, lines }
}

/// One line in one write, so that a kill leaves it whole or not at all.
pub(crate) fn say(line: &str) {
    std::io::stdout().write_all(format!("{line}\n").as_bytes()).unwrap();
}

pub(crate) fn run(role: &str) {
    let (url, name) = (std::env::var(URL).unwrap(), std::env::var(NAME).unwrap());
    block_on(async move {
        let store = Store::open(&url).await.unwrap();
        match role {
            "share" => share(&store, &name).await,
            "save_child" | "delete_parent" => race(&store, role).await,
            "open" => {
                store.containers().save(Container::new(&name).unwrap()).await.unwrap();
                say("ok");
            }
            "append" => append_on_demand(&store).await,
            "publish" => crate::events::publish(&store, &name).await,
            "own" => crate::runs::own(&store, &name).await,
            "subscribe" => crate::events::subscribe(&store, &name).await,
            "turns" => crate::turns::record(&store, &name).await,
            "write" => write_until_killed(&store, &name).await,
            _ => panic!("no role {role}"),
        }
        store.close().await.unwrap();
    });
}

pub(crate) fn numbered(id: &str, text: &str) -> Message {
    let mut editor = ObjectEditor::default();
    editor.set("id", &Json::string(id)).set("subtype", &Json::string("user"));
    editor.set("content", &Json::string(text));
    Message::from_json(editor.finish()).unwrap()
}

/// Four tasks add to one session and count in one record.
async fn share(store: &Store, name: &str) {
    let tasks: Vec<_> = (0..4)
        .map(|task| {
            let (store, name) = (store.clone(), name.to_owned());
            tokio::spawn(async move {
                for i in 0..25 {
                    let id = format!("{name}-{task}-{i}");
                    let added = store.messages("s").add(numbered(&id, &id)).await.unwrap();
                    say(&format!("{} {id}", added.index));
                    count(&store).await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

/// Adds one to a counter in a record, against everybody else.
async fn count(store: &Store) {
    let add_one = |container: Container| {
        let before = container.json().member("n").and_then(|n| n.to_i64()).unwrap_or(0);
        container.with("n", &(before + 1))
    };
    while let Err(error) = store.containers().update("c", add_one).await {
        assert_eq!(error.kind(), Kind::Conflict, "{error:?}");
    }
}

/// For each round named on standard input: saves an image in the container, or deletes it.
async fn race(store: &Store, role: &str) {
    for line in std::io::stdin().lines() {
        let container = line.unwrap();
        let result = if role == "save_child" {
            store.images().save(Image::new(&container, &container, "x").unwrap()).await
        } else {
            store.containers().delete(&container).await.map(|existed| assert!(existed))
        };
        say(result.map_or_else(|error| error.kind().name(), |()| "ok"));
    }
}

async fn append_on_demand(store: &Store) {
    for (i, line) in std::io::stdin().lines().enumerate() {
        line.unwrap();
        let id = format!("m{i}");
        store.messages("s").add(numbered(&id, &id)).await.unwrap();
        say("done");
    }
}

/// What message `id` says: made from the id alone, so that every byte can be checked.
pub(crate) fn text_of(id: &str) -> String {
    let seed = id.bytes().fold(7_usize, |sum, byte| sum * 31 % 65_537 + usize::from(byte));
    format!("{id}:").repeat(1 + seed % 150)
}

/// Eight tasks write until the process is killed: `TRY` before each commit, `ACK` after it.
async fn write_until_killed(store: &Store, session: &str) {
    let tasks: Vec<_> = (0..8)
        .map(|task| {
            let (store, session) = (store.clone(), session.to_owned());
            tokio::spawn(async move {
                for i in 0_u64.. {
                    let id = format!("{task}-{i}");
                    say(&format!("TRY {id}"));
                    if i.is_multiple_of(3) {
                        pair(&store, &session, &id).await;
                    } else {
                        let message = numbered(&id, &text_of(&id));
                        store.messages(&session).add(message).await.unwrap();
                    }
                    say(&format!("ACK {id}"));
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

/// Two messages and a counter in one commit.
async fn pair(store: &Store, session: &str, id: &str) {
    loop {
        let mut unit = store.unit();
        unit.messages(session).add(numbered(id, &text_of(id)));
        let second = format!("{id}-second");
        unit.messages(session).add(numbered(&second, &text_of(&second)));
        let patch = Json::parse(&format!(r#"{{"last of {}":"{id}"}}"#, &id[..1])).unwrap();
        unit.sessions().merge_metadata(session, &patch, &[]);
        match unit.commit().await {
            Ok(_) => return,
            Err(error) => assert_eq!(error.kind(), Kind::Conflict, "{error:?}"),
        }
    }
}
