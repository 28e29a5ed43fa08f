//! What is kept of groups and of the events that they have handed out.

use serde::{Deserialize, Serialize};

use crate::driver::{Find, Record};
use crate::error::Result;
use crate::repo::space::Space;
use crate::schema::{DELIVERIES, GROUPS, Key, Value, check_id};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct GroupState {
    pub(super) topic: String,
    pub(super) group: String,
    /// The first number that has not been handed out.
    pub(super) next: u64,
    pub(super) timeout_ms: i64,
    pub(super) max_deliveries: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Delivery {
    pub(super) topic: String,
    pub(super) group: String,
    pub(super) number: u64,
    pub(super) worker: String,
    pub(super) until: i64,
    pub(super) deliveries: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<String>,
}

pub(super) fn group_key(topic: &str, group: &str) -> Result<Key> {
    check_id("group", group)?;
    Key::new(&GROUPS, [topic, group])
}

/// Numbers in keys have 20 digits, so that their order is that of the keys.
pub(super) fn delivery_key(topic: &str, group: &str, number: u64) -> Result<Key> {
    Key::new(&DELIVERIES, [topic, group, &format!("{number:020}")])
}

/// The first number that a group of the topic still needs.
pub(in crate::repo::events) async fn needed(space: &Space, topic: &str) -> Result<u64> {
    let mut needed = u64::MAX;
    let groups = space.find_all(Find::by(&GROUPS, "by_topic")?.equal(Value::text(topic))).await?;
    for record in groups {
        let state: GroupState = record.body.to()?;
        let find = of_group(Find::by(&DELIVERIES, "by_group")?, topic, &state.group).limit(1);
        let oldest = space.find(&find).await?.records.into_iter().next();
        let oldest = oldest.map(|record| record.body.to::<Delivery>()).transpose()?;
        needed = needed.min(oldest.map_or(state.next, |delivery| delivery.number.min(state.next)));
    }
    Ok(needed)
}

pub(super) fn of_group(find: Find, topic: &str, group: &str) -> Find {
    find.equal(Value::text(topic)).equal(Value::text(group))
}

pub(super) fn is_the_same(record: &Record, delivery: &Delivery) -> bool {
    record.body.to::<Delivery>().is_ok_and(|found| found == *delivery)
}
