//! Making the names of files and folders survive a power cut.

use std::fs::File;
use std::path::Path;

/// Makes the names in a folder survive a power cut.
pub(in crate::drivers) fn sync_folder(folder: &Path) -> std::io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Makes the folder's own name survive, and those above it: they may just have been made, also by
/// a process that was killed before it came to this. Once a store has its name, this was done.
pub(in crate::drivers) fn sync_above(folder: &Path) -> std::io::Result<()> {
    use std::io::ErrorKind::{InvalidInput, PermissionDenied, ReadOnlyFilesystem, Unsupported};
    for above in std::path::absolute(folder)?.ancestors().skip(1) {
        match sync_folder(above) {
            // In such a folder this user has made none.
            Err(error)
                if matches!(
                    error.kind(),
                    PermissionDenied | ReadOnlyFilesystem | InvalidInput | Unsupported
                ) => {}
            result => result?,
        }
    }
    Ok(())
}
