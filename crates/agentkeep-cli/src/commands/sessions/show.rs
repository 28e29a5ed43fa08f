//! `sessions show`.

use std::fmt::Write as _;
use std::process::ExitCode;

use agentkeep::{Error, Kind, Session, StoredMessage};

use crate::args::{Global, ShowSession};
use crate::commands::{Outcome, open_existing};
use crate::output::chat::Chat;
use crate::output::time::Clock;
use crate::output::{self, text};

/// Shows a conversation.
pub(crate) async fn run(global: &Global, args: &ShowSession) -> Outcome {
    let store = open_existing(global).await?;
    let session = store.sessions().get(&args.id).await?.ok_or_else(|| {
        Error::new(Kind::NotFound, "there is no such session")
            .at(format!("session {:?}", args.id))
            .advice("agentkeep sessions list names them all")
    })?;
    let all = store.messages(&args.id);
    let messages = match args.last {
        Some(count) => all.last(count).await?,
        None => all.all().await?,
    };
    store.close().await?;
    if global.json {
        output::print_raw(&document(&session, &messages))?;
        return Ok(ExitCode::SUCCESS);
    }
    if messages.is_empty() {
        output::tell("The session has no messages.");
        return Ok(ExitCode::SUCCESS);
    }
    let heading = match session.title() {
        Some(title) => format!("{} ({})", title, session.id()),
        None => session.id().to_owned(),
    };
    let mut shown = format!("\x1b[1;4m{}\x1b[0m\n", text::one_line(&heading));
    if let Some(first) = messages.first().filter(|first| first.index > 0) {
        let _ =
            writeln!(shown, "\x1b[2m{} before these\x1b[0m", text::counted(first.index, "message"));
    }
    shown.push('\n');
    let mut chat = Chat::of(&messages, Clock::new(args.long), args.long);
    shown.extend(messages.iter().map(|message| chat.show(message)));
    output::print(&format!("{}\n", shown.trim_end()))?;
    Ok(ExitCode::SUCCESS)
}

/// The records exactly as they are stored.
fn document(session: &Session, messages: &[StoredMessage]) -> String {
    let messages = output::json_lines(messages.iter().map(|stored| stored.message.json()));
    format!("{{\"session\":{},\n\"messages\":{messages}}}\n", session.json())
}
