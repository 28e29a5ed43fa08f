//! Slots of calls: they go with time, whatever came first.

use agentkeep::driver::{Driver as _, Expect};
use agentkeep::schema::MESSAGES;

use crate::fixture::{Form, Place, keys};
use crate::grouped::{add, open, stream};
use crate::{needs, plain};

#[tokio::test]
async fn slots_go_with_time_also_when_the_first_commit_was_refused() {
    needs!(Single, "slots::slots_go_with_time_also_when_the_first_commit_was_refused");
    let place = Place::new(Form::Single);
    let driver = open(&place.url()).await;
    let mut refused = add("a", "", "refused");
    refused.expect(Expect::LogEnds(&MESSAGES, stream("a"), 7));
    driver.commit(refused).await.unwrap_err();
    driver.commit(add("a", "", "first")).await.unwrap();
    let there = keys(&mut plain(), &place.base).into_iter();
    let calls = there.filter(|key| String::from_utf8_lossy(key).contains(":calls:"));
    let left = calls.map(|key| redis::cmd("PTTL").arg(key).query::<i64>(&mut plain()).unwrap());
    let left: Vec<i64> = left.collect();
    assert!(left.len() == 1 && left[0] > 0, "{left:?}");
}
