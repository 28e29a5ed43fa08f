//! Which masters a cluster has, as one of its nodes tells.

use redis::Value;

use super::errors::strange;
use crate::error::{Error, Kind, Result};

/// How many slots there are.
const SLOTS: i64 = 16384;

/// The masters, and which slots each has.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Masters {
    pub(super) nodes: Vec<(String, u16)>,
    slots: Vec<(i64, i64, usize)>,
}

impl Masters {
    /// The one that has a slot.
    pub(super) fn of_slot(&self, slot: i64) -> Option<&(String, u16)> {
        let range = self.slots.iter().find(|(from, to, _)| (*from..=*to).contains(&slot));
        self.nodes.get(range?.2)
    }
}

/// From the answer to `CLUSTER SLOTS`; a node that does not know its own name has that by which it
/// was asked.
pub(super) fn of(answer: &Value, asked: &str) -> Result<Masters> {
    let ranges = list(answer)?;
    let mut found = Vec::with_capacity(ranges.len());
    for range in ranges {
        let [Value::Int(from), Value::Int(to), master, ..] = list(range)? else {
            return Err(odd());
        };
        let [host, Value::Int(port), ..] = list(master)? else { return Err(odd()) };
        let host = redis::from_redis_value_ref::<Option<String>>(host).map_err(|_| odd())?;
        let host = host.filter(|host| !host.is_empty()).unwrap_or_else(|| asked.to_owned());
        found.push((*from, *to, (host, u16::try_from(*port).map_err(|_| odd())?)));
    }
    found.sort();
    let mut masters = Masters { nodes: Vec::new(), slots: Vec::with_capacity(found.len()) };
    for (from, to, node) in found {
        let place = masters.nodes.iter().position(|known| *known == node);
        masters.slots.push((from, to, place.unwrap_or(masters.nodes.len())));
        if place.is_none() {
            masters.nodes.push(node);
        }
    }
    let served: i64 = masters.slots.iter().map(|(from, to, _)| to - from + 1).sum();
    if served == SLOTS {
        return Ok(masters);
    }
    let message = format!("the cluster serves {served} of its {SLOTS} slots");
    Err(Error::new(Kind::Unavailable, message)
        .retryable(true)
        .advice("bring its missing nodes back"))
}

fn list(value: &Value) -> Result<&[Value]> {
    match value {
        Value::Array(values) => Ok(values),
        _ => Err(odd()),
    }
}

fn odd() -> Error {
    strange("the nodes of the cluster")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(from: i64, to: i64, host: Option<&str>, port: i64) -> Value {
        let host = host.map_or(Value::Nil, |host| Value::BulkString(host.into()));
        let node = |host, port| Value::Array(vec![host, Value::Int(port)]);
        let replica = node(Value::BulkString(b"replica".to_vec()), 1);
        Value::Array(vec![Value::Int(from), Value::Int(to), node(host, port), replica])
    }

    #[test]
    fn each_master_stands_once_whatever_the_order() {
        let ranges = [
            range(9000, 16383, None, 2),
            range(0, 99, Some(""), 2),
            range(100, 8999, Some("b"), 3),
        ];
        let masters = of(&Value::Array(ranges.to_vec()), "a").unwrap();
        assert_eq!(masters.nodes, [("a".to_owned(), 2), ("b".to_owned(), 3)]);
        assert_eq!(masters.slots, [(0, 99, 0), (100, 8999, 1), (9000, 16383, 0)]);
        let turned: Vec<Value> = ranges.iter().rev().cloned().collect();
        assert_eq!(of(&Value::Array(turned), "a").unwrap(), masters);
        let of_slot = |slot| masters.of_slot(slot).map(|(_, port)| *port);
        assert_eq!(
            (of_slot(0), of_slot(100), of_slot(16383), of_slot(16384)),
            (Some(2), Some(3), Some(2), None)
        );
        let moved = [range(0, 99, Some("b"), 3), range(100, 16383, Some("a"), 2)];
        assert_ne!(of(&Value::Array(moved.to_vec()), "a").unwrap(), masters);
    }

    #[test]
    fn a_cluster_that_is_not_whole_is_refused() {
        let error = of(&Value::Array(vec![range(0, 9, Some("a"), 1)]), "a").unwrap_err();
        assert_eq!(error.kind(), Kind::Unavailable);
        assert!(error.to_string().contains("10 of its 16384"), "{error}");
        assert_eq!(of(&Value::Okay, "a").unwrap_err().kind(), Kind::Corrupt);
    }
}
