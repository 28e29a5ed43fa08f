//! Files that are there whole, or not at all.

use std::fs::File;
use std::path::{Path, PathBuf};

use agentkeep::{Error, Kind, Result};
use tempfile::NamedTempFile;

use super::io_error;

/// A file under construction beside the place where it will stand.
#[derive(Debug)]
pub(crate) struct WholeFile {
    part: NamedTempFile,
    place: PathBuf,
    replace: bool,
}

impl WholeFile {
    /// Begins a file; one that is there is replaced only if that is wanted.
    pub(crate) fn begin(place: &Path, replace: bool) -> Result<Self> {
        if !replace && place.exists() {
            return Err(Error::new(Kind::AlreadyExists, "the file is there already")
                .at(place.display().to_string())
                .advice("name another one, or add --yes to replace it"));
        }
        let folder = place.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or_else(|| Path::new("."));
        let part = tempfile::Builder::new().prefix(".agentkeep-export-").tempfile_in(folder);
        let part = part.map_err(|error| cannot_write(place, error))?;
        Ok(Self { part, place: place.to_owned(), replace })
    }

    /// What is written to.
    pub(crate) fn file(&mut self) -> &mut File {
        self.part.as_file_mut()
    }

    /// Puts the file in its place.
    pub(crate) fn finish(self) -> Result<()> {
        let Self { part, place, replace } = self;
        part.as_file().sync_all().map_err(|error| cannot_write(&place, error))?;
        let persisted = if replace { part.persist(&place) } else { part.persist_noclobber(&place) };
        persisted.map(|_| ()).map_err(|error| cannot_write(&place, error.error))
    }
}

/// The failure of a write to the file.
pub(crate) fn cannot_write(place: &Path, error: std::io::Error) -> Error {
    io_error("the file cannot be written", error).at(place.display().to_string())
}
