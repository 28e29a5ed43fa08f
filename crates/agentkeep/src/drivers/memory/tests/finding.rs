//! Queries against a model that sorts and filters lists.

use std::cmp::Ordering;
use std::ops::Bound;

use super::*;
use crate::driver::Continuation;
use crate::schema::{BY_TURN, Turn, Value};

/// Values of every type, in JSON, and what is told apart from what looks like it.
const VALUES: [&str; 18] = [
    "null",
    "false",
    "true",
    "[1]",
    "-1e400",
    "-2",
    "-1.5",
    "0",
    "0.5",
    "7",
    "9007199254740992",
    "9007199254740993",
    "1e400",
    r#""""#,
    r#""\u0000""#,
    r#""7""#,
    r#""a\u0000""#,
    r#""a""#,
];

/// One record for some pairs of values, and the values that the index must have for it.
async fn filled() -> (Memory, Vec<(Vec<Value>, Key)>) {
    let (memory, mut model) = (memory(), Vec::new());
    for (i, a) in VALUES.iter().enumerate() {
        for (j, b) in VALUES.iter().enumerate().filter(|(j, _)| (i * 7 + j * 5) % 3 > 0) {
            for key in [thing(&format!("{i} {j}")), thing(&format!("{i} {j}!"))] {
                let body = format!(r#"{{"a":{a},"deep":{{"b":{b}}}}}"#);
                commit(&memory, [put(key.clone(), &body)]).await.unwrap();
                model.push((vec![Value::of_json(a), Value::of_json(b)], key));
            }
        }
    }
    (memory, model)
}

fn inside(range: &(Bound<Value>, Bound<Value>), value: &Value) -> bool {
    let low = match &range.0 {
        Bound::Unbounded => true,
        Bound::Included(low) => low <= value,
        Bound::Excluded(low) => low < value,
    };
    let high = match &range.1 {
        Bound::Unbounded => true,
        Bound::Included(high) => value <= high,
        Bound::Excluded(high) => value < high,
    };
    low && high
}

/// What a query without a limit must answer, from the model.
fn expected(find: &Find, model: &[(Vec<Value>, Key)]) -> Vec<Key> {
    let at = |name: &str| usize::from(name == "b");
    let fields: Vec<_> = find.index.fields.iter().map(|(name, o)| (at(name), *o)).collect();
    let mut found: Vec<_> = model
        .iter()
        .filter(|(values, _)| {
            let mut wanted = find.equal.iter().zip(&fields);
            let next = fields.get(find.equal.len());
            wanted.all(|(value, (at, _))| values[*at] == *value)
                && next.is_none_or(|(at, _)| inside(&find.range, &values[*at]))
        })
        .collect();
    found.sort_by(|(a, key_a), (b, key_b)| {
        let orders = fields.iter().map(|(at, order)| match order {
            Ascending => a[*at].cmp(&b[*at]),
            Descending => b[*at].cmp(&a[*at]),
        });
        orders.fold(Ordering::Equal, Ordering::then).then(key_a.cmp(key_b))
    });
    if find.reverse {
        found.reverse();
    }
    found.into_iter().map(|(_, key)| key.clone()).collect()
}

/// All pages of a query, which must each be full but the last one.
async fn pages(memory: &Memory, find: &Find) -> Vec<Key> {
    let (mut find, mut keys) = (find.clone(), Vec::new());
    loop {
        let found = memory.find(&space("n"), &find).await.unwrap();
        assert!(found.next.is_none() || found.records.len() == find.limit);
        assert!(keys.len() < 10_000, "the pages do not end");
        keys.extend(found.records.into_iter().map(|record| record.key));
        find.after = found.next.map(|next| Continuation::from_token(&next.token()).unwrap());
        if find.after.is_none() {
            return keys;
        }
    }
}

fn bounds(value: &str) -> [Bound<Value>; 3] {
    let value = Value::of_json(value);
    [Bound::Unbounded, Bound::Included(value.clone()), Bound::Excluded(value)]
}

#[tokio::test]
async fn mixed_types_come_in_order_in_every_range_both_ways() {
    let (memory, model) = filled().await;
    for index in ["up_down", "down_up"] {
        for low in VALUES.iter().flat_map(|value| bounds(value)) {
            for high in VALUES.iter().step_by(3).flat_map(|value| bounds(value)) {
                for reverse in [false, true] {
                    let range = (low.clone(), high.clone());
                    let find = Find { range, reverse, ..Find::by(&THINGS, index).unwrap() };
                    let found = memory.find(&space("n"), &find).await.unwrap().records;
                    let found: Vec<Key> = found.into_iter().map(|record| record.key).collect();
                    assert_eq!(found, expected(&find, &model), "{find:?}");
                }
            }
        }
    }
}

#[tokio::test]
async fn equal_fields_narrow_and_the_range_is_of_the_next_field() {
    let (memory, model) = filled().await;
    for index in ["up_down", "down_up"] {
        for first in VALUES {
            let by = Find::by(&THINGS, index).unwrap().equal(Value::of_json(first));
            for low in bounds("0") {
                for high in bounds(r#""7""#) {
                    let find = Find { range: (low.clone(), high), ..by.clone() };
                    assert_eq!(pages(&memory, &find).await, expected(&find, &model), "{find:?}");
                }
            }
            let both = by.equal(Value::of_json("7"));
            assert_eq!(pages(&memory, &both).await, expected(&both, &model), "{both:?}");
        }
    }
}

#[tokio::test]
async fn pages_of_every_size_put_together_are_the_whole() {
    let (memory, model) = filled().await;
    for index in ["up_down", "down_up"] {
        for reverse in [false, true] {
            let range = (Bound::Included(Value::of_json("-2")), Bound::Unbounded);
            let find = Find { range, reverse, ..Find::by(&THINGS, index).unwrap() };
            let whole = expected(&find, &model);
            for limit in [1, 2, 3, 7, whole.len() - 1, whole.len(), whole.len() + 1] {
                assert_eq!(pages(&memory, &find.clone().limit(limit)).await, whole);
            }
        }
    }
}

#[tokio::test]
async fn a_record_deleted_between_pages_disturbs_no_other() {
    for reverse in [false, true] {
        let (memory, model) = filled().await;
        let find = Find { reverse, ..Find::by(&THINGS, "down_up").unwrap() };
        let whole = expected(&find, &model);
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page = find.clone().limit(4).after(after.clone());
            let found = memory.find(&space("n"), &page).await.unwrap();
            seen.extend(found.records.into_iter().map(|record| record.key));
            // The very record where the page ended goes.
            let last = seen.last().unwrap().clone();
            commit(&memory, [Operation::Delete(last)]).await.unwrap();
            after = found.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(seen, whole);
    }
}

#[tokio::test]
async fn a_list_field_has_a_place_for_each_element() {
    let memory = memory();
    let body = |tags: &str, b: i64| format!(r#"{{"tags":{tags},"deep":{{"b":{b}}}}}"#);
    for (name, tags, b) in [
        ("x", r#"["red","blue","red"]"#, 1),
        ("y", r#"["red"]"#, 2),
        ("z", r#"["red",7]"#, 2),
        ("none", "[]", 9),
        ("text", r#""red""#, 9),
    ] {
        commit(&memory, [put(thing(name), &body(tags, b))]).await.unwrap();
    }
    let by = |value: Value| Find::by(&THINGS, "by_tag").unwrap().equal(value);
    let red = by(Value::text("red"));
    assert_eq!(pages(&memory, &red.clone().limit(1)).await, ["y", "z", "x"].map(thing));
    let reverse = Find { reverse: true, ..red.clone() };
    assert_eq!(pages(&memory, &reverse.limit(1)).await, ["x", "z", "y"].map(thing));
    assert_eq!(pages(&memory, &by(Value::text("blue"))).await, [thing("x")]);
    assert_eq!(pages(&memory, &by(Value::integer(7))).await, [thing("z")]);
    commit(&memory, [put(thing("x"), &body(r#"["blue"]"#, 1))]).await.unwrap();
    assert_eq!(pages(&memory, &red).await, ["y", "z"].map(thing));
    sound(&memory).await;
}

#[tokio::test]
async fn the_index_of_turns_follows_the_last_write() {
    let memory = memory();
    let turned = |turn: Option<&str>, operation| Batch {
        turn: turn.map(|turn| Turn::new(turn).unwrap()),
        ..batch([operation])
    };
    for (turn, name) in [(Some("t1"), "b"), (Some("t1"), "a"), (Some("t2"), "c"), (None, "d")] {
        memory.commit(turned(turn, put(thing(name), "{}"))).await.unwrap();
    }
    let find = Find::new(&THINGS, &BY_TURN);
    assert_eq!(pages(&memory, &find.clone().limit(1)).await, ["a", "b", "c"].map(thing));
    memory.commit(turned(None, put(thing("a"), "{}"))).await.unwrap();
    memory.commit(turned(Some("t3"), put(thing("b"), "{}"))).await.unwrap();
    assert_eq!(pages(&memory, &find.clone().limit(2)).await, ["c", "b"].map(thing));
    let t1 = find.equal(Value::text("t1"));
    assert_eq!(pages(&memory, &t1).await, []);
}

#[tokio::test]
async fn a_continuation_of_the_wrong_shape_is_refused() {
    let (memory, _) = filled().await;
    let find = Find::by(&THINGS, "up_down").unwrap();
    let wrong = find.continuation(vec![Value::Missing], &thing("x"));
    let error = memory.find(&space("n"), &find.clone().after(Some(wrong))).await.unwrap_err();
    assert_eq!((error.kind(), error.driver()), (Kind::InvalidInput, Some("memory")));
    // One from beyond the query's range shows nothing that the query does not ask for.
    let range = (Bound::Unbounded, Bound::Excluded(Value::integer(0)));
    let find = Find { range, reverse: true, ..find };
    let far = find.continuation(vec![Value::text("z"), Value::Missing], &thing("x"));
    let page = find.clone().after(Some(far));
    assert_eq!(pages(&memory, &page).await, pages(&memory, &find).await);
}
