//! Finding records by an index, and records of namespaces by their names.

use super::errors::strange;
use super::keys::{Space, namespaces};
use super::reader::{Names, Place};
use super::rows::{place, record};
use crate::driver::{Find, Found, Record};
use crate::drivers::kernel::Stretch;
use crate::drivers::server::known::known_table;
use crate::drivers::server::page::values;
use crate::error::Result;
use crate::schema::{BY_TURN, Key, NAMESPACES, Namespace, Value};

/// Namespaces asked for at once in a cluster.
const PAGE: usize = 200;

/// A bound of a sorted set: `[` with it, `(` without it.
fn bound(kind: u8, bytes: &[u8]) -> Vec<u8> {
    [&[kind], bytes].concat()
}

/// Where records lie by a stretch of places.
fn bounds(stretch: &Stretch) -> (Vec<u8>, Vec<u8>) {
    let end = stretch.end.as_ref().map_or(b"+".to_vec(), |end| bound(b'(', end));
    (bound(b'[', &stretch.start), end)
}

pub(super) async fn find(at: &Place<'_>, find: &Find) -> Result<Found> {
    known_table(at.schema, find.table)?;
    if find.table.name == NAMESPACES.name {
        return found_names(at, find).await;
    }
    let Some(stretch) = Stretch::of(find, place)? else {
        return Ok(Found { records: Vec::new(), next: None });
    };
    let (from, to) = bounds(&stretch);
    let keys = vec![at.space.index(find.table, find.index), at.space.records(find.table)];
    let reverse = if find.reverse { b"1".to_vec() } else { Vec::new() };
    let limit = (find.limit + 1).to_string().into_bytes();
    let answer = at.ask(&at.scripts.find, keys, &[from, to, reverse, limit]).await?;
    let rows: Vec<Option<Vec<u8>>> =
        redis::from_redis_value(answer).map_err(|_| strange("records"))?;
    let mut records = Vec::with_capacity(rows.len() / 2);
    for pair in rows.chunks_exact(2) {
        let [Some(key), row] = pair else { return Err(strange("records")) };
        let key = std::str::from_utf8(key).ok().and_then(|key| Key::decode(find.table, key).ok());
        let key = key.ok_or_else(|| super::rows::damaged(find.table.name))?;
        let row = row.as_ref().ok_or_else(|| super::rows::damaged(&key))?;
        records.push(record(at.namespace, key, row)?);
    }
    page(find, records)
}

/// The answer from one record more than asked for.
fn page(find: &Find, mut records: Vec<Record>) -> Result<Found> {
    let more = records.len() > find.limit;
    records.truncate(find.limit);
    let last = records.last().filter(|_| more);
    let next =
        last.map(|last| -> Result<_> { Ok(find.continuation(values(find, last)?, &last.key)) });
    Ok(Found { next: next.transpose()?, records })
}

/// Records of namespaces. By turn there is no index: all are looked at, and there are not many.
async fn found_names(at: &Place<'_>, find: &Find) -> Result<Found> {
    let after = find.after.as_ref().map(|after| bound(b'(', after.key().as_bytes()));
    if find.index.name != BY_TURN.name {
        let (low, high) = (b"-".to_vec(), b"+".to_vec());
        let (low, high) = match after {
            Some(after) if find.reverse => (low, after),
            Some(after) => (after, high),
            None => (low, high),
        };
        return page(find, names(at, (low, high), find.reverse, find.limit + 1).await?);
    }
    let all = names(at, (b"-".to_vec(), b"+".to_vec()), false, usize::MAX >> 1).await?;
    let Some(stretch) = Stretch::of(find, place)? else {
        return Ok(Found { records: Vec::new(), next: None });
    };
    let mut placed: Vec<(Vec<u8>, Record)> = Vec::new();
    for record in all {
        let Some(turn) = &record.turn else { continue };
        let mut values = Vec::new();
        Value::text(turn.as_str()).encode(false, &mut values);
        let place = place(values, record.key.encoded());
        if place >= stretch.start && stretch.end.as_ref().is_none_or(|end| place < *end) {
            placed.push((place, record));
        }
    }
    placed.sort_by(|a, b| if find.reverse { b.0.cmp(&a.0) } else { a.0.cmp(&b.0) });
    page(find, placed.into_iter().map(|(_, record)| record).take(find.limit + 1).collect())
}

/// Records of namespaces between two names.
pub(super) async fn names(
    at: &Place<'_>,
    bounds: (Vec<u8>, Vec<u8>),
    reverse: bool,
    limit: usize,
) -> Result<Vec<Record>> {
    let rows = match at.names {
        Some(names) => frozen(names, &bounds, reverse, limit),
        None => name_texts(at, bounds, reverse, limit).await?,
    };
    let record = |(name, row): &(Vec<u8>, Vec<u8>)| {
        let name = namespace_of(name)?;
        record(at.namespace, Key::new(&NAMESPACES, [name.as_str()])?, row)
    };
    rows.iter().map(record).collect()
}

type Texts = Vec<(Vec<u8>, Vec<u8>)>;

/// What a copy has of them.
fn frozen(names: &Names, (low, high): &(Vec<u8>, Vec<u8>), reverse: bool, limit: usize) -> Texts {
    let within = |name: &[u8]| {
        low.strip_prefix(b"(").is_none_or(|low| name > low)
            && high.strip_prefix(b"(").is_none_or(|high| name < high)
    };
    let mut found: Texts = names
        .iter()
        .filter(|(name, _)| within(name.as_bytes()))
        .map(|(name, row)| (name.clone().into_bytes(), row.clone()))
        .collect();
    if reverse {
        found.reverse();
    }
    found.truncate(limit);
    found
}

/// Names and records as they are stored. On one server they are of one moment; in a cluster each
/// is of its own.
pub(super) async fn name_texts(
    at: &Place<'_>,
    (mut low, mut high): (Vec<u8>, Vec<u8>),
    reverse: bool,
    limit: usize,
) -> Result<Texts> {
    let base = &at.link.options.base;
    let all = namespaces(base);
    let told = if reverse { b"1".to_vec() } else { Vec::new() };
    if !at.link.is_clustered() {
        let most = limit.to_string().into_bytes();
        let arguments = [base.clone().into_bytes(), low, high, told, most];
        let answer = at.link.ask(&at.scripts.names, &[all], &arguments).await?;
        return redis::from_redis_value(answer).map_err(|_| strange("namespaces"));
    }
    let mut texts = Texts::new();
    loop {
        let mut cmd = redis::cmd(if reverse { "ZREVRANGEBYLEX" } else { "ZRANGEBYLEX" });
        let (first, last) = if reverse { (&high, &low) } else { (&low, &high) };
        cmd.arg(&all).arg(first).arg(last).arg("LIMIT").arg(0).arg(PAGE);
        let answer = at.link.command(&cmd).await?;
        let names: Vec<Vec<u8>> =
            redis::from_redis_value(answer).map_err(|_| strange("namespaces"))?;
        let reads = names.iter().map(async |name| {
            let row = name_row(at, &namespace_of(name)?).await?;
            Ok::<_, crate::Error>(row.map(|row| (name.clone(), row)))
        });
        for found in futures_util::future::join_all(reads).await {
            texts.extend(found?);
        }
        texts.truncate(limit);
        match names.last() {
            Some(last) if names.len() == PAGE && texts.len() < limit => {
                *(if reverse { &mut high } else { &mut low }) = bound(b'(', last);
            }
            _ => return Ok(texts),
        }
    }
}

fn namespace_of(name: &[u8]) -> Result<Namespace> {
    let name = std::str::from_utf8(name).ok().and_then(|name| Namespace::new(name).ok());
    name.ok_or_else(|| super::rows::damaged(NAMESPACES.name))
}

/// The record of a namespace as it is stored.
async fn name_row(at: &Place<'_>, name: &Namespace) -> Result<Option<Vec<u8>>> {
    let mut cmd = redis::cmd("HGET");
    cmd.arg(Space::new(&at.link.options.base, name).meta()).arg("record");
    let answer = at.link.command(&cmd).await?;
    redis::from_redis_value(answer).map_err(|_| strange("a namespace"))
}

/// The records of other namespaces than the one that is read.
pub(super) async fn name_rows(at: &Place<'_>, keys: &[&Key]) -> Result<Vec<Option<Vec<u8>>>> {
    let read = |key: &Key| Namespace::new(key.first());
    let reads = keys.iter().map(async |key| name_row(at, &read(key)?).await);
    futures_util::future::join_all(reads).await.into_iter().collect()
}

/// The record of the namespace itself, as a copy has it.
pub(super) async fn own_name(at: &Place<'_>) -> Result<Option<Vec<u8>>> {
    let answer = at.ask(&at.scripts.get, vec![at.space.meta()], &["record"]).await?;
    let rows: Vec<Option<Vec<u8>>> =
        redis::from_redis_value(answer).map_err(|_| strange("a namespace"))?;
    Ok(rows.into_iter().next().flatten())
}
