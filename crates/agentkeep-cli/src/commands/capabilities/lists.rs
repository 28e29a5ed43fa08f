//! `capabilities agents` and `capabilities links`.

use std::process::ExitCode;

use agentkeep::capabilities::format_hash_short;
use agentkeep::{Json, Kept, LinkRow, RegistrationRow};

use crate::args::{Global, ListArgs};
use crate::commands::{Outcome, listing, open_namespace};
use crate::output::table::Columns;
use crate::output::time::Clock;

/// Links asked for at once.
const STEP: usize = 1000;

fn text(json: &Json, member: &str) -> String {
    json.member(member).and_then(|text| text.to_text()).unwrap_or_default()
}

/// Lists agents.
pub(super) async fn agents(global: &Global, list: &ListArgs) -> Outcome {
    let store = open_namespace(global).await?;
    let keep = store.capabilities();
    let agents: Vec<Kept<RegistrationRow>> =
        listing::collect(list.limit, async |list| keep.agents(&list).await).await?;
    store.close().await?;
    if global.json {
        listing::print_records(agents.iter().map(|kept| kept.row.json()))?;
        return Ok(ExitCode::SUCCESS);
    }
    let clock = Clock::new(list.long);
    let mut columns = Columns::new(&["agent", "name", "static hash", "registered"], list.long);
    for kept in &agents {
        let hash = kept.row.static_hash();
        columns.row([
            kept.row.agent_id(),
            columns.brief(Some(text(&kept.row.static_props(), "name"))),
            if list.long { hash } else { format_hash_short(&hash) },
            clock.show(Some(kept.row.created())),
        ]);
    }
    listing::print_table(columns, agents.len(), "agent")
}

/// Lists the links of an agent.
pub(super) async fn links(global: &Global, agent: &str, list: &ListArgs) -> Outcome {
    let store = open_namespace(global).await?;
    let most = list.limit.map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(usize::MAX));
    let (mut links, mut from): (Vec<Kept<LinkRow>>, _) = (Vec::new(), Some(0));
    while let (Some(next), true) = (from, links.len() < most) {
        let step = STEP.min(most - links.len());
        let page = store.capabilities().list_capability_links_for_agent(agent, next, step).await?;
        links.extend(page.links);
        from = page.next;
    }
    store.close().await?;
    if global.json {
        listing::print_records(links.iter().map(|kept| kept.row.json()))?;
        return Ok(ExitCode::SUCCESS);
    }
    let clock = Clock::new(list.long);
    let headings = ["link", "session", "static hash", "runtime hash", "tools", "made"];
    let mut columns = Columns::new(&headings, list.long);
    for kept in &links {
        let link = kept.row.link()?;
        let short = |hash: &str| {
            if list.long { hash.to_owned() } else { format_hash_short(hash) }
        };
        columns.row([
            kept.row.id().unwrap_or_default(),
            kept.row.session_id(),
            short(&link.static_hash),
            short(&link.runtime_hash),
            link.tool_refs.len().to_string(),
            clock.show(Some(kept.row.created())),
        ]);
    }
    listing::print_table(columns, links.len(), "link")
}
