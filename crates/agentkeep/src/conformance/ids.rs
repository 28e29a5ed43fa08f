//! Hostile ids, in every place where an id can stand.

use super::support::{append, cases, ensure, entry, put, same, stream, thing};
use super::{ALPHA, Context, Outcome, PAIRS};
use crate::driver::{Find, Operation, Read, Which};
use crate::schema::{BY_KEY, EntryId, Key, Namespace, OperationId, STREAMS, Turn};

cases! { "ids",
    Nothing hostile_ids_stay_apart "ids byte for byte: distinct ids never meet, as key, stream, entry id or turn";
    Nothing hostile_namespaces_stay_apart "distinct namespaces never meet";
    Nothing the_rule_for_ids "an id has 1 to 255 bytes of UTF-8 and no control characters";
}

const IDS: [&str; 62] = [
    ".",
    "..",
    "...",
    "../x",
    "x/../y",
    "/",
    "//",
    "/etc/passwd",
    "a/b",
    "a:b",
    "a\\b",
    "a//b",
    "a::b",
    ":x",
    "x:",
    "C:\\x",
    "\\\\?\\C:",
    "CON",
    "con",
    "NUL",
    "aux.txt",
    "x.",
    "x ",
    " x",
    "x",
    "X",
    "ab",
    "Ab",
    "aB",
    "é",
    "e\u{301}",
    "É",
    "ß",
    "ss",
    "İ",
    "i",
    "\u{202e}rtl",
    "\u{200f}",
    "\u{feff}bom",
    "zero\u{200b}width",
    "' OR 1=1 --",
    "\"; DROP TABLE things",
    "`x`",
    "%",
    "_",
    "a%",
    "a_",
    "*",
    "?",
    "q?x",
    "q?y",
    "[a-z]",
    "{x}",
    "{a}{b}",
    "$gt",
    "__proto__",
    "null",
    "NaN",
    "1e5",
    "007",
    "👩‍👩‍👧‍👦",
    "~a~0123456789abcdef",
];

fn all() -> Vec<String> {
    let long = ["x".repeat(255), "y".repeat(254), format!("{}é", "y".repeat(253)), "🚀".repeat(63)];
    IDS.iter().map(|&id| id.to_owned()).chain(long).collect()
}

async fn hostile_ids_stay_apart(c: Context) -> Outcome {
    for (i, id) in all().iter().enumerate() {
        let mut batch = c.batch();
        batch.turn = Some(Turn::new(id)?);
        batch.operation = Some(OperationId::new(id)?);
        batch.push(put(
            thing(id)?,
            &format!(r#"{{"n":{i},"kind":{},"tags":[{0}]}}"#, crate::Json::string(id)),
        )?);
        batch.push(put(Key::new(&PAIRS, ["pair", id])?, &i.to_string())?);
        batch.push(Operation::Append(append(&ALPHA, id, vec![entry(Some(id), &i.to_string())?])?));
        batch.push(Operation::Append(append(
            &ALPHA,
            "all",
            vec![entry(Some(id), &i.to_string())?],
        )?));
        let committed = c.driver.commit(batch).await?;
        ensure!(!committed.replayed, "the operation id {id:?} was taken for another");
    }
    for (i, id) in all().iter().enumerate() {
        let record = c.get(thing(id)?).await?;
        let n = record.as_ref().and_then(|r| r.body.raw_member("n")).map(str::to_owned);
        same!(n, Some(i.to_string()), "the record {id:?}");
        same!(record.map(|r| r.key.first().to_owned()), Some(id.clone()), "the key of {id:?}");
        let pair = c.get(Key::new(&PAIRS, ["pair", id])?).await?.map(|r| r.body.to_string());
        same!(pair, Some(i.to_string()), "the second part {id:?}");
        for index in ["by_kind", "by_tag", "turn"] {
            let find = Find::by(&super::THINGS, index)?.equal(crate::schema::Value::text(id));
            same!(c.find(&find).await?, vec![id.clone()], "{index} of {id:?}");
        }
        let (entries, _) = c.stream(&ALPHA, id).await?;
        let seen: Vec<_> = entries.iter().map(|e| (e.id.clone(), e.body.to_string())).collect();
        same!(seen, [(Some(EntryId::new(id)?), i.to_string())], "the stream {id:?}");
        let which = Which::Ids(vec![(stream("all")?, EntryId::new(id)?)]);
        let read = Read { log: &ALPHA, which, reverse: false, limit: 9 };
        let found = c.driver.read(&c.namespace, &read).await?;
        let numbers: Vec<u64> = found.entries.iter().map(|entry| entry.number).collect();
        same!(numbers, [i as u64 + 1], "the entry {id:?}");
    }
    let mut sorted = all();
    sorted.sort();
    same!(c.find(&Find::by(&super::THINGS, "key")?.limit(7)).await?, sorted, "ids by bytes");
    let streams = c.find(&Find::new(&STREAMS, &BY_KEY)).await?;
    same!(streams.len(), all().len() + 1, "how many streams");
    Ok(())
}

async fn hostile_namespaces_stay_apart(c: Context) -> Outcome {
    for (i, id) in all().iter().enumerate() {
        let there = c.within(id)?;
        there.put("a", &format!(r#"{{"n":{i}}}"#)).await?;
        there.append("s", &[&i.to_string()]).await?;
    }
    for (i, id) in all().iter().enumerate() {
        let there = c.within(id)?;
        let expected = format!(r#"{{"n":{i}}}"#);
        let record = there.get(thing("a")?).await?.map(|r| (r.body.to_string(), r.version));
        same!(record, Some((expected, 1)), "the record of namespace {id:?}");
        let (entries, _) = there.stream(&ALPHA, "s").await?;
        let bodies: Vec<String> = entries.iter().map(|entry| entry.body.to_string()).collect();
        same!(bodies, [i.to_string()], "the stream of namespace {id:?}");
    }
    Ok(())
}

async fn the_rule_for_ids(_: Context) -> Outcome {
    let long = "x".repeat(256);
    for id in ["", "a\0", "\n", "\r", "\u{1b}[31m", "\u{7f}", "\u{85}", "\u{9f}", long.as_str()] {
        let refused = [
            Namespace::new(id).is_err(),
            crate::schema::Stream::new(id).is_err(),
            EntryId::new(id).is_err(),
            Turn::new(id).is_err(),
            OperationId::new(id).is_err(),
            thing(id).is_err(),
        ];
        same!(refused, [true; 6], "whether {id:?} was refused everywhere");
    }
    Ok(())
}
