//! What containers, images and sessions have in common when they are read.

use async_trait::async_trait;

use super::pending::Pending;
use crate::driver::{Find, Record};
use crate::error::Result;
use crate::json::Json;
use crate::model::{Container, Image, Session};
use crate::repo::pages::{List, Page};
use crate::repo::space::Space;
use crate::schema::{CONTAINERS, IMAGES, Key, SESSIONS, Table, Value};

/// A model type that stands in a table of its own.
#[async_trait]
pub(crate) trait Kept: Sized + Send + Sync {
    const TABLE: &'static Table;
    /// What errors call it.
    const WHAT: &'static str;

    fn parse(json: Json) -> Result<Self>;
    /// As it is stored under this id.
    fn stored(json: Json, id: &str) -> Result<Self>;
    fn json(&self) -> &Json;
    fn id(&self) -> &str;

    /// True when a deletion that is still being collected has taken it away.
    async fn hidden(&self, space: &Space, pending: &Pending) -> Result<bool>;

    fn key(id: &str) -> Result<Key> {
        Key::new(Self::TABLE, [id])
    }
}

macro_rules! kept {
    ($type:ident, $table:ident, $what:literal, |$this:ident, $space:ident, $pending:ident| $hidden:expr) => {
        #[async_trait]
        impl Kept for $type {
            const TABLE: &'static Table = &$table;
            const WHAT: &'static str = $what;

            fn parse(json: Json) -> Result<Self> {
                Self::from_json(json)
            }

            fn stored(json: Json, id: &str) -> Result<Self> {
                $type::stored(json, id)
            }

            fn json(&self) -> &Json {
                $type::json(self)
            }

            fn id(&self) -> &str {
                $type::id(self)
            }

            async fn hidden(&self, $space: &Space, $pending: &Pending) -> Result<bool> {
                let $this = self;
                $hidden
            }
        }
    };
}

kept!(Container, CONTAINERS, "container", |_this, _space, pending| Ok(pending.hides_all()));
kept!(Image, IMAGES, "image", |this, _space, pending| Ok(pending.hides_image(this)));
kept!(Session, SESSIONS, "session", |this, space, pending| {
    pending.hides_session(space, this).await
});

fn of_record<T: Kept>(record: &Record) -> Result<T> {
    T::stored(record.body.clone(), record.key.first()).map_err(|e| e.at(record.key.to_string()))
}

/// One of them with its version.
pub(crate) async fn get<T: Kept>(space: &Space, id: &str) -> Result<Option<(T, u64)>> {
    let found = space.get_many(&[T::key(id)?, Pending::key()?]).await?;
    let [Some(record), pending] = found.as_slice() else { return Ok(None) };
    let value = of_record::<T>(record)?;
    let pending = Pending::of_record(pending.as_ref())?;
    if value.hidden(space, &pending).await? {
        return Ok(None);
    }
    Ok(Some((value, record.version)))
}

/// One page of them by an index, those taken away left out.
pub(crate) async fn page<T: Kept>(
    space: &Space,
    index: &str,
    equal: Option<&str>,
    list: &List,
) -> Result<Page<T>> {
    let mut find = Find::by(T::TABLE, index)?.after(list.continuation()?);
    find.equal.extend(equal.map(Value::text));
    find.limit = list.limit();
    // First: what a finished deletion has taken must not come from between.
    let ([pending], mut found) = space.get_and_find([Pending::key()?], &find).await?;
    let pending = Pending::remembering(space, pending.as_ref())?;
    let mut items = Vec::new();
    loop {
        for record in found.records {
            let value = of_record::<T>(&record)?;
            if !value.hidden(space, &pending).await? {
                items.push(value);
            }
        }
        match found.next {
            Some(next) if items.len() < list.limit() => {
                find.after = Some(next);
                find.limit = list.limit() - items.len();
                found = space.find(&find).await?;
            }
            next => return Ok(Page { items, next: next.map(|next| next.token()) }),
        }
    }
}

/// All of them by an index.
pub(crate) async fn all<T: Kept>(
    space: &Space,
    index: &str,
    equal: Option<&str>,
) -> Result<Vec<T>> {
    let mut items = Vec::new();
    let mut list = List::of(1000)?;
    loop {
        let page = page(space, index, equal, &list).await?;
        items.extend(page.items);
        match page.next {
            Some(next) => list = list.after(&next),
            None => return Ok(items),
        }
    }
}
