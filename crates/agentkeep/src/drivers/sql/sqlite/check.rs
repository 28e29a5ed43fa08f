//! Looking at everything: SQLite's own check, checksums, indexes against bodies, heads against
//! entries, references against blobs.

use std::collections::HashMap;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row, ToSql};

use super::ddl::select_columns;
use super::errors::map;
use super::rows::{self, Indexed, indexed};
use super::statements::Sql;
use super::sums::blob_sum;
use crate::driver::{CheckReport, Hash};
use crate::drivers::sql::shape::{field_columns, key_columns, quoted, side_table};
use crate::error::Result;
use crate::json::Json;
use crate::schema::{FieldValue, Index, Log, NAMESPACES, Namespace, Schema, Stream, Table};

/// References counted while looking at records and entries.
type References = HashMap<(String, Hash), u64>;

pub(super) fn check(
    schema: &'static Schema,
    sql: &Sql,
    connection: &Connection,
) -> Result<CheckReport> {
    let mut report = CheckReport::default();
    let mut references = References::new();
    integrity(connection, &mut report)?;
    super::check_rest::check(schema, connection, &mut report)?;
    table(connection, &NAMESPACES, &mut report, &mut references)?;
    for declared in schema.tables {
        table(connection, declared, &mut report, &mut references)?;
        lists(connection, declared, &mut report)?;
    }
    for log in schema.logs {
        streams(connection, sql, log, &mut report, &mut references)?;
        strays(connection, log, &mut report)?;
    }
    blobs(connection, &mut report, &references)?;
    Ok(report)
}

fn integrity(connection: &Connection, report: &mut CheckReport) -> Result<()> {
    let mut statement = connection.prepare("PRAGMA integrity_check(100)").map_err(map)?;
    let mut rows = statement.query([]).map_err(map)?;
    loop {
        match rows.next() {
            Ok(Some(row)) => {
                let text = rows::text(row, 0)?;
                if text != "ok" {
                    report.damaged("SQLite", text);
                }
            }
            Ok(None) => return Ok(()),
            Err(error) => {
                report.damaged("SQLite", error.to_string());
                return Ok(());
            }
        }
    }
}

/// Every record: its checksum, and its columns against its body.
fn table(
    connection: &Connection,
    table: &'static Table,
    report: &mut CheckReport,
    references: &mut References,
) -> Result<()> {
    let fields: Vec<(usize, &str)> = field_columns(table).collect();
    // The record of a namespace is of the namespace that it names.
    let scope = key_columns(table).first().map(|column| format!("t.{}", quoted(column)));
    let columns: Vec<String> = std::iter::once(select_columns(table, "t"))
        .chain(scope)
        .chain(fields.iter().map(|(_, name)| format!("t.{}", quoted(name))))
        .collect();
    let text = format!("SELECT {} FROM {} AS t", columns.join(", "), quoted(table.name));
    let mut statement = connection.prepare(&text).map_err(map)?;
    let mut found = statement.query([]).map_err(map)?;
    let first = table.key.len() + 5;
    while let Some(row) = next(&mut found, table.name, report) {
        let scope = rows::text(row, first).unwrap_or_default().to_owned();
        let namespace = match Namespace::new(&scope) {
            Ok(namespace) => namespace,
            Err(error) => {
                report.damaged(format!("{} {scope:?}", table.name), error.to_string());
                continue;
            }
        };
        let record = match rows::record(table, &namespace, row) {
            Ok(record) => record,
            Err(error) => {
                report.damaged(
                    format!("{scope:?} {}", error.place().unwrap_or(table.name)),
                    error.message(),
                );
                continue;
            }
        };
        // Reads trust the checksum; an older build or another hand may have summed anything.
        if let Err(error) = Json::from_stored(record.body.as_str()) {
            report.damaged(format!("{scope:?} {}", record.key), error.message());
            continue;
        }
        if table.name != NAMESPACES.name {
            report.records += 1;
        }
        for hash in &record.refs {
            *references.entry((scope.clone(), *hash)).or_default() += 1;
        }
        let Ok(expected) = table.extract(&record.body) else {
            report.damaged(format!("{scope:?} {}", record.key), "an indexed text is too long");
            continue;
        };
        for (i, (place, name)) in fields.iter().enumerate() {
            let stored = row.get_ref(first + 1 + i).map_err(map)?;
            let fits = match &expected[*place] {
                FieldValue::One(value) => indexed(stored).as_ref() == Some(value),
                FieldValue::Many(_) => true,
            };
            if !fits {
                let what = format!("the column {name} does not fit the body");
                report.damaged(format!("{scope:?} {}", record.key), what);
            }
        }
    }
    Ok(())
}

/// The next row; a damaged page ends the walk and is noted.
pub(super) fn next<'a, 'b>(
    rows: &'a mut rusqlite::Rows<'b>,
    place: &str,
    report: &mut CheckReport,
) -> Option<&'a rusqlite::Row<'b>> {
    match rows.next() {
        Ok(row) => row,
        Err(error) => {
            report.damaged(place, error.to_string());
            None
        }
    }
}

/// The rows of list indexes, against what the bodies say: as many, and each of them there.
fn lists(connection: &Connection, table: &'static Table, report: &mut CheckReport) -> Result<()> {
    let probes = super::statements::Sql::lists_of(table);
    if probes.is_empty() {
        return Ok(());
    }
    let mut expected: HashMap<&str, i64> = HashMap::new();
    let columns = select_columns(table, "t");
    let text = format!("SELECT t.namespace, {columns} FROM {} AS t", quoted(table.name));
    let mut statement = connection.prepare(&text).map_err(map)?;
    let mut found = statement.query([]).map_err(map)?;
    while let Some(row) = next(&mut found, table.name, report) {
        let Ok(listed) = Listed::of(table, row) else {
            // A damaged record, and told as one by now.
            continue;
        };
        for (index, probe) in &probes {
            for count in listed.counts(connection, index, probe)? {
                if count != 1 {
                    let what = format!("it stands {count} times in {}, not once", index.name);
                    let place = format!("{:?} {} {:?}", listed.namespace, table.name, listed.keys);
                    report.damaged(place, what);
                }
                *expected.entry(index.name).or_default() += 1;
            }
        }
    }
    for (index, _) in &probes {
        let side = side_table(table, index);
        let text = format!("SELECT count(*) FROM {}", quoted(&side));
        let count: i64 = connection.query_row(&text, [], |row| row.get(0)).map_err(map)?;
        let expected = expected.get(index.name).copied().unwrap_or(0);
        if count != expected {
            report.damaged(side, format!("it has {count} rows, not {expected}"));
        }
    }
    Ok(())
}

/// What a record has in the list indexes of its table.
struct Listed<'a> {
    table: &'static Table,
    namespace: &'a str,
    keys: Vec<&'a str>,
    fields: Vec<FieldValue>,
}

impl<'a> Listed<'a> {
    fn of(table: &'static Table, row: &'a Row<'_>) -> Result<Self> {
        let columns = table.key.len();
        let namespace = rows::text(row, 0)?;
        let keys = (1..=columns).map(|i| rows::text(row, i)).collect::<Result<_>>()?;
        let body = Json::from_stored(rows::text(row, columns + 4)?)?;
        Ok(Self { table, namespace, keys, fields: table.extract(&body)? })
    }

    /// For each element of the list: how often the index has it.
    fn counts(&self, connection: &Connection, index: &Index, probe: &str) -> Result<Vec<i64>> {
        let values: Vec<&FieldValue> = index
            .fields
            .iter()
            .filter_map(|(name, _)| self.fields.get(self.table.field(name)?))
            .collect();
        let Some((FieldValue::Many(list), others)) = values.split_first() else {
            return Ok(Vec::new());
        };
        let mut statement = connection.prepare_cached(probe).map_err(map)?;
        let mut counts = Vec::with_capacity(list.len());
        for value in list {
            let mut parameters: Vec<Box<dyn ToSql + '_>> = vec![Box::new(self.namespace)];
            parameters.push(Box::new(Indexed(value)));
            for other in others {
                if let FieldValue::One(value) = other {
                    parameters.push(Box::new(Indexed(value)));
                }
            }
            parameters.extend(self.keys.iter().map(|key| Box::new(*key) as Box<dyn ToSql>));
            let row = rusqlite::params_from_iter(parameters.iter());
            counts.push(statement.query_row(row, |row| row.get(0)).map_err(map)?);
        }
        Ok(counts)
    }
}

/// Every stream: its head against its entries, and every entry's checksum.
fn streams(
    connection: &Connection,
    sql: &Sql,
    log: &'static Log,
    report: &mut CheckReport,
    references: &mut References,
) -> Result<()> {
    let text = "SELECT namespace, stream FROM _streams WHERE log = ?1";
    let mut statement = connection.prepare(text).map_err(map)?;
    let mut found = statement.query([log.name]).map_err(map)?;
    while let Some(row) = next(&mut found, "_streams", report) {
        let (Ok(scope), Ok(name)) = (rows::text(row, 0), rows::text(row, 1)) else {
            report.damaged("_streams", "a name is no text");
            continue;
        };
        let (scope, name) = (scope.to_owned(), name.to_owned());
        let place = format!("{scope:?} {} {name:?}", log.name);
        let (Ok(namespace), Ok(stream)) = (Namespace::new(&scope), Stream::new(&name)) else {
            report.damaged(place, "its name is no valid id");
            continue;
        };
        report.streams += 1;
        match super::read::stream(connection, &namespace, log, &stream) {
            Ok(Some((no, head))) => {
                let Some(log) = sql.logs.get(log.name) else { continue };
                let mut walk =
                    Walk { scope: &scope, place: &place, count: 0, bytes: 0, first: 0, last: 0 };
                walk.entries(connection, &log.forward, no, &stream, report, references)?;
                let fits = walk.count == head.count
                    && walk.bytes == head.bytes
                    && (walk.count == 0 || (walk.first, walk.last) == (head.first, head.last));
                if !fits {
                    report.damaged(place, "its head does not fit its entries");
                }
            }
            Ok(None) => report.damaged(place, "it cannot be found by its name"),
            Err(error) => report.damaged(place, error.message()),
        }
    }
    Ok(())
}

/// What the entries of one stream come to.
struct Walk<'a> {
    scope: &'a str,
    place: &'a str,
    count: u64,
    bytes: u64,
    first: u64,
    last: u64,
}

impl Walk<'_> {
    fn entries(
        &mut self,
        connection: &Connection,
        sql: &str,
        no: i64,
        stream: &Stream,
        report: &mut CheckReport,
        references: &mut References,
    ) -> Result<()> {
        let mut statement = connection.prepare_cached(sql).map_err(map)?;
        let all = rusqlite::params![no, i64::MIN, i64::MAX, i64::MAX];
        let mut found = statement.query(all).map_err(map)?;
        while let Some(row) = next(&mut found, self.place, report) {
            let found = rows::entry(stream, no, row, 0);
            match found.and_then(|entry| Json::from_stored(entry.body.as_str()).map(|_| entry)) {
                Ok(entry) => {
                    if self.count == 0 {
                        self.first = entry.number;
                    }
                    self.count += 1;
                    self.bytes += entry.body.len() as u64;
                    self.last = entry.number;
                    for hash in entry.refs {
                        *references.entry((self.scope.to_owned(), hash)).or_default() += 1;
                    }
                    report.entries += 1;
                }
                Err(error) => report.damaged(self.place, error.to_string()),
            }
        }
        Ok(())
    }
}

/// Entries whose stream is gone.
fn strays(connection: &Connection, log: &Log, report: &mut CheckReport) -> Result<()> {
    let text = format!(
        "SELECT count(*) FROM {} WHERE stream_no NOT IN (SELECT no FROM _streams WHERE log = ?1)",
        quoted(log.name)
    );
    let count: i64 = connection.query_row(&text, [log.name], |row| row.get(0)).map_err(map)?;
    if count > 0 {
        report.damaged(log.name, format!("{count} entries belong to no stream"));
    }
    Ok(())
}

/// Every blob: its bytes against its hash, its count against what refers to it.
fn blobs(connection: &Connection, report: &mut CheckReport, references: &References) -> Result<()> {
    let text = "SELECT b.namespace, b.hash, b.size, b.reference_count, b.unreferenced_since, \
                c.bytes, b.version, b.crc FROM _blobs AS b LEFT JOIN _blob_bytes AS c \
                ON c.no = b.no";
    let mut statement = connection.prepare(text).map_err(map)?;
    let mut found = statement.query([]).map_err(map)?;
    let mut seen = 0;
    while let Some(row) = next(&mut found, "_blobs", report) {
        report.blobs += 1;
        let (Ok(scope), Ok(name)) = (rows::text(row, 0), rows::text(row, 1)) else {
            report.damaged("_blobs", "a name is no text");
            continue;
        };
        let place = format!("{scope:?} blob {name}");
        let Ok(hash) = Hash::from_hex(name) else {
            report.damaged(place, "its name is no hash");
            continue;
        };
        let counted = references.get(&(scope.to_owned(), hash)).copied().unwrap_or(0);
        seen += counted;
        if let Err(error) = blob(row, hash, counted, &place, report) {
            report.damaged(place, error.message());
        }
    }
    if seen != references.values().sum::<u64>() {
        report.damaged("_blobs", "something refers to a blob that is not there");
    }
    let stray = "SELECT count(*) FROM _blob_bytes WHERE no NOT IN (SELECT no FROM _blobs)";
    let stray: i64 = connection.query_row(stray, [], |row| row.get(0)).map_err(map)?;
    if stray > 0 {
        report.damaged("_blob_bytes", format!("{stray} belong to no blob"));
    }
    Ok(())
}

/// One blob, to which so many records and entries refer.
fn blob(
    row: &Row<'_>,
    hash: Hash,
    counted: u64,
    place: &str,
    report: &mut CheckReport,
) -> Result<()> {
    let (size, count) = (rows::number(row, 2)?, rows::number(row, 3)?);
    let since = row.get_ref(4).map_err(map)? != ValueRef::Null;
    let bytes = row.get_ref(5).map_err(map)?.as_blob_or_null().ok().flatten();
    if !bytes.is_some_and(|bytes| bytes.len() as u64 == size && Hash::of(bytes) == hash) {
        report.damaged(place, "its bytes are damaged");
    }
    let optional = rows::optional_integer(row, 4)?;
    let (scope, version) = (rows::text(row, 0)?, rows::integer(row, 6)?);
    let (size, references) = (rows::integer(row, 2)?, rows::integer(row, 3)?);
    let sum = blob_sum(scope, &hash.to_hex(), size, references, optional, version);
    if i64::from(sum) != rows::integer(row, 7)? {
        report.damaged(place, "a stored row is damaged: its checksum does not fit");
    }
    if count != counted {
        report.damaged(place, format!("{counted} refer to it, not {count}"));
    }
    if (count == 0) != since {
        report.damaged(place, "the time since when nothing refers to it is wrong");
    }
    if count == 0 {
        report.due(place, "nothing refers to it");
    }
    Ok(())
}
