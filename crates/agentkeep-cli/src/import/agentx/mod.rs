//! AgentX, in all the forms that its data comes in.

mod bytes;
mod forms;
mod ids;
mod index;
mod lists;
mod queue;
mod records;
mod secrets;
mod source;
mod take;

use std::path::Path;

use agentkeep::Result;

use self::queue::Rows;
use self::source::{Catalogue, Source};
use super::scratch::Scratch;
use super::stop::Stop;

pub(crate) use self::take::{Wish, take};

/// A source, recognised, and its values listed.
#[derive(Debug)]
pub(crate) struct Opened {
    data: Data,
    scratch: Scratch,
    path: String,
    stop: Stop,
}

/// What is in a source.
#[derive(Debug)]
enum Data {
    /// Records and message lists.
    Values(Box<dyn Source>),
    /// An event queue.
    Queue(Box<Rows>),
}

/// Recognises the source by its content; a live database by its URL.
pub(crate) async fn open(path: &Path, stop: Stop) -> Result<Opened> {
    let (data, place) = forms::open(path).await?;
    let scratch = Scratch::new()?;
    if let Data::Values(source) = &data {
        source.list(&Catalogue { scratch: &scratch }).map_err(|error| error.at(place.clone()))?;
    }
    Ok(Opened { data, scratch, path: place, stop })
}
