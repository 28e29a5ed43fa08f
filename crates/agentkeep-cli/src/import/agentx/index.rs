//! What an import must know of all values before it takes the first: which records there are,
//! each once; whose each message list is; and what collides.

use agentkeep::schema::Turn;
use agentkeep::{Result, Tally};

use super::bytes;
use super::lists;
use super::records::{self, Parsed};
use super::source::{SORTS, Sort, Source};
use crate::import::bytes::{Digest, update};
use crate::import::progress::Progress;
use crate::import::report::List;
use crate::import::scratch::Scratch;
use crate::import::stop::Stop;
use crate::output::text;

/// One value of the source.
#[derive(Debug, Clone)]
pub(super) struct Item {
    pub(super) no: i64,
    pub(super) place: String,
    pub(super) at: i64,
    pub(super) bytes: i64,
    /// What it held when it was first read.
    pub(super) hash: Option<Digest>,
}

fn item(row: &rusqlite::Row<'_>) -> rusqlite::Result<Item> {
    Ok(Item {
        no: row.get(0)?,
        place: row.get(1)?,
        at: row.get(2)?,
        bytes: row.get(3)?,
        hash: row.get(4)?,
    })
}

/// All values of a sort, in the order in which they were listed.
pub(super) fn values(
    scratch: &Scratch,
    sort: Sort,
    mut with: impl FnMut(Item) -> Result<()>,
) -> Result<()> {
    let sql = "SELECT no, place, at, bytes, hash FROM value \
               WHERE sort = ?1 AND no > ?2 ORDER BY no LIMIT 1";
    let mut after = -1;
    while let Some(found) = scratch.one(sql, (sort as i64, after), item)? {
        after = found.no;
        with(found)?;
    }
    Ok(())
}

/// The value of the record of a sort that comes after `after` and is taken.
pub(super) fn record_after(scratch: &Scratch, sort: Sort, after: i64) -> Result<Option<Item>> {
    let sql = "SELECT no, place, at, bytes, hash FROM value WHERE no = \
               (SELECT min(value) FROM record WHERE sort = ?1 AND value > ?2)";
    scratch.one(sql, (sort as i64, after), item)
}

/// The whole message list at a place that belongs to this record, if there is one.
pub(super) fn list_of(scratch: &Scratch, place: &str, record: i64) -> Result<Option<Item>> {
    let sql = "SELECT no, place, at, bytes, hash FROM value \
               WHERE sort = ?1 AND place = ?2 AND messages IS NOT NULL \
               AND EXISTS (SELECT 1 FROM owner WHERE owner.place = ?2 AND owner.value = ?3)";
    scratch.one(sql, (Sort::Messages as i64, place, record), item)
}

/// Whether the source has such a record.
pub(super) fn has(scratch: &Scratch, sort: Sort, id: &str) -> Result<bool> {
    let sql = "SELECT 1 FROM record WHERE sort = ?1 AND id = ?2";
    Ok(scratch.one(sql, (sort as i64, id), |_| Ok(()))?.is_some())
}

/// How many bytes the values of the source have.
pub(super) fn size(scratch: &Scratch) -> Result<u64> {
    let sql = "SELECT ifnull(sum(bytes), 0) FROM value";
    Ok(scratch.one(sql, [], |row| row.get::<_, i64>(0))?.unwrap_or(0).cast_unsigned())
}

/// Reads every value once. Answers the import's id: the same for the same content.
pub(super) fn make(source: &dyn Source, scratch: &Scratch, stop: &Stop) -> Result<Turn> {
    let mut progress = Progress::new(size(scratch)?, "reading");
    let mut hasher = blake3::Hasher::new();
    for sort in SORTS {
        values(scratch, sort, |item| {
            stop.check(|| "nothing was changed".to_owned())?;
            let digest = if sort == Sort::Messages {
                list(source, scratch, &item)?
            } else {
                record(source, scratch, sort, &item)?
            };
            let sql = "UPDATE value SET hash = ?2 WHERE no = ?1";
            scratch.run(sql, (item.no, digest))?;
            update(&mut hasher, [sort.key().as_bytes(), item.place.as_bytes(), &digest]);
            progress.advance(item.bytes.cast_unsigned());
            Ok(())
        })?;
    }
    scratch.run("CREATE INDEX record_value ON record(sort, value)", [])?;
    collisions(scratch)?;
    owners(source, scratch)?;
    orphans(scratch)?;
    Turn::new(&format!("agentx-{}", &hasher.finalize().to_hex()[..16]))
}

fn list(source: &dyn Source, scratch: &Scratch, item: &Item) -> Result<Digest> {
    let (counted, digest) = lists::count(source, item)?;
    match counted {
        Ok(count) => {
            let sql = "UPDATE value SET messages = ?2 WHERE no = ?1";
            scratch.run(sql, (item.no, i64::try_from(count).unwrap_or(i64::MAX)))?;
        }
        Err(reason) => scratch.note(List::NotTaken, &item.place, reason)?,
    }
    Ok(digest)
}

fn record(source: &dyn Source, scratch: &Scratch, sort: Sort, item: &Item) -> Result<Digest> {
    let (text, digest) = bytes::text(source, item)?;
    match text.and_then(|text| records::read(sort, &text)) {
        Ok(parsed) => keep(source, scratch, sort, item, &parsed, digest)?,
        Err(reason) => scratch.note(List::NotTaken, &item.place, reason)?,
    }
    Ok(digest)
}

/// Keeps a record under its id. Of two with one id, the record under the key of its own id is the
/// one that AgentX reads.
fn keep(
    source: &dyn Source,
    scratch: &Scratch,
    sort: Sort,
    item: &Item,
    parsed: &Parsed,
    digest: Digest,
) -> Result<()> {
    let (id, home) = (parsed.record.id(), source.home(sort, &parsed.original));
    let at_home = home.as_deref() == Some(item.place.as_str());
    let sql = "SELECT v.no, v.place, v.hash FROM record AS r JOIN value AS v ON v.no = r.value \
               WHERE r.sort = ?1 AND r.id = ?2";
    let other = scratch.one(sql, (sort as i64, id), |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get::<_, Option<Digest>>(2)?))
    })?;
    if let Some((_, place, hash)) = other {
        let (kept, refused) = if at_home { (&item.place, &place) } else { (&place, &item.place) };
        let same = if hash == Some(digest) { "same" } else { "other" };
        let what = records::what(sort);
        let reason = format!("{what} {id:?} stands at {kept}, too, with the {same} content");
        scratch.note(List::NotTaken, refused, reason)?;
        if !at_home {
            return Ok(());
        }
    }
    for (list, reason) in &parsed.notes {
        scratch.note(*list, &item.place, reason)?;
    }
    let sql = "INSERT OR REPLACE INTO record(sort, id, value, original, home, at_home) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    scratch.run(sql, (sort as i64, id, item.no, &parsed.original, home, at_home)).map(|_| ())
}

/// Ids whose key is another's, too, as AgentX writes keys.
fn collisions(scratch: &Scratch) -> Result<()> {
    for sort in SORTS {
        let what = records::what(sort);
        let sql = "SELECT v.place, r.original, r.home FROM record AS r \
                   JOIN value AS v ON v.no = r.value \
                   WHERE r.sort = ?1 AND r.home IS NOT NULL \
                   AND (r.at_home = 0 OR instr(r.original, '?') > 0) ORDER BY r.value";
        let read = |row: &rusqlite::Row<'_>| {
            Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?))
        };
        scratch.each(sql, [sort as i64], read, |(place, id, home)| {
            if id.contains('?') {
                let reason = format!(
                    "{what} {id:?}: AgentX cuts ids at the first `?`, so others may have been \
                     overwritten under this key, and their messages may stand among this one's"
                );
                scratch.note(List::Collisions, &place, reason)?;
            }
            if home != place {
                let reason = format!("{what} {id:?} belongs under the key {home:?}");
                scratch.note(List::Collisions, &place, reason)?;
            }
            Ok(())
        })?;
        let sql = "SELECT home, group_concat(quoted, ', ') FROM (SELECT home, \
                   '\"' || original || '\"' AS quoted FROM record \
                   WHERE sort = ?1 AND home IS NOT NULL ORDER BY home, value) \
                   GROUP BY home HAVING count(*) > 1";
        let read =
            |row: &rusqlite::Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?));
        scratch.each(sql, [sort as i64], read, |(home, ids)| {
            let reason = format!("the {what}s [{ids}] share this key");
            scratch.note(List::Collisions, home, reason)
        })?;
    }
    Ok(())
}

/// Whose each message list is. Where sessions share a list, it belongs to the one whose record
/// stands where AgentX would look for it; else to the first.
fn owners(source: &dyn Source, scratch: &Scratch) -> Result<()> {
    let sql = "SELECT original, value, at_home FROM record WHERE sort = ?1 ORDER BY value";
    let read = |row: &rusqlite::Row<'_>| {
        Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?, row.get::<_, bool>(2)?))
    };
    scratch.each(sql, [Sort::Session as i64], read, |(session, value, at_home)| {
        let sql = "INSERT INTO owner(place, value, at_home) VALUES (?1, ?2, ?3) \
                   ON CONFLICT(place) DO UPDATE SET value = excluded.value, \
                   at_home = excluded.at_home WHERE excluded.at_home > at_home";
        let place = source.place_of_messages(&session);
        scratch.run(sql, (place, value, at_home)).map(|_| ())
    })
}

fn orphans(scratch: &Scratch) -> Result<()> {
    let sql = "SELECT place, messages FROM value WHERE sort = ?1 AND messages IS NOT NULL \
               AND place NOT IN (SELECT place FROM owner) ORDER BY no";
    let read = |row: &rusqlite::Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?));
    scratch.each(sql, [Sort::Messages as i64], read, |(place, count)| {
        let count = text::counted(count.cast_unsigned(), "message");
        scratch.note(List::Orphans, place, format!("{count} of no session"))
    })
}

/// Counts one more.
pub(super) fn count(tally: &mut Tally, met: agentkeep::Met) {
    match met {
        agentkeep::Met::New => tally.new += 1,
        agentkeep::Met::Same => tally.unchanged += 1,
        agentkeep::Met::Other => tally.differing += 1,
    }
}
