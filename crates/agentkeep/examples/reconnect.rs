//! Clients that come and go: one process publishes, a subscriber is killed and comes back, another
//! joins late. All end with the same list.
//!
//! `cargo run -p agentkeep --example reconnect`

use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio};

use agentkeep::{Event, Start, Store};

type Anything = Box<dyn std::error::Error>;

const TOPIC: &str = "chat/17";
const EVENTS: usize = 400;
/// After so many events the subscriber is killed.
const KILLED_AFTER: usize = 100;

#[tokio::main]
async fn main() -> Result<ExitCode, Anything> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["publish", url] => publish(url).await?,
        ["subscribe", url, consumer] => subscribe(url, consumer).await?,
        _ => return play(),
    }
    Ok(ExitCode::SUCCESS)
}

/// The agent: streams its answer, and waits in the middle until it is told to go on.
async fn publish(url: &str) -> Result<(), Anything> {
    let store = Store::open(url).await?;
    for n in 0..EVENTS {
        if n == EVENTS / 2 {
            std::io::stdin().read_line(&mut String::new())?;
        }
        let event = serde_json::json!({ "type": "text_delta", "n": n });
        let cursor = store.events().publish(TOPIC, Event::of(&event)?).await?;
        println!("{cursor} {event}");
    }
    Ok(store.close().await?)
}

/// A client: shows each event, and acknowledges it when it is shown.
async fn subscribe(url: &str, consumer: &str) -> Result<(), Anything> {
    let store = Store::open(url).await?;
    let mut events = store.events().subscribe(TOPIC, Start::Consumer(consumer.to_owned())).await?;
    while let Some(event) = events.next().await {
        let event = event?;
        println!("{} {}", event.cursor, event.body);
        store.events().ack(consumer, TOPIC, &event.cursor).await?;
    }
    Ok(())
}

fn play() -> Result<ExitCode, Anything> {
    let folder = tempfile::tempdir()?;
    let url = format!("sqlite:{}", folder.path().join("keep.db").display());

    let mut agent = Process::start(&["publish", &url])?;
    let mut laptop = Process::start(&["subscribe", &url, "laptop"])?;
    let mut on_laptop = List::default();
    while on_laptop.0.len() < KILLED_AFTER {
        on_laptop.show(&laptop.line()?);
    }
    laptop.child.kill()?; // SIGKILL: nothing is said good-bye
    while let Ok(line) = laptop.line() {
        on_laptop.show(&line);
    }
    println!("the laptop was killed after {} events", on_laptop.0.len());

    let mut phone = Process::start(&["subscribe", &url, "phone"])?;
    let mut on_phone = List::default();
    on_phone.show(&phone.line()?);
    println!("the phone joined late");
    let mut laptop = Process::start(&["subscribe", &url, "laptop"])?;
    on_laptop.show(&laptop.line()?);
    println!("the laptop is back");
    agent.go_on()?;

    let mut published = List::default();
    while published.0.len() < EVENTS {
        published.show(&agent.line()?);
    }
    while on_laptop.0.len() < EVENTS {
        on_laptop.show(&laptop.line()?);
    }
    while on_phone.0.len() < EVENTS {
        on_phone.show(&phone.line()?);
    }
    let same = published == on_laptop && published == on_phone;
    println!("published {EVENTS} events; the lists of all three are the same: {same}");
    Ok(if same { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What a client has shown.
#[derive(Debug, Default, PartialEq, Eq)]
struct List(Vec<String>);

impl List {
    /// One that was shown and not acknowledged before the kill comes again: later events have
    /// larger cursors, so it is known.
    fn show(&mut self, line: &str) {
        if self.0.last().is_none_or(|last| last.as_str() < line) {
            self.0.push(line.to_owned());
        }
    }
}

/// This program again, in a role.
struct Process {
    child: Child,
    input: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Process {
    fn start(args: &[&str]) -> Result<Self, Anything> {
        let mut command = Command::new(std::env::current_exe()?);
        let mut child = command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let input = child.stdin.take().ok_or("no stdin")?;
        let lines = BufReader::new(child.stdout.take().ok_or("no stdout")?).lines();
        Ok(Self { child, input, lines })
    }

    fn line(&mut self) -> Result<String, Anything> {
        Ok(self.lines.next().ok_or("the process has ended")??)
    }

    fn go_on(&mut self) -> Result<(), Anything> {
        Ok(writeln!(self.input)?)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
