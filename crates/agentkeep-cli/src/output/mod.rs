//! What people and programs see: data on stdout, talk on stderr.

pub(crate) mod bar;
pub(crate) mod chat;
pub(crate) mod file;
pub(crate) mod found;
pub(crate) mod pager;
pub(crate) mod table;
pub(crate) mod text;
pub(crate) mod thread;
pub(crate) mod time;
pub(crate) mod timeline;

use std::error::Error as StdError;
use std::io::Write as _;

use agentkeep::{Error, Json, Kind, Result};
use serde::Serialize;

use crate::args::Global;

/// The place of errors that are about our answer.
const STDOUT: &str = "stdout";

/// Writes data for people to stdout, styled only on a terminal.
pub(crate) fn print(text: &str) -> Result<()> {
    let mut out = anstream::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(cannot_write)
}

/// Writes data for programs to stdout, byte for byte.
pub(crate) fn print_raw(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(cannot_write)
}

/// Writes a view for people that may be longer than a screen.
pub(crate) fn print_long(text: &str) -> Result<()> {
    let mut view = pager::View::paged()?;
    view.write(text)?;
    view.finish()
}

/// Asks on the terminal; false where there is none to ask.
pub(crate) fn asks_yes(question: &str) -> Result<bool> {
    use std::io::IsTerminal as _;
    if !(std::io::stdin().is_terminal() && std::io::stderr().is_terminal()) {
        return Ok(false);
    }
    let _ = write!(anstream::stderr(), "{} [y/N] ", text::one_line(question));
    let mut answer = String::new();
    let read = std::io::stdin().read_line(&mut answer);
    read.map_err(|error| io_error("the answer cannot be read", error))?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

/// One JSON document and a line break.
pub(crate) fn print_json<T: Serialize + ?Sized>(document: &T) -> Result<()> {
    let mut text = serde_json::to_string_pretty(document).map_err(|error| {
        Error::new(Kind::InvalidInput, "the answer has no JSON form").caused_by(error)
    })?;
    text.push('\n');
    print_raw(&text)
}

/// As [`print_json`], for documents of any size.
pub(crate) fn stream_json<T: Serialize + ?Sized>(document: &T) -> Result<()> {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let written = serde_json::to_writer_pretty(&mut out, document).map_err(std::io::Error::from);
    written.and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush()).map_err(cannot_write)
}

/// A JSON array with a record a line, each exactly as it is stored.
pub(crate) fn json_lines<'a>(records: impl IntoIterator<Item = &'a Json>) -> String {
    let mut text = String::from("[");
    for (i, record) in records.into_iter().enumerate() {
        text.push_str(if i == 0 { "\n" } else { ",\n" });
        text.push_str(record.as_str());
    }
    text.push_str(if text.len() > 1 { "\n]" } else { "]" });
    text
}

/// Tells something on stderr. Nobody listening is no failure.
pub(crate) fn tell(line: &str) {
    let _ = writeln!(anstream::stderr(), "{line}");
}

#[derive(Serialize)]
struct Failure<'a> {
    error: &'a Error,
}

/// Tells a failure in one line, for programs as a document; for people with `verbose` each cause in
/// another line, unless the one before has said it.
pub(crate) fn fail(error: &Error, global: &Global) {
    if global.json
        && let Ok(document) = serde_json::to_string(&Failure { error })
    {
        // Nobody listening is no failure.
        let _ = writeln!(std::io::stderr(), "{document}");
        return;
    }
    let mut line = text::one_line(&error.to_string());
    tell(&format!("agentkeep: {line}"));
    let mut cause = error.source();
    while let (true, Some(error)) = (global.verbose, cause) {
        let next = text::one_line(&error.to_string());
        if !line.contains(&next) {
            tell(&format!("  because: {next}"));
        }
        line = next;
        cause = error.source();
    }
}

/// An error of the operating system as one of ours.
pub(crate) fn io_error(what: &str, error: std::io::Error) -> Error {
    let kind = match error.kind() {
        std::io::ErrorKind::NotFound => Kind::NotFound,
        std::io::ErrorKind::AlreadyExists => Kind::AlreadyExists,
        std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => {
            Kind::PermissionDenied
        }
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Kind::NoSpace,
        std::io::ErrorKind::IsADirectory | std::io::ErrorKind::NotADirectory => Kind::InvalidInput,
        _ => Kind::Unavailable,
    };
    Error::new(kind, format!("{what}: {error}")).retryable(false).caused_by(error)
}

/// The answer cannot be written; whoever read it may have had enough.
pub(crate) fn cannot_write(error: std::io::Error) -> Error {
    io_error("the answer cannot be written", error).at(STDOUT)
}

/// True when whoever read our stdout (`head -1`) has had enough.
pub(crate) fn reader_is_gone(error: &Error) -> bool {
    if error.place() != Some(STDOUT) {
        return false;
    }
    let cause = error.source().and_then(|cause| cause.downcast_ref::<std::io::Error>());
    cause.is_some_and(|cause| cause.kind() == std::io::ErrorKind::BrokenPipe)
}
