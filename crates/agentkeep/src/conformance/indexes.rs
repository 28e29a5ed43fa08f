//! Indexes: order, ranges, pages.

use std::ops::Bound;

use super::support::{cases, ensure, put, same, thing};
use super::{Context, Outcome, THINGS};
use crate::driver::{Expect, Find, Operation};
use crate::error::{Kind, Result};
use crate::schema::Value;

cases! { "indexes",
    Nothing values_have_one_order "order: missing < false < true < numbers < text by bytes, exact for integers";
    Nothing ties_go_by_key "ties are ordered by key ascending; reverse is exactly the opposite";
    Nothing equality_and_ranges "exactly the records whose leading fields equal the values and whose next field is in the range";
    Nothing pages_give_everything_once "pages put together give every record once, next exactly when there are more";
    Nothing a_deleted_record_does_not_disturb_a_page "a record deleted between two pages does not disturb the others";
    Nothing indexes_follow_writes "an index never disagrees with its records";
    Nothing a_list_field_has_a_place_for_each_element "a list field: a record once for each distinct element";
    Nothing a_field_keeps_a_record_out "an index with unless has the records without that field, and no others";
    Nothing queries_are_checked "a query that does not fit its index is InvalidInput";
}

/// Ranks in ascending order, each its own group of ties.
const RANKS: [&str; 20] = [
    "null",
    "false",
    "true",
    "-1e400",
    "-9223372036854775808",
    "-1.5",
    "-1",
    "0",
    "0.5",
    "9007199254740992",
    "9007199254740993",
    "9223372036854775807",
    "1e300",
    "\"\"",
    "\"\\u0000\"",
    "\"A\"",
    "\"a\"",
    "\"a \"",
    "\"é\"",
    "\"😀\"",
];

/// One record for each rank, ids in no order, and a second one with the same rank.
async fn ranked(c: &Context) -> Result<Vec<String>> {
    let mut expected = Vec::new();
    let mut operations = Vec::new();
    for (i, rank) in RANKS.iter().enumerate() {
        let mut ids = [format!("{}", (i * 7) % 20), format!("x{}", (i * 3) % 20)];
        ids.sort();
        for id in ids {
            let body = format!(r#"{{"kind":"k","deep":{{"rank":{rank}}}}}"#);
            operations.push(put(thing(&id)?, &body)?);
            expected.push(id);
        }
    }
    operations.reverse();
    c.commit(operations).await?;
    Ok(expected)
}

/// The same groups of ties, groups backwards.
fn groups_reversed(ids: &[String]) -> Vec<String> {
    ids.chunks(2).rev().flatten().cloned().collect()
}

async fn values_have_one_order(c: Context) -> Outcome {
    let expected = ranked(&c).await?;
    same!(c.find(&Find::by(&THINGS, "by_rank")?).await?, expected, "ascending");
    let down = groups_reversed(&expected);
    same!(c.find(&Find::by(&THINGS, "by_rank_down")?).await?, down, "descending");
    let equal = Find::by(&THINGS, "by_kind")?.equal(Value::text("k"));
    same!(c.find(&equal).await?, down, "descending behind an equality");
    Ok(())
}

async fn ties_go_by_key(c: Context) -> Outcome {
    let expected = ranked(&c).await?;
    for (index, forward) in
        [("by_rank", expected.clone()), ("by_rank_down", groups_reversed(&expected))]
    {
        let mut find = Find::by(&THINGS, index)?;
        find.reverse = true;
        let backward: Vec<String> = forward.into_iter().rev().collect();
        same!(c.find(&find).await?, backward, "{index} reversed");
    }
    Ok(())
}

async fn equality_and_ranges(c: Context) -> Outcome {
    let expected = ranked(&c).await?;
    let group = |i: usize| expected[2 * i..2 * i + 2].to_vec();
    let value = |i: usize| Value::of_json(RANKS[i]);
    for (i, rank) in RANKS.iter().enumerate() {
        for index in ["by_rank", "by_rank_down"] {
            let find = Find::by(&THINGS, index)?.equal(value(i));
            same!(c.find(&find).await?, group(i), "{index} equal {rank}");
        }
    }
    let bounds =
        |i: usize| [Bound::Included(value(i)), Bound::Excluded(value(i)), Bound::Unbounded];
    for (low, high) in [(0, 19), (0, 0), (3, 7), (7, 3), (1, 12), (12, 16), (2, 13), (0, 5)] {
        for from in bounds(low) {
            for to in bounds(high) {
                let holds = |i: usize| {
                    let above = match &from {
                        Bound::Included(_) => i >= low,
                        Bound::Excluded(_) => i > low,
                        Bound::Unbounded => true,
                    };
                    let below = match &to {
                        Bound::Included(_) => i <= high,
                        Bound::Excluded(_) => i < high,
                        Bound::Unbounded => true,
                    };
                    above && below
                };
                let inside: Vec<String> =
                    (0..RANKS.len()).filter(|i| holds(*i)).flatten_groups(&group);
                for limit in [1, 3, 100] {
                    let mut find = Find::by(&THINGS, "by_rank")?.limit(limit);
                    find.range = (from.clone(), to.clone());
                    let what = format!("{from:?} to {to:?} by {limit}");
                    same!(c.find(&find).await?, inside, "{what}");
                    find.index = Find::by(&THINGS, "by_rank_down")?.index;
                    same!(c.find(&find).await?, groups_reversed(&inside), "{what}, down");
                    find.reverse = true;
                    let reversed: Vec<String> =
                        groups_reversed(&inside).into_iter().rev().collect();
                    same!(c.find(&find).await?, reversed, "{what}, down, reversed");
                }
            }
        }
    }
    Ok(())
}

/// Puts the ids of groups together.
trait FlattenGroups {
    fn flatten_groups(self, group: &dyn Fn(usize) -> Vec<String>) -> Vec<String>;
}

impl<I: Iterator<Item = usize>> FlattenGroups for I {
    fn flatten_groups(self, group: &dyn Fn(usize) -> Vec<String>) -> Vec<String> {
        self.flat_map(group).collect()
    }
}

async fn pages_give_everything_once(c: Context) -> Outcome {
    let expected = ranked(&c).await?;
    for limit in [1, 2, 3, 7, 39, 40, 41] {
        for (index, reverse) in [
            ("by_rank", false),
            ("by_rank_down", false),
            ("by_rank_down", true),
            ("key", false),
            ("key", true),
        ] {
            let mut find = Find::by(&THINGS, index)?.limit(limit);
            find.reverse = reverse;
            let whole = c.find(&Find { limit: 100, ..find.clone() }).await?;
            let mut seen = 0;
            loop {
                let page = c.driver.find(&c.namespace, &find).await?;
                let left = expected.len() - seen;
                same!(page.records.len(), limit.min(left), "a page of {limit} with {left} left");
                same!(page.next.is_some(), left > limit, "whether {left} are more than {limit}");
                seen += page.records.len();
                // The token is what callers carry.
                let Some(next) = page.next else { break };
                find.after = Some(crate::driver::Continuation::from_token(&next.token())?);
            }
            find.after = None;
            same!(c.find(&find).await?, whole, "{index} in pages of {limit}, reverse {reverse}");
        }
    }
    Ok(())
}

async fn a_deleted_record_does_not_disturb_a_page(c: Context) -> Outcome {
    for i in 0..9 {
        c.put(&format!("t{i}"), &format!(r#"{{"deep":{{"rank":{i}}}}}"#)).await?;
    }
    for index in ["by_rank", "by_rank_down"] {
        let mut find = Find::by(&THINGS, index)?.limit(3);
        let first = c.driver.find(&c.namespace, &find).await?;
        let last = first.records.last().map(|record| record.key.clone());
        let Some(last) = last else { return Err(super::Failure::new("an empty page")) };
        c.commit(vec![Operation::Delete(last.clone())]).await?;
        find.after = first.next;
        same!(c.find(&find).await?.len(), 6, "what follows the page, {index}");
        let rank = last.first().trim_start_matches('t').to_owned();
        c.put(last.first(), &format!(r#"{{"deep":{{"rank":{rank}}}}}"#)).await?;
    }
    Ok(())
}

async fn indexes_follow_writes(c: Context) -> Outcome {
    let of =
        |kind: &str| Ok::<_, crate::Error>(Find::by(&THINGS, "by_kind")?.equal(Value::text(kind)));
    c.put("a", r#"{"kind":"old","tags":["x"]}"#).await?;
    c.put("a", r#"{"kind":"new","tags":["y"]}"#).await?;
    same!(c.find(&of("old")?).await?.len(), 0, "the old value");
    same!(c.find(&of("new")?).await?, ["a"], "the new value");
    let tag =
        |tag: &str| Ok::<_, crate::Error>(Find::by(&THINGS, "by_tag")?.equal(Value::text(tag)));
    same!(c.find(&tag("x")?).await?.len(), 0, "the old tag");
    same!(c.find(&tag("y")?).await?, ["a"], "the new tag");
    c.commit(vec![Operation::Delete(thing("a")?)]).await?;
    same!(c.find(&of("new")?).await?.len(), 0, "after the delete");
    same!(c.find(&tag("y")?).await?.len(), 0, "the tag after the delete");
    Ok(())
}

async fn a_list_field_has_a_place_for_each_element(c: Context) -> Outcome {
    c.put("a", r#"{"tags":["x","y","x",1,null,[2]],"deep":{"rank":1}}"#).await?;
    c.put("b", r#"{"tags":["x"],"deep":{"rank":2}}"#).await?;
    c.put("c", r#"{"tags":"x"}"#).await?;
    c.put("d", "{}").await?;
    c.put("e", r#"{"tags":["x"]}"#).await?;
    let tag = |value: Value| Ok::<_, crate::Error>(Find::by(&THINGS, "by_tag")?.equal(value));
    same!(c.find(&tag(Value::text("x"))?).await?, ["b", "a", "e"], "tag x, highest rank first");
    for limit in 1..4 {
        let find = tag(Value::text("x"))?.limit(limit);
        same!(c.find(&find).await?, ["b", "a", "e"], "in pages of {limit}");
        let reversed = Find { reverse: true, ..find };
        same!(c.find(&reversed).await?, ["e", "a", "b"], "reversed, in pages of {limit}");
    }
    same!(c.find(&tag(Value::text("y"))?).await?, ["a"], "tag y");
    same!(c.find(&tag(Value::integer(1))?).await?, ["a"], "tag 1");
    Ok(())
}

async fn a_field_keeps_a_record_out(c: Context) -> Outcome {
    let by = |index: &str| Find::by(&THINGS, index);
    // Whatever the field says, it is there; null is as good as nothing.
    for (id, rank, hidden) in [
        ("a", "1", "true"),
        ("b", "1", "null"),
        ("c", "2", "false"),
        ("d", "2", "\"\""),
        ("e", "null", "0"),
        ("f", "null", "{}"),
        ("g", "3", "1"),
    ] {
        c.put(id, &format!(r#"{{"deep":{{"rank":{rank}}},"hidden":{hidden}}}"#)).await?;
    }
    c.put("h", r#"{"deep":{"rank":1}}"#).await?;
    c.put("i", r#"{"deep":{"rank":3}}"#).await?;
    let all = ["e", "f", "a", "b", "h", "c", "d", "g", "i"];
    same!(c.find(&by("by_rank")?).await?, all, "another index has them all");
    let shown = ["f", "b", "h", "i"];
    for limit in [1, 2, 3, 4, 5] {
        same!(c.find(&by("by_shown")?.limit(limit)).await?, shown, "in pages of {limit}");
        let reversed = Find { reverse: true, ..by("by_shown")?.limit(limit) };
        same!(c.find(&reversed).await?, ["i", "h", "b", "f"], "reversed, in pages of {limit}");
    }
    let one = by("by_shown")?.equal(Value::integer(1));
    same!(c.find(&one).await?, ["b", "h"], "of one rank");
    let mut range = by("by_shown")?;
    range.range.0 = Bound::Excluded(Value::integer(1));
    same!(c.find(&range).await?, ["i"], "of a range");

    // A record goes out of it and comes back as the field does, and Expect::NoRecord asks it.
    let none = |c: &Context, rank: i64| {
        let mut batch = c.batch();
        let index = by("by_shown")?.index;
        batch.expect(Expect::NoRecord(&THINGS, index, Value::integer(rank)));
        batch.push(put(thing("z")?, "{}")?);
        Ok::<_, crate::Error>(batch)
    };
    c.driver.commit(none(&c, 2)?).await?;
    let refused = c.driver.commit(none(&c, 3)?).await;
    same!(refused.err().map(|error| error.kind()), Some(Kind::Conflict), "i stands in the way");
    c.put("i", r#"{"deep":{"rank":3},"hidden":1}"#).await?;
    c.driver.commit(none(&c, 3)?).await?;
    c.put("c", r#"{"deep":{"rank":2}}"#).await?;
    same!(c.find(&by("by_shown")?).await?, ["f", "z", "b", "h", "c"], "after changes");
    c.commit(vec![Operation::Delete(thing("h")?), Operation::Delete(thing("g")?)]).await?;
    same!(c.find(&by("by_shown")?).await?, ["f", "z", "b", "c"], "after deletions");
    let report = c.driver.check().await?;
    ensure!(report.is_sound(), "{report:?}");
    Ok(())
}

async fn queries_are_checked(c: Context) -> Outcome {
    c.put("a", "{}").await?;
    let bad = [
        Find::by(&THINGS, "key")?.equal(Value::text("a")),
        Find::by(&THINGS, "by_tag")?,
        Find::by(&THINGS, "by_rank")?.limit(0),
        Find::by(&THINGS, "by_rank")?.limit(10_001),
        Find::by(&THINGS, "by_rank")?.equal(Value::Missing).equal(Value::Missing),
        Find::new(&THINGS, &crate::schema::SESSIONS.indexes[0]),
    ];
    for find in bad {
        let result = c.driver.find(&c.namespace, &find).await;
        let kind = result.err().map(|error| error.kind());
        same!(kind, Some(Kind::InvalidInput), "the answer to {find:?}");
    }
    ensure!(Find::by(&THINGS, "nope").is_err(), "an unknown index was accepted");
    Ok(())
}
