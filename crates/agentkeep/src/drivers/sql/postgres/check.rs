//! Looking at everything, at one moment: bodies, columns against bodies, list indexes, heads against
//! entries, references against blobs. Damaged pages are the server's to find (`data_checksums`);
//! what it refuses to read shows here as its error.

use std::collections::HashMap;

use deadpool_postgres::ClientWrapper;
use futures_util::{Stream as _, StreamExt as _};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::columns::{Cell, columns};
use super::connections::Failed;
use super::ddl::within;
use super::rows;
use crate::driver::{CheckReport, Hash};
use crate::drivers::sql::shape::{field_columns, is_list_index, key_columns, quoted, side_table};
use crate::json::Json;
use crate::schema::{FieldValue, Index, Log, NAMESPACES, Schema, Table, Value};

type Done<T> = std::result::Result<T, Failed>;
/// References counted while looking at records and entries: by namespace and hash.
type References = HashMap<(String, Hash), u64>;

pub(super) async fn check(
    schema: &'static Schema,
    place: &str,
    client: &ClientWrapper,
) -> Done<CheckReport> {
    let mut look =
        Look { place, client, report: CheckReport::default(), references: References::new() };
    look.table(&NAMESPACES).await?;
    for table in schema.tables {
        look.table(table).await?;
    }
    for log in schema.logs {
        look.log(log).await?;
    }
    look.blobs().await?;
    Ok(look.report)
}

struct Look<'a> {
    place: &'a str,
    client: &'a ClientWrapper,
    report: CheckReport,
    references: References,
}

/// What a stream's entries come to.
struct Walk {
    namespace: String,
    stream: String,
    expected: [i64; 4],
    found: [i64; 4],
}

impl Look<'_> {
    fn within(&self, name: &str) -> String {
        within(self.place, name)
    }

    async fn each(&self, sql: &str) -> Done<std::pin::Pin<Box<tokio_postgres::RowStream>>> {
        let none: [&(dyn ToSql + Sync); 0] = [];
        let stream = self.client.query_raw(sql, none).await?;
        debug_assert!(stream.size_hint().0 == 0);
        Ok(Box::pin(stream))
    }

    /// Every record: its body, and its columns against it.
    async fn table(&mut self, table: &'static Table) -> Done<()> {
        let lists: Vec<&'static Index> =
            table.indexes.iter().filter(|index| is_list_index(table, index)).collect();
        let mut expected: Vec<HashMap<String, Vec<String>>> =
            lists.iter().map(|_| HashMap::new()).collect();
        let scope = key_columns(table).first().map(|column| format!("t.{}", quoted(column)));
        let mut selected = vec![rows::record_columns(table, "t")];
        selected.extend(scope);
        for (_, field) in field_columns(table) {
            let (text, number) = columns(table, field);
            let text = text.map_or("NULL::text".to_owned(), |text| format!("t.{}", quoted(&text)));
            selected.push(text);
            selected.push(format!("t.{}::text", quoted(&number)));
        }
        let sql = format!("SELECT {} FROM {} AS t", selected.join(", "), self.within(table.name));
        let mut found = self.each(&sql).await?;
        while let Some(row) = found.next().await {
            let row = row?;
            let scope: String = row.try_get(6)?;
            let key: Vec<&str> = row.try_get(0)?;
            let named = format!("{scope:?} {} {key:?}", table.name);
            let record = match rows::record(table, &row, 0) {
                Ok(record) => record,
                Err(error) => {
                    self.report.damaged(named, crate::Error::from(error).message().to_owned());
                    continue;
                }
            };
            if table.name != NAMESPACES.name {
                self.report.records += 1;
            }
            for hash in &record.refs {
                *self.references.entry((scope.clone(), *hash)).or_default() += 1;
            }
            let Ok(fields) = table.extract(&record.body) else {
                self.report.damaged(named, "an indexed text is too long");
                continue;
            };
            for (n, (at, name)) in field_columns(table).enumerate() {
                let FieldValue::One(value) = &fields[at] else { continue };
                if !fits(value, row.try_get(7 + 2 * n)?, row.try_get(8 + 2 * n)?) {
                    let what = format!("the column {name} does not fit the body");
                    self.report.damaged(named.clone(), what);
                }
            }
            for (index, expected) in lists.iter().zip(&mut expected) {
                let place = format!("{scope:?} {}", record.key.encoded());
                expected.insert(place, listed(table, index, &fields));
            }
        }
        for (index, expected) in lists.into_iter().zip(expected) {
            self.list(table, index, expected).await?;
        }
        Ok(())
    }

    /// The rows of a list index, against what the bodies say.
    async fn list(
        &mut self,
        table: &Table,
        index: &Index,
        mut expected: HashMap<String, Vec<String>>,
    ) -> Done<()> {
        let side = side_table(table, index);
        let key: Vec<String> = table.key.iter().map(|key| quoted(key)).collect();
        let mut selected =
            vec!["namespace".to_owned(), format!("ARRAY[{}]::text[]", key.join(", "))];
        for (field, _) in index.fields {
            let (text, number) = columns(table, field);
            selected.extend(text.map(|text| quoted(&text)));
            selected.push(format!("{}::text", quoted(&number)));
        }
        let sql = format!("SELECT {} FROM {}", selected.join(", "), self.within(&side));
        let mut found = self.each(&sql).await?;
        while let Some(row) = found.next().await {
            let row = row?;
            let (scope, key): (String, Vec<&str>) = (row.try_get(0)?, row.try_get(1)?);
            let mut shown = Vec::new();
            for n in 0..index.fields.len() {
                shown.push(cell_text(row.try_get(2 + 2 * n)?, row.try_get(3 + 2 * n)?));
            }
            let place = format!("{scope:?} {}", key.join("\u{1f}"));
            let shown = shown.join(" ");
            let left = expected.get_mut(&place);
            let known = left.and_then(|left| {
                let at = left.iter().position(|expected| *expected == shown)?;
                Some(left.swap_remove(at))
            });
            if known.is_none() {
                self.report
                    .damaged(format!("{side} {place}"), "it stands there without being listed");
            }
        }
        for (place, left) in expected.into_iter().filter(|(_, left)| !left.is_empty()) {
            let what = format!("it does not stand there {} times", left.len());
            self.report.damaged(format!("{side} {place}"), what);
        }
        Ok(())
    }

    /// Every stream of a log: its head against its entries, and every entry's body.
    async fn log(&mut self, log: &Log) -> Done<()> {
        let sql = format!(
            "SELECT no, namespace, stream, first, last, count, bytes FROM {} WHERE log = '{}'",
            self.within("_streams"),
            log.name
        );
        let mut streams: HashMap<i64, Walk> = HashMap::new();
        let mut found = self.each(&sql).await?;
        while let Some(row) = found.next().await {
            let row = row?;
            let expected = [row.try_get(3)?, row.try_get(4)?, row.try_get(5)?, row.try_get(6)?];
            let (namespace, stream) = (row.try_get(1)?, row.try_get(2)?);
            streams.insert(row.try_get(0)?, Walk { namespace, stream, expected, found: [0; 4] });
            self.report.streams += 1;
        }
        let sql = format!(
            "SELECT stream_no, seq, body::text, refs FROM {} ORDER BY stream_no, seq",
            self.within(log.name)
        );
        let mut strays = 0;
        let mut found = self.each(&sql).await?;
        while let Some(row) = found.next().await {
            let row = row?;
            let Some(walk) = streams.get_mut(&row.try_get(0)?) else {
                strays += 1;
                continue;
            };
            entry(&row, walk, log, &mut self.report, &mut self.references)?;
        }
        if strays > 0 {
            self.report.damaged(log.name, format!("{strays} entries belong to no stream"));
        }
        for walk in streams.values() {
            let [first, last, count, bytes] = walk.expected;
            let empty = count == 0 && first == last + 1 && walk.found[2] == 0 && bytes == 0;
            if !empty && walk.found != [first, last, count, bytes] {
                let place = format!("{:?} {} {:?}", walk.namespace, log.name, walk.stream);
                self.report.damaged(place, "its head does not fit its entries");
            }
        }
        Ok(())
    }

    /// Every blob: its bytes against its hash, its count against what refers to it.
    async fn blobs(&mut self) -> Done<()> {
        let sql = format!(
            "SELECT b.namespace, b.hash, b.size, b.reference_count, b.unreferenced_since, c.bytes \
             FROM {} AS b LEFT JOIN {} AS c ON c.namespace = b.namespace AND c.hash = b.hash",
            self.within("_blobs"),
            self.within("_blob_bytes")
        );
        let mut seen = 0;
        let mut found = self.each(&sql).await?;
        while let Some(row) = found.next().await {
            let row = row?;
            self.report.blobs += 1;
            seen += blob(&row, &self.references, &mut self.report)?;
        }
        if seen != self.references.values().sum::<u64>() {
            self.report.damaged("_blobs", "something refers to a blob that is not there");
        }
        let sql = format!(
            "SELECT count(*) FROM {} AS c WHERE NOT EXISTS (SELECT FROM {} AS b \
             WHERE b.namespace = c.namespace AND b.hash = c.hash)",
            self.within("_blob_bytes"),
            self.within("_blobs")
        );
        for row in self.client.query_typed(&sql, &[]).await? {
            let strays: i64 = row.try_get(0)?;
            if strays > 0 {
                self.report.damaged("_blob_bytes", format!("{strays} belong to no blob"));
            }
        }
        Ok(())
    }
}

/// One entry, added to what its stream comes to.
fn entry(
    row: &Row,
    walk: &mut Walk,
    log: &Log,
    report: &mut CheckReport,
    references: &mut References,
) -> Done<()> {
    let (seq, body): (i64, &str) = (row.try_get(1)?, row.try_get(2)?);
    let place = || format!("{:?} {} {:?} entry {seq}", walk.namespace, log.name, walk.stream);
    report.entries += 1;
    if let Err(error) = Json::from_stored(body) {
        report.damaged(place(), error.message());
    }
    match rows::refs_from(row.try_get(3)?) {
        Some(refs) => {
            for hash in refs {
                *references.entry((walk.namespace.clone(), hash)).or_default() += 1;
            }
        }
        None => report.damaged(place(), "its list of blobs is damaged"),
    }
    if walk.found[2] == 0 {
        walk.found[0] = seq;
    }
    walk.found[1] = seq;
    walk.found[2] += 1;
    walk.found[3] += i64::try_from(body.len()).unwrap_or(i64::MAX);
    Ok(())
}

/// One blob; answers how many refer to it.
fn blob(row: &Row, references: &References, report: &mut CheckReport) -> Done<u64> {
    let (scope, name): (String, &str) = (row.try_get(0)?, row.try_get(1)?);
    let place = format!("{scope:?} blob {name}");
    let Ok(hash) = Hash::from_hex(name) else {
        report.damaged(place, "its name is no hash");
        return Ok(0);
    };
    let (size, count): (i64, i64) = (row.try_get(2)?, row.try_get(3)?);
    let (since, bytes): (Option<i64>, Option<&[u8]>) = (row.try_get(4)?, row.try_get(5)?);
    let counted = references.get(&(scope, hash)).copied().unwrap_or(0);
    let whole = |bytes: &[u8]| i64::try_from(bytes.len()) == Ok(size) && Hash::of(bytes) == hash;
    if !bytes.is_some_and(whole) {
        report.damaged(place.clone(), "its bytes are damaged");
    }
    if u64::try_from(count) != Ok(counted) {
        report.damaged(place.clone(), format!("{counted} refer to it, not {count}"));
    }
    if (count == 0) != since.is_some() {
        report.damaged(place.clone(), "the time since when nothing refers to it is wrong");
    }
    if count == 0 {
        report.due(place, "nothing refers to it");
    }
    Ok(counted)
}

/// What a record has in a list index: for each element, how its columns show.
fn listed(table: &Table, index: &Index, fields: &[FieldValue]) -> Vec<String> {
    let values: Vec<&FieldValue> =
        index.fields.iter().filter_map(|(name, _)| fields.get(table.field(name)?)).collect();
    let Some((FieldValue::Many(list), others)) = values.split_first() else { return Vec::new() };
    let others: String = others
        .iter()
        .map(|other| match other {
            FieldValue::One(value) => format!(" {}", shown(value)),
            FieldValue::Many(_) => String::new(),
        })
        .collect();
    list.iter().map(|value| format!("{}{others}", shown(value))).collect()
}

fn shown(value: &Value) -> String {
    let cell = Cell::of(value);
    cell_text(cell.text.as_deref(), cell.number.as_deref())
}

/// The two columns of a value in one text, numbers in one form.
fn cell_text(text: Option<&str>, number: Option<&str>) -> String {
    let number = number.map(|number| match number.parse::<f64>() {
        Ok(real) if real == f64::NEG_INFINITY => "false".to_owned(),
        Ok(real) if real <= f64::MIN => "true".to_owned(),
        _ => format!("{:?}", Value::of_json(number)),
    });
    format!("{text:?}/{number:?}")
}

fn fits(value: &Value, text: Option<&str>, number: Option<&str>) -> bool {
    shown(value) == cell_text(text, number)
}
