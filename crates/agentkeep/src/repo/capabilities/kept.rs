//! Rows as they are kept: with who wrote them, and in which turn.

use serde::Serialize;

use crate::driver::{Expect, Record, Save};
use crate::error::{Error, Kind, Result};
use crate::json::{Json, ObjectWriter};
use crate::model::{Long, OpContext};
use crate::repo::plan::{Guard, Plan};
use crate::repo::space::Space;
use crate::schema::Key;

/// A row with what the store knows of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Kept<T> {
    /// The row as it was given.
    pub row: T,
    /// Who wrote it, for whom, and when.
    #[serde(serialize_with = "as_json")]
    pub op: OpContext,
    /// The turn in which it was written.
    pub turn: Option<String>,
    /// Of a link the envelope that was written with it, of an envelope the link.
    pub with: Option<String>,
}

fn as_json<S: serde::Serializer>(op: &OpContext, serializer: S) -> Result<S::Ok, S::Error> {
    op.to_json().serialize(serializer)
}

/// A row as it is kept.
pub(super) trait Row: Sized {
    /// The name of the member that has the id.
    const ID: &'static str;
    /// Ids that the store gives begin so.
    const PREFIX: &'static str;

    fn json(&self) -> &Json;
    fn long(&self) -> &Long;
    fn stored(json: Json) -> Self;
    fn named(&self, id: &str) -> Result<Self>;
    fn id(&self) -> Option<String>;
}

macro_rules! rows {
    ($($type:ident),*) => {
        $(impl Row for crate::model::$type {
            const ID: &'static str = Self::ID;
            const PREFIX: &'static str = Self::PREFIX;

            fn json(&self) -> &Json {
                Self::json(self)
            }

            fn long(&self) -> &Long {
                Self::long(self)
            }

            fn stored(json: Json) -> Self {
                Self::stored(json)
            }

            fn named(&self, id: &str) -> Result<Self> {
                self.with_id(id)
            }

            fn id(&self) -> Option<String> {
                Self::id(self)
            }
        })*
    };
}

rows!(RegistrationRow, LinkRow, RuntimeSnapshotRow, EnvelopeRow, TransitionRow);

/// The row with its id, one of the store's if it has none; true when the id is new.
pub(super) fn identified<T: Row + Clone>(row: &T) -> Result<(T, bool)> {
    match row.id() {
        Some(_) => Ok((row.clone(), false)),
        None => Ok((row.named(&crate::model::new_id(T::PREFIX))?, true)),
    }
}

/// How a row is saved: under an id of the caller's it may be there, which the commit finds out; an id
/// that the store gave is nobody else's.
pub(super) fn save(plan: &mut Plan<'_>, key: &Key, new: bool) -> Save {
    if new {
        return Save::Create;
    }
    plan.expect(Expect::Version(key.clone(), 0), Guard::Retry);
    Save::Any
}

pub(super) fn damaged(key: &Key) -> Error {
    Error::new(Kind::Corrupt, "the record is damaged").at(key.to_string()).advice("run check")
}

/// The body of a record.
pub(super) fn body(row: &Json, op: &OpContext, more: &[(&str, Option<Json>)]) -> Json {
    let values = more.iter().filter_map(|(_, value)| value.as_ref());
    let room = values.fold(row.len() + 128, |room, value| room + value.len() + 16);
    let mut body = ObjectWriter::with_room(room);
    body.name("row").value(row);
    for (name, value) in more {
        if let Some(value) = value {
            body.name(name).value(value);
        }
    }
    body.name("op").value(&op.to_json());
    body.finish()
}

/// What a record keeps of a row, `row` being whole.
pub(super) fn kept<T: Row>(record: &Record, row: Json, with: &str) -> Result<Kept<T>> {
    let op = record.body.member("op").and_then(|op| OpContext::stored(&op));
    let op = op.ok_or_else(|| damaged(&record.key))?;
    let turn = record.turn.as_ref().map(|turn| turn.as_str().to_owned());
    let with = record.body.member(with).and_then(|with| with.to_text());
    Ok(Kept { row: T::stored(row), op, turn, with })
}

/// The row in a record that has it whole.
pub(super) fn plain<T: Row>(record: &Record) -> Result<Kept<T>> {
    let row = record.body.member("row").ok_or_else(|| damaged(&record.key))?;
    kept(record, row, "")
}

/// What is told when an id is known and its row is another one.
pub(super) fn other_row(what: &str, id: &str) -> Error {
    let message = format!("there is another {what} under the id {id:?}");
    Error::new(Kind::IdempotencyConflict, message)
        .advice("a row that was recorded is never changed: give the new one an id of its own")
}

/// Refuses what is written for another tenant than the one whose rows are here.
pub(super) fn check_tenant(space: &Space, op: &OpContext) -> Result<()> {
    op.check()?;
    match &op.tenant_id {
        Some(tenant) if tenant != space.namespace().as_str() => {
            let message = format!("the operation is of the tenant {tenant:?}");
            Err(Error::new(Kind::InvalidInput, message)
                .at(format!("namespace {:?}", space.namespace()))
                .advice("a tenant is a namespace: take the handle that Store::tenant gives"))
        }
        _ => Ok(()),
    }
}
