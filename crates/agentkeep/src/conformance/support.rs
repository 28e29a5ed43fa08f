//! What the cases are written with.

use std::fmt;
use std::sync::Arc;

use super::{ALPHA, Fixture, SCHEMA, THINGS, dump};
use crate::driver::{
    Append, Batch, Blob, Committed, Driver, Entry, Find, FoundBlob, Hash, Head, Known, NewEntry,
    Operation, Outcome, Put, Read, Record, Save, Stretch, Want, Which,
};
use crate::error::{Error, Kind, Result};
use crate::json::Json;
use crate::schema::{EntryId, Key, Log, Namespace, Stream};

/// Why a case failed: what was seen.
#[derive(Debug)]
pub struct Failure(String);

impl Failure {
    /// A failure that says what was seen.
    pub fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self(format!("unexpected error: {error} {error:?}"))
    }
}

/// Fails the case unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $($what:tt)+) => {
        if !$condition {
            return Err($crate::conformance::Failure::new(format!($($what)+)));
        }
    };
}

/// Fails the case unless both sides are equal.
macro_rules! same {
    ($seen:expr, $expected:expr, $($what:tt)+) => {{
        let (seen, expected) = (&$seen, &$expected);
        if *seen != *expected {
            let what = format!($($what)+);
            return Err($crate::conformance::Failure::new(format!(
                "{what}: seen {seen:?}, expected {expected:?}"
            )));
        }
    }};
}

/// The table of one family: need, law, function.
macro_rules! cases {
    ($family:literal, $($need:ident $name:ident $law:literal;)+) => {
        pub(super) const CASES: &[$crate::conformance::Case] = &[$(
            $crate::conformance::Case {
                name: concat!($family, "::", stringify!($name)),
                law: $law,
                need: $crate::conformance::Need::$need,
                run: |context| Box::pin($name(context)),
            },
        )+];
    };
}

pub(super) use {cases, ensure, same};

/// The store under test.
#[derive(Clone)]
pub struct Context {
    /// The driver.
    pub driver: Arc<dyn Driver>,
    /// Where the driver came from.
    pub fixture: Arc<dyn Fixture>,
    /// The namespace that the case works in.
    pub namespace: Namespace,
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} in {:?}", self.namespace, self.driver)
    }
}

pub(super) fn json(text: &str) -> Result<Json> {
    Json::parse(text)
}

pub(super) fn thing(id: &str) -> Result<Key> {
    Key::new(&THINGS, [id])
}

pub(super) fn stream(name: &str) -> Result<Stream> {
    Stream::new(name)
}

pub(super) fn entry(id: Option<&str>, body: &str) -> Result<NewEntry> {
    let id = id.map(EntryId::new).transpose()?;
    Ok(NewEntry { id, body: json(body)?, refs: Vec::new() })
}

pub(super) fn append(log: &'static Log, name: &str, entries: Vec<NewEntry>) -> Result<Append> {
    Ok(Append { log, stream: stream(name)?, entries, known: Known::Refuse, start: None })
}

pub(super) fn put(key: Key, body: &str) -> Result<Operation> {
    Ok(Operation::Put(Put::new(key, json(body)?, Save::Any)?))
}

impl Context {
    pub(super) fn new(driver: Arc<dyn Driver>, fixture: Arc<dyn Fixture>) -> Self {
        Self { driver, fixture, namespace: Namespace::default() }
    }

    /// The same store, another namespace.
    pub(super) fn within(&self, namespace: &str) -> Result<Self> {
        Ok(Self { namespace: Namespace::new(namespace)?, ..self.clone() })
    }

    pub(super) fn batch(&self) -> Batch {
        Batch::new(self.namespace.clone())
    }

    pub(super) async fn commit(&self, operations: Vec<Operation>) -> Result<Committed> {
        let mut batch = self.batch();
        batch.operations = operations;
        self.driver.commit(batch).await
    }

    pub(super) async fn put(&self, id: &str, body: &str) -> Result<u64> {
        let committed = self.commit(vec![put(thing(id)?, body)?]).await?;
        match committed.outcomes.as_slice() {
            [Outcome::Put { version }] => Ok(*version),
            other => Err(Error::new(Kind::Corrupt, format!("a put answered {other:?}"))),
        }
    }

    /// Appends bodies without ids to a stream of [`ALPHA`].
    pub(super) async fn append(&self, name: &str, bodies: &[&str]) -> Result<Vec<u64>> {
        let entries = bodies.iter().map(|body| entry(None, body)).collect::<Result<_>>()?;
        self.append_entries(append(&ALPHA, name, entries)?).await
    }

    pub(super) async fn append_entries(&self, append: Append) -> Result<Vec<u64>> {
        let committed = self.commit(vec![Operation::Append(append)]).await?;
        match committed.outcomes.into_iter().next() {
            Some(Outcome::Appended { numbers }) => Ok(numbers),
            other => Err(Error::new(Kind::Corrupt, format!("an append answered {other:?}"))),
        }
    }

    pub(super) async fn get(&self, key: Key) -> Result<Option<Record>> {
        Ok(self.driver.get(&self.namespace, &[key]).await?.into_iter().next().flatten())
    }

    pub(super) async fn version(&self, id: &str) -> Result<u64> {
        Ok(self.get(thing(id)?).await?.map_or(0, |record| record.version))
    }

    /// The first key parts of what a query finds, all pages of `limit`.
    pub(super) async fn find(&self, find: &Find) -> Result<Vec<String>> {
        let mut find = find.clone();
        let mut ids = Vec::new();
        loop {
            let found = self.driver.find(&self.namespace, &find).await?;
            ids.extend(found.records.iter().map(|record| record.key.first().to_owned()));
            match found.next {
                Some(next) => find.after = Some(next),
                None => return Ok(ids),
            }
        }
    }

    /// A whole stream with its head.
    pub(super) async fn stream(
        &self,
        log: &'static Log,
        name: &str,
    ) -> Result<(Vec<Entry>, Option<Head>)> {
        let stretch = Stretch { stream: stream(name)?, from: 1, to: u64::MAX };
        let read =
            Read { log, which: Which::Stretches(vec![stretch]), reverse: false, limit: 10_000 };
        let mut entries = self.driver.read(&self.namespace, &read).await?;
        Ok((entries.entries, entries.heads.pop().flatten()))
    }

    pub(super) async fn numbers(&self, name: &str) -> Result<Vec<u64>> {
        let (entries, _) = self.stream(&ALPHA, name).await?;
        Ok(entries.iter().map(|entry| entry.number).collect())
    }

    pub(super) async fn blob(&self, hash: Hash) -> Result<Option<Blob>> {
        let found = self.driver.blobs(&self.namespace, &[hash], Want::Bytes).await?;
        match found.into_iter().next().flatten() {
            Some(FoundBlob::Bytes(blob)) => Ok(Some(blob)),
            _ => Ok(None),
        }
    }

    pub(super) async fn dump(&self) -> Result<String> {
        dump(&*self.driver, &SCHEMA, &self.namespace).await
    }

    /// The batch must be refused with this kind, and change nothing.
    pub(super) async fn refused(
        &self,
        batch: Batch,
        kind: Kind,
    ) -> std::result::Result<Error, Failure> {
        let (before, text) = (self.dump().await?, format!("{batch:?}"));
        let result = self.driver.commit(batch).await;
        let Err(error) = result else {
            return Err(Failure::new(format!("{text} was not refused: {result:?}")));
        };
        same!(error.kind(), kind, "the kind of {error:?} for {text}");
        same!(self.dump().await?, before, "the store after a refused {text}");
        Ok(error)
    }

    /// As [`refused`](Self::refused), for operations alone.
    pub(super) async fn refuses(
        &self,
        operations: Vec<Operation>,
        kind: Kind,
    ) -> std::result::Result<Error, Failure> {
        let mut batch = self.batch();
        batch.operations = operations;
        self.refused(batch, kind).await
    }
}
