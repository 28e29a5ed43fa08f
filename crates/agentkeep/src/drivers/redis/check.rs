//! Looking at everything, each namespace at one moment (on a copy of it): checksums and bodies,
//! indexes against bodies, heads against entries, references against blobs.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::errors::strange;
use super::keys::{namespaces, of_table};
use super::link::Link;
use super::look::{Look, PAGE};
use super::rows::{self, digits, places};
use super::scripts::Scripts;
use super::snapshot::Copy;
use crate::driver::{Blob, CheckReport, Hash};
use crate::error::{Kind, Result};
use crate::schema::{BLOBS, Key, Log, NAMESPACES, Namespace, STREAMS, Schema, Stream, Table};

pub(super) async fn check(
    schema: &'static Schema,
    link: &Arc<Link>,
    scripts: &Arc<Scripts>,
) -> Result<CheckReport> {
    let mut report = CheckReport::default();
    let mut all = redis::cmd("ZRANGE");
    all.arg(namespaces(&link.options.base)).arg(0).arg(-1);
    let all = match link.command(&all).await {
        Ok(all) => redis::from_redis_value(all).map_err(|_| strange("namespaces"))?,
        Err(error) if error.kind() == Kind::Corrupt => {
            report.damaged(NAMESPACES.name, error.message());
            Vec::new()
        }
        Err(error) => return Err(error),
    };
    for name in all {
        let name: Vec<u8> = name;
        let Some(name) = String::from_utf8(name).ok().and_then(|name| Namespace::new(&name).ok())
        else {
            report.damaged(NAMESPACES.name, "a name is damaged");
            continue;
        };
        let copy = Copy::take(schema, link, scripts, &name, false).await?;
        let mut look = Look {
            at: copy.place(&name).await?,
            copy: &copy,
            report: &mut report,
            references: HashMap::new(),
            unreadable: HashSet::new(),
        };
        let looked = look.all().await;
        copy.end().await;
        looked?;
    }
    Ok(report)
}

impl Look<'_> {
    async fn all(&mut self) -> Result<()> {
        let before = (self.report.records, self.report.streams, self.report.blobs);
        let meta = self.at.space.meta();
        let row: Option<Vec<u8>> = self.ask("HGET", &meta, &[b"record"]).await?.flatten();
        let is_named = row.is_some();
        let name = Key::new(&NAMESPACES, [self.at.namespace.as_str()])?;
        match row.map(|row| rows::record(self.at.namespace, name, &row)).transpose() {
            Ok(record) => self.refer(record.iter().flat_map(|record| &record.refs)),
            Err(error) => {
                let place = self.place(error.place().unwrap_or(NAMESPACES.name));
                self.report.damaged(place, error.message());
            }
        }
        for table in self.at.schema.tables {
            self.table(table).await?;
        }
        for log in self.at.schema.logs {
            self.log(log).await?;
        }
        let order = format!("index:{}:key", STREAMS.name);
        let keys = (self.at.space.records(&STREAMS), self.at.space.of(&order));
        let heads: Option<usize> = self.ask("HLEN", &keys.0, &[]).await?;
        let places: Option<usize> = self.ask("ZCARD", &keys.1, &[]).await?;
        if let (Some(heads), Some(places)) = (heads, places)
            && heads != places
        {
            let what = format!("the index has {places} streams, not {heads}");
            self.report.damaged(self.place(order), what);
        }
        self.blobs().await?;
        if !is_named && before != (self.report.records, self.report.streams, self.report.blobs) {
            self.report.damaged(self.place("meta"), "the namespace has no record");
        }
        Ok(())
    }

    /// Every record: its body, its places, and the indexes of the table.
    async fn table(&mut self, table: &'static Table) -> Result<()> {
        let names = of_table(table);
        let (hash, places_of) = (self.at.space.records(table), self.at.space.of(&names[1]));
        let mut expected: Vec<Vec<Vec<u8>>> = vec![Vec::new(); names.len() - 2];
        let (mut seen, mut cursor, mut placed) = (HashSet::new(), 0, 0);
        loop {
            let Some((next, rows)) = self.scan(&hash, cursor).await? else { break };
            let mut page = Vec::with_capacity(rows.len());
            for (key, row) in rows {
                if !seen.insert(key.clone()) {
                    continue;
                }
                self.report.records += 1;
                let text = std::str::from_utf8(&key).ok();
                let Some(key) = text.and_then(|key| Key::decode(table, key).ok()) else {
                    self.report.damaged(self.place(table.name), "a key is damaged");
                    continue;
                };
                let record = match rows::record(self.at.namespace, key, &row) {
                    Ok(record) => record,
                    Err(error) => {
                        let place = self.place(error.place().unwrap_or(table.name));
                        self.report.damaged(place, error.message());
                        continue;
                    }
                };
                self.refer(&record.refs);
                let Ok(fields) = table.extract(&record.body) else {
                    self.report.damaged(self.place(&record.key), "an indexed text is too long");
                    continue;
                };
                let packed = places(&record.key, &fields, record.turn.as_ref());
                placed += usize::from(!packed.is_empty());
                expected[0].push(rows::place(Vec::new(), record.key.encoded()));
                unpacked(&packed, |index, place| {
                    if let Some(expected) = expected.get_mut(index + 1) {
                        expected.push(place.to_vec());
                    }
                });
                page.push((record.key, packed));
            }
            let keys: Vec<&[u8]> = page.iter().map(|(key, _)| key.encoded().as_bytes()).collect();
            let stored = self.fields(&places_of, &keys).await?.unwrap_or_default();
            for ((key, packed), stored) in page.iter().zip(stored) {
                if stored.unwrap_or_default() != *packed {
                    let what = "what is kept of its places does not fit the body";
                    self.report.damaged(self.place(key), what);
                }
            }
            cursor = next;
            if cursor == 0 {
                break;
            }
        }
        let kept: Option<usize> = self.ask("HLEN", &places_of, &[]).await?;
        if let Some(kept) = kept.filter(|kept| *kept != placed) {
            let what = format!("the places of {kept} records are kept, not of {placed}");
            self.report.damaged(self.place(table.name), what);
        }
        for (name, expected) in names[2..].iter().zip(&expected) {
            self.index(name, expected).await?;
        }
        Ok(())
    }

    /// Every stream of a log: its head against its entries, and every entry.
    async fn log(&mut self, log: &'static Log) -> Result<()> {
        let heads = self.at.space.records(&STREAMS);
        let (mut seen, mut strange_names, mut cursor) = (HashSet::new(), HashSet::new(), 0);
        let mut turns = Vec::new();
        loop {
            let Some((next, rows)) = self.scan(&heads, cursor).await? else { break };
            for (field, row) in rows {
                let text = std::str::from_utf8(&field).ok().and_then(|f| f.split_once('\u{1f}'));
                let known = text.and_then(|(log, stream)| {
                    Some((self.at.schema.log(log)?, Stream::new(stream).ok()?))
                });
                let Some((of, stream)) = known else {
                    strange_names.insert(field);
                    continue;
                };
                if of.name != log.name || !seen.insert(field.clone()) {
                    continue;
                }
                self.stream(log, &stream, &row, &mut turns).await?;
            }
            cursor = next;
            if cursor == 0 {
                break;
            }
        }
        if !strange_names.is_empty() {
            let what = format!("{} streams have damaged names", strange_names.len());
            self.report.damaged(self.place(STREAMS.name), what);
        }
        self.index(&format!("turns:{}", log.name), &turns).await?;
        // All logs share one index of streams: each looks for its own there.
        let own: Vec<Vec<u8>> = seen
            .iter()
            .filter_map(|field| std::str::from_utf8(field).ok())
            .map(|field| rows::place(Vec::new(), field))
            .collect();
        let key = self.at.space.of(&format!("index:{}:key", STREAMS.name));
        if self.lacking(&key, &own).await?.is_some_and(|lacking| lacking > 0) {
            self.report.damaged(self.place(log.name), "the index of streams lacks one");
        }
        Ok(())
    }

    async fn stream(
        &mut self,
        log: &'static Log,
        stream: &Stream,
        row: &[u8],
        turns: &mut Vec<Vec<u8>>,
    ) -> Result<()> {
        self.report.streams += 1;
        let place = self.place(format!("{} {stream:?}", log.name));
        let (Some((head, _)), Some(tallies)) = (rows::head(row), rows::tallies(row)) else {
            self.report.damaged(place, "its head is damaged");
            return Ok(());
        };
        let (entries, ids) = (self.at.space.entries(log, stream), self.at.space.ids(log, stream));
        let (mut from, count) = (b"-".to_vec(), PAGE.to_string());
        let mut found = [0u64; 4];
        let (mut turned, mut referring, mut named) = (0, 0, 0);
        loop {
            let page: Option<Vec<Vec<u8>>> = self
                .ask("ZRANGEBYLEX", &entries, &[&from, b"+", b"LIMIT", b"0", count.as_bytes()])
                .await?;
            let Some(page) = page else {
                // Whether its ids can be read can still be told.
                return self.ask::<u64>("HLEN", &ids, &[]).await.map(|_| ());
            };
            let mut with_ids = Vec::new();
            for row in &page {
                self.report.entries += 1;
                let entry = match rows::entry(self.at.namespace, log, stream, row) {
                    Ok(entry) => entry,
                    Err(error) => {
                        let place = self.place(error.place().unwrap_or(log.name));
                        self.report.damaged(place, error.message());
                        continue;
                    }
                };
                found[0] = if found[2] == 0 { entry.number } else { found[0] };
                found[1] = entry.number;
                found[2] += 1;
                found[3] += entry.body.len() as u64;
                referring += u64::from(!entry.refs.is_empty());
                self.refer(&entry.refs);
                let number = digits(entry.number);
                if let Some(turn) = &entry.turn {
                    turned += 1;
                    turns.push(format!("{turn}\u{1f}{stream}\u{1f}{number}").into_bytes());
                }
                if let Some(id) = entry.id {
                    named += 1;
                    with_ids.push((id, number));
                }
            }
            let asked: Vec<&[u8]> = with_ids.iter().map(|(id, _)| id.as_str().as_bytes()).collect();
            let known = self.fields(&ids, &asked).await?.unwrap_or_default();
            for ((id, number), known) in with_ids.iter().zip(known) {
                if known.as_deref() != Some(number.as_bytes()) {
                    let what = format!("it is not known by the id {id:?}");
                    self.report.damaged(place.clone(), what);
                }
            }
            match page.last() {
                Some(last) if page.len() == PAGE => from = [b"(", last.as_slice()].concat(),
                _ => break,
            }
        }
        let known: Option<u64> = self.ask("HLEN", &ids, &[]).await?;
        let empty =
            head.count == 0 && head.first == head.last + 1 && found[2] == 0 && head.bytes == 0;
        if !empty && found != [head.first, head.last, head.count, head.bytes] {
            self.report.damaged(place.clone(), "its head does not fit its entries");
        }
        if tallies != (turned, referring) || known.is_some_and(|known| known != named) {
            self.report.damaged(place, "its ids or tallies do not fit its entries");
        }
        Ok(())
    }

    /// Every blob: its bytes against its hash, its count against what refers to it.
    async fn blobs(&mut self) -> Result<()> {
        let hash = self.at.space.records(&BLOBS);
        let (mut seen, mut cursor) = (HashSet::new(), 0);
        let (mut by_key, mut free) = (Vec::new(), Vec::new());
        loop {
            let Some((next, rows)) = self.scan(&hash, cursor).await? else { break };
            for (name, row) in rows {
                let found = std::str::from_utf8(&name).ok();
                let Some(hash) = found.and_then(|name| Hash::from_hex(name).ok()) else {
                    self.report.damaged(self.place("a blob"), "its name is no hash");
                    continue;
                };
                if seen.insert(hash) {
                    self.blob(hash, &row, &mut free).await?;
                    by_key.push(rows::place(Vec::new(), &hash.to_hex()));
                }
            }
            cursor = next;
            if cursor == 0 {
                break;
            }
        }
        if self.references.keys().any(|hash| !seen.contains(hash)) {
            self.report
                .damaged(self.place(BLOBS.name), "something refers to a blob that is not there");
        }
        self.index(&format!("index:{}:key", BLOBS.name), &by_key).await?;
        self.index(&format!("index:{}:by_unreferenced", BLOBS.name), &free).await
    }

    async fn blob(&mut self, hash: Hash, row: &[u8], free: &mut Vec<Vec<u8>>) -> Result<()> {
        self.report.blobs += 1;
        let place = self.place(format!("blob {hash}"));
        let Some(blob) = rows::blob(row) else {
            self.report.damaged(place, "its row is damaged");
            return Ok(());
        };
        let key = self.at.space.blob(hash);
        let bytes: Option<Vec<u8>> = self.ask("GET", &key, &[]).await?.flatten();
        let whole = |bytes: Vec<u8>| {
            bytes.len() as u64 == blob.size && Blob::from_stored(hash, bytes).is_ok()
        };
        if !bytes.is_some_and(whole) {
            self.report.damaged(place.clone(), "its bytes are damaged");
        }
        let counted = self.references.get(&hash).copied().unwrap_or(0);
        if blob.references != counted {
            let what = format!("{counted} refer to it, not {}", blob.references);
            self.report.damaged(place.clone(), what);
        }
        if (blob.references == 0) != blob.unreferenced_since.is_some() {
            let what = "the time since when nothing refers to it is wrong";
            self.report.damaged(place.clone(), what);
        }
        if blob.references == 0 {
            self.report.due(place, "nothing refers to it");
        }
        let mut value = Vec::new();
        let since = blob.unreferenced_since;
        since
            .map_or(crate::schema::Value::Missing, crate::schema::Value::integer)
            .encode(false, &mut value);
        free.push(rows::place(value, &hash.to_hex()));
        Ok(())
    }
}

/// What `places` packed: which index, the place.
fn unpacked(mut packed: &[u8], mut each: impl FnMut(usize, &[u8])) {
    while let [index, high, low, rest @ ..] = packed {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let Some((place, after)) = rest.split_at_checked(length) else { return };
        each(usize::from(*index), place);
        packed = after;
    }
}
