//! From a queue database into a store: looked through whole, then published in order, under keys
//! that make it repeatable.

use std::collections::HashMap;

use agentkeep::{Cursor, Event, Kind, Met, Result, Start, Store, Tally};

use super::super::index::count;
use super::event::{self, Taken};
use super::rows::{Acked, Row, Rows, is_cursor};
use crate::import::ids::escaped;
use crate::import::progress::Progress;
use crate::import::report::{List, Origin, Outcome, Report};
use crate::import::scratch::Scratch;
use crate::import::stop::Stop;
use crate::import::take::{Wish, note_differing, refuse_differing};

const FORM: &str = "AgentX event queue";

/// Takes all of it in, or says what would come in.
pub(in crate::import::agentx) async fn take(
    store: &Store,
    rows: &Rows,
    path: String,
    scratch: Scratch,
    stop: &Stop,
    wish: Wish,
) -> Result<Report> {
    let mut marks = marks(store, rows, &scratch).await?;
    let mut consumers = Tally::default();
    for mark in &marks {
        count(&mut consumers, if mark.new { Met::New } else { Met::Same });
    }
    let mut pass = Pass { store, rows, scratch: &scratch, stop, events: Tally::default() };
    pass.look().await?;
    let events = pass.events;
    let mut outcome = Outcome::DryRun;
    if !wish.dry_run {
        refuse_differing(&scratch, wish.keep)?;
        outcome = Outcome::NothingNew;
        if events.new > 0 || consumers.new > 0 {
            pass.publish(&mut marks).await?;
            place(store, &marks).await?;
            outcome = Outcome::Imported;
        }
    }
    Ok(Report {
        source: Origin { form: FORM, path },
        import_id: None,
        outcome,
        resumed: false,
        kinds: vec![("events", events), ("consumers", consumers)],
        notes: scratch,
    })
}

/// Where a consumer is to be.
#[derive(Debug)]
struct Mark {
    consumer: String,
    /// Its topic here, and there.
    topic: String,
    original: String,
    upto: i64,
    /// False for one that the store has: it stays where it is.
    new: bool,
    /// The last event that it is done with, once that is published.
    cursor: Option<Cursor>,
}

async fn marks(store: &Store, rows: &Rows, scratch: &Scratch) -> Result<Vec<Mark>> {
    let mut marks = Vec::new();
    for (i, acked) in rows.acked()?.into_iter().enumerate() {
        let Acked { consumer, topic, cursor, upto } = acked;
        let (consumer, original) = match (consumer, topic) {
            (Ok(consumer), Ok(topic)) => (consumer, topic),
            (Err(reason), _) | (_, Err(reason)) => {
                scratch.note(List::NotTaken, format!("queue_consumers[{i}]"), reason)?;
                continue;
            }
        };
        let place = format!("consumer {consumer:?} of topic {original:?}");
        if let Some(reason) = match &cursor {
            Err(reason) => Some(format!("its cursor: {reason}")),
            Ok(cursor) if !is_cursor(cursor) => Some(format!("its cursor {cursor:?} is none")),
            Ok(_) => None,
        } {
            let told = format!("{reason}; it begins at the first event");
            scratch.note(List::Altered, &place, told)?;
        }
        let topic = escaped(&original).unwrap_or_else(|| original.clone());
        let taken = escaped(&consumer);
        if let Some(id) = &taken {
            scratch.note(List::EscapedIds, &place, format!("it is taken as {id:?}"))?;
        }
        let consumer = taken.unwrap_or(consumer);
        let new = match store.events().cursor(&consumer, &topic).await {
            Ok(_) => false,
            Err(error) if error.kind() == Kind::NotFound => true,
            Err(error) => return Err(error),
        };
        marks.push(Mark { consumer, topic, original, upto, new, cursor: None });
    }
    Ok(marks)
}

/// Puts the consumers where they were, each in one commit.
async fn place(store: &Store, marks: &[Mark]) -> Result<()> {
    let events = store.events();
    for mark in marks.iter().filter(|mark| mark.new) {
        match &mark.cursor {
            Some(cursor) => events.ack(&mark.consumer, &mark.topic, cursor).await?,
            None => events.seek(&mark.consumer, &mark.topic, Start::Beginning).await?,
        }
    }
    Ok(())
}

struct Pass<'a> {
    store: &'a Store,
    rows: &'a Rows,
    scratch: &'a Scratch,
    stop: &'a Stop,
    events: Tally,
}

/// Events of one topic, with what they meet.
struct OfTopic<'a> {
    topic: &'a str,
    events: Vec<(&'a Taken, Met)>,
}

impl Pass<'_> {
    /// Looks at every event and at what the store has of it.
    async fn look(&mut self) -> Result<()> {
        let mut progress = Progress::new(self.rows.size()?, "comparing");
        let mut after = i64::MIN;
        loop {
            self.stop.check(|| "nothing was changed".to_owned())?;
            let rows = self.rows.after(after)?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = last.id;
            progress.advance(bytes(&rows));
            let taken = self.taken(rows)?;
            for some in self.by_topic(&taken).await? {
                for (taken, met) in some.events {
                    count(&mut self.events, met);
                    if met == Met::Other {
                        note_differing(self.scratch, place_of(taken))?;
                    }
                }
            }
        }
    }

    /// Publishes what is new, in order; a queue that is not too large in one commit.
    async fn publish(&self, marks: &mut [Mark]) -> Result<()> {
        self.scratch.set_tells(false);
        let mut waiting: HashMap<String, Vec<&mut Mark>> = HashMap::new();
        for mark in marks.iter_mut().filter(|mark| mark.new) {
            waiting.entry(mark.original.clone()).or_default().push(mark);
        }
        let mut progress = Progress::new(self.rows.size()?, "writing");
        let (mut after, mut begun) = (i64::MIN, false);
        loop {
            self.stop.check(|| {
                if begun { "run the same command again to go on" } else { "nothing was changed" }
                    .to_owned()
            })?;
            let rows = self.rows.after(after)?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = last.id;
            let read = bytes(&rows);
            let taken = self.taken(rows)?;
            let mut by_topic = self.by_topic(&taken).await?;
            let mut unit = self.store.unit();
            for some in &mut by_topic {
                // What the store has with other content stays as it is.
                some.events.retain(|(_, met)| *met != Met::Other);
                let events: Vec<Event> =
                    some.events.iter().map(|(taken, _)| taken.event.clone()).collect();
                unit.events().publish_many(some.topic, events);
            }
            let done = unit.commit().await?;
            begun = true;
            for (some, published) in by_topic.iter().zip(done.published) {
                for ((taken, _), published) in some.events.iter().zip(published) {
                    for mark in waiting.get_mut(&taken.original).into_iter().flatten() {
                        if taken.row <= mark.upto {
                            mark.cursor = Some(published.cursor.clone());
                        }
                    }
                }
            }
            progress.advance(read);
        }
    }

    /// Those that can be taken; the others are noted.
    fn taken(&self, rows: Vec<Row>) -> Result<Vec<Taken>> {
        let mut all = Vec::new();
        for row in rows {
            let id = row.id;
            match event::of(row) {
                Err(reason) => {
                    self.scratch.note(List::NotTaken, format!("queue_entries[{id}]"), reason)?;
                }
                Ok(taken) => {
                    for (list, reason) in &taken.notes {
                        self.scratch.note(*list, place_of(&taken), reason)?;
                    }
                    all.push(taken);
                }
            }
        }
        Ok(all)
    }

    async fn by_topic<'t>(&self, taken: &'t [Taken]) -> Result<Vec<OfTopic<'t>>> {
        let mut by_topic: Vec<(&str, Vec<&Taken>)> = Vec::new();
        let mut places = HashMap::new();
        for one in taken {
            let place = *places.entry(one.topic.as_str()).or_insert_with(|| {
                by_topic.push((&one.topic, Vec::new()));
                by_topic.len() - 1
            });
            by_topic[place].1.push(one);
        }
        let mut all = Vec::new();
        for (topic, taken) in by_topic {
            let events: Vec<Event> = taken.iter().map(|taken| taken.event.clone()).collect();
            let met = self.store.events().meets(topic, &events).await?;
            all.push(OfTopic { topic, events: taken.into_iter().zip(met).collect() });
        }
        Ok(all)
    }
}

fn bytes(rows: &[Row]) -> u64 {
    rows.iter().map(|row| row.event.as_ref().map_or(0, |event| event.len() as u64)).sum()
}

fn place_of(taken: &Taken) -> String {
    let cursor = taken.event.key().map(ToString::to_string).unwrap_or_default();
    format!("event {cursor:?} of topic {:?}", taken.original)
}
