//! Records of the source as ours: which can be taken, and what is remarkable about them.

use std::collections::HashMap;

use agentkeep::driver::{MAX_BODY, Put, Save};
use agentkeep::schema::{CONTAINERS, IMAGES, Key, SESSIONS, Table};
use agentkeep::{Container, Error, Image, Json, Result, Session};

use super::source::{Sort, Source, Value};
use crate::import::report::{Note, Notes};

/// A record and where it stands.
#[derive(Debug)]
pub(super) struct Placed<T> {
    pub(super) place: String,
    pub(super) record: T,
}

/// What the three sorts of records have in common.
pub(super) trait Record: Sized {
    const SORT: Sort;
    const TABLE: &'static Table;
    const WHAT: &'static str;

    fn read(json: Json) -> Result<Self>;
    fn name(&self) -> &str;
    fn body(&self) -> &Json;
}

macro_rules! record {
    ($type:ident, $table:ident, $what:literal) => {
        impl Record for $type {
            const SORT: Sort = Sort::$type;
            const TABLE: &'static Table = &$table;
            const WHAT: &'static str = $what;

            fn read(json: Json) -> Result<Self> {
                Self::from_json(json)
            }

            fn name(&self) -> &str {
                self.id()
            }

            fn body(&self) -> &Json {
                self.json()
            }
        }
    };
}

record!(Container, CONTAINERS, "container");
record!(Image, IMAGES, "image");
record!(Session, SESSIONS, "session");

/// All records of one sort that can be taken, each id once.
pub(super) fn read<T: Record>(source: &dyn Source, notes: &mut Notes) -> Result<Vec<Placed<T>>> {
    let mut taken: Vec<Placed<T>> = Vec::new();
    let mut by_id: HashMap<String, usize> = HashMap::new();
    for value in source.records(T::SORT)? {
        let Some(placed) = parsed::<T>(value, notes) else { continue };
        let id = placed.record.name().to_owned();
        let Some(&other) = by_id.get(&id) else {
            by_id.insert(id, taken.len());
            taken.push(placed);
            continue;
        };
        // The record under the key of its own id is the one that AgentX reads.
        let at_home = source.place_of(T::SORT, &id).is_some_and(|place| place == placed.place);
        let refused = if at_home { std::mem::replace(&mut taken[other], placed) } else { placed };
        let kept = &taken[other];
        let same = if kept.record.body() == refused.record.body() { "same" } else { "other" };
        let reason =
            format!("{} {id:?} stands at {}, too, with the {same} content", T::WHAT, kept.place);
        notes.not_taken.push(Note::new(refused.place, reason));
    }
    note_collisions(source, &taken, notes);
    Ok(taken)
}

fn parsed<T: Record>(value: Value, notes: &mut Notes) -> Option<Placed<T>> {
    let place = value.place;
    let read = value.text.and_then(|text| text_to_json(&text, &place, notes)).and_then(|json| {
        let record = T::read(json).map_err(|error| reason(&error))?;
        check_limits::<T>(&record)?;
        Ok(record)
    });
    match read {
        Ok(record) => Some(Placed { place, record }),
        Err(reason) => {
            notes.not_taken.push(Note::new(place, reason));
            None
        }
    }
}

/// The text as JSON; replaced surrogates are noted.
pub(super) fn text_to_json(text: &str, place: &str, notes: &mut Notes) -> Result<Json, String> {
    let (json, replaced) =
        Json::parse_replacing_surrogates(text).map_err(|error| error.message().to_owned())?;
    if replaced > 0 {
        let what =
            if replaced == 1 { "1 lone surrogate" } else { &format!("{replaced} lone surrogates") };
        notes.altered.push(Note::new(place, format!("{what} replaced by U+FFFD")));
    }
    Ok(json)
}

/// What is wrong, and what would be right.
fn reason(error: &Error) -> String {
    match error.advice_text() {
        Some(advice) => format!("{} ({advice})", error.message()),
        None => error.message().to_owned(),
    }
}

/// A record beyond the store's limits would stop the whole import.
fn check_limits<T: Record>(record: &T) -> Result<(), String> {
    check_size(record.body())?;
    let key = Key::new(T::TABLE, [record.name()]).map_err(|error| reason(&error))?;
    let put = Put::new(key, record.body().clone(), Save::Any);
    put.map(|_| ()).map_err(|error| reason(&error))
}

/// A body beyond the store's limit.
pub(super) fn check_size(json: &Json) -> Result<(), String> {
    if json.len() <= MAX_BODY {
        return Ok(());
    }
    Err(format!("it has {} bytes, more than {MAX_BODY}", json.len()))
}

/// Ids whose key is another's, too, as AgentX writes keys.
fn note_collisions<T: Record>(source: &dyn Source, taken: &[Placed<T>], notes: &mut Notes) {
    let mut by_place: HashMap<String, Vec<&Placed<T>>> = HashMap::new();
    for placed in taken {
        let id = placed.record.name();
        let Some(home) = source.place_of(T::SORT, id) else { return };
        if id.contains('?') {
            let reason = format!(
                "{} {id:?}: AgentX cuts ids at the first `?`, so others may have been overwritten \
                 under this key, and their messages may stand among this one's",
                T::WHAT
            );
            notes.collisions.push(Note::new(&placed.place, reason));
        }
        if home != placed.place {
            let reason = format!("{} {id:?} belongs under the key {home:?}", T::WHAT);
            notes.collisions.push(Note::new(&placed.place, reason));
        }
        by_place.entry(home).or_default().push(placed);
    }
    let mut shared: Vec<_> = by_place.into_iter().filter(|(_, group)| group.len() > 1).collect();
    shared.sort_by(|(a, _), (b, _)| a.cmp(b));
    for (home, group) in shared {
        let ids: Vec<&str> = group.iter().map(|placed| placed.record.name()).collect();
        notes.collisions.push(Note::new(home, format!("the {}s {ids:?} share this key", T::WHAT)));
    }
}
