//! What reads need, and reading records, entries and blobs: of a namespace or of a copy of it.

use super::errors::strange;
use super::find;
use super::held::Held;
use super::keys::Space;
use super::link::Link;
use super::rows::{damaged, digits, entry, head, record};
use super::scripts::{Reading, Scripts};
use crate::driver::{
    Blob, Entries, Entry, FoundBlob, Hash, Head, Read, Record, Stretch, Want, Which,
};
use crate::drivers::server::known::{known_log, known_table};
use crate::error::Result;
use crate::schema::{BLOBS, EntryId, Key, NAMESPACES, Namespace, STREAMS, Schema, Stream, Turn};

/// Where is read, and by what.
pub(super) struct Place<'a> {
    pub(super) schema: &'static Schema,
    pub(super) link: &'a Link,
    pub(super) scripts: &'a Scripts,
    pub(super) namespace: &'a Namespace,
    pub(super) space: Space,
    /// The records of all namespaces, where they are of one moment.
    pub(super) names: Option<&'a Names>,
    /// The key that goes with a copy.
    pub(super) alive: Option<String>,
    /// Who tells whether it is still of one moment, where it is no copy.
    pub(super) held: Option<&'a Held>,
}

impl Place<'_> {
    /// Asks by a script that only reads.
    pub(super) async fn ask<A: AsRef<[u8]>>(
        &self,
        reading: &Reading,
        mut keys: Vec<String>,
        arguments: &[A],
    ) -> Result<redis::Value> {
        if let Some(held) = self.held {
            return held.ask(&reading.script, &keys, arguments).await;
        }
        let Some(alive) = &self.alive else {
            return self.link.ask(&reading.script, &keys, arguments).await;
        };
        keys.push(alive.clone());
        self.link.ask(&reading.of_copy, &keys, arguments).await
    }
}

/// Records of namespaces as they are stored, by name.
pub(super) type Names = std::collections::BTreeMap<String, Vec<u8>>;

type Rows = Vec<Option<Vec<u8>>>;

/// Records by their keys, all of one moment; in a cluster those of other namespaces of theirs.
pub(super) async fn get(at: &Place<'_>, keys: &[Key]) -> Result<Vec<Option<Record>>> {
    let is_name = |key: &Key| key.table().name == NAMESPACES.name;
    let frozen = |key: &Key| at.names.filter(|_| is_name(key));
    let foreign = |key: &Key| is_name(key) && key.first() != at.namespace.as_str();
    let clustered = at.link.is_clustered();
    let apart = |key: &Key| clustered && foreign(key) && frozen(key).is_none();
    let (mut hashes, mut fields) = (Vec::new(), Vec::new());
    for key in keys {
        known_table(at.schema, key.table())?;
        if frozen(key).is_some() || apart(key) {
            continue;
        }
        if foreign(key) {
            let other = Namespace::new(key.first())?;
            hashes.push(Space::new(&at.link.options.base, &other).meta());
            fields.push("record");
        } else if is_name(key) {
            hashes.push(at.space.meta());
            fields.push("record");
        } else {
            hashes.push(at.space.records(key.table()));
            fields.push(key.encoded());
        }
    }
    let mut rows = Rows::new();
    if !hashes.is_empty() {
        let answer = at.ask(&at.scripts.get, hashes, &fields).await?;
        rows = redis::from_redis_value(answer).map_err(|_| strange("records"))?;
    }
    let others: Vec<&Key> = keys.iter().filter(|key| apart(key)).collect();
    let mut others = find::name_rows(at, &others).await?.into_iter();
    let mut rows = rows.into_iter();
    keys.iter()
        .map(|key| {
            let row = match frozen(key) {
                Some(names) => names.get(key.first()).cloned(),
                None if apart(key) => others.next().ok_or_else(|| strange("records"))?,
                None => rows.next().ok_or_else(|| strange("records"))?,
            };
            row.map(|row| record(at.namespace, key.clone(), &row)).transpose()
        })
        .collect()
}

/// Blobs by their hashes.
pub(super) async fn blobs(
    at: &Place<'_>,
    hashes: &[Hash],
    want: Want,
) -> Result<Vec<Option<FoundBlob>>> {
    if hashes.is_empty() {
        return Ok(Vec::new());
    }
    let rows = at.space.records(&BLOBS);
    let keys: Vec<String> = match want {
        Want::Presence => hashes.iter().map(|_| rows.clone()).collect(),
        Want::Bytes => hashes.iter().map(|hash| at.space.blob(*hash)).collect(),
    };
    let fields: Vec<String> = match want {
        Want::Presence => hashes.iter().map(|hash| hash.to_hex()).collect(),
        Want::Bytes => hashes.iter().map(|_| String::new()).collect(),
    };
    let answer = at.ask(&at.scripts.get, keys, &fields).await?;
    let rows: Rows = redis::from_redis_value(answer).map_err(|_| strange("blobs"))?;
    let found = |(hash, row): (&Hash, Option<Vec<u8>>)| match (row, want) {
        (None, _) => Ok(None),
        (Some(_), Want::Presence) => Ok(Some(FoundBlob::Present)),
        (Some(bytes), Want::Bytes) => {
            Blob::from_stored(*hash, bytes).map(|blob| Some(FoundBlob::Bytes(blob)))
        }
    };
    hashes.iter().zip(rows).map(found).collect()
}

/// Entries of a log.
pub(super) async fn read(at: &Place<'_>, read: &Read) -> Result<Entries> {
    known_log(at.schema, read.log)?;
    match &read.which {
        Which::Stretches(stretches) if stretches.is_empty() => {
            Ok(Entries { entries: Vec::new(), heads: Vec::new(), more: false })
        }
        Which::Stretches(stretches) => of_stretches(at, read, stretches).await,
        Which::Ids(ids) if ids.is_empty() => {
            Ok(Entries { entries: Vec::new(), heads: Vec::new(), more: false })
        }
        Which::Ids(ids) => by_ids(at, read, ids).await,
        Which::Turn(turn) => of_turn(at, read, turn).await,
    }
}

async fn of_stretches(at: &Place<'_>, read: &Read, stretches: &[Stretch]) -> Result<Entries> {
    let mut keys = vec![at.space.records(&STREAMS)];
    let mut arguments =
        vec![if read.reverse { "1" } else { "" }.to_owned(), (read.limit + 1).to_string()];
    for Stretch { stream, from, to } in stretches {
        keys.push(at.space.entries(read.log, stream));
        arguments.push(format!("{}\u{1f}{stream}", read.log.name));
        arguments.extend([digits(*from), digits(*to)]);
    }
    let answer = at.ask(&at.scripts.read, keys, &arguments).await?;
    let (heads, counts, rows): (Rows, Vec<usize>, Vec<Vec<u8>>) =
        redis::from_redis_value(answer).map_err(|_| strange("entries"))?;
    let heads =
        stretches.iter().zip(&heads).map(|(stretch, row)| told(read, stretch, row.as_deref()));
    let heads = heads.collect::<Result<Vec<Option<Head>>>>()?;
    let mut entries = Vec::with_capacity(rows.len());
    let mut rows = rows.into_iter();
    let mut counted: Vec<(&Stretch, usize)> = stretches.iter().zip(counts).collect();
    if read.reverse {
        counted.reverse();
    }
    for (stretch, count) in counted {
        for row in rows.by_ref().take(count) {
            entries.push(entry(at.namespace, read.log, &stretch.stream, &row)?);
        }
    }
    Ok(limited(read, entries, heads))
}

fn told(read: &Read, stretch: &Stretch, row: Option<&[u8]>) -> Result<Option<Head>> {
    let Some(row) = row else { return Ok(None) };
    let place = || damaged(format!("{} {:?}", read.log.name, stretch.stream));
    head(row).map(|(head, _)| Some(head)).ok_or_else(place)
}

/// One more than asked for tells whether there are more.
fn limited(read: &Read, mut entries: Vec<Entry>, heads: Vec<Option<Head>>) -> Entries {
    let more = entries.len() > read.limit;
    entries.truncate(read.limit);
    Entries { entries, heads, more }
}

async fn by_ids(at: &Place<'_>, read: &Read, ids: &[(Stream, EntryId)]) -> Result<Entries> {
    let mut order: Vec<&(Stream, EntryId)> = ids.iter().collect();
    if read.reverse {
        order.reverse();
    }
    let (mut keys, mut arguments) = (Vec::new(), vec![(read.limit + 1).to_string()]);
    for (stream, id) in &order {
        keys.extend([at.space.ids(read.log, stream), at.space.entries(read.log, stream)]);
        arguments.push(id.as_str().to_owned());
    }
    let answer = at.ask(&at.scripts.ids, keys, &arguments).await?;
    let found: Vec<(usize, Vec<u8>)> =
        redis::from_redis_value(answer).map_err(|_| strange("entries"))?;
    let entries = found.iter().map(|(which, row)| {
        let (stream, _) = order.get(*which).ok_or_else(|| strange("entries"))?;
        entry(at.namespace, read.log, stream, row)
    });
    Ok(limited(read, entries.collect::<Result<_>>()?, Vec::new()))
}

async fn of_turn(at: &Place<'_>, read: &Read, turn: &Turn) -> Result<Entries> {
    let arguments = [
        at.space.of(&format!("entries:{}:", read.log.name)),
        turn.as_str().to_owned(),
        if read.reverse { "1" } else { "" }.to_owned(),
        (read.limit + 1).to_string(),
    ];
    let never = at.link.is_clustered().then(|| at.space.never());
    let keys: Vec<String> = [at.space.turns(read.log)].into_iter().chain(never).collect();
    let answer = at.ask(&at.scripts.turn, keys, &arguments).await?;
    let found: Vec<(String, Vec<u8>)> =
        redis::from_redis_value(answer).map_err(|_| strange("entries"))?;
    let entries = found.iter().map(|(stream, row)| {
        let stream = Stream::new(stream).map_err(|_| damaged(read.log.name))?;
        entry(at.namespace, read.log, &stream, row)
    });
    Ok(limited(read, entries.collect::<Result<_>>()?, Vec::new()))
}
