//! One moment of a namespace: a copy of its keys under another prefix, made by one script.
//!
//! The server has no older states to show, so the copy costs memory as the namespace does, and the
//! server does nothing else while it is made. It ends with its reader, or some minutes after the
//! last read if its process was killed. A server that has no memory for it is read in place, as long as
//! nobody commits.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use super::held::Held;
use super::keys::{Space, of_all, of_table};
use super::link::Link;
use super::reader::{self, Names, Place};
use super::scripts::Scripts;
use super::{Redis, find, in_redis};
use crate::driver::{Entries, Find, Found, FoundBlob, Hash, Read, Reader, Record, Snapshot, Want};
use crate::error::{Error, Kind, Result};
use crate::schema::{Key, Namespace, Schema};

/// How long a copy is kept after the last read,
const KEPT: Duration = Duration::from_mins(10);
/// and how old a promise of that may be before it is renewed.
const RENEWED: Duration = Duration::from_mins(2);

/// A copy of a namespace; it goes with this.
pub(super) struct Copy {
    schema: &'static Schema,
    link: Arc<Link>,
    scripts: Arc<Scripts>,
    namespace: Namespace,
    source: Space,
    /// Where it is read.
    target: Space,
    held: Option<Held>,
    began: Instant,
    /// Seconds after `began` at which it was last promised.
    promised: AtomicI64,
    /// The records of all namespaces.
    names: Option<Names>,
}

impl fmt::Debug for Copy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Copy({:?} of {:?})", self.namespace, self.link)
    }
}

impl Copy {
    pub(super) async fn take(
        schema: &'static Schema,
        link: &Arc<Link>,
        scripts: &Arc<Scripts>,
        namespace: &Namespace,
        with_names: bool,
    ) -> Result<Self> {
        let source = Space::new(&link.options.base, namespace);
        let target = source.copy(&uuid::Uuid::new_v4().simple().to_string());
        let mut copy = Self {
            schema,
            link: Arc::clone(link),
            scripts: Arc::clone(scripts),
            namespace: namespace.clone(),
            source,
            target,
            held: None,
            began: Instant::now(),
            promised: AtomicI64::new(0),
            names: None,
        };
        let clustered = link.is_clustered();
        let base = if with_names && !clustered { &link.options.base } else { "" };
        let made = copy.run::<Vec<(String, Vec<u8>)>>("copy", base).await;
        let rows = match made {
            Ok(rows) => rows,
            Err(error) if error.kind() == Kind::NoSpace => {
                copy.target = copy.source.clone();
                // Where that cannot be had, the want of memory says more.
                let held = Held::new(schema, link, &copy.source).await;
                copy.held = Some(held.map_err(|_| error)?);
                Vec::new()
            }
            Err(error) => return Err(error),
        };
        copy.names = match with_names {
            true if clustered || copy.held.is_some() => Some(copy.all_names().await?),
            true => Some(rows.into_iter().collect()),
            false => None,
        };
        Ok(copy)
    }

    /// Each is of its own moment, where they are not copied; that of the namespace is the copy's.
    async fn all_names(&self) -> Result<Names> {
        let at = self.place(&self.namespace).await?;
        let bounds = (b"-".to_vec(), b"+".to_vec());
        let all = find::name_texts(&at, bounds, false, usize::MAX).await?;
        let text = |name| String::from_utf8(name).map_err(|_| super::errors::strange("a name"));
        let mut names: Names =
            all.into_iter().map(|(name, row)| Ok((text(name)?, row))).collect::<Result<_>>()?;
        match find::own_name(&at).await? {
            Some(row) => names.insert(self.namespace.as_str().to_owned(), row),
            None => names.remove(self.namespace.as_str()),
        };
        Ok(names)
    }

    async fn run<T: redis::FromRedisValue>(&self, doing: &str, base: &str) -> Result<T> {
        let keys = self.keys();
        let arguments = self.arguments(doing, base);
        let script = if doing == "copy" { &self.scripts.copy } else { &self.scripts.copied };
        let answer = self.link.ask(script, &keys, &arguments).await?;
        redis::from_redis_value(answer).map_err(|_| super::errors::strange("a copy"))
    }

    fn keys(&self) -> Vec<String> {
        let never = self.link.is_clustered().then(|| self.source.never());
        [self.source.meta()].into_iter().chain(never).collect()
    }

    fn arguments(&self, doing: &str, base: &str) -> Vec<String> {
        let mut arguments = vec![
            doing.to_owned(),
            self.source.prefix().to_owned(),
            self.target.prefix().to_owned(),
            KEPT.as_millis().to_string(),
            base.to_owned(),
        ];
        let own = of_all("").into_iter();
        arguments.extend(own.filter(|key| !key.starts_with("calls") && !key.starts_with("operat")));
        arguments.extend(self.schema.tables.iter().flat_map(|table| of_table(table)));
        arguments.extend(self.schema.logs.iter().map(|log| format!("turns:{}", log.name)));
        arguments
    }

    /// Where its records and entries are read.
    pub(super) async fn place(&self, namespace: &Namespace) -> Result<Place<'_>> {
        self.link.refuse_if_closed()?;
        if *namespace != self.namespace {
            return Err(Error::new(Kind::InvalidInput, "the snapshot is of another namespace")
                .at(format!("namespace {namespace:?}"))
                .advice("take a snapshot of this namespace, too"));
        }
        let now = i64::try_from(self.began.elapsed().as_secs()).unwrap_or(i64::MAX);
        let promised = self.promised.load(Ordering::Acquire);
        if self.held.is_none() && now - promised >= RENEWED.as_secs().cast_signed() {
            if self.run::<i64>("keep", "").await? == 0 {
                return Err(super::errors::gone());
            }
            self.promised.fetch_max(now, Ordering::AcqRel);
        }
        Ok(Place {
            schema: self.schema,
            link: &self.link,
            scripts: &self.scripts,
            namespace: &self.namespace,
            space: self.target.clone(),
            names: self.names.as_ref(),
            alive: self.held.is_none().then(|| self.target.of("alive")),
            held: self.held.as_ref(),
        })
    }

    /// Gives its memory back now; else it goes in the background, or with time.
    pub(super) async fn end(&self) {
        if self.held.is_none() {
            let _ = self.run::<i64>("remove", "").await;
        }
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        if self.link.is_closed() || self.held.is_some() {
            return;
        }
        let (link, scripts) = (Arc::clone(&self.link), Arc::clone(&self.scripts));
        let (keys, arguments) = (self.keys(), self.arguments("remove", ""));
        let leftover = link.leftover();
        runtime.spawn(async move {
            let _leftover = leftover;
            let _ = link.ask(&scripts.copied, &keys, &arguments).await;
        });
    }
}

#[async_trait]
impl Snapshot for Redis {
    async fn snapshot(&self, namespace: &Namespace) -> Result<Box<dyn Reader>> {
        let taken = Copy::take(self.schema, &self.link, &self.scripts, namespace, true).await;
        Ok(Box::new(taken.map_err(in_redis)?))
    }
}

#[async_trait]
impl Reader for Copy {
    async fn get(&self, namespace: &Namespace, keys: &[Key]) -> Result<Vec<Option<Record>>> {
        let at = self.place(namespace).await.map_err(in_redis)?;
        reader::get(&at, keys).await.map_err(in_redis)
    }

    async fn find(&self, namespace: &Namespace, find: &Find) -> Result<Found> {
        find.validate()?;
        let at = self.place(namespace).await.map_err(in_redis)?;
        find::find(&at, find).await.map_err(in_redis)
    }

    async fn read(&self, namespace: &Namespace, read: &Read) -> Result<Entries> {
        read.validate()?;
        let at = self.place(namespace).await.map_err(in_redis)?;
        reader::read(&at, read).await.map_err(in_redis)
    }

    async fn blobs(
        &self,
        namespace: &Namespace,
        hashes: &[Hash],
        want: Want,
    ) -> Result<Vec<Option<FoundBlob>>> {
        let at = self.place(namespace).await.map_err(in_redis)?;
        reader::blobs(&at, hashes, want).await.map_err(in_redis)
    }
}
