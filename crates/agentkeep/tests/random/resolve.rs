//! From steps to what the seam takes. What is relative is looked up in the store at hand.

use std::ops::Bound;

use agentkeep::conformance::{ALPHA, BETA, FOURS, PAIRS, THINGS};
use agentkeep::driver::{
    Append, Batch, Blob, Expect, Find, Hash, Known, NewEntry, Operation, Put, Read, Reader, Save,
    Stretch, Which,
};
use agentkeep::schema::{
    BLOBS, EntryId, Index, Key, Log, NAMESPACES, Namespace, OperationId, STREAMS, Stream, Table,
    Turn, Value,
};
use agentkeep::{Json, Result};

use crate::step::{
    self, Act, Body, Change, Count, Edge, Id, New, Of, Over, Reading, Search, VALUES, Wish,
};

pub(crate) fn space(space: u8) -> Result<Namespace> {
    // One is a prefix of the next, as SQL and file names would confuse them.
    Namespace::new(&"a%"[..].repeat(usize::from(space) + 1))
}

/// A key, as seen from the namespace `own`.
pub(crate) fn key(id: &Id, own: &Namespace) -> Result<Key> {
    let part = |i: u8| ["", "a", "A", "a b", "é"][usize::from(i) % 5];
    match id {
        Id::Thing(i) => Key::new(&THINGS, [["a", "A", "ab", "a b", "é"][usize::from(*i) % 5]]),
        Id::Pair(a, b) => Key::new(&PAIRS, [part(a + 1), part(*b)]),
        Id::Four(a, b) => Key::new(&FOURS, ["a", part(*a), part(*b), ""]),
        Id::Name(i) => {
            let own = u8::try_from(own.as_str().len() / 2 - 1).unwrap_or(0);
            Key::new(&NAMESPACES, [space((own + i) % 3)?.as_str()])
        }
    }
}

fn log(beta: bool) -> &'static Log {
    if beta { &BETA } else { &ALPHA }
}

fn stream(stream: u8) -> Result<Stream> {
    Stream::new(["s", "S", "s "][usize::from(stream) % 3])
}

fn entry_id(id: u8) -> Result<EntryId> {
    EntryId::new(&format!("e{id}"))
}

fn turn(turn: u8) -> Result<Turn> {
    Turn::new(&format!("turn{turn}"))
}

pub(crate) fn blob(blob: u8) -> Blob {
    Blob::new(vec![blob; usize::from(blob) * 1000])
}

pub(crate) fn hashes(blobs: &[u8]) -> Vec<Hash> {
    blobs.iter().map(|&i| blob(i).hash()).collect()
}

/// Few kinds and tags, so that records share them.
fn kind(i: usize) -> &'static str {
    VALUES[[0, 2, 7, 12][i % 4]]
}

fn tag(i: usize) -> &'static str {
    VALUES[[7, 12, 13][i % 3]]
}

fn value(i: usize) -> Value {
    Value::of_json(VALUES[i])
}

/// A store at the start of a step, for what is relative to it.
pub(crate) struct Resolver<'a> {
    pub(crate) store: &'a dyn Reader,
    pub(crate) space: Namespace,
}

impl Resolver<'_> {
    async fn last(&self, of: Of) -> Result<u64> {
        let stretch = Stretch { stream: stream(of.stream)?, from: 1, to: 1 };
        let which = Which::Stretches(vec![stretch]);
        let read = Read { log: log(of.log), which, reverse: false, limit: 1 };
        let found = self.store.read(&self.space, &read).await?;
        Ok(found.heads.into_iter().flatten().next().map_or(0, |head| head.last))
    }

    async fn number(&self, of: Of, count: Count) -> Result<u64> {
        match count {
            Count::Exactly(number) => Ok(number),
            Count::Back(back) => Ok(self.last(of).await?.saturating_sub(back)),
        }
    }

    async fn version(&self, id: &Id, back: u64) -> Result<u64> {
        let found = self.store.get(&self.space, &[key(id, &self.space)?]).await?;
        let version = found.into_iter().flatten().next().map_or(0, |record| record.version);
        Ok(version.saturating_sub(back))
    }

    pub(crate) async fn batch(&self, change: &Change) -> Result<Batch> {
        let mut batch = Batch::new(self.space.clone());
        batch.operation =
            change.operation.map(|i| OperationId::new(&format!("op{i}"))).transpose()?;
        batch.turn = change.turn.map(turn).transpose()?;
        for wish in &change.expect {
            batch.expect(self.expect(wish).await?);
        }
        for act in &change.acts {
            batch.push(self.operation(act).await?);
        }
        Ok(batch)
    }

    async fn expect(&self, wish: &Wish) -> Result<Expect> {
        Ok(match wish {
            Wish::Absent(id) => Expect::Absent(key(id, &self.space)?),
            Wish::Exists(id) => Expect::Exists(key(id, &self.space)?),
            Wish::Version(id, count) => {
                Expect::Version(key(id, &self.space)?, self.version(id, *count).await?)
            }
            Wish::Ends(of, count) => {
                let last = self.number(*of, *count).await?;
                Expect::LogEnds(log(of.log), stream(of.stream)?, last)
            }
            Wish::NoRecord(i, of) => {
                let index = &THINGS.indexes[usize::from(*i) % THINGS.indexes.len()];
                let value = match index.name {
                    "by_kind" => Value::of_json(kind(*of)),
                    "by_tag" => Value::of_json(tag(*of)),
                    _ => value(*of),
                };
                Expect::NoRecord(&THINGS, index, value)
            }
            Wish::Blob(i) => Expect::BlobPresent(blob(*i).hash()),
        })
    }

    async fn operation(&self, act: &Act) -> Result<Operation> {
        Ok(match act {
            Act::Put(id, body, over, refs) => {
                let save = match over {
                    Over::Any => Save::Any,
                    Over::Create => Save::Create,
                    Over::At(back) => Save::At(self.version(id, *back).await?),
                };
                let put = Put::new(key(id, &self.space)?, text(body)?, save)?;
                Operation::Put(Put { refs: hashes(refs), ..put })
            }
            Act::Delete(id) => Operation::Delete(key(id, &self.space)?),
            Act::Append(of, new, answer, start) => {
                let start = match start {
                    Some(above) => Some(self.last(*of).await? + above),
                    None => None,
                };
                let entries = new.iter().map(entry).collect::<Result<_>>()?;
                let known = if *answer { Known::Answer } else { Known::Refuse };
                let (log, stream) = (log(of.log), stream(of.stream)?);
                Operation::Append(Append { log, stream, entries, known, start })
            }
            Act::Trim(of, count) => {
                let before = self.number(*of, *count).await?;
                Operation::Trim { log: log(of.log), stream: stream(of.stream)?, before }
            }
            Act::Rewrite(of, count, body, refs) => Operation::Rewrite {
                log: log(of.log),
                stream: stream(of.stream)?,
                number: self.number(*of, *count).await?,
                body: Json::parse(VALUES[*body])?,
                refs: hashes(refs),
            },
            Act::Drop(of) => Operation::Drop { log: log(of.log), stream: stream(of.stream)? },
            Act::PutBlob(i) => Operation::PutBlob(blob(*i)),
            Act::DropBlob(i) => Operation::DropBlob(blob(*i).hash()),
        })
    }
}

fn text(body: &Body) -> Result<Json> {
    let tags: Vec<&str> = body.tags.iter().map(|i| tag(*i)).collect();
    let (kind, rank) = (kind(body.kind), VALUES[body.rank]);
    let tags = tags.join(",");
    let hidden = if body.hidden { "1" } else { "null" };
    Json::parse(&format!(
        r#"{{"tags":[{tags}],"kind":{kind},"deep":{{"rank":{rank}}},"hidden":{hidden}}}"#
    ))
}

fn entry(new: &New) -> Result<NewEntry> {
    let id = new.id.map(entry_id).transpose()?;
    Ok(NewEntry { id, body: Json::parse(VALUES[new.body])?, refs: hashes(&new.refs) })
}

/// Every index that a search may use. Not those over a time, which differs between stores.
fn index(i: usize) -> (&'static Table, &'static Index) {
    let by = |table: &'static Table, name: &str| (table, table.index(name).unwrap());
    match i {
        0 => by(&THINGS, "key"),
        1 => by(&THINGS, "turn"),
        2 => by(&THINGS, "by_rank"),
        3 => by(&THINGS, "by_rank_down"),
        4 | 5 => by(&THINGS, "by_kind"),
        6 | 7 => by(&THINGS, "by_tag"),
        8 | 9 => by(&THINGS, "by_shown"),
        10 => by(&PAIRS, "key"),
        11 => by(&STREAMS, "key"),
        12 => by(&BLOBS, "key"),
        _ => by(&NAMESPACES, "key"),
    }
}

pub(crate) fn find(search: &Search) -> Find {
    let (table, index) = index(search.index);
    let first = |i: usize| match index.name {
        "turn" => Value::text(&format!("turn{}", i % 3)),
        "by_kind" => Value::of_json(kind(i)),
        "by_tag" => Value::of_json(tag(i)),
        _ => value(i),
    };
    // The first field has values of its own, the second one those of ranks.
    let at = |place: usize, i: usize| if place == 0 { first(i) } else { value(i) };
    let edge = |place: usize, edge: Edge| match edge {
        Edge::Open => Bound::Unbounded,
        Edge::With(i) => Bound::Included(at(place, i)),
        Edge::Without(i) => Bound::Excluded(at(place, i)),
    };
    let fields = index.fields.len();
    let mut find = Find::new(table, index).limit(search.limit);
    find.reverse = search.reverse;
    find.equal = search.equal.iter().take(fields).map(|i| first(*i)).collect();
    if index.name == "by_tag" && find.equal.is_empty() {
        find.equal.push(first(0));
    }
    let place = find.equal.len();
    if place < fields {
        find.range = (edge(place, search.range.0), edge(place, search.range.1));
    }
    find
}

pub(crate) fn read(reading: &Reading) -> Result<Read> {
    let which = match &reading.which {
        step::Which::Stretches(stretches) => {
            let of = |&(name, from, to): &(u8, u64, Option<u64>)| {
                Ok(Stretch { stream: stream(name)?, from, to: to.unwrap_or(u64::MAX) })
            };
            Which::Stretches(stretches.iter().map(of).collect::<Result<_>>()?)
        }
        step::Which::Ids(ids) => {
            let of = |&(name, id): &(u8, u8)| Ok((stream(name)?, entry_id(id)?));
            Which::Ids(ids.iter().map(of).collect::<Result<_>>()?)
        }
        step::Which::Turn(i) => Which::Turn(turn(*i)?),
    };
    let (reverse, limit) = (reading.reverse, reading.limit);
    Ok(Read { log: log(reading.log), which, reverse, limit })
}
