//! Files that hold secrets.

use std::path::Path;

use crate::error::{Error, Kind, Result};

/// Refuses a file of secrets that others may read.
#[cfg(unix)]
pub(in crate::drivers) fn refuse_open(path: &Path) -> Result<()> {
    use std::os::unix::fs::MetadataExt as _;
    if path.metadata().is_ok_and(|found| (found.mode() & 0o077).count_ones() == 0) {
        return Ok(());
    }
    Err(Error::new(Kind::PermissionDenied, "others may read the file of passwords")
        .at(path.display().to_string())
        .advice("make it readable by its owner alone: chmod 600"))
}

/// Refuses a file of secrets that others may read.
#[cfg(not(unix))]
pub(in crate::drivers) fn refuse_open(_path: &Path) -> Result<()> {
    Ok(())
}
