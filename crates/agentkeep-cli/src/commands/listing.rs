//! What the lists have in common.

use std::process::ExitCode;

use agentkeep::{Json, List, Page, Result};

use super::Outcome;
use crate::output;
use crate::output::table::Columns;

/// Records asked for at once.
const STEP: usize = 1000;

/// All pages, up to `limit` records.
pub(super) async fn collect<T>(
    limit: Option<u64>,
    page: impl AsyncFn(List) -> Result<Page<T>>,
) -> Result<Vec<T>> {
    collect_where(limit, page, |_| true).await
}

/// All pages, up to `limit` records of those that `keep` wants.
pub(super) async fn collect_where<T>(
    limit: Option<u64>,
    page: impl AsyncFn(List) -> Result<Page<T>>,
    keep: impl Fn(&T) -> bool,
) -> Result<Vec<T>> {
    let most = limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    let mut items = Vec::new();
    let mut list = List::of(STEP.min(most))?;
    loop {
        let found = page(list.clone()).await?;
        items.extend(found.items.into_iter().filter(&keep));
        items.truncate(most);
        match found.next {
            Some(next) if items.len() < most => list = list.after(&next),
            _ => return Ok(items),
        }
    }
}

/// The records as one JSON array, each exactly as it is stored.
pub(super) fn print_records<'a>(records: impl IntoIterator<Item = &'a Json>) -> Result<()> {
    output::print_raw(&(output::json_lines(records) + "\n"))
}

/// The table on stdout; that there is nothing is said on stderr.
pub(super) fn print_table(columns: Columns, rows: usize, what: &str) -> Outcome {
    if rows == 0 {
        output::tell(&format!("No {what}s."));
    } else {
        output::print_long(&columns.finish())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Tags in one cell.
pub(super) fn tags(tags: &[String]) -> String {
    if tags.is_empty() { "-".to_owned() } else { tags.join(", ") }
}
