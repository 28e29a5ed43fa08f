//! Hints that did not come.

use std::time::Duration;

use agentkeep::driver::Driver as _;
use agentkeep::schema::{MESSAGES, Namespace};
use futures_util::FutureExt as _;

use crate::fixture::{Form, Place};
use crate::grouped::{open, stream};
use crate::needs;

/// Nobody tells that a hint was lost: so who waits looks now and then.
#[tokio::test]
async fn who_waits_is_woken_also_when_nothing_is_told() {
    needs!(Single, "hints::who_waits_is_woken_also_when_nothing_is_told");
    let place = Place::new(Form::Single);
    let driver = open(&place.url()).await;
    let namespace = Namespace::default();
    let mut watch = driver.watch(&namespace, &MESSAGES, Some(&stream("a"))).await.unwrap();
    // What was told when listening began.
    while watch.changed().now_or_never().is_some() {}
    let woken = tokio::time::timeout(Duration::from_mins(1), watch.changed()).await;
    assert!(woken.unwrap());
    driver.close().await.unwrap();
}
