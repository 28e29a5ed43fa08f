//! Owners in four processes who want one run.

use std::collections::BTreeMap;
use std::io::{BufRead as _, Write as _};
use std::time::Duration;

use agentkeep::{Json, Kind, ObjectEditor, RunSnapshot, Store};

use crate::child::{say, start};
use crate::contention::url;
use crate::{Outcome, block_on};

const OWNERS: usize = 4;
/// How often all of them want it at the same moment.
const ROUNDS: usize = 40;
/// Steps that one keeps in a round, if it is let.
const EACH: u64 = 5;

/// What an owner does: wants a run that only one can have; then, whenever it is told, takes another
/// run from the others, for their leases are over at once, and keeps steps as long as it is let.
pub(crate) async fn own(store: &Store, name: &str) {
    let mut told = std::io::stdin().lock().lines();
    told.next();
    let won = loop {
        match store.runs().claim("one", name, Duration::from_hours(1)).await {
            Ok(lease) => break Some(lease.fence),
            Err(error) if error.message().contains("holds the run") => break None,
            Err(error) => assert_eq!(error.kind(), Kind::Conflict, "{error:?}"),
        }
    };
    say(&format!("won {}", won.map_or("nothing".to_owned(), |fence| fence.to_string())));
    say("done");
    let mut kept = 0;
    while told.next().is_some() {
        round(store, name, &mut kept).await;
        say("done");
    }
}

async fn round(store: &Store, name: &str, kept: &mut u64) {
    let lease = loop {
        match store.runs().claim("many", name, Duration::ZERO).await {
            Ok(lease) => break lease,
            Err(error) => assert_eq!(error.kind(), Kind::Conflict, "{error:?}"),
        }
    };
    say(&format!("claimed {}", lease.fence));
    let runs = store.runs().under(lease.fence);
    let until = *kept + EACH;
    while *kept < until {
        let mut result = ObjectEditor::default();
        result.set("owner", &Json::string(name)).set("n", &Json::of(&*kept).unwrap());
        result.set("fence", &Json::of(&lease.fence).unwrap());
        let nothing = ObjectEditor::default().finish();
        match runs.step("many", result.finish(), nothing).await {
            Ok(()) => {
                say(&format!("kept {} {kept}", lease.fence));
                *kept += 1;
            }
            Err(error) if error.kind() == Kind::LeaseLost => return say("lost"),
            Err(error) => assert_eq!(error.kind(), Kind::Conflict, "{error:?}"),
        }
    }
}

pub(crate) fn race(scheme: &str) -> Outcome {
    let folder = tempfile::tempdir().unwrap();
    let url = url(scheme, folder.path(), "?durability=process");
    block_on(async {
        let store = Store::open(&url).await.unwrap();
        for run in ["one", "many"] {
            store.runs().start(RunSnapshot::new(run, "x").unwrap()).await.unwrap();
        }
        store.close().await.unwrap();
    });
    let mut owners: Vec<_> = (0..OWNERS).map(|n| start("own", &url, &format!("w{n}"))).collect();
    let (mut won, mut claims, mut kept) = (Vec::new(), BTreeMap::new(), Vec::new());
    let (mut said, mut lost) = (Vec::new(), 0);
    for _ in 0..=ROUNDS {
        for owner in &mut owners {
            owner.input.write_all(b"go\n").unwrap();
        }
        for (n, owner) in owners.iter_mut().enumerate() {
            let lines = owner.lines.by_ref().map(Result::unwrap);
            said.extend(
                lines.take_while(|line| line != "done").map(|line| (format!("w{n}"), line)),
            );
        }
    }
    for mut owner in owners {
        drop(owner.input);
        assert!(owner.process.wait().unwrap().success(), "an owner ended badly");
    }
    for (owner, line) in &said {
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["won", "nothing"] => {}
            ["lost"] => lost += 1,
            ["won", fence] => won.push(*fence),
            ["claimed", fence] => {
                let other = claims.insert(fence.parse::<u64>().unwrap(), owner.clone());
                assert_eq!(other, None, "two were given the number {fence}");
            }
            ["kept", fence, n] => {
                kept.push((owner.clone(), n.parse().unwrap(), fence.parse().unwrap()));
            }
            _ => panic!("an owner said {line:?}"),
        }
    }
    assert_eq!(won, ["1"], "exactly one has what all wanted");
    let trace = block_on(async {
        let store = Store::open(&url).await.unwrap();
        assert!(store.check().await.unwrap().is_sound());
        let run = store.runs().load("many").await.unwrap().unwrap();
        store.close().await.unwrap();
        run.trace()
    });
    let mut stored: Vec<(String, u64, u64)> = Vec::new();
    for step in &trace {
        let number = |name| u64::try_from(step.member(name).unwrap().to_i64().unwrap()).unwrap();
        stored.push((
            step.member("owner").unwrap().to_text().unwrap(),
            number("n"),
            number("fence"),
        ));
    }
    // Once a higher number has written, no lower one does.
    assert!(stored.is_sorted_by_key(|(_, _, fence)| *fence), "{stored:?}");
    for (owner, _, fence) in &stored {
        assert_eq!(claims.get(fence), Some(owner), "{owner} wrote under {fence}");
    }
    stored.sort();
    kept.sort();
    assert_eq!(stored, kept, "what was acknowledged is there, once");
    assert_eq!(claims.len(), OWNERS * ROUNDS);
    println!("{scheme}: runs: {} steps under {} numbers, {lost} lost", kept.len(), claims.len());
    Ok(())
}
