//! Publishers and subscribers in many processes, killed at random.

use std::collections::BTreeMap;
use std::sync::Mutex;

use agentkeep::{Event, Start, Store};

use crate::child::{Running, say, start};
use crate::contention::url;
use crate::kill::Random;
use crate::{Outcome, block_on};

const PUBLISHERS: usize = 4;
const SUBSCRIBERS: usize = 2;
/// Batches of one publisher, and events of a batch.
const BATCHES: u64 = 1_000;
const EACH: u64 = 25;
const ALL: u64 = PUBLISHERS as u64 * BATCHES * EACH;
/// How often each process is killed.
const KILLS: u64 = 6;

/// What a publisher does: from the batch in its name on, each batch under idempotency keys.
pub(crate) async fn publish(store: &Store, name: &str) {
    let (publisher, first) = name.split_once(':').unwrap();
    for batch in first.parse().unwrap()..BATCHES {
        let event = |n| {
            let name = format!("{publisher}-{batch}-{n}");
            Event::of(&name).unwrap().with_key(&name).unwrap()
        };
        store.events().publish_many("t", (0..EACH).map(event).collect()).await.unwrap();
        say(&batch.to_string());
    }
}

/// What a subscriber does: says each event, and acknowledges now and then.
pub(crate) async fn subscribe(store: &Store, consumer: &str) {
    let start = Start::Consumer(consumer.to_owned());
    let mut subscription = store.events().subscribe("t", start).await.unwrap();
    loop {
        let event = subscription.next().await.unwrap().unwrap();
        say(&format!("{} {}", event.number, event.body.to_text().unwrap()));
        if event.number.is_multiple_of(50) || event.number == ALL {
            store.events().ack(consumer, "t", &event.cursor).await.unwrap();
        }
        if event.number == ALL {
            return;
        }
    }
}

pub(crate) fn through_kills(scheme: &str) -> Outcome {
    let seed = std::env::var("AGENTKEEP_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| u64::from(std::process::id()) << 20 | 1);
    println!("{scheme}: events: seed {seed} (repeat with AGENTKEEP_TEST_SEED={seed})");
    let folder = tempfile::tempdir().unwrap();
    let url = url(scheme, folder.path(), "?durability=process");
    // What stands under each number, as whoever saw it first was told.
    let seen = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for publisher in 0..PUBLISHERS {
            let url = &url;
            scope.spawn(move || publisher_lives(url, publisher, seed));
        }
        for subscriber in 0..SUBSCRIBERS {
            let (url, seen) = (&url, &seen);
            scope.spawn(move || subscriber_lives(url, subscriber, seed, seen));
        }
    });
    let seen = seen.into_inner().unwrap();
    assert!(seen.keys().copied().eq(1..=ALL), "numbers are dense");
    for publisher in 0..PUBLISHERS {
        let own = format!("p{publisher}-");
        let events: Vec<&String> = seen.values().filter(|name| name.starts_with(&own)).collect();
        let all = (0..BATCHES).flat_map(|batch| (0..EACH).map(move |n| (batch, n)));
        let expected: Vec<String> = all.map(|(batch, n)| format!("{own}{batch}-{n}")).collect();
        assert!(events.into_iter().eq(&expected), "{own}: each event once and in order");
    }
    block_on(async {
        let store = Store::open(&url).await.unwrap();
        let consumers = store.events().consumers("t").await.unwrap();
        assert!(consumers.iter().all(|consumer| consumer.lag == 0), "{consumers:?}");
        let report = store.check().await.unwrap();
        assert!(report.is_sound(), "{report:?}");
        store.close().await.unwrap();
    });
    println!("{scheme}: events: {ALL} through {} processes", PUBLISHERS + SUBSCRIBERS);
    Ok(())
}

/// Lets a child go on until it ends, or kills it after so many lines and gives the rest of them.
fn live(mut child: Running, lines: Option<u64>, mut each: impl FnMut(&str)) -> bool {
    let mut said = 0;
    while lines != Some(said) {
        let Some(line) = child.lines.next() else {
            assert!(child.process.wait().unwrap().success(), "a process ended badly");
            return true;
        };
        each(&line.unwrap());
        said += 1;
    }
    child.process.kill().unwrap();
    child.process.wait().unwrap();
    child.lines.for_each(|line| each(&line.unwrap()));
    false
}

fn publisher_lives(url: &str, publisher: usize, seed: u64) {
    let mut random = Random(seed ^ (publisher as u64 + 1) << 32);
    let mut next = 0;
    for life in 0.. {
        let child = start("publish", url, &format!("p{publisher}:{next}"));
        let lines = (life < KILLS).then(|| random.below(BATCHES / KILLS));
        if live(child, lines, |line| next = line.parse::<u64>().unwrap() + 1) {
            return;
        }
    }
}

fn subscriber_lives(url: &str, subscriber: usize, seed: u64, seen: &Mutex<BTreeMap<u64, String>>) {
    let mut random = Random(seed ^ (subscriber as u64 + 9) << 40);
    let mut largest = 0;
    for life in 0.. {
        let child = start("subscribe", url, &format!("c{subscriber}"));
        let lines = (life < KILLS).then(|| random.below(ALL / KILLS));
        let mut last = None;
        let ended = live(child, lines, |line| {
            let (number, name) = line.split_once(' ').unwrap();
            let number: u64 = number.parse().unwrap();
            match last {
                Some(last) => assert_eq!(number, last + 1, "no gap and no repetition"),
                None => assert!(number <= largest + 1, "{number} after {largest}: a gap"),
            }
            last = Some(number);
            largest = largest.max(number);
            let mut seen = seen.lock().unwrap();
            let first = seen.entry(number).or_insert_with(|| name.to_owned());
            assert_eq!(first, name, "two saw another event under {number}");
        });
        if ended {
            return;
        }
    }
}
