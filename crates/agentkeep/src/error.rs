//! The one error type: what was wrong, where, what was expected, what to do.

use std::error::Error as StdError;
use std::fmt;

mod document;

/// The result of every fallible call in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of failure it was: the part of an [`Error`] that a caller matches on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// The thing named does not exist.
    NotFound,
    /// Something with this id exists already.
    AlreadyExists,
    /// The record names a parent that does not exist.
    MissingParent,
    /// Another writer was faster, or a rule about other records forbids the change now.
    Conflict,
    /// The same idempotency key or entry id came back with different content.
    IdempotencyConflict,
    /// An id breaks the rule for ids.
    InvalidId,
    /// The input has the wrong form, type or range.
    InvalidInput,
    /// A limit was passed.
    TooLarge,
    /// The driver, build or format cannot do this.
    Unsupported,
    /// The cursor was never issued here.
    UnknownCursor,
    /// The cursor comes from a future that a restore took back.
    CursorAhead,
    /// What was asked for has been trimmed.
    Trimmed,
    /// The lease is held by somebody else by now.
    LeaseLost,
    /// The database cannot be reached or opened.
    Unavailable,
    /// The deadline passed; nothing was changed.
    Timeout,
    /// The connection died while a commit was under way: it may or may not have happened.
    OutcomeUnknown,
    /// The database's settings give less durability than was asked for.
    DurabilityNotMet,
    /// The operating system or the database refuses access.
    PermissionDenied,
    /// The disk or quota is full.
    NoSpace,
    /// The store was written by a newer agentkeep.
    NewerFormat,
    /// The encryption key does not fit.
    WrongKey,
    /// Stored bytes are damaged, or are not what agentkeep writes.
    Corrupt,
    /// A write failed in a way that leaves this handle unsure of the disk: reopen the store.
    Poisoned,
    /// The store has been closed.
    Closed,
}

impl Kind {
    /// The kind's name, as `--json` and logs show it.
    pub fn name(self) -> &'static str {
        match self {
            Self::NotFound => "NotFound",
            Self::AlreadyExists => "AlreadyExists",
            Self::MissingParent => "MissingParent",
            Self::Conflict => "Conflict",
            Self::IdempotencyConflict => "IdempotencyConflict",
            Self::InvalidId => "InvalidId",
            Self::InvalidInput => "InvalidInput",
            Self::TooLarge => "TooLarge",
            Self::Unsupported => "Unsupported",
            Self::UnknownCursor => "UnknownCursor",
            Self::CursorAhead => "CursorAhead",
            Self::Trimmed => "Trimmed",
            Self::LeaseLost => "LeaseLost",
            Self::Unavailable => "Unavailable",
            Self::Timeout => "Timeout",
            Self::OutcomeUnknown => "OutcomeUnknown",
            Self::DurabilityNotMet => "DurabilityNotMet",
            Self::PermissionDenied => "PermissionDenied",
            Self::NoSpace => "NoSpace",
            Self::NewerFormat => "NewerFormat",
            Self::WrongKey => "WrongKey",
            Self::Corrupt => "Corrupt",
            Self::Poisoned => "Poisoned",
            Self::Closed => "Closed",
        }
    }
}

/// A failure: its [`Kind`], the operation, the place, what was wrong and what to do.
///
/// `Display` gives one line of its own; the cause, if there is one, is behind
/// [`source`](StdError::source) and is not repeated.
pub struct Error(Box<Inner>);

struct Inner {
    kind: Kind,
    message: String,
    advice: Option<String>,
    operation: Option<&'static str>,
    place: Option<String>,
    driver: Option<&'static str>,
    expectation: Option<usize>,
    number: Option<u64>,
    retryable: bool,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error of `kind`; `message` says what was wrong and what was expected.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        let retryable = matches!(kind, Kind::Conflict | Kind::Unavailable | Kind::Timeout);
        Self(Box::new(Inner {
            kind,
            message: message.into(),
            advice: None,
            operation: None,
            place: None,
            driver: None,
            expectation: None,
            number: None,
            retryable,
            source: None,
        }))
    }

    /// Adds what the reader can do about it.
    #[must_use]
    pub fn advice(mut self, advice: impl Into<String>) -> Self {
        self.0.advice = Some(advice.into());
        self
    }

    /// Names the operation, unless an inner layer has done so.
    #[must_use]
    pub fn during(mut self, operation: &'static str) -> Self {
        self.0.operation.get_or_insert(operation);
        self
    }

    /// Names the table, stream or file and the id, unless an inner layer has done so.
    #[must_use]
    pub fn at(mut self, place: impl Into<String>) -> Self {
        self.0.place.get_or_insert_with(|| place.into());
        self
    }

    /// Names the driver, unless an inner layer has done so.
    #[must_use]
    pub fn in_driver(mut self, driver: &'static str) -> Self {
        self.0.driver.get_or_insert(driver);
        self
    }

    /// Says which of a batch's expectations failed, by its place in the batch.
    #[must_use]
    pub fn of_expectation(mut self, index: usize) -> Self {
        self.0.expectation = Some(index);
        self
    }

    /// Says which number of an entry it is about.
    #[must_use]
    pub fn number(mut self, number: u64) -> Self {
        self.0.number = Some(number);
        self
    }

    /// Keeps the cause.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Says that repeating the same call may not help (or may), against the kind's default.
    #[must_use]
    pub fn retryable(mut self, retryable: bool) -> Self {
        self.0.retryable = retryable;
        self
    }

    /// What kind of failure it was.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// What was wrong, without place and advice.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What to do about it.
    pub fn advice_text(&self) -> Option<&str> {
        self.0.advice.as_deref()
    }

    /// The operation that failed, for example `messages.add`.
    pub fn operation(&self) -> Option<&'static str> {
        self.0.operation
    }

    /// The table, stream or file and the id it was about.
    pub fn place(&self) -> Option<&str> {
        self.0.place.as_deref()
    }

    /// The driver that reported it.
    pub fn driver(&self) -> Option<&'static str> {
        self.0.driver
    }

    /// Which expectation of the batch failed, counted from 0.
    pub fn expectation(&self) -> Option<usize> {
        self.0.expectation
    }

    /// Of `Trimmed` the number of the first event that is still there, of `CursorAhead` the first
    /// number that is not the same any more.
    pub fn first(&self) -> Option<u64> {
        self.0.number
    }

    /// True when the same call, made again, may succeed and cannot do harm.
    pub fn is_retryable(&self) -> bool {
        self.0.retryable
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(operation) = self.0.operation {
            write!(f, "{operation}: ")?;
        }
        f.write_str(&self.0.message)?;
        if let Some(place) = &self.0.place {
            write!(f, " ({place})")?;
        }
        if let Some(advice) = &self.0.advice {
            write!(f, "; {advice}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("message", &self.0.message)
            .field("operation", &self.0.operation)
            .field("place", &self.0.place)
            .field("driver", &self.0.driver)
            .field("source", &self.0.source)
            .finish_non_exhaustive()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}
