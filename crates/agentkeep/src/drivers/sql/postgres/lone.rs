//! One entry for a stream that is there, as a plain statement: what is committed most of all.
//!
//! A statement sees what was there when it began, so it cannot take locks and then look. But its
//! parameters are read before it begins: those that are locks have a type whose check takes them.
//! So the server waits for the locks, and then begins. A function does the same and costs the server
//! twice as much.
//!
//! It answers no row, having changed nothing, when anything is out of the ordinary.

use std::collections::HashMap;
use std::error::Error as StdError;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::BytesMut;
use tokio_postgres::types::{IsNull, Kind, ToSql, Type, to_sql_checked};

use super::append_sql::{NEAR_THE_END, qualified, same_key};
use super::ddl::within;
use crate::schema::{Log, Schema};

/// What a lone entry may expect at most, so that there are not too many statements,
const MOST: usize = 3;
/// nor ever more than these.
const STATEMENTS: usize = 200;

/// The types whose values are locked as they are read: shared,
const SHARED: &str = "_lock_shared";
/// and exclusively.
const OWN: &str = "_lock_own";

/// The statements that make the types, where they are not there.
pub(super) fn create(place: &str) -> Vec<String> {
    let of = |(name, lock): (&str, &str)| {
        let name = within(place, name);
        format!(
            "DO $agentkeep$ BEGIN CREATE DOMAIN {name} AS bigint CHECK (pg_catalog.{lock}(VALUE) \
             IS NOT NULL); EXCEPTION WHEN duplicate_object THEN NULL; END $agentkeep$"
        )
    };
    [(SHARED, "pg_advisory_xact_lock_shared"), (OWN, "pg_advisory_xact_lock")].map(of).to_vec()
}

/// A name that is locked when it is read.
#[derive(Debug, Clone, Copy)]
struct Lock(i64);

impl ToSql for Lock {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn StdError + Sync + Send>> {
        self.0.to_sql(&Type::INT8, out)
    }

    fn accepts(kind: &Type) -> bool {
        matches!(kind.kind(), Kind::Domain(base) if *base == Type::INT8)
    }

    to_sql_checked!();
}

/// The locks of a lone append in their order: one of them exclusive.
#[derive(Debug)]
pub(super) struct Ordered {
    below: Vec<Lock>,
    own: Lock,
    above: Vec<Lock>,
}

impl Ordered {
    /// `None` unless exactly one is exclusive.
    pub(super) fn of(names: &[i64], exclusive: &[bool]) -> Option<Self> {
        let at = exclusive.iter().position(|exclusive| *exclusive)?;
        let rest = exclusive.get(at + 1..)?;
        if rest.contains(&true) {
            return None;
        }
        let locks = |names: &[i64]| names.iter().copied().map(Lock).collect();
        Some(Self {
            below: locks(names.get(..at)?),
            own: Lock(*names.get(at)?),
            above: locks(names.get(at + 1..)?),
        })
    }

    /// The first parameters; the server knows their types.
    pub(super) fn parameters(&self) -> [(&(dyn ToSql + Sync), Type); 3] {
        [(&self.below, Type::UNKNOWN), (&self.own, Type::UNKNOWN), (&self.above, Type::UNKNOWN)]
    }
}

/// A log, and the tables of which records are looked at: for their version, or only whether they are
/// there.
type Shape = (&'static str, Vec<(i32, bool)>);

/// The parameters before those of what is expected: the three of the locks, then token, time,
/// namespace, turn, stream, size, id, body.
const FIXED: usize = 11;

/// The statements of a store, each made when it is first needed.
#[derive(Debug)]
pub(super) struct Lone {
    place: String,
    /// The lock of who listens, and a literal of the channel where he does.
    listeners: i64,
    channel: String,
    /// A condition of each commit.
    synced: &'static str,
    statements: Mutex<HashMap<Shape, Arc<str>>>,
}

impl Lone {
    pub(super) fn new(place: &str, listeners: i64, channel: &str, synced: &'static str) -> Self {
        let (place, channel) = (place.to_owned(), literal(channel));
        Self { place, listeners, channel, synced, statements: Mutex::default() }
    }

    /// The statement for a log and the tables of what is expected, with true for a version; `None` for
    /// too many.
    pub(super) fn statement(
        &self,
        schema: &Schema,
        log: &'static Log,
        tables: Vec<(i32, bool)>,
    ) -> Option<Arc<str>> {
        if tables.len() > MOST {
            return None;
        }
        let mut statements = self.statements.lock().unwrap_or_else(PoisonError::into_inner);
        let shape = (log.name, tables);
        if let Some(statement) = statements.get(&shape) {
            return Some(Arc::clone(statement));
        }
        if statements.len() >= STATEMENTS {
            return None;
        }
        let statement: Arc<str> = self.text(schema, log, &shape.1)?.into();
        statements.insert(shape, Arc::clone(&statement));
        Some(statement)
    }

    fn text(&self, schema: &Schema, log: &Log, tables: &[(i32, bool)]) -> Option<String> {
        let Self { place, listeners, channel, synced, .. } = self;
        let (mut expected, mut at) = (String::new(), FIXED);
        for (table, versioned) in tables {
            let table = schema.tables.get(usize::try_from(*table).ok()?)?;
            at += 1;
            let same_key = same_key(table, "$6", &format!("${at}"));
            let look =
                format!("(SELECT t.version FROM {} t WHERE {same_key})", within(place, table.name));
            if *versioned {
                at += 1;
                write!(expected, " AND coalesce({look}, 0) @=@ ${at}").ok()?;
            } else {
                write!(expected, " AND {look} IS NOT NULL").ok()?;
            }
        }
        let (shared, own) = (within(place, SHARED), within(place, OWN));
        let (streams, commits) = (within(place, "_streams"), within(place, "_commits"));
        let (name, entries) = (log.name, within(place, log.name));
        Some(qualified(&format!(
            "WITH h AS (UPDATE {streams} h SET first = CASE WHEN h.count @=@ 0 THEN h.last @+@ 1 ELSE h.first END, \
             last = h.last @+@ 1, count = h.count @+@ 1, bytes = h.bytes @+@ $9, version = h.version @+@ 1, \
             updated = greatest($5, pg_catalog.floor(pg_catalog.date_part('epoch', \
             pg_catalog.clock_timestamp()) @*@ 1000)::pg_catalog.int8) \
             WHERE h.namespace @=@ $6 AND h.log @=@ '{name}' AND h.stream @=@ $8 \
             AND h.last @<@ {NEAR_THE_END} \
             AND $1::{shared}[] IS NOT NULL AND $2::{own} IS NOT NULL AND $3::{shared}[] IS NOT NULL \
             AND pg_catalog.current_setting('transaction_isolation') @=@ 'read committed' \
             AND {synced}{expected} \
             RETURNING h.no, h.last, h.updated), \
             e AS (INSERT INTO {entries}(stream_no, seq, id, body, time, turn, rewritten, refs) \
             SELECT h.no, h.last, $10, $11::pg_catalog.json, h.updated, $7, NULL, NULL FROM h) \
             INSERT INTO {commits}(token, time, result) \
             SELECT $4, h.updated, pg_catalog.concat('ok 0 ', h.updated, ' A', h.last, '-1') FROM h \
             RETURNING result, CASE WHEN pg_catalog.pg_try_advisory_lock({listeners}) \
             THEN pg_catalog.pg_advisory_unlock({listeners})::pg_catalog.text \
             ELSE pg_catalog.pg_notify({channel}, pg_catalog.concat_ws(pg_catalog.chr(31), $6, '{name}', $8))::pg_catalog.text END"
        )))
    }
}

/// A text as it stands in a statement.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
