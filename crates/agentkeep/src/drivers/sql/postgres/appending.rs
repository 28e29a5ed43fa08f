//! A group that only appends to streams of one log, as the parameters of the log's append function.

use std::sync::Arc;

use tokio_postgres::types::{ToSql, Type};

use super::encode::{number, place};
use super::join::{self, Unit};
use super::locks::{Locks, Names};
use super::lone::{Lone, Ordered};
use crate::driver::{Batch, Expect};
use crate::schema::{EntryId, Key, Log, Schema, Turn};

/// One call. Fields are named as the parameters of the function.
#[derive(Debug)]
pub(super) struct Appending<'a> {
    pub(super) log: &'static Log,
    token: uuid::Uuid,
    time: i64,
    locks: Vec<i64>,
    exclusive: Vec<bool>,
    listeners: i64,
    channel: &'a str,
    namespace: &'a str,
    turn: Option<&'a str>,
    x_table: Vec<i32>,
    x_key: Vec<&'a str>,
    x_version: Vec<Option<i64>>,
    p_streams: i32,
    s_key: Vec<&'a str>,
    s_from: Vec<i32>,
    s_count: Vec<i32>,
    s_size: Vec<i64>,
    e_id: Vec<Option<&'a str>>,
    e_body: Vec<&'a str>,
}

impl<'a> Appending<'a> {
    /// `None` for a group that is anything else.
    pub(super) fn of(
        schema: &Schema,
        group: &[&'a Batch],
        units: &[Unit],
        locks: &Locks,
    ) -> Option<Self> {
        let own;
        let streams: &[Vec<usize>] = match units {
            [Unit::Own(place)] => {
                own = [vec![*place]];
                &own
            }
            [Unit::Joined(streams)] => streams,
            _ => return None,
        };
        let batch = group.get(*streams.first()?.first()?)?;
        let mut appending = Self {
            log: join::plain(batch)?.log,
            token: uuid::Uuid::nil(),
            time: 0,
            locks: Vec::with_capacity(locks.len()),
            exclusive: Vec::with_capacity(locks.len()),
            listeners: 0,
            channel: "",
            namespace: batch.namespace.as_str(),
            turn: batch.turn.as_ref().map(Turn::as_str),
            x_table: Vec::new(),
            x_key: Vec::new(),
            x_version: Vec::new(),
            p_streams: place(streams.len()),
            s_key: Vec::with_capacity(streams.len()),
            s_from: Vec::with_capacity(streams.len()),
            s_count: Vec::with_capacity(streams.len()),
            s_size: Vec::with_capacity(streams.len()),
            e_id: Vec::with_capacity(group.len()),
            e_body: Vec::with_capacity(group.len()),
        };
        for (name, exclusive) in locks {
            appending.locks.push(*name);
            appending.exclusive.push(*exclusive);
        }
        for expect in join::expected(group, streams) {
            appending.expect(schema, expect)?;
        }
        for callers in streams {
            appending.append(group, callers)?;
        }
        Some(appending)
    }

    fn expect(&mut self, schema: &Schema, expect: &'a Expect) -> Option<()> {
        let (key, version): (&Key, Option<i64>) = match expect {
            Expect::Version(key, version) => (key, Some(number(*version))),
            Expect::Absent(key) => (key, Some(0)),
            Expect::Exists(key) => (key, None),
            _ => return None,
        };
        let table = schema.tables.iter().position(|table| table.name == key.table().name)?;
        self.x_table.push(i32::try_from(table).ok()?);
        self.x_key.push(key.encoded());
        self.x_version.push(version);
        Some(())
    }

    /// The callers' appends to one stream.
    fn append(&mut self, group: &[&'a Batch], callers: &[usize]) -> Option<()> {
        let before = self.e_body.len();
        let mut size = 0;
        for (i, caller) in callers.iter().enumerate() {
            let append = join::plain(group.get(*caller)?)?;
            if i == 0 {
                self.s_key.push(append.stream.as_str());
            }
            if append.log.name != self.log.name {
                return None;
            }
            for entry in &append.entries {
                self.e_id.push(entry.id.as_ref().map(EntryId::as_str));
                self.e_body.push(entry.body.as_str());
                size += entry.body.len() as u64;
            }
        }
        self.s_from.push(place(before + 1));
        self.s_count.push(place(self.e_body.len() - before));
        self.s_size.push(number(size));
        Some(())
    }

    /// What is sent with it, for one attempt.
    pub(super) fn prepare(
        &mut self,
        names: &Names,
        channel: &'a str,
        token: uuid::Uuid,
        time: i64,
    ) {
        (self.listeners, self.channel) = (names.listeners(), channel);
        (self.token, self.time) = (token, time);
    }

    /// The locks and the statement for one entry that goes alone.
    pub(super) fn alone(&self, schema: &Schema, lone: &Lone) -> Option<(Ordered, Arc<str>)> {
        if self.e_body.len() != 1 {
            return None;
        }
        let ordered = Ordered::of(&self.locks, &self.exclusive)?;
        let versioned = self.x_version.iter().map(Option::is_some);
        let tables = self.x_table.iter().copied().zip(versioned).collect();
        Some((ordered, lone.statement(schema, self.log, tables)?))
    }

    /// The parameters of that statement, in its order.
    pub(super) fn parameters_alone<'b>(
        &'b self,
        ordered: &'b Ordered,
    ) -> Vec<(&'b (dyn ToSql + Sync), Type)> {
        let mut parameters = ordered.parameters().to_vec();
        let of_call: [(&(dyn ToSql + Sync), Type); 4] = [
            (&self.token, Type::UUID),
            (&self.time, Type::INT8),
            (&self.namespace, Type::TEXT),
            (&self.turn, Type::TEXT),
        ];
        parameters.extend(of_call);
        parameters.extend(self.s_key.iter().map(|key| (key as &(dyn ToSql + Sync), Type::TEXT)));
        parameters.extend(self.s_size.iter().map(|n| (n as &(dyn ToSql + Sync), Type::INT8)));
        parameters.extend(self.e_id.iter().map(|id| (id as &(dyn ToSql + Sync), Type::TEXT)));
        parameters.extend(self.e_body.iter().map(|body| (body as &(dyn ToSql + Sync), Type::TEXT)));
        for (key, version) in self.x_key.iter().zip(&self.x_version) {
            parameters.push((key, Type::TEXT));
            if version.is_some() {
                parameters.push((version, Type::INT8));
            }
        }
        parameters
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
            (&self.namespace, Type::TEXT),
            (&self.turn, Type::TEXT),
            (&self.x_table, Type::INT4_ARRAY),
            (&self.x_key, Type::TEXT_ARRAY),
            (&self.x_version, Type::INT8_ARRAY),
            (&self.p_streams, Type::INT4),
            (&self.s_key, Type::TEXT_ARRAY),
            (&self.s_from, Type::INT4_ARRAY),
            (&self.s_count, Type::INT4_ARRAY),
            (&self.s_size, Type::INT8_ARRAY),
            (&self.e_id, Type::TEXT_ARRAY),
            (&self.e_body, Type::TEXT_ARRAY),
        ]
    }
}
