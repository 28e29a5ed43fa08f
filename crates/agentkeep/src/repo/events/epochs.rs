//! The histories that a topic has had. A restore takes the newest events back; what is published
//! from then on gets the numbers of the lost ones, and must not be taken for them.
//!
//! So a restore that the store is told of begins a new epoch: a new birth, which every cursor from
//! then on carries, while the births before it stay good up to where they were left. An epoch that
//! this store knows nothing of was lost itself, with the store as it was before another restore.
//! Its cursors tell how far all that came before them goes with the topic's first epoch, which any
//! two histories of the topic share: up to the smaller of both numbers they are the same.

use crate::json::{Json, ObjectEditor};

/// A topic's epochs, the present one last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Epochs {
    /// Random: tells the present epoch from every other, and the topic from one that had its name
    /// before.
    birth: String,
    /// Those before it, the first one first.
    past: Vec<Past>,
}

/// An epoch that a restore has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Past {
    birth: String,
    /// The number of its last event that the restore left.
    last: u64,
}

/// How another place's history is named, where it may have gone another way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) birth: String,
    /// The birth of the topic's first epoch, and up to which number the history goes with it: of an
    /// epoch that is not the first.
    pub(super) later: Option<(String, u64)>,
}

impl Epochs {
    /// Of a new topic.
    pub(super) fn new() -> Self {
        Self { birth: random(), past: Vec::new() }
    }

    /// From a topic's record; `None` when it is damaged.
    pub(super) fn of_json(body: &Json) -> Option<Self> {
        let past = |json: Json| {
            let last = u64::try_from(json.member("last")?.to_i64()?).ok()?;
            Some(Past { birth: json.member("birth")?.to_text()?, last })
        };
        Some(Self {
            birth: body.member("birth")?.to_text()?,
            past: match body.member("past") {
                Some(epochs) => epochs.elements().map(past).collect::<Option<_>>()?,
                None => Vec::new(),
            },
        })
    }

    /// Into a topic's record.
    pub(super) fn write(&self, editor: &mut ObjectEditor) {
        editor.set("birth", &Json::string(&self.birth));
        if self.past.is_empty() {
            return;
        }
        let past = self.past.iter().map(|past| {
            let mut editor = ObjectEditor::default();
            let last = i64::try_from(past.last).unwrap_or(i64::MAX);
            editor.set("birth", &Json::string(&past.birth)).set("last", &Json::integer(last));
            editor.finish()
        });
        editor.set("past", &Json::array(&past.collect::<Vec<_>>()));
    }

    /// The next one, which begins after the event `last`.
    pub(super) fn next(&self, last: u64) -> Self {
        let mut past = self.past.clone();
        past.push(Past { birth: self.birth.clone(), last });
        Self { birth: random(), past }
    }

    pub(super) fn birth(&self) -> &str {
        &self.birth
    }

    /// The birth of the first one.
    pub(super) fn origin(&self) -> &str {
        self.past.first().map_or(&self.birth, |past| &past.birth)
    }

    /// Up to which number this history goes with the first epoch.
    pub(super) fn shared(&self) -> u64 {
        self.past.iter().map(|past| past.last).min().unwrap_or(u64::MAX)
    }

    pub(super) fn named(&self) -> Named {
        let later = (!self.past.is_empty()).then(|| (self.origin().to_owned(), self.shared()));
        Named { birth: self.birth.clone(), later }
    }

    /// The epochs before the present one, each with the number up to which the present history goes
    /// with it: what a later restore took from it is not in it, either.
    pub(super) fn before(&self) -> impl Iterator<Item = (&str, u64)> {
        let births = self.past.iter().enumerate();
        births.map(|(place, past)| {
            let later = self.past[place..].iter().map(|past| past.last);
            (past.birth.as_str(), later.min().unwrap_or(past.last))
        })
    }

    /// Up to which number the present history and another one of the topic are the same; `None` for
    /// one of another topic.
    pub(super) fn agrees(&self, other: &Named) -> Option<u64> {
        if other.birth == self.birth {
            return Some(u64::MAX);
        }
        if let Some((_, last)) = self.before().find(|(birth, _)| *birth == other.birth) {
            return Some(last);
        }
        let (origin, theirs) = other.later.as_ref()?;
        (origin == self.origin()).then(|| self.shared().min(*theirs))
    }
}

fn random() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agrees(ours: &Epochs, theirs: &Epochs) -> Option<u64> {
        ours.agrees(&theirs.named())
    }

    #[test]
    fn an_epoch_is_good_up_to_where_it_was_left() {
        let first = Epochs::new();
        let second = first.next(100);
        let third = second.next(80);
        let fourth = third.next(200);
        assert_eq!(agrees(&first, &first), Some(u64::MAX));
        assert_eq!(agrees(&second, &first), Some(100));
        assert_eq!(agrees(&third, &first), Some(80), "the second restore went back further");
        assert_eq!(agrees(&third, &second), Some(80));
        assert_eq!((agrees(&fourth, &third), agrees(&fourth, &first)), (Some(200), Some(80)));
        assert_eq!(agrees(&fourth, &Epochs::new()), None, "another topic");
        assert_eq!(agrees(&fourth, &Epochs::new().next(5)), None, "another topic");
    }

    #[test]
    fn an_epoch_that_was_lost_itself_is_good_as_far_as_both_go_with_the_first() {
        let first = Epochs::new();
        // The same backup put back twice; an older one; a newer one, of a branch left earlier.
        for (lost, ours) in [(100, 100), (100, 80), (50, 80)] {
            let (lost_epoch, present) = (first.next(lost), first.next(ours));
            assert_eq!(agrees(&present, &lost_epoch), Some(lost.min(ours)));
            assert_eq!(agrees(&first, &lost_epoch), Some(lost), "not told of the restore");
        }
    }

    #[test]
    fn they_are_read_as_they_were_written() {
        for epochs in [Epochs::new(), Epochs::new().next(0).next(7)] {
            let mut editor = ObjectEditor::default();
            epochs.write(&mut editor);
            assert_eq!(Epochs::of_json(&editor.finish()), Some(epochs));
        }
        let damaged = [r#"{"past":[]}"#, r#"{"birth":"a","past":[{"birth":"b"}]}"#];
        for text in damaged.map(|text| Json::parse(text).unwrap()) {
            assert_eq!(Epochs::of_json(&text), None);
        }
    }
}
