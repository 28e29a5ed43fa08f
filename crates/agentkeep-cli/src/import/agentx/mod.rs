//! AgentX, in all the forms that its data comes in.

mod bytes;
mod forms;
mod ids;
mod index;
mod lists;
mod records;
mod secrets;
mod source;
mod take;

use std::path::Path;

use agentkeep::Result;

use self::source::{Catalogue, Source};
use super::scratch::Scratch;
use super::stop::Stop;

pub(crate) use self::take::{Wish, take};

/// A source, recognised, and its values listed.
#[derive(Debug)]
pub(crate) struct Opened {
    source: Box<dyn Source>,
    scratch: Scratch,
    path: String,
    stop: Stop,
}

/// Recognises the source by its content.
pub(crate) fn open(path: &Path, stop: Stop) -> Result<Opened> {
    let source = forms::open(path)?;
    let scratch = Scratch::new()?;
    let place = path.display().to_string();
    source.list(&Catalogue { scratch: &scratch }).map_err(|error| error.at(place.clone()))?;
    Ok(Opened { source, scratch, path: place, stop })
}
