//! Records by an index: each call one statement, and so one moment.
//!
//! A page that continues another begins in the middle of an index whose fields may go in different
//! directions and hold NULL. The rest of the index is asked for as a few stretches, each of them a
//! plain range, one after the other.

use std::ops::Bound;

use deadpool_postgres::ClientWrapper;
use tokio_postgres::types::{ToSql, Type};

use super::columns::{Cell, columns};
use super::connections::{Connections, Failed};
use super::ddl::{direction, unless, within};
use super::rows;
use crate::driver::{Find, Found, Record};
use crate::drivers::server::known::known_table;
use crate::drivers::server::page::values;
use crate::drivers::sql::shape::{is_list_index, quoted, side_table};
use crate::error::Result;
use crate::schema::{BLOBS, BY_TURN, NAMESPACES, Namespace, STREAMS, Schema, Value};

/// A condition on one field.
#[derive(Debug, Clone, PartialEq)]
enum Condition {
    Is(Value),
    /// It has a number that compares so.
    Numbers(Vec<(&'static str, Value)>),
    /// It has a text that compares so.
    Texts(Vec<(&'static str, Value)>),
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
    let equal: Vec<(&'static str, Condition)> = walk
        .iter()
        .zip(&find.equal)
        .map(|((name, _), value)| (*name, Condition::Is(value.clone())))
        .collect();
    let rest = &walk[equal.len()..];
    let Some(after) = &find.after else {
        let unbounded = find.range == (Bound::Unbounded, Bound::Unbounded);
        return match rest.first() {
            Some((name, descending)) if !unbounded => pieces(&find.range, *descending)
                .into_iter()
                .map(|piece| with(&equal, name, piece))
                .collect(),
            _ => vec![Stretch { fields: equal, behind: None }],
        };
    };
    let values = &after.values()[equal.len()..];
    let mut same = equal.clone();
    same.extend(
        rest.iter().zip(values).map(|((name, _), value)| (*name, Condition::Is(value.clone()))),
    );
    let mut stretches =
        vec![Stretch { fields: same.clone(), behind: Some(after.key().to_owned()) }];
    for (i, ((name, descending), value)) in rest.iter().zip(values).enumerate().rev() {
        let mut range = (Bound::Unbounded, Bound::Unbounded);
        if i == 0 {
            range.clone_from(&find.range);
        }
        if *descending {
            range.1 = Bound::Excluded(value.clone());
        } else {
            range.0 = Bound::Excluded(value.clone());
        }
        let prefix = &same[..equal.len() + i];
        let pieces = pieces(&range, *descending).into_iter();
        stretches.extend(pieces.map(|piece| with(prefix, name, piece)));
    }
    stretches
}

fn with(prefix: &[(&'static str, Condition)], name: &'static str, piece: Condition) -> Stretch {
    let mut fields = prefix.to_vec();
    fields.push((name, piece));
    Stretch { fields, behind: None }
}

/// Where a value stands: missing, a number or truth value, a text.
fn class(value: &Value) -> u8 {
    match value {
        Value::Missing => 0,
        Value::Bool(_) | Value::Number(_) => 1,
        Value::Text(_) => 2,
    }
}

/// A range of one field in pieces of one class each, in the order of the walk.
fn pieces((low, high): &(Bound<Value>, Bound<Value>), descending: bool) -> Vec<Condition> {
    let mut pieces = Vec::new();
    for of in 0..=2 {
        let mut tests = Vec::new();
        let above = match low {
            Bound::Unbounded => true,
            Bound::Included(value) | Bound::Excluded(value) if class(value) != of => {
                class(value) < of
            }
            Bound::Included(value) => {
                tests.push((">=", value.clone()));
                true
            }
            Bound::Excluded(value) => {
                tests.push((">", value.clone()));
                of > 0
            }
        };
        let below = match high {
            Bound::Unbounded => true,
            Bound::Included(value) | Bound::Excluded(value) if class(value) != of => {
                class(value) > of
            }
            Bound::Included(value) => {
                tests.push(("<=", value.clone()));
                true
            }
            Bound::Excluded(value) => {
                tests.push(("<", value.clone()));
                of > 0
            }
        };
        if above && below {
            pieces.push(match of {
                0 => Condition::Is(Value::Missing),
                1 => Condition::Numbers(tests),
                _ => Condition::Texts(tests),
            });
        }
    }
    if descending {
        pieces.reverse();
    }
    pieces
}

/// The text of a statement under way, with its parameters.
struct Question<'a> {
    find: &'a Find,
    place: &'a str,
    texts: Vec<String>,
}

impl Question<'_> {
    /// The next parameter: `$1` is the namespace, `$2` the limit.
    fn next(&mut self, text: &str) -> String {
        self.texts.push(text.to_owned());
        format!("${}", self.texts.len() + 2)
    }

    fn tests(&mut self, field: &str, condition: &Condition) -> Vec<String> {
        let (text, number) = columns(self.find.table, field);
        if self.find.index.name == BY_TURN.name {
            return self.turn_tests(condition);
        }
        let (text, number) = (text.map(|text| quoted(&text)), quoted(&number));
        let text_is =
            |test: &str| text.iter().map(|text| format!("i.{text} {test}")).collect::<Vec<_>>();
        let compare = |tests: &[(&'static str, Value)]| -> Vec<(&'static str, String)> {
            let cell = |value| {
                let cell = Cell::of(value);
                cell.text.or(cell.number).unwrap_or_default().into_owned()
            };
            tests.iter().map(|(how, value)| (*how, cell(value))).collect()
        };
        match condition {
            Condition::Is(value) => {
                let cell = Cell::of(value);
                match (&cell.text, &cell.number) {
                    (Some(value), _) => {
                        let parameter = self.next(value);
                        // Where there are no texts, none is equal.
                        let mut tests = match &text {
                            Some(text) => vec![format!("i.{text} = {parameter}")],
                            None => vec![format!("{parameter} IS NULL")],
                        };
                        tests.push(format!("i.{number} IS NULL"));
                        tests
                    }
                    (None, Some(value)) => {
                        let parameter = self.next(value);
                        let mut tests = text_is("IS NULL");
                        tests.push(format!("i.{number} = {parameter}::numeric"));
                        tests
                    }
                    (None, None) => {
                        let mut tests = text_is("IS NULL");
                        tests.push(format!("i.{number} IS NULL"));
                        tests
                    }
                }
            }
            Condition::Numbers(values) => {
                let mut tests = text_is("IS NULL");
                tests.push(format!("i.{number} IS NOT NULL"));
                for (how, value) in compare(values) {
                    let parameter = self.next(&value);
                    tests.push(format!("i.{number} {how} {parameter}::numeric"));
                }
                tests
            }
            Condition::Texts(values) => {
                let mut tests = text_is("IS NOT NULL");
                if tests.is_empty() {
                    tests.push("false".to_owned());
                }
                for (how, value) in compare(values) {
                    let parameter = self.next(&value);
                    tests.extend(text_is(&format!("{how} {parameter}")));
                }
                if text.is_none() {
                    // Parameters must be used to have a type.
                    tests.retain(|test| test == "false");
                }
                tests
            }
        }
    }

    /// A turn is a text, and only records that have one are in this index.
    fn turn_tests(&mut self, condition: &Condition) -> Vec<String> {
        match condition {
            Condition::Is(Value::Text(turn)) => {
                let parameter = self.next(turn);
                vec![format!("i.turn = {parameter}")]
            }
            Condition::Texts(values) => {
                let mut tests = Vec::new();
                for (how, value) in values {
                    if let Value::Text(turn) = value {
                        let parameter = self.next(turn);
                        tests.push(format!("i.turn {how} {parameter}"));
                    }
                }
                tests
            }
            _ => vec!["false".to_owned()],
        }
    }

    /// The statement for one stretch.
    fn part(&mut self, n: usize, stretch: &Stretch) -> String {
        let table = self.find.table;
        let mut tests = Vec::new();
        if table.name != NAMESPACES.name {
            tests.push("i.namespace = $1".to_owned());
        }
        let by_turn = self.find.index.name == BY_TURN.name;
        if by_turn {
            tests.push("i.turn IS NOT NULL".to_owned());
        }
        tests.extend(unless(table, self.find.index, "i."));
        for (field, condition) in &stretch.fields {
            tests.extend(self.tests(field, condition));
        }
        let keys: Vec<String> = table.key.iter().map(|key| format!("i.{}", quoted(key))).collect();
        if let Some(behind) = &stretch.behind {
            let parameters: Vec<String> =
                behind.split('\u{1f}').map(|part| self.next(part)).collect();
            let how = if self.find.reverse { "<" } else { ">" };
            tests.push(format!("({}) {how} ({})", keys.join(", "), parameters.join(", ")));
        }
        let mut order = Vec::new();
        for (field, descending) in self.find.walk() {
            if by_turn {
                order.push(format!("i.turn {}", if descending { "DESC" } else { "ASC" }));
                continue;
            }
            let (text, number) = columns(table, field);
            for column in text.into_iter().chain([number]) {
                order.push(format!("i.{} {}", quoted(&column), direction(descending)));
            }
        }
        let way = if self.find.reverse { "DESC" } else { "ASC" };
        order.extend(keys.iter().map(|key| format!("{key} {way}")));
        let (order, tests) = (order.join(", "), tests.join(" AND "));
        let tests = if tests.is_empty() { String::new() } else { format!("WHERE {tests}") };
        let name = within(self.place, table.name);
        if !is_list_index(table, self.find.index) {
            let columns = rows::record_columns(table, "i");
            return format!(
                "(SELECT {n}::int4, {columns} FROM {name} AS i {tests} ORDER BY {order} LIMIT $2)"
            );
        }
        // The index leads, whatever the planner thinks.
        let side = within(self.place, &side_table(table, self.find.index));
        let same: Vec<String> = std::iter::once("namespace")
            .chain(table.key.iter().copied())
            .map(|column| format!("t.{0} = i.{0}", quoted(column)))
            .collect();
        format!(
            "(SELECT {n}::int4, {} FROM (SELECT * FROM {side} AS i {tests} ORDER BY {order} \
             LIMIT $2) AS i JOIN {name} AS t ON {} ORDER BY {order})",
            rows::record_columns(table, "t"),
            same.join(" AND ")
        )
    }
}

pub(super) async fn find(
    schema: &Schema,
    connections: &Connections,
    client: &ClientWrapper,
    namespace: &Namespace,
    find: &Find,
) -> std::result::Result<Found, Failed> {
    known_table(schema, find.table)?;
    let no_turns = [STREAMS.name, BLOBS.name].contains(&find.table.name);
    if find.index.name == BY_TURN.name && no_turns {
        return Ok(Found { records: Vec::new(), next: None });
    }
    let stretches = stretches(find);
    let mut question = Question { find, place: &connections.options.schema, texts: Vec::new() };
    let parts: Vec<String> =
        stretches.iter().enumerate().map(|(n, stretch)| question.part(n, stretch)).collect();
    let limit = i64::try_from(find.limit + 1).unwrap_or(i64::MAX);
    let namespace = namespace.as_str();
    let mut parameters: Vec<(&(dyn ToSql + Sync), Type)> =
        vec![(&namespace, Type::TEXT), (&limit, Type::INT8)];
    parameters.extend(question.texts.iter().map(|text| (text as &(dyn ToSql + Sync), Type::TEXT)));
    let rows = connections.ask(client, &parts.join(" UNION ALL "), &parameters).await?;
    let mut by_part: Vec<Vec<Record>> = stretches.iter().map(|_| Vec::new()).collect();
    for row in &rows {
        let part = usize::try_from(row.try_get::<_, i32>(0)?).unwrap_or(0);
        if let Some(records) = by_part.get_mut(part) {
            records.push(rows::record(find.table, row, 1)?);
        }
    }
    let mut records: Vec<Record> = by_part.into_iter().flatten().take(find.limit + 1).collect();
    let more = records.len() > find.limit;
    records.truncate(find.limit);
    let last = records.last().filter(|_| more);
    let next =
        last.map(|last| -> Result<_> { Ok(find.continuation(values(find, last)?, &last.key)) });
    Ok(Found { next: next.transpose()?, records })
}
