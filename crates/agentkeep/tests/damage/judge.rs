//! What becomes of one damaged copy.

use std::fs;
use std::path::Path;
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use agentkeep::{Error, Kind, Store};

use crate::Damage;
use crate::original::{Original, url};
use crate::reading;

pub(crate) enum Verdict {
    /// Told by an error when it was opened or read.
    Read,
    /// Told by `check` and by nothing else.
    Checked,
    /// Every answer is as before.
    Harmless,
    /// What must not be.
    Violation(String),
}

static PANICS: AtomicUsize = AtomicUsize::new(0);

/// Counts panics wherever they are, also those that a task swallows.
pub(crate) fn count_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            PANICS.fetch_add(1, Ordering::SeqCst);
            before(info);
        }));
    });
}

/// Damages a copy in `folder`, and looks at it in every way.
pub(crate) fn judge(original: &Original, damage: Damage, folder: &Path) -> Verdict {
    let mut bytes = original.bytes.clone();
    damage.apply(&mut bytes);
    if bytes == original.bytes {
        return Verdict::Harmless;
    }
    let _ = fs::remove_dir_all(folder);
    fs::create_dir(folder).unwrap();
    fs::write(folder.join("keep.db"), &bytes).unwrap();
    let panics = PANICS.load(Ordering::SeqCst);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    // A deadline only so that a hang is told instead of hanging.
    let looked = runtime.block_on(async {
        tokio::time::timeout(Duration::from_mins(2), look(original, folder, &bytes)).await
    });
    runtime.shutdown_background();
    if PANICS.load(Ordering::SeqCst) > panics {
        return Verdict::Violation("it panicked".to_owned());
    }
    looked.unwrap_or_else(|_| Verdict::Violation("it hangs".to_owned()))
}

async fn look(original: &Original, folder: &Path, bytes: &[u8]) -> Verdict {
    let store = match Store::open(&url(folder)).await {
        Ok(store) => store,
        Err(error) => return told_at_open(&error, folder, bytes),
    };
    let reading = reading::whole(&store).await;
    let check = store.check().await;
    let found = reading.tells_damage();
    let checked = match &check {
        Ok(report) => !report.is_sound(),
        Err(error) => error.kind() == Kind::Corrupt,
    };
    let placeless = check
        .as_ref()
        .is_ok_and(|report| report.damage.iter().any(|finding| finding.place.is_empty()));
    let alike = reading.text == original.reading.text;
    if found || checked {
        let closed = store.close().await;
        return judged(
            if found { Verdict::Read } else { Verdict::Checked },
            [
                (nameless(&reading.errors), "an error names no place"),
                (placeless, "a finding names no place"),
                (closed.is_err_and(|error| error.kind() != Kind::Corrupt), "it cannot be closed"),
                (fs::read(folder.join("keep.db")).unwrap() != bytes, "damage was written over"),
            ],
        );
    }
    if let Err(error) = &check {
        return Verdict::Violation(format!("check: {error:?}"));
    }
    if !alike {
        let differing =
            reading.text.lines().zip(original.reading.text.lines()).find(|(a, b)| a != b);
        return Verdict::Violation(format!("other data, silently: {differing:#?}"));
    }
    let next = reading::next(&store).await;
    let told = next.tells_damage();
    let closed = store.close().await;
    if told {
        return judged(Verdict::Read, [(nameless(&next.errors), "an error names no place")]);
    }
    let (seen, expected) = (&next.text, &original.next.text);
    if seen != expected {
        return Verdict::Violation(format!(
            "other answers to writes: {seen}\nnot: {expected}: {:?}",
            next.errors
        ));
    }
    judged(Verdict::Harmless, [(closed.is_err(), "it cannot be closed")])
}

/// Refused as a whole: as damaged, as no store of ours, or as one of another format.
fn told_at_open(error: &Error, folder: &Path, bytes: &[u8]) -> Verdict {
    let kinds = [Kind::Corrupt, Kind::InvalidInput, Kind::NewerFormat, Kind::Unsupported];
    if !kinds.contains(&error.kind()) {
        return Verdict::Violation(format!("opening: {error:?}"));
    }
    judged(
        Verdict::Read,
        [
            (error.place().is_none(), "the error at opening names no place"),
            (fs::read(folder.join("keep.db")).unwrap() != bytes, "damage was written over"),
        ],
    )
}

fn nameless(errors: &[Error]) -> bool {
    errors.iter().any(|error| error.kind() == Kind::Corrupt && error.place().is_none())
}

/// The verdict, unless something speaks against it.
fn judged<const N: usize>(verdict: Verdict, against: [(bool, &str); N]) -> Verdict {
    match against.into_iter().find(|(wrong, _)| *wrong) {
        Some((_, what)) => Verdict::Violation(what.to_owned()),
        None => verdict,
    }
}
