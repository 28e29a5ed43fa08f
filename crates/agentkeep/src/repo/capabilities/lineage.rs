//! The lineage of a session: its links, and how one led to another.

use serde::Serialize;

use super::kept::Kept;
use super::{links, snapshots};
use crate::driver::MAX_LIMIT;
use crate::error::Result;
use crate::model::{LinkRow, TransitionRow};
use crate::repo::space::Space;

/// The links of a session and the transitions between them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Lineage {
    /// The session.
    pub session_id: String,
    /// Its links, in the order in which they were recorded.
    pub links: Vec<Kept<LinkRow>>,
    /// Its transitions, by their time.
    pub transitions: Vec<Kept<TransitionRow>>,
}

impl Lineage {
    /// The transitions that lead to a link.
    pub fn leading_to<'a>(&'a self, link_id: &'a str) -> impl Iterator<Item = &'a TransitionRow> {
        let rows = self.transitions.iter().map(|kept| &kept.row);
        rows.filter(move |transition| transition.to_link() == link_id)
    }
}

pub(super) async fn read(space: &Space, session: &str) -> Result<Lineage> {
    let mut all = Vec::new();
    let mut from = Some(0);
    while let Some(next) = from {
        let page = links::of_session(space, session, next, MAX_LIMIT).await?;
        all.extend(page.links);
        from = page.next;
    }
    let transitions = if all.is_empty() {
        Vec::new()
    } else {
        snapshots::all_transitions(space, session).await?
    };
    Ok(Lineage { session_id: session.to_owned(), links: all, transitions })
}
