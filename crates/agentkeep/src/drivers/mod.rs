//! The drivers: one module each. None knows another, or anything above the seam.

mod durable;
#[cfg(unix)]
pub mod file;
mod kernel;
pub mod memory;
mod network_fs;
#[cfg(feature = "redis")]
pub mod redis;
#[cfg(any(feature = "postgres", feature = "redis"))]
mod server;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub mod sql;

use std::path::Path;

use crate::error::{Error, Kind};

/// What the operating system refused, at which path.
fn io_error(error: &std::io::Error, message: &str, path: &Path) -> Error {
    let kind = match error.kind() {
        std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => {
            Kind::PermissionDenied
        }
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Kind::NoSpace,
        // The second: a file stands where a folder is to be made.
        std::io::ErrorKind::NotADirectory
        | std::io::ErrorKind::AlreadyExists
        | std::io::ErrorKind::InvalidFilename => Kind::InvalidInput,
        _ => Kind::Unavailable,
    };
    Error::new(kind, format!("{message}: {error}"))
        .at(path.display().to_string())
        .retryable(false)
        .advice("give a path that you may read and write")
}
