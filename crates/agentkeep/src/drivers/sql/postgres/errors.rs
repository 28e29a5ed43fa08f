//! What PostgreSQL and the way to it can answer, as our kinds of errors. The one place that knows
//! its codes.

use std::error::Error as _;

use deadpool_postgres::PoolError;
use tokio_postgres::error::{DbError, Severity, SqlState};

use crate::error::{Error, Kind};

/// What became of a statement that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// The server refused it: nothing has changed.
    Refused,
    /// As before, and it may go better at once: a deadlock, a conflict of transactions.
    Again,
    /// The server does not know the statements that were prepared: a pooler is in between.
    Unprepared,
    /// The connection is gone: what was under way may have happened.
    Lost,
}

pub(super) fn fate(error: &tokio_postgres::Error) -> Fate {
    let Some(answer) = error.as_db_error() else {
        // Values that cannot be sent fail before anything is.
        let local = error.to_string().starts_with("error serializing");
        return if local { Fate::Refused } else { Fate::Lost };
    };
    // A connection that the server ends may have been told so after the commit.
    if matches!(answer.parsed_severity(), Some(Severity::Fatal | Severity::Panic)) {
        return Fate::Lost;
    }
    let again = [
        SqlState::T_R_SERIALIZATION_FAILURE,
        SqlState::T_R_DEADLOCK_DETECTED,
        SqlState::LOCK_NOT_AVAILABLE,
    ];
    let unprepared = [SqlState::INVALID_SQL_STATEMENT_NAME, SqlState::DUPLICATE_PSTATEMENT];
    if again.contains(answer.code()) {
        Fate::Again
    } else if unprepared.contains(answer.code())
        || answer.message().contains("cached plan must not")
    {
        Fate::Unprepared
    } else {
        Fate::Refused
    }
}

/// The error for a statement that failed. Details, which can repeat what was to be kept, stay out.
pub(super) fn map(error: &tokio_postgres::Error) -> Error {
    match error.as_db_error() {
        Some(answer) => answered(answer),
        None => unreachable(error),
    }
}

fn answered(answer: &DbError) -> Error {
    let code = answer.code();
    let text = format!("PostgreSQL says: {} ({})", answer.message(), code.code());
    // pgbouncer has one code for all that it refuses, and says it in English.
    let of_pooler =
        |text: &str| *code == SqlState::PROTOCOL_VIOLATION && answer.message().contains(text);
    let (kind, advice) = if *code == SqlState::INSUFFICIENT_PRIVILEGE {
        (
            Kind::PermissionDenied,
            "grant the role what it needs; agentkeep schema print shows the SQL",
        )
    } else if [SqlState::INVALID_PASSWORD, SqlState::INVALID_AUTHORIZATION_SPECIFICATION]
        .contains(code)
        || of_pooler("authentication failed")
    {
        (Kind::PermissionDenied, "check the role and its password, and the server's pg_hba.conf")
    } else if *code == SqlState::INVALID_CATALOG_NAME || of_pooler("no such database") {
        (Kind::NotFound, "create the database, or name one that is there")
    } else if [SqlState::DISK_FULL, SqlState::CONFIGURATION_LIMIT_EXCEEDED].contains(code) {
        (Kind::NoSpace, "give the server room")
    } else if *code == SqlState::READ_ONLY_SQL_TRANSACTION {
        (Kind::PermissionDenied, "the server takes no writes: connect to the primary")
    } else if *code == SqlState::PROGRAM_LIMIT_EXCEEDED {
        (Kind::TooLarge, "give the record shorter values in its indexed fields")
    } else if *code == SqlState::QUERY_CANCELED {
        (
            Kind::Timeout,
            "try again, or allow more time with timeout=SECONDS; a statement_timeout of the role or the server \
             must not be shorter",
        )
    } else if *code == SqlState::LOCK_NOT_AVAILABLE {
        (Kind::Timeout, "try again, or allow more time with timeout=SECONDS")
    } else if *code == SqlState::TOO_MANY_CONNECTIONS {
        (
            Kind::Unavailable,
            "lower pool=N in each process, raise max_connections or the role's limit, or put a pooler in between",
        )
    } else if [SqlState::DATA_CORRUPTED, SqlState::INDEX_CORRUPTED].contains(code) {
        (Kind::Corrupt, "look at the server's log, and restore the database from a backup")
    } else if [SqlState::UNDEFINED_TABLE, SqlState::UNDEFINED_FUNCTION, SqlState::UNDEFINED_COLUMN]
        .contains(code)
    {
        (Kind::Corrupt, "the store's tables are not as they were made: restore them from a backup")
    } else {
        (Kind::Unavailable, "look at the server's log")
    };
    let settled = matches!(kind, Kind::PermissionDenied | Kind::NotFound);
    let connection = !settled && (code.code().starts_with("08") || code.code().starts_with("57P"));
    let retryable = matches!(kind, Kind::Timeout)
        || connection
        || code.code().starts_with("40")
        || code.code().starts_with("53");
    Error::new(kind, text).retryable(retryable).advice(advice)
}

/// No answer, or none that can be understood.
fn unreachable(error: &tokio_postgres::Error) -> Error {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    let advice = if text.contains("certificate not valid for name") {
        "use the host's name that the certificate is for, or, knowingly, sslmode=require"
    } else if text.contains("certificate") {
        "trust the server's certificate with sslrootcert=FILE, or, knowingly, sslmode=require"
    } else if text.contains("server does not support TLS") {
        "turn the server's TLS on, or, knowingly, sslmode=disable"
    } else if text.contains("password") {
        "give the password in PGPASSWORD, in a file of passwords, or in the URL"
    } else {
        "check that the server runs and is PostgreSQL, and that host and port are right"
    };
    let kind =
        if text.contains("password missing") { Kind::PermissionDenied } else { Kind::Unavailable };
    Error::new(kind, format!("PostgreSQL cannot be reached: {text}"))
        .retryable(kind == Kind::Unavailable && !text.contains("certificate"))
        .advice(advice)
}

/// The error for a connection that the pool did not give.
pub(super) fn of_pool(error: &PoolError) -> Error {
    match error {
        PoolError::Backend(error) => map(error),
        PoolError::Timeout(_) => {
            Error::new(Kind::Timeout, "no connection to PostgreSQL came free or about in time")
                .advice(
                    "is it PostgreSQL that listens there? where many calls wait, allow more with \
                     pool=N, or more time with timeout=SECONDS",
                )
        }
        PoolError::Closed => closed(),
        PoolError::NoRuntimeSpecified | PoolError::PostCreateHook(_) => {
            Error::new(Kind::Unavailable, "the pool of connections cannot be used")
        }
    }
}

pub(super) fn closed() -> Error {
    Error::new(Kind::Closed, "the store has been closed").advice("open it again")
}

pub(super) fn late() -> Error {
    Error::new(Kind::Timeout, "PostgreSQL did not answer within the deadline; nothing was changed")
        .advice("try again, or allow more time with timeout=SECONDS")
}
