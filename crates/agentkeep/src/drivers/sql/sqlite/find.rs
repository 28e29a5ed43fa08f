//! Records by key and by index.
//!
//! A page that continues another begins in the middle of an index whose fields may go in
//! different directions and hold NULL. One condition for that would make SQLite scan; so the rest
//! of the index is walked as a few stretches, one after the other, each of them a plain range.

use std::ops::Bound;
use std::sync::Arc;

use rusqlite::{Connection, ToSql, params_from_iter};

use super::apply::{unknown, with_key};
use super::ddl::select_columns;
use super::errors::{damage_at, map};
use super::readers::Budget;
use super::rows::{self, Indexed};
use super::statements::Sql;
use crate::driver::{Find, Found, Record};
use crate::drivers::sql::shape::{is_list_index, quoted, side_table};
use crate::error::Result;
use crate::schema::{
    BLOBS, BY_TURN, FieldValue, Key, NAMESPACES, Namespace, Order, STREAMS, Value,
};

/// Records by their keys, all within the connection's transaction.
pub(super) fn all(
    connection: &Connection,
    sql: &Sql,
    namespace: &Namespace,
    keys: &[Key],
    budget: &Budget,
) -> Result<Vec<Option<Record>>> {
    let one = |key: &Key| {
        let record = get(connection, sql, namespace, key)?;
        budget.spend(record.as_ref().map_or(0, |record| record.body.len()))?;
        Ok(record)
    };
    keys.iter().map(one).collect()
}

/// One record.
pub(super) fn get(
    connection: &Connection,
    sql: &Sql,
    namespace: &Namespace,
    key: &Key,
) -> Result<Option<Record>> {
    get_now(connection, sql, namespace, key).map_err(|error| damage_at(error, key))
}

fn get_now(
    connection: &Connection,
    sql: &Sql,
    namespace: &Namespace,
    key: &Key,
) -> Result<Option<Record>> {
    let table = key.table();
    let built_in;
    let text = if table.name == STREAMS.name || table.name == BLOBS.name {
        let key =
            if table.name == BLOBS.name { "t.hash = ?2" } else { "t.log = ?2 AND t.stream = ?3" };
        let columns = select_columns(table, "t");
        built_in =
            format!("SELECT {columns} FROM {} AS t WHERE t.namespace = ?1 AND {key}", table.name);
        &built_in
    } else {
        &sql.tables.get(table.name).ok_or_else(|| unknown("table", table.name))?.get
    };
    let mut statement = connection.prepare_cached(text).map_err(map)?;
    with_key(namespace, key, |parameters| {
        let mut found = statement.query(parameters).map_err(map)?;
        let row = found.next().map_err(map)?;
        row.map(|row| rows::record(table, namespace, row)).transpose()
    })
}

/// The range of a walk from end to end.
const EVERYTHING: (Bound<Value>, Bound<Value>) = (Bound::Unbounded, Bound::Unbounded);

/// True when the index holds only what is not NULL; the rest is walked by its key.
fn is_sparse(find: &Find) -> bool {
    find.table.name == BLOBS.name && find.index.name == "by_unreferenced"
}

/// A condition on one field.
#[derive(Debug, Clone, PartialEq)]
enum Condition {
    Is(Value),
    IsNull,
    NotNull,
    Compare(&'static str, Value),
}

/// A plain range of the index: conditions on its fields, then perhaps on the key.
#[derive(Debug, Default, Clone)]
struct Stretch {
    fields: Vec<(&'static str, Condition)>,
    /// Only keys behind this one.
    behind: Option<String>,
}

/// The stretches of the index that hold what is asked for, in the order of the walk.
fn stretches(find: &Find) -> Vec<Stretch> {
    let walk: Vec<(&'static str, bool)> = find.walk().collect();
    let equal: Vec<(&'static str, Condition)> =
        walk.iter().zip(&find.equal).map(|((name, _), v)| (*name, is(v))).collect();
    let rest = &walk[equal.len()..];
    let Some(after) = &find.after else {
        let Some((name, descending)) = rest.first() else {
            return vec![Stretch { fields: equal, behind: None }];
        };
        let pieces = if is_sparse(find) && find.range == EVERYTHING {
            let mut apart = vec![vec![Condition::IsNull], vec![Condition::NotNull]];
            if *descending {
                apart.reverse();
            }
            apart
        } else {
            pieces(&find.range, *descending)
        };
        return pieces.into_iter().map(|piece| with(&equal, name, piece)).collect();
    };
    let values = &after.values()[equal.len()..];
    let mut same = equal.clone();
    same.extend(rest.iter().zip(values).map(|((name, _), value)| (*name, is(value))));
    let mut stretches =
        vec![Stretch { fields: same.clone(), behind: Some(after.key().to_owned()) }];
    for (i, ((name, descending), value)) in rest.iter().zip(values).enumerate().rev() {
        let mut range = EVERYTHING;
        if i == 0 {
            range.clone_from(&find.range);
        }
        if *descending {
            range.1 = Bound::Excluded(value.clone());
        } else {
            range.0 = Bound::Excluded(value.clone());
        }
        let prefix = &same[..equal.len() + i];
        stretches
            .extend(pieces(&range, *descending).into_iter().map(|piece| with(prefix, name, piece)));
    }
    stretches
}

fn is(value: &Value) -> Condition {
    if *value == Value::Missing { Condition::IsNull } else { Condition::Is(value.clone()) }
}

fn with(
    prefix: &[(&'static str, Condition)],
    name: &'static str,
    piece: Vec<Condition>,
) -> Stretch {
    let mut fields = prefix.to_vec();
    fields.extend(piece.into_iter().map(|condition| (name, condition)));
    Stretch { fields, behind: None }
}

/// A range of one field as plain conditions, NULL apart from the rest, in the order of the walk.
fn pieces(range: &(Bound<Value>, Bound<Value>), descending: bool) -> Vec<Vec<Condition>> {
    if *range == EVERYTHING {
        return vec![Vec::new()];
    }
    let (low, high) = range;
    let missing = |bound: &Bound<Value>| {
        matches!(bound, Bound::Included(Value::Missing) | Bound::Excluded(Value::Missing))
    };
    let null = match (low, high) {
        (_, Bound::Excluded(Value::Missing)) => false,
        (Bound::Unbounded | Bound::Included(Value::Missing), _) => true,
        _ => false,
    };
    let mut pieces = Vec::new();
    if !missing(high) {
        let mut conditions = vec![Condition::NotNull];
        match low {
            Bound::Included(value) if !missing(low) => {
                conditions.push(Condition::Compare(">=", value.clone()));
            }
            Bound::Excluded(value) if !missing(low) => {
                conditions.push(Condition::Compare(">", value.clone()));
            }
            _ => {}
        }
        match high {
            Bound::Included(value) => conditions.push(Condition::Compare("<=", value.clone())),
            Bound::Excluded(value) => conditions.push(Condition::Compare("<", value.clone())),
            Bound::Unbounded => {}
        }
        pieces.push(conditions);
    }
    if null {
        let place = if descending { pieces.len() } else { 0 };
        pieces.insert(place, vec![Condition::IsNull]);
    }
    pieces
}

/// The statement for one stretch, and its parameters after the namespace.
fn statement<'a>(find: &Find, stretch: &'a Stretch) -> (String, Vec<Box<dyn ToSql + 'a>>) {
    let table = find.table;
    let list = is_list_index(table, find.index);
    let (columns, alias) = (select_columns(table, "t"), if list { "s" } else { "t" });
    let mut from = format!("{} AS t", quoted(table.name));
    if list {
        let same: Vec<String> = std::iter::once("namespace")
            .chain(table.key.iter().copied())
            .map(|column| format!("t.{0} = s.{0}", quoted(column)))
            .collect();
        // CROSS: the index leads, whatever the planner thinks.
        from = format!(
            "{} AS s CROSS JOIN {from} ON {}",
            quoted(&side_table(table, find.index)),
            same.join(" AND ")
        );
    }
    let column = |name: &str| format!("{alias}.{}", quoted(name));
    let mut conditions = Vec::new();
    let mut parameters: Vec<Box<dyn ToSql + 'a>> = Vec::new();
    let scoped = table.name != NAMESPACES.name;
    if scoped {
        conditions.push(format!("{alias}.namespace = ?1"));
    }
    if find.index.name == BY_TURN.name {
        conditions.push(format!("{} IS NOT NULL", column("turn")));
    }
    conditions.extend(find.index.unless.map(|field| format!("{} IS NULL", column(field))));
    let mut place = usize::from(scoped);
    for (name, condition) in &stretch.fields {
        let column = column(name);
        match condition {
            Condition::IsNull => conditions.push(format!("{column} IS NULL")),
            Condition::NotNull => conditions.push(format!("{column} IS NOT NULL")),
            Condition::Is(value) => {
                place += 1;
                conditions.push(format!("{column} = ?{place}"));
                parameters.push(Box::new(Indexed(value)));
            }
            Condition::Compare(how, value) => {
                place += 1;
                conditions.push(format!("{column} {how} ?{place}"));
                parameters.push(Box::new(Indexed(value)));
            }
        }
    }
    let keys: Vec<String> = table.key.iter().map(|key| column(key)).collect();
    if let Some(behind) = &stretch.behind {
        let marks: Vec<String> = keys
            .iter()
            .map(|_| {
                place += 1;
                format!("?{place}")
            })
            .collect();
        let how = if find.reverse { "<" } else { ">" };
        conditions.push(format!("({}) {how} ({})", keys.join(", "), marks.join(", ")));
        parameters.extend(behind.split('\u{1f}').map(|part| Box::new(part) as Box<dyn ToSql + 'a>));
    }
    let direction = |descending| if descending { " DESC" } else { "" };
    let order: Vec<String> = find
        .walk()
        .map(|(name, descending)| format!("{}{}", column(name), direction(descending)))
        .chain(keys.iter().map(|key| format!("{key}{}", direction(find.reverse))))
        .collect();
    let condition = if conditions.is_empty() { "1".to_owned() } else { conditions.join(" AND ") };
    let text = format!(
        "SELECT {columns} FROM {from} WHERE {condition} ORDER BY {} LIMIT ?{}",
        order.join(", "),
        place + 1
    );
    (text, parameters)
}

/// Records by an index, all within the connection's transaction.
pub(super) fn find(
    connection: &Connection,
    sql: &Sql,
    namespace: &Namespace,
    find: &Find,
    budget: &Budget,
) -> Result<Found> {
    let finding = Finding { connection, namespace, find, budget };
    finding
        .find(sql)
        .map_err(|error| damage_at(error, format!("{} {}", find.table.name, find.index.name)))
}

struct Finding<'a> {
    connection: &'a Connection,
    namespace: &'a Namespace,
    find: &'a Find,
    budget: &'a Budget,
}

impl Finding<'_> {
    fn find(&self, sql: &Sql) -> Result<Found> {
        let find = self.find;
        let mut records = Vec::with_capacity(find.limit.min(64) + 1);
        let no_turns = [STREAMS.name, BLOBS.name].contains(&find.table.name);
        if find.index.name == BY_TURN.name && no_turns {
            return Ok(Found { records, next: None });
        }
        if find.after.is_none() && find.range == EVERYTHING && !is_sparse(find) {
            let values: Vec<Indexed<'_>> =
                find.equal.iter().filter(|value| **value != Value::Missing).map(Indexed).collect();
            let values = values.iter().map(|value| value as &dyn ToSql);
            self.run(&self.text(sql), values, &mut records)?;
        } else {
            for stretch in stretches(find) {
                let (text, values) = statement(find, &stretch);
                self.run(&text, values.iter().map(|value| &**value), &mut records)?;
            }
        }
        let more = records.len() > find.limit;
        records.truncate(find.limit);
        let last = records.last().filter(|_| more);
        let next =
            last.map(|last| -> Result<_> { Ok(find.continuation(values(find, last)?, &last.key)) });
        Ok(Found { next: next.transpose()?, records })
    }

    /// The text of a query that only gives values for leading fields.
    fn text(&self, sql: &Sql) -> Arc<str> {
        let find = self.find;
        let missing = find.equal.iter().enumerate().filter(|(_, value)| **value == Value::Missing);
        let missing = missing.fold(0, |places, (place, _)| places | 1 << place);
        let shape = (find.table.name, find.index.name, find.equal.len(), missing, find.reverse);
        sql.find(shape, || {
            let stretch = stretches(find).into_iter().next().unwrap_or_default();
            statement(find, &stretch).0
        })
    }

    /// Adds what one statement gives, up to one more than is asked for.
    fn run<'v>(
        &self,
        text: &str,
        values: impl Iterator<Item = &'v dyn ToSql>,
        records: &mut Vec<Record>,
    ) -> Result<()> {
        let wanted = self.find.limit + 1 - records.len();
        if wanted == 0 {
            return Ok(());
        }
        let limit = i64::try_from(wanted).unwrap_or(i64::MAX);
        let namespace = self.namespace.as_str();
        let scoped = self.find.table.name != NAMESPACES.name;
        let mut parameters: Vec<&dyn ToSql> = Vec::with_capacity(8);
        parameters.extend(scoped.then_some(&namespace as &dyn ToSql));
        for value in values {
            parameters.push(value);
        }
        parameters.push(&limit);
        let mut prepared = self.connection.prepare_cached(text).map_err(map)?;
        let mut found = prepared.query(params_from_iter(parameters)).map_err(map)?;
        while let Some(row) = found.next().map_err(map)? {
            let record = rows::record(self.find.table, self.namespace, row)?;
            self.budget.spend(record.body.len())?;
            records.push(record);
        }
        Ok(())
    }
}

/// The values of all the index's fields, at the place that the query looked at.
fn values(find: &Find, record: &Record) -> Result<Vec<Value>> {
    if find.index.name == BY_TURN.name {
        return Ok(record.turn.iter().map(|turn| Value::text(turn.as_str())).collect());
    }
    let fields = find.table.extract(&record.body)?;
    let value =
        |(i, (name, _)): (usize, &(&str, Order))| match fields.get(find.table.field(name)?)? {
            FieldValue::One(value) => Some(value.clone()),
            FieldValue::Many(_) => find.equal.get(i).cloned(),
        };
    Ok(find.index.fields.iter().enumerate().filter_map(value).collect())
}

#[cfg(test)]
mod tests {
    use super::super::ddl;
    use super::*;
    use crate::schema::AGENTKEEP;

    fn plan(connection: &Connection, find: &Find) -> Vec<String> {
        let mut plans = Vec::new();
        for stretch in stretches(find) {
            let (text, mut parameters) = statement(find, &stretch);
            if find.table.name != NAMESPACES.name {
                parameters.insert(0, Box::new("n"));
            }
            parameters.push(Box::new(10));
            let mut explain = connection.prepare(&format!("EXPLAIN QUERY PLAN {text}")).unwrap();
            let mut found = explain.query(params_from_iter(parameters.iter())).unwrap();
            while let Some(row) = found.next().unwrap() {
                plans.push(row.get::<_, String>(3).unwrap());
            }
        }
        plans
    }

    #[test]
    fn every_declared_index_is_walked_without_sorting_or_scanning() {
        let connection = Connection::open_in_memory().unwrap();
        for sql in ddl::create(&AGENTKEEP) {
            connection.execute(&sql, []).unwrap();
        }
        let all = AGENTKEEP.tables.iter().copied().chain([&STREAMS, &BLOBS]);
        let mut looked_at = 0;
        for table in all {
            let turn = (!table.name.starts_with('_')).then_some(&BY_TURN);
            for index in table.indexes.iter().chain(turn).chain([&crate::schema::BY_KEY]) {
                for (reverse, equal) in [(false, 0), (true, 0), (false, 1), (true, 1), (false, 2)] {
                    let mut find = Find::new(table, index);
                    find.reverse = reverse;
                    find.limit = 10;
                    find.equal = vec![Value::text("x"); equal.min(index.fields.len())];
                    if find.validate().is_err() {
                        continue;
                    }
                    let values = vec![Value::text("x"); index.fields.len()];
                    let key = Key::from_parts(table, &vec!["k"; table.key.len()]).unwrap();
                    for after in [None, Some(find.continuation(values, &key))] {
                        find.after = after;
                        for step in plan(&connection, &find) {
                            let good = step.starts_with("SEARCH") && !step.contains("TEMP B-TREE");
                            assert!(good, "{} {} {find:?}: {step}", table.name, index.name);
                            looked_at += 1;
                        }
                    }
                }
            }
        }
        assert!(looked_at > 100, "{looked_at}");
    }
}
