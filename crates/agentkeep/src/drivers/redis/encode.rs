//! A batch as the keys and arguments that the commit script takes: one flat list, each step its
//! kind and then what it needs. Keys are named by their places.

use std::borrow::Cow;
use std::collections::HashMap;

use super::calling::Call;
use super::keys::{Space, of_all, of_table};
use super::rows::{digits, entry_tail, place, places, record_tail, refs_text, rewritten_tail};
use crate::driver::{Append, Batch, Expect, Known, MAX_NUMBER, Operation, Put, Save};
use crate::drivers::kernel::Stretch;
use crate::error::{Error, Kind, Result};
use crate::json::ObjectEditor;
use crate::schema::{
    BLOBS, BY_TURN, EntryId, Index, Key, Log, NAMESPACES, Order, STREAMS, Schema, Stream, Table,
    Turn, Value,
};

/// What is sent with every commit beside its batch.
pub(super) struct Sending<'a> {
    pub(super) client: &'a str,
    pub(super) slot: usize,
    /// Counts what was sent in the slot.
    pub(super) number: u64,
    /// For how many milliseconds the client's slots are kept; `None` leaves it as it is.
    pub(super) keep: Option<u64>,
    /// The time of the last commit.
    pub(super) time: i64,
    pub(super) channel: &'a str,
    pub(super) digest: Option<[u8; 32]>,
}

/// One call of the commit script, as it is put together.
struct Encoding<'a> {
    space: &'a Space,
    base: &'a str,
    clustered: bool,
    keys: Vec<String>,
    named: HashMap<String, usize>,
    arguments: Vec<Cow<'a, [u8]>>,
}

fn decimal(number: u64) -> Cow<'static, [u8]> {
    Cow::Owned(number.to_string().into_bytes())
}

/// A batch as one call of the commit script.
pub(super) fn commit<'a>(
    schema: &'static Schema,
    (base, space): (&'a str, &'a Space),
    clustered: bool,
    sending: &Sending<'a>,
    batch: &'a Batch,
) -> Result<Call<'a>> {
    let mut call = Encoding {
        space,
        base,
        clustered,
        keys: of_all(sending.client).iter().map(|suffix| space.of(suffix)).collect(),
        named: HashMap::new(),
        arguments: Vec::new(),
    };
    call.number(sending.slot as u64);
    call.number(sending.number);
    call.owned(sending.keep.map_or(String::new(), |keep| keep.to_string()));
    call.owned(sending.time.to_string());
    call.text(batch.operation.as_ref().map_or("", |operation| operation.as_str()));
    let digest = sending.digest.map(|digest| data_encoding::HEXLOWER.encode(&digest));
    call.owned(digest.unwrap_or_default());
    let turn = batch.turn.as_ref().map_or("", Turn::as_str);
    call.text(turn);
    let namespace = batch.namespace.as_str();
    let name = Key::new(&NAMESPACES, [namespace])?;
    call.owned(record_tail(namespace, &name, turn, "", &ObjectEditor::default().finish()));
    call.text(sending.channel);
    call.text(namespace);
    call.number(batch.expect.len() as u64);
    call.number(batch.operations.len() as u64);
    for (i, expect) in batch.expect.iter().enumerate() {
        call.expect(batch, expect).map_err(|error| error.of_expectation(i))?;
    }
    for operation in &batch.operations {
        call.operation(schema, batch, operation);
    }
    let Encoding { mut keys, arguments, .. } = call;
    if clustered {
        keys.push(space.never());
    }
    Ok(Call { keys, arguments })
}

impl<'a> Encoding<'a> {
    fn text(&mut self, text: &'a str) {
        self.arguments.push(Cow::Borrowed(text.as_bytes()));
    }

    fn owned(&mut self, text: impl Into<Vec<u8>>) {
        self.arguments.push(Cow::Owned(text.into()));
    }

    fn number(&mut self, number: u64) {
        self.arguments.push(decimal(number));
    }

    /// The place of a key, which is taken along.
    fn key(&mut self, key: String) {
        let place = self.place(key);
        self.number(place as u64);
    }

    fn place(&mut self, key: String) -> usize {
        if let Some(place) = self.named.get(&key) {
            return *place;
        }
        self.keys.push(key.clone());
        self.named.insert(key, self.keys.len());
        self.keys.len()
    }

    /// The place of the first key of a table; the others follow it.
    fn table(&mut self, table: &Table) {
        let names = of_table(table);
        let first = self.space.of(&format!("table:{}", table.name));
        let place = if let Some(place) = self.named.get(&first) {
            *place
        } else {
            let place = self.keys.len() + 1;
            self.keys.extend(names.iter().map(|name| self.space.of(name)));
            self.named.insert(first, place);
            place
        };
        self.number(place as u64);
    }

    /// The hash that has a record, and its field there.
    fn record(&mut self, batch: &Batch, key: &'a Key) -> Result<()> {
        if key.table().name != NAMESPACES.name {
            self.key(self.space.records(key.table()));
            self.text(key.encoded());
            return Ok(());
        }
        if key.first() == batch.namespace.as_str() {
            self.number(1);
        } else if self.clustered {
            // It is on another server, perhaps, and so it could change in the middle of the commit.
            return Err(Error::new(
                Kind::Unsupported,
                "in a cluster a commit cannot depend on another namespace",
            )
            .at(key.to_string())
            .advice("read the record of that namespace before"));
        } else {
            let other = crate::schema::Namespace::new(key.first())?;
            self.key(Space::new(self.base, &other).meta());
        }
        self.text("record");
        Ok(())
    }

    fn expect(&mut self, batch: &Batch, expect: &'a Expect) -> Result<()> {
        match expect {
            Expect::Absent(key) => {
                self.text("absent");
                self.record(batch, key)?;
            }
            Expect::Exists(key) => {
                self.text("exists");
                self.record(batch, key)?;
            }
            Expect::Version(key, version) => {
                self.text("version");
                self.text(match key.table().name {
                    name if name == STREAMS.name => "s",
                    name if name == BLOBS.name => "b",
                    _ => "r",
                });
                self.record(batch, key)?;
                self.number(*version);
            }
            Expect::LogEnds(log, stream, last) => {
                self.text("ends");
                self.owned(field(log, stream));
                self.number(*last);
            }
            Expect::NoRecord(table, index, value) => self.no_record(table, index, value),
            Expect::BlobPresent(hash) => {
                self.text("blob");
                self.owned(hash.to_hex());
            }
        }
        Ok(())
    }

    fn no_record(&mut self, table: &Table, index: &Index, value: &'a Value) {
        if table.name == NAMESPACES.name {
            match value {
                Value::Text(turn) if index.name == BY_TURN.name && !turn.is_empty() => {
                    self.text("noname");
                    self.text(turn);
                }
                _ => self.text("nothing"),
            }
            return;
        }
        let mut low = Vec::new();
        let descending = index.fields.first().is_some_and(|(_, o)| *o == Order::Descending);
        value.encode(descending, &mut low);
        self.text("norecord");
        self.key(self.space.index(table, index));
        let high = Stretch::behind(low.clone());
        self.owned([b"[", low.as_slice()].concat());
        self.owned(high.map_or(b"+".to_vec(), |high| [b"(", high.as_slice()].concat()));
    }

    fn stream(&mut self, log: &Log, stream: &Stream) {
        self.owned(field(log, stream));
        self.key(self.space.entries(log, stream));
        self.key(self.space.ids(log, stream));
        self.key(self.space.turns(log));
    }

    fn operation(&mut self, schema: &'static Schema, batch: &'a Batch, operation: &'a Operation) {
        let namespace = batch.namespace.as_str();
        let names = |log: &Log, stream: &'a Stream| (namespace, log.name, stream.as_str());
        match operation {
            Operation::Put(Put { key, .. }) | Operation::Delete(key)
                if key.table().name == NAMESPACES.name && key.first() != namespace =>
            {
                self.text("foreign");
            }
            Operation::Put(put) => self.put(batch, put),
            Operation::Delete(key) if key.table().name == NAMESPACES.name => {
                self.text("unname");
                let tables = [&STREAMS, &BLOBS].into_iter().chain(schema.tables.iter().copied());
                let hashes: Vec<String> = tables.map(|table| self.space.records(table)).collect();
                self.number(hashes.len() as u64);
                for hash in hashes {
                    self.key(hash);
                }
            }
            Operation::Delete(key) => {
                self.text("delete");
                self.table(key.table());
                self.text(key.encoded());
                self.owned(place(Vec::new(), key.encoded()));
            }
            Operation::Append(append) => self.append(batch, append),
            Operation::Trim { log, stream, before } => {
                self.text("trim");
                self.stream(log, stream);
                self.owned(digits(*before));
            }
            Operation::Rewrite { log, stream, number, body, refs } => {
                self.text("rewrite");
                self.stream(log, stream);
                self.owned(digits(*number));
                let refs = refs_text(refs);
                let tail = rewritten_tail(names(log, stream), &refs, body);
                self.owned(refs);
                self.owned(tail);
            }
            Operation::Drop { log, stream } => {
                self.text("drop");
                self.stream(log, stream);
            }
            Operation::PutBlob(blob) => {
                self.text("putblob");
                self.owned(blob.hash().to_hex());
                self.key(self.space.blob(blob.hash()));
                self.arguments.push(Cow::Borrowed(blob.bytes()));
            }
            Operation::DropBlob(hash) => {
                self.text("dropblob");
                self.owned(hash.to_hex());
                self.key(self.space.blob(*hash));
            }
        }
    }

    fn put(&mut self, batch: &'a Batch, put: &'a Put) {
        let named = put.key.table().name == NAMESPACES.name;
        if named {
            self.text("name");
        } else {
            self.text("put");
            self.table(put.key.table());
            self.text(put.key.encoded());
        }
        match put.save {
            Save::Any => self.text(""),
            Save::Create => self.text("new"),
            Save::At(version) => self.number(version),
        }
        let refs = refs_text(&put.refs);
        let turn = batch.turn.as_ref().map_or("", Turn::as_str);
        let tail = record_tail(batch.namespace.as_str(), &put.key, turn, &refs, &put.body);
        self.owned(refs);
        self.owned(tail);
        if !named {
            self.owned(places(&put.key, &put.fields, batch.turn.as_ref()));
            self.owned(place(Vec::new(), put.key.encoded()));
        }
    }

    fn append(&mut self, batch: &'a Batch, append: &'a Append) {
        let Append { log, stream, entries, known, start } = append;
        self.text("append");
        self.stream(log, stream);
        self.owned(format!("{}\u{1f}{stream}", log.name));
        self.owned(format!("{:016x}", uuid::Uuid::new_v4().as_u64_pair().0));
        self.text(if *known == Known::Answer { "1" } else { "" });
        match start {
            None => self.text(""),
            Some(start) if *start > MAX_NUMBER + 1 => self.text("far"),
            Some(start) => self.owned(digits(*start)),
        }
        self.number(entries.len() as u64);
        let turn = batch.turn.as_ref().map_or("", Turn::as_str);
        let names = (batch.namespace.as_str(), log.name, stream.as_str());
        for entry in entries {
            let id = entry.id.as_ref().map_or("", EntryId::as_str);
            let refs = refs_text(&entry.refs);
            let tail = entry_tail(names, (id, turn), &refs, &entry.body);
            self.text(id);
            self.owned(refs);
            self.owned(tail);
        }
    }
}

/// The field of a stream among all streams: the key of its record.
pub(super) fn field(log: &Log, stream: &Stream) -> String {
    format!("{}\u{1f}{stream}", log.name)
}
