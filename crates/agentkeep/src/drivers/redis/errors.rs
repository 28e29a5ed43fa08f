//! What Redis and the way to it can answer, as our kinds of errors. The one place that knows its
//! codes.

use std::error::Error as _;

use redis::{ErrorKind, RedisError, ServerErrorKind};

use crate::error::{Error, Kind};
use crate::schema::OperationId;

/// What became of a command that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// The server refused it: nothing has changed.
    Refused,
    /// As before, and it may go better soon: the server loads its data, or a slot moves.
    Again,
    /// As before, and this connection is of no use: the server takes no writes any more, or has no such
    /// slot.
    Elsewhere,
    /// The server does not know the script.
    NoScript,
    /// The connection is gone: what was under way may have happened.
    Lost,
}

pub(super) fn fate(error: &RedisError) -> Fate {
    match error.kind() {
        ErrorKind::Server(kind) => match kind {
            ServerErrorKind::NoScript => Fate::NoScript,
            ServerErrorKind::BusyLoading
            | ServerErrorKind::TryAgain
            | ServerErrorKind::ClusterDown
            | ServerErrorKind::MasterDown
            | ServerErrorKind::Ask => Fate::Again,
            // By now the client knows who else has the slot, and that one is to be looked at.
            ServerErrorKind::ReadOnly | ServerErrorKind::Moved => Fate::Elsewhere,
            _ => of_code(error),
        },
        ErrorKind::Extension => of_code(error),
        ErrorKind::AuthenticationFailed
        | ErrorKind::InvalidClientConfig
        | ErrorKind::UnexpectedReturnType => Fate::Refused,
        // Nothing was sent, by a client that sends once.
        ErrorKind::ClusterConnectionNotFound => Fate::Again,
        _ => Fate::Lost,
    }
}

fn of_code(error: &RedisError) -> Fate {
    match error.code() {
        Some("BUSY" | "NOREPLICAS") => Fate::Again,
        Some("NOAUTH" | "UNBLOCKED") => Fate::Lost,
        _ => Fate::Refused,
    }
}

/// The error for a command that failed.
pub(super) fn map(error: &RedisError) -> Error {
    match error.code() {
        Some(code) => answered(code, error),
        None => unreachable(error),
    }
}

const RIGHTS: &str =
    "grant the user the keys that begin with the base, the commands, and the channels";

/// A copy that a script did not find any more.
pub(super) fn gone() -> Error {
    Error::new(Kind::Timeout, "the snapshot was not read for too long, and has gone")
        .retryable(false)
        .advice("take a new one")
}

fn full() -> Error {
    Error::new(Kind::NoSpace, "the server's memory is full (maxmemory); nothing was changed")
        .advice("give the server more memory, or delete something: reading and deleting go on")
}

fn no_room() -> Error {
    let message = "the server has no memory for a copy of the namespace, which a snapshot is";
    Error::new(Kind::NoSpace, message)
        .advice("give the server more memory (maxmemory), or delete something")
}

/// There was no memory for a copy, and what was read in its place did not stay as it was.
pub(super) fn changed() -> Error {
    let message =
        "the server has no memory for a copy of the namespace, which was changed while it was read";
    Error::new(Kind::NoSpace, message).advice(
        "try again when nobody writes to the namespace, or give the server more memory (maxmemory)",
    )
}

/// What the server says. Arguments, which can be what was to be kept, stay out.
fn answered(code: &str, error: &RedisError) -> Error {
    let detail = error.detail().unwrap_or_default();
    let detail = detail.split(", with args").next().unwrap_or_default();
    let detail: String = detail.lines().next().unwrap_or_default().chars().take(200).collect();
    let (kind, advice) = match code {
        "GONE" => return gone(),
        "OOM" => return full(),
        "NOROOM" => return no_room(),
        "NOAUTH" | "WRONGPASS" => (
            Kind::PermissionDenied,
            "give user and password in REDIS_USERNAME and REDIS_PASSWORD, a file, or the URL",
        ),
        "ERR" if detail.contains("user executing the script") => (Kind::PermissionDenied, RIGHTS),
        "NOPERM" => (Kind::PermissionDenied, RIGHTS),
        "MISCONF" => (Kind::NoSpace, "the server cannot write to its disk: look at its log"),
        "READONLY" => (Kind::PermissionDenied, "the server takes no writes: connect to the master"),
        "WRONGTYPE" => (
            Kind::Corrupt,
            "a key under the store's base is not what agentkeep wrote: name another one with base=",
        ),
        "LOADING" => (Kind::Unavailable, "the server is still loading its data: try again"),
        "ERR" if detail.contains("invalid password") || detail.contains("AUTH") => (
            Kind::PermissionDenied,
            "give user and password in REDIS_USERNAME and REDIS_PASSWORD, a file, or the URL",
        ),
        "ERR" if detail.contains("DB index") || detail.contains("SELECT is not allowed") => {
            (Kind::InvalidInput, "name a database that the server has; a cluster has only 0")
        }
        _ => (Kind::Unavailable, "look at the server's log"),
    };
    let again =
        ["LOADING", "TRYAGAIN", "CLUSTERDOWN", "MASTERDOWN", "BUSY", "NOREPLICAS", "MOVED", "ASK"];
    Error::new(kind, format!("Redis says: {code} {detail}"))
        .retryable(again.contains(&code))
        .advice(advice)
}

/// No answer, or none that can be understood.
fn unreachable(error: &RedisError) -> Error {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    // What a server of another kind said may be anything.
    let text: String = text.lines().next().unwrap_or_default().chars().take(200).collect();
    if error.kind() == ErrorKind::AuthenticationFailed {
        return Error::new(Kind::PermissionDenied, format!("Redis refuses the login: {text}"))
            .advice(
                "give user and password in REDIS_USERNAME and REDIS_PASSWORD, a file, or the URL",
            );
    }
    let certificate = text.contains("certificate") || text.contains("CERTIFICATE");
    let advice = if text.contains("certificate not valid for name") {
        "use the host's name that the certificate is for"
    } else if certificate {
        "trust the server's certificate with tls_ca=FILE"
    } else {
        "check that the server runs and is Redis, that host and port are right, and whether it wants TLS (rediss:)"
    };
    let settled = matches!(error.kind(), ErrorKind::Parse | ErrorKind::RESP3NotSupported);
    Error::new(Kind::Unavailable, format!("Redis cannot be reached: {text}"))
        .retryable(!certificate && !settled)
        .advice(advice)
}

pub(super) fn closed() -> Error {
    Error::new(Kind::Closed, "the store has been closed").advice("open it again")
}

pub(super) fn late() -> Error {
    Error::new(Kind::Timeout, "Redis did not answer within the deadline; nothing was changed")
        .advice("try again, or allow more time with timeout=SECONDS")
}

/// The answer of a script was not what it answers.
pub(super) fn strange(what: &str) -> Error {
    Error::new(Kind::Corrupt, format!("the server answered strangely about {what}"))
        .advice("does something else stand between?")
}

/// A commit whose outcome cannot be told.
pub(super) fn unknown(operation: Option<&OperationId>) -> Error {
    let error = Error::new(
        Kind::OutcomeUnknown,
        "the connection died in the middle of a commit, and the server cannot be asked",
    );
    match operation {
        Some(operation) => error.at(format!("operation {operation:?}")),
        None => error,
    }
    .advice("repeat it under its operation id; without one, look whether it is there")
}

/// The one who sent it was taken down with his runtime.
pub(super) fn ended() -> Error {
    Error::new(Kind::OutcomeUnknown, "the program's runtime ended in the middle of a commit")
        .advice("open the store again and look, or repeat it under its operation id")
}

/// The same error for one more caller.
pub(super) fn copy(error: &Error) -> Error {
    let copy = Error::new(error.kind(), error.message()).retryable(error.is_retryable());
    match error.advice_text() {
        Some(advice) => copy.advice(advice),
        None => copy,
    }
}
