//! `sessions list`.

use std::process::ExitCode;

use agentkeep::{List, Page, Result, Session, Sessions};

use crate::args::{Global, ListSessions};
use crate::commands::{Outcome, listing, open_namespace};
use crate::output::table::Columns;
use crate::output::time::Clock;

/// Lists sessions.
pub(crate) async fn run(global: &Global, args: &ListSessions) -> Outcome {
    let store = open_namespace(global).await?;
    let keep = |session: &Session| {
        args.container.as_ref().is_none_or(|id| session.container_id() == *id)
            && args.image.as_ref().is_none_or(|id| session.image_id() == *id)
            && args.tag.as_ref().is_none_or(|tag| session.tags().contains(tag))
    };
    let limit = args.list.limit;
    let fetch = async |list| page(store.sessions(), args, &list).await;
    let sessions = listing::collect_where(limit, fetch, keep).await?;
    if global.json {
        store.close().await?;
        listing::print_records(sessions.iter().map(Session::json))?;
        return Ok(ExitCode::SUCCESS);
    }
    let clock = Clock::new(args.list.long);
    let headings = ["session", "title", "image", "container", "messages", "tags", "updated"];
    let mut columns = Columns::new(&headings, args.list.long).right(4);
    let ids: Vec<&str> = sessions.iter().map(Session::id).collect();
    let counts = store.sessions().message_counts(&ids).await?;
    for (session, count) in sessions.iter().zip(counts) {
        // Deleted since it was listed: the list is of that moment.
        let count = count.map_or("-".to_owned(), |count| count.to_string());
        columns.row([
            session.id().to_owned(),
            columns.brief(session.title()),
            session.image_id(),
            session.container_id(),
            count,
            listing::tags(&session.tags()),
            clock.show(session.updated_at().or_else(|| session.created_at())),
        ]);
    }
    store.close().await?;
    listing::print_table(columns, sessions.len(), "session")
}

/// A page by the one index that narrows most; the rest is sorted out afterwards.
async fn page(sessions: Sessions<'_>, args: &ListSessions, list: &List) -> Result<Page<Session>> {
    match (&args.image, &args.tag, &args.container) {
        (Some(image), _, _) => sessions.by_image(image, list).await,
        (_, Some(tag), _) => sessions.by_tag(tag, list).await,
        (_, _, Some(container)) => sessions.by_container(container, list).await,
        _ => sessions.list(list).await,
    }
}
