//! `events publish`.

use std::io::BufReader;
use std::process::ExitCode;

use agentkeep::{Error, Event, Json, Kind, Published, Result, Store};
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::sync::mpsc;

use crate::args::Global;
use crate::args::events::Publish;
use crate::commands::{Outcome, open};
use crate::output::{self, io_error};

/// Events that wait to be published together.
const TOGETHER: usize = 1_000;

#[derive(Debug, Serialize)]
struct Line<'a> {
    topic: &'a str,
    #[serde(flatten)]
    published: &'a Published,
}

/// Publishes.
pub(super) async fn run(global: &Global, args: &Publish) -> Outcome {
    agentkeep::schema::check_id("topic", &args.topic)?;
    if args.event == "-" {
        if args.key.is_some() {
            return Err(Error::new(Kind::InvalidInput, "a key is for one event, not for stdin's")
                .advice("give the event as an argument"));
        }
        let store = open(global).await?;
        from_stdin(global, &store, &args.topic).await?;
        store.close().await?;
        return Ok(ExitCode::SUCCESS);
    }
    let body = Json::parse(&args.event).map_err(|error| {
        error.at("the event").advice("give JSON; a text stands in quotes: '\"text\"'")
    })?;
    let mut event = Event::from_json(body);
    if let Some(key) = &args.key {
        event = event.with_key(key)?;
    }
    let store = open(global).await?;
    let published = store.events().publish_many(&args.topic, vec![event]).await?;
    store.close().await?;
    print(global, &args.topic, &published)?;
    Ok(ExitCode::SUCCESS)
}

/// Publishes as it comes; what has come meanwhile goes in one commit.
async fn from_stdin(global: &Global, store: &Store, topic: &str) -> Result<()> {
    let (sender, mut receiver) = mpsc::channel(TOGETHER);
    std::thread::spawn(move || read(&sender));
    let mut number = 0;
    loop {
        let mut some = Vec::new();
        if receiver.recv_many(&mut some, TOGETHER).await == 0 {
            return Ok(());
        }
        let mut failed = None;
        let mut events = Vec::new();
        for read in some {
            match read {
                Ok(event) => events.push(event),
                Err(error) => failed = Some(error),
            }
        }
        let published = store.events().publish_many(topic, events).await?;
        number += published.len();
        print(global, topic, &published)?;
        if let Some(error) = failed {
            let told = format!("value {} on stdin; those before it are published", number + 1);
            return Err(error.at(told));
        }
    }
}

/// Reads stdin up to its end or the first value that is none.
fn read(sender: &mpsc::Sender<Result<Event>>) {
    let input = BufReader::new(std::io::stdin());
    let values = serde_json::Deserializer::from_reader(input).into_iter::<Box<RawValue>>();
    for value in values {
        let event = match value {
            Ok(value) => Json::parse(value.get()).map(Event::from_json),
            Err(error) if error.is_io() => {
                Err(io_error("stdin cannot be read", std::io::Error::from(error)))
            }
            Err(error) => Err(Error::new(Kind::InvalidInput, format!("it is no JSON: {error}"))
                .advice("give one JSON value after another")),
        };
        let failed = event.is_err();
        if sender.blocking_send(event).is_err() || failed {
            return;
        }
    }
}

/// The cursors, one a line.
fn print(global: &Global, topic: &str, published: &[Published]) -> Result<()> {
    let mut lines = String::new();
    for published in published {
        if global.json {
            lines.push_str(Json::of(&Line { topic, published })?.as_str());
        } else {
            if published.duplicate {
                output::tell("An event with this key was there before: nothing was changed.");
            }
            lines.push_str(published.cursor.as_str());
        }
        lines.push('\n');
    }
    output::print_raw(&lines)
}
