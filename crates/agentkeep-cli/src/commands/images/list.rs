//! `images list`.

use std::process::ExitCode;

use agentkeep::{Image, Images, List, Page, Result};

use crate::args::{Global, ListImages};
use crate::commands::{Outcome, listing, open_namespace};
use crate::output::table::Columns;
use crate::output::time::Clock;

/// Lists images.
pub(crate) async fn run(global: &Global, args: &ListImages) -> Outcome {
    let store = open_namespace(global).await?;
    let keep = |image: &Image| {
        args.container.as_ref().is_none_or(|id| image.container_id() == *id)
            && args.name.as_ref().is_none_or(|name| image.name().as_ref() == Some(name))
            && args.tag.as_ref().is_none_or(|tag| image.tags().contains(tag))
    };
    let limit = args.list.limit;
    let images =
        listing::collect_where(limit, async |list| page(store.images(), args, &list).await, keep)
            .await?;
    store.close().await?;
    if global.json {
        listing::print_records(images.iter().map(Image::json))?;
        return Ok(ExitCode::SUCCESS);
    }
    let clock = Clock::new(args.list.long);
    let headings = ["image", "name", "container", "session", "tags", "updated"];
    let mut columns = Columns::new(&headings, args.list.long);
    for image in &images {
        columns.row([
            image.id().to_owned(),
            columns.brief(image.name()),
            image.container_id(),
            image.session_id().unwrap_or_else(|| "-".to_owned()),
            listing::tags(&image.tags()),
            clock.show(image.updated_at().or_else(|| image.created_at())),
        ]);
    }
    listing::print_table(columns, images.len(), "image")
}

/// A page by the one index that narrows most; the rest is sorted out afterwards.
async fn page(images: Images<'_>, args: &ListImages, list: &List) -> Result<Page<Image>> {
    match (&args.name, &args.tag, &args.container) {
        (Some(name), _, _) => images.by_name(name, list).await,
        (_, Some(tag), _) => images.by_tag(tag, list).await,
        (_, _, Some(container)) => images.by_container(container, list).await,
        _ => images.list(list).await,
    }
}
