//! `sessions show`.

use std::fmt::Write as _;
use std::process::ExitCode;

use agentkeep::{Error, Kind, Session, Store};

use super::conversation::Conversation;
use super::reading::Reading;
use crate::args::{Global, ShowSession};
use crate::commands::{Outcome, open_namespace};
use crate::output::pager::View;
use crate::output::{self, text};

/// Shows a conversation.
pub(crate) async fn run(global: &Global, args: &ShowSession) -> Outcome {
    let store = open_namespace(global).await?;
    let session = store.sessions().get(&args.id).await?.ok_or_else(|| {
        Error::new(Kind::NotFound, "there is no such session")
            .at(format!("session {:?}", args.id))
            .advice("agentkeep sessions list names them all")
    })?;
    // Before the first read: what is added after it is hinted at.
    let reading = Reading::of(&store, &args.id, args.last, args.follow).await?;
    let outcome = match (global.json, args.follow) {
        (true, true) => lines(reading, args).await,
        (true, false) => document(&session, reading, args).await,
        (false, _) => chat(&session, reading, args).await,
    };
    close(&store, outcome).await
}

async fn close(store: &Store, outcome: Outcome) -> Outcome {
    let outcome = outcome?;
    store.close().await?;
    Ok(outcome)
}

/// The records exactly as they are stored, page by page.
async fn document(session: &Session, mut reading: Reading<'_>, args: &ShowSession) -> Outcome {
    let mut found = Conversation::of(args);
    output::print_raw(&format!("{{\"session\":{},\n\"messages\":[", session.json()))?;
    let mut some = false;
    while let Some(messages) = reading.next().await? {
        let mut page = String::new();
        for stored in found.choose(messages) {
            page.push_str(if some { ",\n" } else { "\n" });
            page.push_str(stored.message.json().as_str());
            some = true;
        }
        output::print_raw(&page)?;
    }
    output::print_raw(if some { "\n]}\n" } else { "]}\n" })?;
    Ok(ExitCode::SUCCESS)
}

/// One message a line, as they come.
async fn lines(mut reading: Reading<'_>, args: &ShowSession) -> Outcome {
    let mut found = Conversation::of(args);
    while let Some(messages) = reading.next().await? {
        let mut page = String::new();
        for stored in found.choose(messages) {
            page.push_str(stored.message.json().as_str());
            page.push('\n');
        }
        output::print_raw(&page)?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn chat(session: &Session, mut reading: Reading<'_>, args: &ShowSession) -> Outcome {
    let mut view = if args.follow { View::Plain } else { View::paged()? };
    let mut shown = Conversation::of(args);
    let mut begun = false;
    while let Some(messages) = reading.next().await? {
        if messages.is_empty() {
            continue;
        }
        if !begun {
            view.write(&heading(session, messages[0].index))?;
            begun = true;
        }
        view.write(&shown.show(messages))?;
    }
    if begun {
        view.write(&shown.rest())?;
    } else {
        output::tell("The session has no messages.");
    }
    view.finish()?;
    if begun && shown.found_nothing() {
        output::tell("The text stands in none of these messages.");
    }
    Ok(ExitCode::SUCCESS)
}

fn heading(session: &Session, before: u64) -> String {
    let heading = match session.title() {
        Some(title) => format!("{} ({})", title, session.id()),
        None => session.id().to_owned(),
    };
    let mut shown = format!("\x1b[1;4m{}\x1b[0m\n", text::one_line(&heading));
    if before > 0 {
        let before = text::counted(before, "message");
        let _ = writeln!(shown, "\x1b[2m{before} before these\x1b[0m");
    }
    shown
}
