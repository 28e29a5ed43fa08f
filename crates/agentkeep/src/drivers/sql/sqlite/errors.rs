//! From SQLite's errors to ours, in one place.

use rusqlite::ErrorCode;

use crate::error::{Error, Kind};

/// What an SQLite error means.
pub(super) fn map(error: rusqlite::Error) -> Error {
    let (kind, message, advice) = match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => (
            Kind::Timeout,
            "the database stayed locked by another process",
            "nothing was changed; try again, or give a longer timeout",
        ),
        Some(ErrorCode::DiskFull) => {
            (Kind::NoSpace, "the disk is full", "nothing was changed; make room and try again")
        }
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => (
            Kind::PermissionDenied,
            "the database cannot be written",
            "check the permissions of the file and its folder",
        ),
        Some(ErrorCode::CannotOpen) => (
            Kind::Unavailable,
            "the database file cannot be opened",
            "check that the path exists and can be read and written",
        ),
        Some(ErrorCode::NotADatabase) => (
            Kind::Corrupt,
            "the file is not an SQLite database, or its first page is damaged",
            "restore it from a backup",
        ),
        Some(ErrorCode::DatabaseCorrupt) => {
            (Kind::Corrupt, "the database is damaged", "run check, and restore it from a backup")
        }
        Some(ErrorCode::ConstraintViolation) => (
            Kind::Corrupt,
            "the database contradicts itself",
            "run check, and restore it from a backup",
        ),
        // Every statement is made of the schema: what it does not fit is not the schema any more.
        _ if matches!(error, rusqlite::Error::SqlInputError { .. }) => (
            Kind::Corrupt,
            "the database's tables are not as they were made",
            "run check, and restore it from a backup",
        ),
        _ if matches!(
            error,
            rusqlite::Error::Utf8Error(..)
                | rusqlite::Error::FromSqlConversionFailure(..)
                | rusqlite::Error::IntegralValueOutOfRange(..)
                | rusqlite::Error::InvalidColumnType(..)
        ) =>
        {
            (
                Kind::Corrupt,
                "a stored column is not of its type",
                "run check, and restore the store from a backup",
            )
        }
        Some(ErrorCode::TooBig) => {
            (Kind::TooLarge, "a value is too large for SQLite", "keep it as several attachments")
        }
        Some(ErrorCode::SystemIoFailure) => (
            Kind::Unavailable,
            "the disk failed",
            "check the disk, then reopen the store; it checks itself",
        ),
        _ => (Kind::Unavailable, "SQLite refused a statement", "run check, and report this"),
    };
    let retryable = kind == Kind::Timeout;
    Error::new(kind, message).advice(advice).retryable(retryable).caused_by(error)
}

/// Damage names its place, unless something below has.
pub(super) fn damage_at(error: Error, place: impl std::fmt::Display) -> Error {
    if error.kind() == Kind::Corrupt { error.at(place.to_string()) } else { error }
}

/// The SQLite error beneath one of ours, if there is one.
pub(super) fn beneath(error: &Error) -> Option<rusqlite::Error> {
    let cause = std::error::Error::source(error)?.downcast_ref::<rusqlite::Error>()?;
    cause.sqlite_error().map(|code| rusqlite::Error::SqliteFailure(*code, None))
}

/// True when the disk failed, so that nobody knows what of the last writes it holds.
pub(super) fn is_io_failure(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::SystemIoFailure)
}
