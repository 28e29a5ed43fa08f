//! A group of batches as the arrays that the commit function takes.

use std::borrow::Cow;

use tokio_postgres::types::{ToSql, Type};

use super::columns::Cell;
use super::join;
use super::locks::{Locks, Names};
use crate::driver::{Append, Batch, Expect, Hash, Known, Operation, Put, Save};
use crate::drivers::sql::shape::is_list_index;
use crate::schema::{
    BLOBS, BY_TURN, EntryId, FieldValue, Index, Key, Log, NAMESPACES, OperationId, STREAMS, Table,
    Turn, Value,
};

type Texts<'a> = Vec<Option<Cow<'a, str>>>;

/// The batches of one call. Fields are named as the parameters of the function.
#[derive(Debug, Default)]
pub(super) struct Call<'a> {
    token: uuid::Uuid,
    time: i64,
    listeners: i64,
    channel: &'a str,
    locks: Vec<i64>,
    exclusive: Vec<bool>,
    b_namespace: Vec<&'a str>,
    b_turn: Vec<Option<&'a str>>,
    b_operation: Vec<Option<&'a str>>,
    b_digest: Vec<Option<Vec<u8>>>,
    b_eager: Vec<bool>,
    b_answers: Vec<bool>,
    b_name_lock: Vec<i64>,
    b_from: Vec<i32>,
    b_to: Vec<i32>,
    s_kind: Vec<&'static str>,
    s_what: Texts<'a>,
    s_key: Texts<'a>,
    s_number: Vec<Option<i64>>,
    s_text: Texts<'a>,
    s_refs: Vec<Option<String>>,
    s_size: Vec<i64>,
    s_from: Vec<i32>,
    s_to: Vec<i32>,
    s_list_from: Vec<i32>,
    s_list_to: Vec<i32>,
    e_id: Vec<Option<&'a str>>,
    e_body: Vec<&'a str>,
    e_refs: Vec<Option<String>>,
    f_text: Texts<'a>,
    f_number: Texts<'a>,
    l_field: Vec<i32>,
    l_text: Texts<'a>,
    l_number: Texts<'a>,
    x_bytes: Vec<&'a [u8]>,
}

/// One step of a batch; what does not concern it stays empty.
#[derive(Default)]
struct Step<'a> {
    kind: &'static str,
    what: Option<Cow<'a, str>>,
    key: Option<Cow<'a, str>>,
    number: Option<i64>,
    text: Option<Cow<'a, str>>,
    refs: Option<String>,
    size: i64,
    range: (i32, i32),
    lists: (i32, i32),
}

/// No number of PostgreSQL's: one that never equals what is there.
const NEVER: i64 = -1;
/// Stands for [`Save::Create`].
const CREATE: i64 = -2;

pub(super) fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(NEVER)
}

pub(super) fn place(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

/// The list of blobs that a row refers to, as text.
pub(super) fn refs_text(refs: &[Hash]) -> Option<String> {
    let distinct: std::collections::BTreeSet<Hash> = refs.iter().copied().collect();
    let names: Vec<String> = distinct.iter().map(|hash| format!("\"{hash}\"")).collect();
    (!names.is_empty()).then(|| format!("[{}]", names.join(",")))
}

impl<'a> Call<'a> {
    pub(super) fn new(names: &Names, channel: &'a str, token: uuid::Uuid, time: i64) -> Self {
        Self { token, time, channel, listeners: names.listeners(), ..Self::default() }
    }

    /// Adds the locks of all its batches.
    pub(super) fn lock(&mut self, locks: &Locks) {
        (self.locks, self.exclusive) = locks.iter().map(|(name, ex)| (*name, *ex)).unzip();
    }

    pub(super) fn add(&mut self, batch: &'a Batch, digest: Option<[u8; 32]>, names: &Names) {
        let removes = |operation: &Operation| {
            matches!(operation, Operation::Trim { .. } | Operation::Drop { .. })
        };
        let answers = |operation: &Operation| matches!(operation, Operation::Append(append) if append.known == Known::Answer);
        let answers = batch.operations.iter().any(answers);
        // What the batch itself removes is known all the same.
        let eager = answers && batch.operations.iter().any(removes);
        self.begin(batch, digest, names, (answers, eager));
        for expect in &batch.expect {
            self.expect(expect);
        }
        self.push(Step { kind: "go", ..Step::default() });
        for operation in &batch.operations {
            self.operation(batch, operation);
        }
        self.b_to.push(place(self.s_kind.len()));
    }

    /// Adds batches as one; an entry that is known refuses all of them.
    pub(super) fn add_joined(
        &mut self,
        group: &[&'a Batch],
        streams: &[Vec<usize>],
        names: &Names,
    ) {
        let Some(first) = streams.first().and_then(|callers| callers.first()) else { return };
        self.begin(group[*first], None, names, (false, false));
        for expect in join::expected(group, streams) {
            self.expect(expect);
        }
        self.push(Step { kind: "go", ..Step::default() });
        for callers in streams {
            let step = self.append(&join::appends(group, callers));
            self.push(step);
        }
        self.b_to.push(place(self.s_kind.len()));
    }

    fn begin(
        &mut self,
        batch: &'a Batch,
        digest: Option<[u8; 32]>,
        names: &Names,
        (answers, eager): (bool, bool),
    ) {
        self.b_namespace.push(batch.namespace.as_str());
        self.b_turn.push(batch.turn.as_ref().map(Turn::as_str));
        self.b_operation.push(batch.operation.as_ref().map(OperationId::as_str));
        self.b_digest.push(digest.map(|digest| digest.to_vec()));
        self.b_answers.push(answers);
        self.b_eager.push(eager);
        self.b_name_lock.push(names.name(&batch.namespace));
        self.b_from.push(place(self.s_kind.len() + 1));
    }

    fn push(&mut self, step: Step<'a>) {
        self.s_kind.push(step.kind);
        self.s_what.push(step.what);
        self.s_key.push(step.key);
        self.s_number.push(step.number);
        self.s_text.push(step.text);
        self.s_refs.push(step.refs);
        self.s_size.push(step.size);
        self.s_from.push(step.range.0);
        self.s_to.push(step.range.1);
        self.s_list_from.push(step.lists.0);
        self.s_list_to.push(step.lists.1);
    }

    fn expect(&mut self, expect: &'a Expect) {
        let of_key = |kind, key: &'a Key, number| Step {
            kind,
            what: Some(key.table().name.into()),
            key: Some(key.encoded().into()),
            number,
            ..Step::default()
        };
        self.push(match expect {
            Expect::Absent(key) => of_key("absent", key, None),
            Expect::Exists(key) => of_key("exists", key, None),
            Expect::Version(key, version) => of_key("version", key, Some(number(*version))),
            Expect::LogEnds(log, stream, last) => Step {
                kind: "ends",
                what: Some(log.name.into()),
                key: Some(stream.as_str().into()),
                number: Some(number(*last)),
                ..Step::default()
            },
            Expect::NoRecord(table, index, value) => no_record(table, index, value),
            Expect::BlobPresent(hash) => {
                Step { kind: "blob", key: Some(hash.to_hex().into()), ..Step::default() }
            }
        });
    }

    fn operation(&mut self, batch: &Batch, operation: &'a Operation) {
        let of_stream = |kind, log: &Log, stream: &'a crate::schema::Stream| Step {
            kind,
            what: Some(log.name.into()),
            key: Some(stream.as_str().into()),
            ..Step::default()
        };
        let step = match operation {
            Operation::Put(Put { key, .. }) | Operation::Delete(key)
                if key.table().name == NAMESPACES.name
                    && key.first() != batch.namespace.as_str() =>
            {
                Step { kind: "foreign", ..Step::default() }
            }
            Operation::Put(put) => self.put(put),
            Operation::Delete(key) => Step {
                kind: "delete",
                what: Some(key.table().name.into()),
                key: Some(key.encoded().into()),
                ..Step::default()
            },
            Operation::Append(append) => self.append(&[append]),
            Operation::Trim { log, stream, before } => Step {
                number: Some(i64::try_from(*before).unwrap_or(i64::MAX)),
                ..of_stream("trim", log, stream)
            },
            Operation::Rewrite { log, stream, number: n, body, refs } => Step {
                number: Some(number(*n)),
                text: Some(body.as_str().into()),
                refs: refs_text(refs),
                size: number(body.len() as u64),
                ..of_stream("rewrite", log, stream)
            },
            Operation::Drop { log, stream } => of_stream("drop", log, stream),
            Operation::PutBlob(blob) => {
                self.x_bytes.push(blob.bytes());
                Step {
                    kind: "putblob",
                    key: Some(blob.hash().to_hex().into()),
                    range: (place(self.x_bytes.len()), 0),
                    ..Step::default()
                }
            }
            Operation::DropBlob(hash) => {
                Step { kind: "dropblob", key: Some(hash.to_hex().into()), ..Step::default() }
            }
        };
        self.push(step);
    }

    fn put(&mut self, put: &'a Put) -> Step<'a> {
        let table = put.key.table();
        let from = place(self.f_text.len() + 1);
        let list_from = place(self.l_field.len() + 1);
        let listed = |place: usize| {
            let first =
                |index: &&Index| index.fields.first().and_then(|(name, _)| table.field(name));
            table.indexes.iter().any(|i| is_list_index(table, i) && first(&i) == Some(place))
        };
        for (i, field) in put.fields.iter().enumerate() {
            let cell = match field {
                FieldValue::One(value) => Cell::of(value),
                FieldValue::Many(values) => {
                    for cell in values.iter().filter(|_| listed(i)).map(Cell::of) {
                        self.l_field.push(place(i));
                        self.l_text.push(cell.text);
                        self.l_number.push(cell.number);
                    }
                    Cell::default()
                }
            };
            self.f_text.push(cell.text);
            self.f_number.push(cell.number);
        }
        Step {
            kind: "put",
            what: Some(table.name.into()),
            key: Some(put.key.encoded().into()),
            number: match put.save {
                Save::Any => None,
                Save::Create => Some(CREATE),
                Save::At(version) => Some(number(version)),
            },
            text: Some(put.body.as_str().into()),
            refs: refs_text(&put.refs),
            range: (from, place(self.f_text.len())),
            lists: (list_from, place(self.l_field.len())),
            ..Step::default()
        }
    }

    /// All to one stream.
    fn append(&mut self, appends: &[&'a Append]) -> Step<'a> {
        let Some(first) = appends.first() else { return Step::default() };
        let from = place(self.e_body.len() + 1);
        let (mut size, mut any_refs) = (0, false);
        for entry in appends.iter().flat_map(|append| &append.entries) {
            self.e_id.push(entry.id.as_ref().map(EntryId::as_str));
            self.e_body.push(entry.body.as_str());
            self.e_refs.push(refs_text(&entry.refs));
            size += entry.body.len() as u64;
            any_refs |= !entry.refs.is_empty();
        }
        Step {
            kind: "append",
            what: Some(first.log.name.into()),
            key: Some(first.stream.as_str().into()),
            number: first.start.map(number),
            text: (first.known == Known::Answer).then_some("answer".into()),
            refs: any_refs.then(|| "some".to_owned()),
            size: number(size),
            range: (from, place(self.e_body.len())),
            ..Step::default()
        }
    }

    /// The parameters in the order of the function's declaration.
    pub(super) fn parameters(&self) -> Vec<(&(dyn ToSql + Sync), Type)> {
        vec![
            (&self.token, Type::UUID),
            (&self.time, Type::INT8),
            (&self.locks, Type::INT8_ARRAY),
            (&self.exclusive, Type::BOOL_ARRAY),
            (&self.listeners, Type::INT8),
            (&self.channel, Type::TEXT),
            (&self.b_namespace, Type::TEXT_ARRAY),
            (&self.b_turn, Type::TEXT_ARRAY),
            (&self.b_operation, Type::TEXT_ARRAY),
            (&self.b_digest, Type::BYTEA_ARRAY),
            (&self.b_eager, Type::BOOL_ARRAY),
            (&self.b_answers, Type::BOOL_ARRAY),
            (&self.b_name_lock, Type::INT8_ARRAY),
            (&self.b_from, Type::INT4_ARRAY),
            (&self.b_to, Type::INT4_ARRAY),
            (&self.s_kind, Type::TEXT_ARRAY),
            (&self.s_what, Type::TEXT_ARRAY),
            (&self.s_key, Type::TEXT_ARRAY),
            (&self.s_number, Type::INT8_ARRAY),
            (&self.s_text, Type::TEXT_ARRAY),
            (&self.s_refs, Type::TEXT_ARRAY),
            (&self.s_size, Type::INT8_ARRAY),
            (&self.s_from, Type::INT4_ARRAY),
            (&self.s_to, Type::INT4_ARRAY),
            (&self.s_list_from, Type::INT4_ARRAY),
            (&self.s_list_to, Type::INT4_ARRAY),
            (&self.e_id, Type::TEXT_ARRAY),
            (&self.e_body, Type::TEXT_ARRAY),
            (&self.e_refs, Type::TEXT_ARRAY),
            (&self.f_text, Type::TEXT_ARRAY),
            (&self.f_number, Type::TEXT_ARRAY),
            (&self.l_field, Type::INT4_ARRAY),
            (&self.l_text, Type::TEXT_ARRAY),
            (&self.l_number, Type::TEXT_ARRAY),
            (&self.x_bytes, Type::BYTEA_ARRAY),
        ]
    }
}

fn no_record<'a>(table: &Table, index: &Index, value: &'a Value) -> Step<'a> {
    let cell = Cell::of(value);
    if index.name == BY_TURN.name {
        // Only a turn can be one, and the records of streams and blobs have none.
        let none = [STREAMS.name, BLOBS.name].contains(&table.name) || cell.text.is_none();
        if none {
            return Step { kind: "nothing", ..Step::default() };
        }
    }
    Step {
        kind: "norecord",
        what: Some(format!("{}.{}", table.name, index.name).into()),
        key: cell.number,
        text: cell.text,
        ..Step::default()
    }
}
